"""What stands against a suite's result: one sentence a kind, with every case it holds for and their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlpath.core.types import ProblemSet
from rlpath.evals.measure.clusters import copies
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import Contrast, Entrant
from rlpath.evals.suite.training import UNCHECKED
from rlpath.evals.suite.verdict import millions, same_size

TRUNCATION_GAP = 0.05
"""Difference in the share of truncated answers from which it is named as a confound."""


def merged(sentence: str, cases: Sequence[str]) -> list[str]:
    """The sentence once, with all it holds for, and how many they are; nothing where it holds for none."""
    many = f" ({len(cases)} times)" if len(cases) > 1 else ""
    return [f"{sentence}{many}: {'; '.join(cases)}"] if cases else []


def size_warnings(entrants: Sequence[Entrant]) -> list[str]:
    """Models of another size than the baseline."""
    baseline = next(entrant for entrant in entrants if entrant.role == "baseline")
    others = [one for one in entrants if one.role == "model" and not same_size(one, baseline)]
    return merged(
        f"not of one size with the baseline {baseline.label} ({millions(baseline.parameters)} parameters), so no "
        "verdict of improvement",
        [f"{one.label} ({millions(one.parameters)})" for one in others],
    )


def trivial_warnings(headlines: Sequence[Headline]) -> list[str]:
    """Models that do no better than what needs no model."""
    return merged(
        "greedy accuracy is not above what can be had without a model",
        [
            f"{one.model} on {one.task}, {one.ours.estimate:.1%} beside {best.accuracy:.1%} of “{best.name}”"
            for one in headlines
            if (best := one.below_trivial)
        ],
    )


def copy_warnings(problems: Mapping[str, ProblemSet]) -> list[str]:
    """Questions that repeat another."""
    return merged(
        "problems repeat the question of another, and copies count once",
        [f"{copies(found)} of {len(found)} of {name}" for name, found in problems.items() if copies(found)],
    )


def truncation_warnings(
    contrasts: Sequence[Contrast], entrants: Sequence[Entrant], headlines: Sequence[Headline]
) -> list[str]:
    """A difference in accuracy may be one of length alone where one side hits the length limit more often."""
    members = {entrant.label: entrant.members for entrant in entrants}

    def truncated(label: str, task: str) -> float:
        shares = [one.truncated for one in headlines if one.task == task and one.model in members[label]]
        return sum(shares) / len(shares) if shares else 0.0

    cases = []
    for one in contrasts:
        model, versus = truncated(one.model, one.task), truncated(one.versus, one.task)
        if abs(model - versus) >= TRUNCATION_GAP:
            cases.append(f"{one.task}, {model:.0%} of {one.model} and {versus:.0%} of {one.versus}")
    return merged(
        "the difference may be one of length, as one side's answers are truncated at the limit more often "
        "(raise --max-tokens)",
        cases,
    )


def batch_warnings(plan: Plan, servers: Sequence[str]) -> list[str]:
    """Greedy answers that depend on what else was asked at once; `servers` are the entrants behind endpoints."""
    found = merged("size, precision and batches are the server's, and were not seen", servers)
    if plan.dtype != "float32":
        found.append(
            f"asked in {plan.dtype}, {plan.batch} problems at once: a greedy answer can change with what else is in "
            "the batch; --dtype float32 makes it stand"
        )
    return found


def unchecked_warnings(unchecked: Mapping[str, Sequence[str]]) -> list[str]:
    """Models whose training text nobody searched, with the tasks."""
    return merged(UNCHECKED, [f"{model} on {', '.join(tasks)}" for model, tasks in unchecked.items() if tasks])
