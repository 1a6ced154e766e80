"""Where two harnesses disagree about one model on the same items, and why.

A completion may differ by arithmetic, and a verdict by the completion or by how the answer is read. So our verifier is
given the other harness's completions as well: what it says of the same text is a matter of extraction alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlpath.core.types import Status, Verdict
from rlpath.rewards.verifiers.number import NumberVerifier

INVALID = "[invalid]"
"""What lm-evaluation-harness writes where its pattern finds nothing."""


@dataclass(frozen=True)
class Answered:
    """One completion: its text, the tokens up to the end of the turn, and whether the length limit truncated it."""

    text: str
    tokens: Sequence[int]
    truncated: bool


@dataclass(frozen=True)
class HarnessAnswer:
    """What a pattern of lm-evaluation-harness took from its completion, and whether it counted as correct."""

    answer: str
    correct: bool


@dataclass(frozen=True)
class ComparedItem:
    """One problem under both. `ours` judges our completion, `reread` is our verifier on the peer's completion."""

    id: str
    gold: str
    mine: Answered
    theirs: Answered
    ours: Verdict
    reread: Verdict
    readings: Mapping[str, HarnessAnswer]


def first_difference(mine: Answered, theirs: Answered) -> int | None:
    """The index of the first token that differs; None where the completions are the same text."""
    if mine.text == theirs.text:
        return None
    pairs = zip(mine.tokens, theirs.tokens, strict=False)
    return next((t for t, (a, b) in enumerate(pairs) if a != b), min(len(mine.tokens), len(theirs.tokens)))


def why_verdicts_differ(item: ComparedItem, reading: HarnessAnswer) -> str | None:
    """The reason in a few words; None where both accept or both refuse."""
    if item.ours.correct == reading.correct:
        return None
    if item.ours.correct != item.reread.correct:
        return "different completion"
    if reading.correct:
        if item.reread.status is Status.TRUNCATED:
            return "truncation: the pattern takes a number from a truncated text"
        return f"ours refuses the text: {item.reread.reason or item.reread.status}"
    if reading.answer == INVALID:
        return "the pattern finds nothing; ours reads the answer elsewhere"
    if NumberVerifier()(f"#### {reading.answer.rstrip('.')}", item.gold).correct:
        return f"formatted number: {reading.answer!r} is not the text {item.gold!r}"
    return f"the pattern reads another number: {reading.answer!r}, ours {item.reread.answer!r}"


def report_completions(items: Sequence[ComparedItem], gaps: Mapping[str, float]) -> list[str]:
    """How many completions are equal, and for each that is not, where and by how small a gap it parted."""
    parted = [(item, at) for item in items if (at := first_difference(item.mine, item.theirs)) is not None]
    lines = [f"completions equal: {len(items) - len(parted)} of {len(items)}"]
    for item, at in sorted(parted, key=lambda pair: pair[1]):
        gap = f"fp32 gap {gaps[item.id]:.3f} nats" if item.id in gaps else "one goes on, one ends"
        lines.append(f"  {item.id}: different completion from token {at}; {gap}")
    return lines


def report_verdicts(items: Sequence[ComparedItem], name: str) -> list[str]:
    """A count of the four outcomes of our verdict beside one pattern's, and the reason for each disagreement."""
    both = Counter((item.ours.correct, item.readings[name].correct) for item in items)
    agree = both[True, True] + both[False, False]
    counts = f"both correct {both[True, True]}, only ours {both[True, False]}, only theirs {both[False, True]}"
    lines = [f"verdicts equal, ours and {name}: {agree} of {len(items)} ({counts}, neither {both[False, False]})"]
    for item in items:
        why = why_verdicts_differ(item, item.readings[name])
        if why:
            lines.append(f"  {item.id}: {why}")
    return lines
