"""For whoever reports a score: how many items of each task stand in the training text, and how far to believe it.

    finding = from_run(manifest)                      what the run wrote down before its first step, or None
    finding = of_files([Path("train.jsonl")], [problems])

None means that nobody looked: a report then says `UNCHECKED`. The base model's own training text is never part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.evals.contamination.benchmarks import as_benchmark, set_name
from rlpath.evals.contamination.documents import documents, training_files
from rlpath.evals.contamination.error_rates import quote
from rlpath.evals.contamination.overlap import CopyRule, check_overlap

UNCHECKED = "contamination unchecked"


@dataclass(frozen=True, slots=True)
class TaskOverlap:
    """One test set: `copied` of its `items` stand in the training text, `too_short` could not be looked for.

    `flagged` names the copied items, all of them where files were read, the first ones where a manifest listed them.
    """

    task: str
    items: int
    copied: int
    too_short: int
    flagged: tuple[str, ...]

    def __str__(self) -> str:
        short = f" ({self.too_short} too short to look for)" if self.too_short else ""
        return f"{self.task} {self.copied} of {self.items}{short}"


@dataclass(frozen=True, slots=True)
class ContaminationFinding:
    """What the overlap check found: test sets, documents read, documents flagged, what was done, measured rates.

    `left_out` says that flagged documents were not trained on. `measured` quotes the check's error rates.
    """

    tasks: tuple[TaskOverlap, ...]
    documents: int
    flagged_documents: int
    left_out: bool
    measured: str

    def of(self, problems: ProblemSet) -> TaskOverlap | None:
        """The finding on a problem set, None where it was not compared. A plain name stands for a test split."""
        names = [set_name(problems), *([problems.name] if problems.split == "test" else [])]
        return next((task for task in self.tasks if task.task in names), None)

    def unchecked(self, problem_sets: Iterable[ProblemSet]) -> list[str]:
        """Names of the problem sets that were not compared."""
        return [set_name(problems) for problems in problem_sets if self.of(problems) is None]

    @property
    def sentence(self) -> str:
        """What a report says."""
        if not self.tasks:
            return f"{UNCHECKED}: the training text was compared with no test set"
        done = "left out of training" if self.left_out else "not left out of training"
        matched = f"; {self.flagged_documents} matching, {done}" if self.flagged_documents else ""
        return (
            f"test items found in the training text: {', '.join(map(str, self.tasks))} ({self.documents} training "
            f"documents{matched}; the base model's own training text is unknown); {self.measured}"
        )


def from_run(manifest: Mapping[str, Any]) -> ContaminationFinding | None:
    """What a run recorded of its training set, None where it did not look.

    Raises InputError for a record that this version cannot read.
    """
    record = manifest.get("contamination")
    if record is None:
        return None
    try:
        flagged: dict[str, list[str]] = {}
        for hit in record["hits"]:
            flagged.setdefault(hit["benchmark"], []).append(hit["item"])
        tasks = tuple(
            TaskOverlap(
                found["benchmark"],
                found["items"],
                found["copied"],
                found["too_short"],
                tuple(dict.fromkeys(flagged.get(found["benchmark"], ()))),
            )
            for found in record["found"]
        )
        left_out = record["on_hit"] == "drop"
        return ContaminationFinding(tasks, record["documents"], record["flagged_documents"], left_out, quote("overlap"))
    except (KeyError, TypeError) as error:
        raise InputError(f"the manifest's contamination record is not of this version: {error!r} is missing") from None


def of_files(
    paths: Sequence[Path], problem_sets: Sequence[ProblemSet], *, rule: CopyRule | None = None
) -> ContaminationFinding:
    """Compare training files or folders with problem sets, one pass. Raises InputError for what cannot be read."""
    overlap = check_overlap(documents(training_files(paths)), [as_benchmark(one) for one in problem_sets], rule)
    tasks = tuple(
        TaskOverlap(
            found.benchmark,
            found.items,
            found.copied,
            found.too_short,
            tuple(dict.fromkeys(hit.item for hit in overlap.hits if hit.benchmark == found.benchmark)),
        )
        for found in overlap.found
    )
    return ContaminationFinding(tasks, overlap.documents, len(overlap.flagged), False, quote("overlap"))
