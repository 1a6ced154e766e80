"""How far each detector can be believed: its rates on planted data, as the contamination lab measured them.

`error_rates.json` beside this file is written by `rlpath contamination lab --record`; every report quotes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("error_rates.json")
UNMEASURED = "error rates not measured"


@lru_cache(maxsize=1)
def recorded() -> dict[str, Any] | None:
    """The lab's recorded outcome, or None where there is none."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else None


def rates(detector: str) -> list[dict[str, Any]]:
    """The recorded rows of one detector: form, exposures, tpr, fpr, auc and their limits."""
    lab = recorded()
    return [row for row in lab["rates"] if row["detector"] == detector] if lab else []


def quote(detector: str) -> str:
    """One sentence for a report: true positives by form at most and least exposure, false positives, date and seeds."""
    lab, rows = recorded(), rates(detector)
    if lab is None or not rows:
        return UNMEASURED
    said = []
    for form in dict.fromkeys(row["form"] for row in rows):
        of_form = sorted((row for row in rows if row["form"] == form), key=lambda row: row["exposures"])
        ends = of_form if len(of_form) == 1 else [of_form[0], of_form[-1]]
        said.append(f"{form} " + ", ".join(f"{row['tpr']:.0%} ({_times(row['exposures'])})" for row in ends))
    false = max(row["fpr"] for row in rows)
    seeds, date = len(lab["seeds"]), max(row.get("date", lab["date"]) for row in rows)
    return (
        f"measured on planted items: true positives {'; '.join(said)}; false positives {false:.1%} "
        f"(contamination lab, {date}, {seeds} seeds, {lab['model']})"
    )


def markdown(lab: Mapping[str, Any]) -> list[str]:
    """The lines of the record's table: true positives by number of copies, the highest rate of false ones, counts."""
    copies = sorted({row["exposures"] for row in lab["rates"]})
    lines = [
        "| detector | form | "
        + " | ".join(f"x{count}" for count in copies)
        + " | false positives | planted | unseen |",
        "|---" * (len(copies) + 5) + "|",
    ]
    for detector, form in dict.fromkeys((row["detector"], row["form"]) for row in lab["rates"]):
        found = {row["exposures"]: row for row in lab["rates"] if (row["detector"], row["form"]) == (detector, form)}
        true = [f"{found[count]['tpr']:.0%}" if count in found else "" for count in copies]
        planted = sum(row["planted"] for row in found.values())
        false, unseen = max(row["fpr"] for row in found.values()), max(row["unseen"] for row in found.values())
        lines.append("| " + " | ".join([detector, form, *true, f"{false:.1%}", f"{planted:,}", f"{unseen:,}"]) + " |")
    return lines


def _times(exposures: int) -> str:
    return "once" if exposures == 1 else f"{exposures} times"
