"""Before the first step: does the training set hold what it will be judged on? For recipes, and quick.

train, overlap = screen(train, held_out, on_hit="flag")
facts["contamination"] = overlap
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from rlpath.core.errors import InputError
from rlpath.core.types import Demonstration, ExampleSet, Preference, Problem, ProblemSet
from rlpath.evals.contamination.benchmarks import Benchmark, as_benchmark, benchmarks_present, question_of, set_name
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.overlap import CopyRule, Overlap, check_overlap

OnHit = Literal["drop", "flag", "keep"]
Train = TypeVar("Train", ProblemSet, ExampleSet[Demonstration], ExampleSet[Preference])
LISTED = 50
"""Hits that a manifest names one by one; all are counted."""


def screen(
    train: Train,
    *held_out: ProblemSet | ExampleSet[Any] | None,
    on_hit: OnHit = "flag",
    against: Sequence[Benchmark] | None = None,
    rule: CopyRule | None = None,
) -> tuple[Train, dict[str, Any]]:
    """The training set to use, and the record for the manifest.

    Compares the training questions (and solutions, where problems carry them), or prompts and answers, with every
    `held_out` set that is not None and with `against`: by default every known test set that RLPATH_DATA has. "drop"
    leaves out what holds a copy, "flag" names the first `LISTED` hits in the record, "keep" only counts. Raises
    InputError where nothing would be left to train on.
    """
    known = benchmarks_present() if against is None else list(against)
    kept_out: dict[str, ProblemSet | ExampleSet[Any]] = {}
    for one in held_out:
        if one is not None:
            # Held-out examples are often made from held-out problems of the same name: the first is enough.
            kept_out.setdefault(set_name(one), one)
    benchmarks = [*map(as_benchmark, kept_out.values()), *known]
    items, what = (train.problems, "problems") if isinstance(train, ProblemSet) else (train.examples, "examples")
    overlap = check_overlap(map(_document, items), benchmarks, rule)
    record = overlap.to_json() | {"on_hit": on_hit, "checked": [benchmark.name for benchmark in benchmarks]}
    record["what"] = what
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
        f"overlap with {checked}: {record['flagged_documents']} of {record['documents']} training "
        f"{record.get('what', 'problems')} match {record['copied']} test items; {done}"
    )


def _document(item: Problem | Demonstration | Preference) -> Document:
    if isinstance(item, Problem):
        solution = item.meta.get("solution", "")
        parts = [question_of(item.prompt, item.meta), solution if isinstance(solution, str) else ""]
    else:
        answers = [item.completion] if isinstance(item, Demonstration) else [item.chosen, item.rejected]
        parts = [*(turn.content for turn in item.prompt), *answers]
    return Document(item.id, 0, "\n".join(parts))


def _without(train: Any, overlap: Overlap) -> Any:
    field = "problems" if isinstance(train, ProblemSet) else "examples"
    left = tuple(item for item in getattr(train, field) if item.id not in overlap.flagged)
    if not left:
        raise InputError(f"every {field[:-1]} of {train.name} holds a copy of a test item: train on another set")
    return replace(train, **{field: left})
