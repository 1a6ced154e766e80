"""The milestones with the evidence that the runs at hand hold for each, and which of them comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlpath.cli.path.evidence import ShownBy
from rlpath.cli.path.milestones import MILESTONES, Milestone
from rlpath.cli.path.sound import RunsAtHand
from rlpath.runs.speed import slower_than_reference


@dataclass(frozen=True, slots=True)
class MilestoneState:
    """A milestone with the evidence for it, if any, and the minutes it takes on this machine."""

    milestone: Milestone
    evidence: ShownBy | None
    minutes: float

    @property
    def mark(self) -> str:
        """done; open where a run would show it; or page, which no run shows."""
        return "done" if self.evidence else "open" if self.milestone.finder else "page"


def walk(runs: RunsAtHand, slower: float | None = None) -> list[MilestoneState]:
    """Every milestone in order; `slower` is this machine's factor on the minutes, measured where it is not given."""
    factor = slower_than_reference() if slower is None else slower
    return [
        MilestoneState(milestone, milestone.finder(runs) if milestone.finder else None, milestone.minutes * factor)
        for milestone in MILESTONES
    ]


def next_step(steps: Sequence[MilestoneState]) -> MilestoneState | None:
    """Of the open milestones whose needs are met, the one that takes the least time; None where none is open."""
    done = {step.milestone.key for step in steps if step.evidence}
    ready = [step for step in steps if step.mark == "open" and done.issuperset(step.milestone.needs)]
    return min(ready, key=lambda step: step.minutes, default=None)


def about(minutes: float) -> str:
    """A time in words."""
    return "under a minute" if minutes < 1 else f"about {minutes:.0f} minute{'s'[: round(minutes) > 1]}"
