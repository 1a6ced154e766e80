"""`rlpath path`: how far the runs at hand have come, and what to run next."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlpath.cli.path.milestones import PARTS
from rlpath.cli.path.page import write_page
from rlpath.cli.path.sound import RunsAtHand, collect
from rlpath.cli.path.steps import MilestoneState, about, next_step, walk
from rlpath.core.errors import InputError

DEFAULT = (Path("runs"),)
MARKS = {"done": "✓", "open": "·", "page": "–"}


@dataclass(frozen=True)
class PathCommand:
    """The milestones, each with the command that earns it, ticked only where runs at hand show it."""

    folders: tyro.conf.Positional[tuple[Path, ...]] = DEFAULT
    """Folders that hold runs and evaluations."""
    log: Path = Path("LOG.md")
    """The research log."""
    out: Path | None = None
    """Write the path as a page to this file (HTML), with a question for each milestone."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Look, print, and write the page where one is asked for."""
        missing = [folder for folder in self.folders if not folder.is_dir()]
        if missing and self.folders != DEFAULT:
            raise InputError(f"{missing[0]} is no folder: name folders that hold runs, such as runs")
        runs = collect(self.folders, self.log)
        steps = walk(runs)
        if self.json:
            print(json.dumps(as_json(steps, runs), indent=2, ensure_ascii=False))
        else:
            show(steps, runs, Console())
        if self.out is not None:
            write_page(self.out, steps, next_step(steps), runs)
            print(f"page: {self.out}", file=sys.stderr)
        return 0


def as_json(steps: Sequence[MilestoneState], runs: RunsAtHand) -> dict[str, Any]:
    """The path for programs."""
    following = next_step(steps)
    return {
        "milestones": [
            {"key": step.milestone.key, "part": step.milestone.part, "title": step.milestone.title, "mark": step.mark}
            | {"command": step.milestone.command, "minutes": round(step.minutes, 1)}
            | {"evidence": asdict(step.evidence) if step.evidence else None}
            for step in steps
        ],
        "next": following.milestone.key if following else None,
        "not_counted": [{"run": str(path), "why": why} for path, why in runs.unsound],
    }


def show(steps: Sequence[MilestoneState], runs: RunsAtHand, console: Console) -> None:
    """One table a part, the runs that do not count, and the next step."""
    for part in PARTS:
        table = Table("", "milestone", "shown by", title=part, title_justify="left", expand=True)
        for step in (step for step in steps if step.milestone.part == part):
            evidence = step.evidence
            told = f"{evidence.runs}\n{evidence.sentence}" if evidence else step.milestone.command
            table.add_row(MARKS[step.mark], step.milestone.title, Text(told))
        console.print(table)
    console.print("✓ shown by a run; · open; – a page to read and to write again, which no run shows.")
    for path, why in runs.unsound:
        console.print(f"not counted: {path}: {why}", markup=False, soft_wrap=True)
    following = next_step(steps)
    if following is None:
        console.print("Every milestone that a run can show is shown.")
        return
    console.print(f"next: {following.milestone.title}, {about(following.minutes)} on this machine")
    console.print(f"  {following.milestone.command}", markup=False, soft_wrap=True)
