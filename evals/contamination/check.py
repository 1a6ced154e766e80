"""One check of training files: overlap always, near duplicates and rephrasings on request; drop, flag or keep.

`check_files` reads and compares; `write` puts the report, the list of hits and cleaned copies into a folder.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, write_atomic
from rlpath.evals.contamination.benchmarks import Benchmark
from rlpath.evals.contamination.disguises import unseen
from rlpath.evals.contamination.documents import documents, lines, training_files
from rlpath.evals.contamination.error_rates import quote
from rlpath.evals.contamination.overlap import CopyRule, Overlap, check_overlap
from rlpath.evals.contamination.resemblance import Likeness, NearDuplicates, Rephrasings

REPORT = "contamination.json"
HITS = "hits.jsonl"
CLEAN = "clean"


@dataclass(frozen=True)
class ContaminationCheck:
    """The outcome: the overlap, and what resembles a question by the methods that were asked for."""

    files: tuple[Path, ...]
    benchmarks: tuple[Benchmark, ...]
    overlap: Overlap
    alike: dict[str, tuple[Likeness, ...]]

    @property
    def flagged(self) -> frozenset[str]:
        """Names of the documents that any method flags."""
        return self.overlap.flagged.union(*({hit.document.name for hit in hits} for hits in self.alike.values()))

    def rows(self) -> list[dict[str, Any]]:
        """Every hit of every method, as JSON values."""
        rows: list[dict[str, Any]] = [
            {
                "method": "overlap",
                "document": hit.document,
                "test_set": hit.benchmark,
                "item": hit.item,
                "part": hit.part,
                "coverage": hit.coverage,
                "longest": hit.longest,
            }
            for hit in self.overlap.hits
        ]
        for method, hits in self.alike.items():
            for hit in hits:
                benchmark = self.benchmarks[hit.benchmark]
                item = benchmark.items[hit.item].id
                where = {"document": hit.document.name, "test_set": benchmark.name, "item": item}
                rows.append({"method": method, **where, "score": round(hit.score, 4), "piece": hit.piece[:300]})
        return rows

    def to_json(self) -> dict[str, Any]:
        """The report: what was read, what was found, and how far each method can be believed."""
        overlap = {name: value for name, value in self.overlap.to_json().items() if name != "hits"}
        alike = {
            method: {
                "flagged_documents": len({hit.document.name for hit in hits}),
                "items": len({(hit.benchmark, hit.item) for hit in hits}),
            }
            for method, hits in self.alike.items()
        }
        return {
            "files": [str(path) for path in self.files],
            "overlap": overlap,
            **alike,
            "flagged_documents": len(self.flagged),
            "measured": {method: quote(method) for method in ("overlap", *self.alike)},
            "unseen": unseen(),
        }


def check_files(
    paths: Sequence[Path],
    benchmarks: Sequence[Benchmark],
    *,
    rule: CopyRule | None = None,
    field: str | None = None,
    near_duplicates: bool = False,
    rephrased: bool = False,
) -> ContaminationCheck:
    """Compare training files with test sets.

    Raises InputError for what cannot be read, naming file and line, and where there is no text: nothing was compared.
    """
    files = training_files(paths)
    overlap = check_overlap(documents(files, field), benchmarks, rule)
    if not overlap.megabytes:
        raise InputError(f"{', '.join(map(str, files[:3]))}: no text in {overlap.documents} rows, nothing to compare")
    alike: dict[str, tuple[Likeness, ...]] = {}
    if near_duplicates:
        alike["near duplicates"] = tuple(NearDuplicates(benchmarks).search(documents(files, field)))
    if rephrased:
        alike["rephrasings"] = tuple(Rephrasings(benchmarks).search(documents(files, field)))
    return ContaminationCheck(tuple(files), tuple(benchmarks), overlap, alike)


def refuse_unless_rows(paths: Sequence[Path]) -> None:
    """Dropping needs files of rows; raises InputError naming the first other file."""
    for path in training_files(paths):
        if ".jsonl" not in path.suffixes:
            raise InputError(f"--on-hit drop takes rows out of .jsonl files; {path} is none: use flag, or convert it")


def write(check: ContaminationCheck, out: Path, *, hits: bool, drop: bool) -> None:
    """Write the report into `out`, the hits beside it, and with `drop` the files without their flagged rows."""
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / REPORT, json.dumps(check.to_json(), indent=1, ensure_ascii=False) + "\n")
        if hits:
            rows = check.rows()
            write_atomic(out / HITS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        if drop:
            for path, target in _targets(check.files, out / CLEAN):
                _write_clean(path, target, check.flagged)


def _targets(files: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Each file with the place of its cleaned copy: the same tree below `out`, from the folder common to all."""
    common = Path(os.path.commonpath([path.resolve().parent for path in files]))
    for path in files:
        yield path, out / path.resolve().relative_to(common)


def _write_clean(path: Path, target: Path, flagged: frozenset[str]) -> None:
    """Copy the lines that are not flagged, byte for byte."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with gzip.open(temporary, "wb") if path.suffix == ".gz" else temporary.open("wb") as copy:
            for line, data in lines(path):
                if f"{path}:{line}" not in flagged:
                    copy.write(data)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
