"""A demonstration of one way in which an evaluation lies: the flattering number and the honest one, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlpath.core.files import write_atomic
from rlpath.evals.compare.comparison import p_text, points
from rlpath.evals.suite.paired import Paired
from rlpath.report.tables import text_table

ANSWERS = "answers of this run"
SIMULATED = "simulation from answers of this run"
TRAINED = "training and answers of this run"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, the larger the more flattering, and how it is said."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Lie:
    """One demonstration.

    what: what was done; why: why it lies; source: where its two numbers come from
    """

    name: str
    what: str
    flattering: Figure
    honest: Figure
    why: str
    source: str = ANSWERS

    @property
    def flatters(self) -> bool:
        """Whether the lie made anything look better, this time."""
        return self.flattering.value > self.honest.value

    def __str__(self) -> str:
        told = "" if self.flatters else " On this model, today, it does not flatter."
        return (
            f"{self.name} ({self.source})\n  flattering: {self.flattering.text}\n  honest:     {self.honest.text}\n"
            f"  {self.what} {self.why}{told}"
        )


def gain(found: Paired) -> Figure:
    """A difference between "ours" and "the baseline", with its p."""
    return Figure(found.difference.estimate, f"{100 * found.difference.estimate:+.1f} points, {p_text(found.p)}")


def share(value: float) -> Figure:
    """A share in percent."""
    return Figure(value, f"{points(value)} %")


def lies_table(lies: Sequence[Lie]) -> str:
    """Name, flattering number, honest number, and whether it flattered, a line each."""
    rows = [(lie.name, lie.flattering.text, lie.honest.text, "yes" if lie.flatters else "not today") for lie in lies]
    return text_table(("a way to lie", "flattering", "honest", "flatters"), rows)


def save_lies(lies: Sequence[Lie], path: Path) -> None:
    """Write as JSON, atomically."""
    rows = [asdict(lie) | {"flatters": lie.flatters} for lie in lies]
    write_atomic(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
