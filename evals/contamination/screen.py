"""Before the first step: does the training set hold what it will be judged on? For recipes, and quick.

train, overlap = screen(train, held_out, on_hit="flag")
facts["contamination"] = overlap
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from rlpath.errors import InputError
from rlpath.evals.contamination.benchmarks import Benchmark, as_benchmark, benchmarks_present, question_of
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.overlap import Overlap, Rule, check_overlap
from rlpath.types import Problem, ProblemSet

OnHit = Literal["drop", "flag", "keep"]
LISTED = 50
"""Hits that a manifest names one by one; all are counted."""


def screen(
    train: ProblemSet,
    held_out: ProblemSet | None = None,
    *,
    on_hit: OnHit = "flag",
    against: Sequence[Benchmark] | None = None,
    rule: Rule | None = None,
) -> tuple[ProblemSet, dict[str, Any]]:
    """The training set to use, and the record for the manifest.

    Compares the training questions (and solutions, where problems carry them) with the held-out set and with
    `against`: by default every known test set that RLPATH_DATA has. "drop" leaves out problems that hold a copy,
    "flag" names the first `LISTED` hits in the record, "keep" only counts. Raises InputError where nothing would be
    left to train on.
    """
    known = benchmarks_present() if against is None else list(against)
    benchmarks = [*([as_benchmark(held_out)] if held_out is not None else []), *known]
    overlap = check_overlap(map(_document, train.problems), benchmarks, rule)
    record = overlap.to_json() | {"on_hit": on_hit, "checked": [benchmark.name for benchmark in benchmarks]}
    record["hits"] = record["hits"][:LISTED] if on_hit != "keep" else []
    if on_hit == "drop":
        train = _without(train, overlap)
    record["left"] = len(train)
    return train, record


def sentence(record: dict[str, Any]) -> str:
    """What a record of `screen` says, in one line."""
    checked = ", ".join(record["checked"]) or "no test set (RLPATH_DATA has none)"
    done = {"drop": "left out", "flag": "flagged, not left out", "keep": "kept"}[record["on_hit"]]
    return (
        f"overlap with {checked}: {record['flagged_documents']} of {record['documents']} training problems match "
        f"{record['copied']} test items; {done}"
    )


def _document(problem: Problem) -> Document:
    solution = problem.meta.get("solution", "")
    text = f"{question_of(problem.prompt, problem.meta)}\n{solution if isinstance(solution, str) else ''}"
    return Document(problem.id, 0, text)


def _without(train: ProblemSet, overlap: Overlap) -> ProblemSet:
    left = tuple(problem for problem in train.problems if problem.id not in overlap.flagged)
    if not left:
        raise InputError(f"every problem of {train.name} holds a copy of a test item: train on another set")
    return replace(train, problems=left)
