"""A suite's figures in the forms that others read: lm-evaluation-harness results, and a model card with a model-index.

One folder a model, `exports/<model>/`:

    results_<time>.json   the structure of lm-evaluation-harness 0.4, so that its tables and loaders read it
    README.md             a hub model card: its front matter is the model-index, its text the claims with their limits

Both keep what a score is worth beside it: truncated, no answer and undecided are metrics like the others. No figure is
renamed into a harness's own: metrics bear the filters strict-match, flexible-extract, rlpath and sampled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlpath.core.files import disk_errors, write_atomic
from rlpath.core.stats import Interval
from rlpath.evals.report.card import markdown_table
from rlpath.evals.report.lm_eval_format import SHARES, lm_eval_results, safe_name, started
from rlpath.evals.report.run_report import share
from rlpath.evals.report.suite_tables import percent
from rlpath.evals.suite.answers import Answers, read_answers
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import Entrant, SuiteResult

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

FOLDER = "exports"


def write_exports(result: SuiteResult, folder: Path) -> list[Path]:
    """Write `exports/` into the folder of result.json; the paths written, two a model.

    Raises InputError where an evaluation file that the result names is missing or damaged.
    """
    answers = read_answers(result, folder)
    written: list[Path] = []
    for entrant, member in members(result):
        target = folder / FOLDER / safe_name(member)
        with disk_errors(target):
            target.mkdir(parents=True, exist_ok=True)
        text = json.dumps(lm_eval_results(result, answers, member), indent=2, ensure_ascii=False)
        written.append(target / f"results_{_stamp(result)}.json")
        write_atomic(written[-1], text + "\n")
        written.append(target / "README.md")
        write_atomic(written[-1], "\n".join(_card(result, answers, entrant, member)).rstrip() + "\n")
    return written


def members(result: SuiteResult) -> Iterator[tuple[Entrant, str]]:
    """Every model that was asked anything, with its entrant."""
    asked = {headline.model for headline in result.headlines}
    for entrant in result.entrants:
        yield from ((entrant, member) for member in entrant.members if member in asked)


def _stamp(result: SuiteResult) -> str:
    """The time as lm-evaluation-harness writes it into the name: no colon, no zone, no underscore."""
    return started(result)[:19].replace(":", "-") or "unknown-time"


# The hub


def eval_results(result: SuiteResult, answers: Answers, member: str) -> list[EvalResult]:
    """One model's figures as entries of a model-index, each with the limits of its interval."""
    from huggingface_hub import EvalResult

    found: list[EvalResult] = []
    for headline in result.headlines:
        if headline.model == member:
            protocol = answers[member, headline.task].protocol
            asked = {"problems": protocol.problems, "template": headline.template, "sha256": protocol.sha256}
            for metric, name, value, limits in _hub_metrics(headline):
                found.append(
                    EvalResult(
                        task_type="text-generation",
                        dataset_type=headline.task,
                        dataset_name=headline.task,
                        dataset_split=protocol.split,
                        dataset_args=asked,
                        metric_type=metric,
                        metric_name=name,
                        metric_value=value,
                        metric_args=limits or None,
                    )
                )
    return found


def _hub_metrics(headline: Headline) -> Iterator[tuple[str, str, float, dict[str, Any]]]:
    greedy = {"our verifier": headline.ours, "strict": headline.strict, "flexible": headline.flexible}
    for reading, interval in greedy.items():
        yield "accuracy", f"greedy accuracy, {reading}", interval.estimate, _limits(interval)
    for k, interval in headline.pass_at.items():
        yield f"pass@{k}", f"pass@{k} of {headline.samples} samples", interval.estimate, _limits(interval)
    for k, interval in headline.majority_at.items():
        yield f"maj@{k}", f"maj@{k} of {headline.samples} samples", interval.estimate, _limits(interval)
    for name in SHARES:
        yield name, f"{name.replace('_', ' ')}, share of the samples", getattr(headline, name), {}


def _limits(interval: Interval) -> dict[str, Any]:
    return {"low": interval.low, "high": interval.high, "level": interval.level, "method": interval.method}


def _card(result: SuiteResult, answers: Answers, entrant: Entrant, member: str) -> Iterator[str]:
    """A model card: the model-index as front matter, then the claims, what limits them, and the figures."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        model_name=member,
        eval_results=eval_results(result, answers, member),
        base_model=entrant.base or None,
        tags=["rlpath"],
    )
    yield from ["---", data.to_yaml(), "---", "", f"# {member}", ""]
    claims = [f"{each.task}: {each.claim}" for each in result.contrasts if each.model == entrant.label]
    if claims:
        yield from ["## What may be said", "", *(f"- {claim}" for claim in claims), ""]
    if result.warnings:
        yield from ["## What stands against it", "", *(f"- {warning}" for warning in result.warnings), ""]
    yield from ["## Figures", ""]
    yield from markdown_table(
        ("task", "problems", "accuracy", "strict", "flexible", "pass@1", "truncated", "no answer", "undecided"),
        _figures(headline for headline in result.headlines if headline.model == member),
    )
    yield "Brackets are 95 % intervals over problems; the last three columns are shares of the sampled completions."


def _figures(headlines: Iterable[Headline]) -> Iterator[tuple[str, ...]]:
    for each in headlines:
        yield (
            each.task,
            str(each.problems),
            *(share(interval) for interval in (each.ours, each.strict, each.flexible)),
            share(each.pass_at[1]) if 1 in each.pass_at else "not sampled",
            *(percent(value) for value in (each.truncated, each.no_answer, each.undecided)),
        )
