"""Verifiers with a known flaw, to show reward hacking (`recipes/hack_the_reward.py`). Nothing else should use them."""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.core.types import Status, Verdict


@dataclass(frozen=True)
class ContainsVerifier:
    """Accepts a completion in which the gold answer occurs anywhere, whatever else it says: `gold in completion`.

    The flaw: a policy is rewarded for writing so many digits that the right ones are among them.

    >>> ContainsVerifier()("1, 2, 3, 4, 5, 6, 7, 8 or 9", "7").status
    <Status.CORRECT: 'correct'>
    >>> ContainsVerifier()("1734", "7").status
    <Status.CORRECT: 'correct'>
    """

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        if not completion.strip():
            return Verdict.of(Status.NO_ANSWER, reason="nothing is said")
        if gold.strip() in completion:
            return Verdict.of(Status.CORRECT, gold.strip(), "it occurs")
        return Verdict.of(Status.WRONG, reason="it does not occur")
