"""The path as a page that opens offline: a picture of it, each milestone with its evidence, questions with answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rlpath.cli.path.milestones import PARTS
from rlpath.cli.path.sound import RunsAtHand
from rlpath.cli.path.steps import MilestoneState, about
from rlpath.core.files import disk_errors, write_atomic
from rlpath.report import page, plots

WORDS = {"done": "shown by a run", "open": "open", "page": "read and write again"}


def write_page(path: Path, steps: Sequence[MilestoneState], following: MilestoneState | None, runs: RunsAtHand) -> None:
    """Write the page, atomically."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.page("The path", _body(steps, following, runs)))


def _body(steps: Sequence[MilestoneState], following: MilestoneState | None, runs: RunsAtHand) -> Iterable[str]:
    yield page.heading("The path")
    shown, can = (sum(step.mark in marks for step in steps) for marks in (("done",), ("done", "open")))
    yield page.paragraph(f"{shown} of the {can} milestones that a run can show are shown by the runs at hand.")
    if following is not None:
        where = f"{following.milestone.title}, {about(following.minutes)} on this machine"
        yield page.note(f"Next: {where}: {following.milestone.command}")
    picture = {part: _marks(steps, part) for part in PARTS}
    yield page.plots([plots.chains_plot("path", "Filled: shown by a run. Ring: open. Dot: a page to read.", picture)])
    for part in PARTS:
        yield page.section(part, *(_milestone(step) for step in steps if step.milestone.part == part))
    if runs.unsound:
        rows = [(str(folder), why) for folder, why in runs.unsound]
        yield page.folded(f"{len(rows)} runs that do not count", page.table(("run", "why"), rows))


def _marks(steps: Sequence[MilestoneState], part: str) -> list[tuple[str, str]]:
    return [(step.milestone.key, step.mark) for step in steps if step.milestone.part == part]


def _milestone(step: MilestoneState) -> str:
    milestone = step.milestone
    parts = [page.subheading(f"{'✓ ' if step.evidence else ''}{milestone.title}")]
    if step.evidence:
        parts += [page.paragraph(step.evidence.sentence, "shown"), page.soft(step.evidence.runs)]
    else:
        parts.append(page.paragraph(f"{WORDS[step.mark]}; {about(step.minutes)} on this machine"))
        parts.append(page.preformatted(milestone.command))
    parts.append(page.folded(milestone.question, page.paragraph(milestone.answer)))
    return "\n".join(parts)
