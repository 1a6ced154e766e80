"""The suite's result as text: headline figures, claims, and what has to be said beside them."""

from __future__ import annotations

from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import SuiteResult
from rlpath.report.tables import text_table

HEAD = (
    "model",
    "task",
    "ours",
    "strict",
    "flexible",
    "pass@1",
    "truncated",
    "no answer",
    "undecided",
    "tokens",
    "trivial",
)


def result_lines(result: SuiteResult) -> list[str]:
    """What the command prints. Shares in percent."""
    lines = [text_table(HEAD, [_row(one) for one in result.headlines]), ""]
    lines += [f"{one.model} against {one.versus} on {one.task}: {one.claim}" for one in result.contrasts]
    lines += ["", *(f"warning: {text}" for text in result.warnings)] if result.warnings else []
    return lines + (["", *result.prereg] if result.prereg else [])


def _row(one: Headline) -> tuple[str, ...]:
    sampled = percent(one.pass_at[1].estimate) if one.pass_at else "-"
    trivial = percent(one.trivial[0].accuracy) if one.trivial else "-"
    accuracies = (percent(each.estimate) for each in (one.ours, one.strict, one.flexible))
    shares = (percent(each) for each in (one.truncated, one.no_answer, one.undecided))
    return (one.model, one.task, *accuracies, sampled, *shares, f"{one.mean_tokens:.0f}", trivial)


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f}"
