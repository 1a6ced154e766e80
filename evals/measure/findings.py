"""What a run found beside its before-and-after verdict: tables and figures, kept as JSON, shown by report and card.

A finding is a sentence with its figures. `verdict` is the word for the report's box where the finding decides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.core.files import write_atomic
from rlpath.core.types import Outcome

FILE = "findings.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """A heading, one sentence, a table (`rows` under `head`) and figures as SVG text; every part may be empty."""

    title: str
    sentence: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figures: tuple[str, ...] = ()
    verdict: Outcome | None = None


def write_findings(run: Path, findings: Sequence[Finding]) -> None:
    """Write `findings.json` into a run folder, atomically."""
    text = json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False)
    write_atomic(run / FILE, text + "\n")


def read_findings(run: Path) -> list[Finding]:
    """The findings of a run, none where it wrote none. Raises InputError where the file is damaged."""
    path = run / FILE
    if not path.exists():
        return []
    try:
        return [_finding(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} holds no findings of this version: remove it and run the command again") from error


def _finding(row: dict[str, object]) -> Finding:
    rows = tuple(tuple(str(cell) for cell in cells) for cells in _list(row["rows"]))
    head, figures = (tuple(str(cell) for cell in _list(row[name])) for name in ("head", "figures"))
    return Finding(
        str(row["title"]),
        str(row["sentence"]),
        head,
        rows,
        figures,
        Outcome(row["verdict"]) if row["verdict"] else None,
    )


def _list(value: object) -> list[list[object]]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value
