"""The completions behind a result, read back from the evaluation files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.evals.measure.evaluation import Evaluation, read_evaluation
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import Entrant, SuiteResult

Answers = Mapping[tuple[str, str], Evaluation]
"""By label of an entrant's member and name of a task, under the template of the headline."""
ORDER = ("baseline", "base", "model")


def read_answers(result: SuiteResult, folder: Path) -> Answers:
    """The evaluation behind every headline; `folder` is where result.json lies.

    Raises InputError where the result names no file for a headline, or the file is missing or damaged.
    """
    return {(headline.model, headline.task): _read(result, folder, headline) for headline in result.headlines}


def _read(result: SuiteResult, folder: Path, headline: Headline) -> Evaluation:
    key = f"{headline.model}/{headline.task}/{headline.template}"
    if key not in result.answers:
        raise InputError(f"result.json in {folder} names no evaluation file for {key!r}: evaluate again")
    path = folder / result.answers[key]
    if not path.is_file():
        raise InputError(f"evaluation file {path} ({key}) is missing: put it back, or run the same evaluation again")
    return read_evaluation(path)


def tasks(result: SuiteResult) -> list[str]:
    """The tasks in the order they were evaluated."""
    return list(dict.fromkeys(headline.task for headline in result.headlines))


def ordered(result: SuiteResult) -> list[Entrant]:
    """The entrants, what is compared against first."""
    return sorted(result.entrants, key=lambda entrant: ORDER.index(entrant.role))


def headline_of(result: SuiteResult, member: str, task: str) -> Headline | None:
    """The headline of a member on a task, None where it was not asked."""
    found = (each for each in result.headlines if (each.model, each.task) == (member, task))
    return next(found, None)
