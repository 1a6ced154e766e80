"""Figures of the book beside ours: one row a claim, a page with the curves, and everything as JSON.

"The book" is Sutton & Barto, 2nd edition. A value it states in its text stands as it is; one that had to be read off a
figure says so. What the book says without a number is quoted as an order or a tendency, and tested as one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, write_atomic
from rlpath.core.stats import Interval, t_interval
from rlpath.report.page import heading, page, plots, preformatted, section, soft, table
from rlpath.report.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, Line
from rlpath.report.tables import text_table
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import config_hash
from rlpath.tabular.model import Array, Ints

COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, GRAY)
HEAD = ("figure", "what", "book", "ours [95 %]", "runs")


@dataclass(frozen=True, slots=True)
class Claim:
    """What the book says and what we measured: an interval over independent runs, or an exact number."""

    figure: str
    what: str
    book: str
    ours: Interval | float
    runs: int
    digits: int = 2

    def row(self) -> tuple[str, ...]:
        """The claim as cells of a table."""
        if not isinstance(self.ours, Interval):
            return (self.figure, self.what, self.book, f"{self.ours:z.{self.digits}f} (exact)", "")
        found, d = self.ours, self.digits
        ours = f"{found.estimate:z.{d}f} [{found.low:z.{d}f}, {found.high:z.{d}f}]"
        return (self.figure, self.what, self.book, ours, str(self.runs))


def over_runs(
    figure: str,
    what: str,
    book: str,
    values_K: Array,
    digits: int = 2,
    *,
    least: float = -np.inf,
    most: float = np.inf,
) -> Claim:
    """A claim about the mean over runs, with Student's interval, which ends at what is possible at all."""
    found = t_interval(values_K)
    inside = replace(found, low=max(found.low, least), high=min(found.high, most))
    return Claim(figure, what, book, inside, len(values_K), digits)


def curve(label: str, x: Sequence[float] | Array | Ints, values_KX: Array, color: str) -> Line:
    """The mean over runs with a band of 1.96 standard errors."""
    mean, error = values_KX.mean(0), values_KX.std(0, ddof=1) / np.sqrt(len(values_KX))
    return Line(label, x, mean, color, band=(mean - 1.96 * error, mean + 1.96 * error))


Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], smoke: Settings, description: str | None) -> Settings:
    """The command line's settings; `--smoke` starts from the smallest.

    Raises `InputError` where a number is below its least: 1, for `runs` 2 (an interval needs as many), for `seed` 0.
    """
    words = [word for word in sys.argv[1:] if word != "--smoke"]
    default = smoke if len(words) < len(sys.argv) - 1 else kind()
    settings = tyro.cli(kind, default=default, args=words, description=description)
    for name, value in asdict(settings).items():  # pyright: ignore[reportArgumentType]
        least = {"seed": 0, "runs": 2}.get(name, 1)
        if isinstance(value, int) and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value} must be at least {least}")
    return settings


def publish(
    recipe: str,
    title: str,
    settings: Any,
    claims: Sequence[Claim],
    figures: Mapping[str, str],
    remarks: Sequence[str],
    texts: Mapping[str, str] | None = None,
    head: Sequence[str] = HEAD,
) -> Path:
    """Print the claims and write `root/<recipe>/<hash>/`: results.json, a figure each as SVG, report.html; its path.

    `texts` are drawings in characters, by title; `head` names the columns, the third what ours stand beside.
    """
    config = {name: value for name, value in asdict(settings).items() if name != "root"}
    folder = settings.root / recipe / config_hash(config)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    rows = [claim.row() for claim in claims]
    print(f"\n{text_table(head, rows)}\n")
    for name, figure in figures.items():
        write_atomic(folder / f"{name}.svg", figure)
    facts = {"manifest": manifest(sys.argv, config), "claims": [asdict(claim) for claim in claims]}
    write_atomic(folder / "results.json", json.dumps(facts, indent=1, default=str) + "\n")
    body = [heading(title), *map(soft, remarks), section(f"The {head[2]} beside ours", table(head, rows))]
    drawn = "".join(preformatted(f"{name}\n\n{text}") for name, text in (texts or {}).items())
    path = folder / "report.html"
    if figures or drawn:
        body.append(section("Figures", plots(figures.values()), drawn))
    write_atomic(path, page(title, body))
    print(f"report: {path}")
    return path
