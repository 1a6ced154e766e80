"""Several verifiers as one: a gate in front, a weighted sum, a gold answer of its own.

What comes out is a verifier again, so it goes into `as_trl_reward`, `validate` and `BatchVerifier` like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rlpath.core.types import Status, Verdict, Verifier


@dataclass(frozen=True)
class WithGold:
    """A verifier that always gets `gold`, whatever the problem's gold answer is: a format contract, say."""

    verifier: Verifier
    gold: str
    structured_gold: ClassVar = True  # whatever the problem's gold is, it is not read
    needs_gold: ClassVar = False

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        return self.verifier(completion, self.gold, question=question, truncated=truncated)


@dataclass(frozen=True)
class Gated:
    """`verifier` behind a `gate`: what does not pass the gate scores 0, what passes gets the verifier's own verdict.

    So a format never earns anything by itself; added to a reward it would count for wrong answers too.

    >>> from rlpath.rewards.verifiers.format import FormatVerifier
    >>> from rlpath.rewards.verifiers.number import NumberVerifier
    >>> verify = Gated(WithGold(FormatVerifier(), "think_answer"), NumberVerifier())
    >>> verify("<think>9*2</think><answer>18</answer>", "18").score, verify("18", "18").score
    (1.0, 0.0)
    """

    gate: Verifier
    verifier: Verifier

    @property
    def structured_gold(self) -> bool:
        """Whether both read golds that are lists or objects."""
        return all(getattr(verifier, "structured_gold", False) for verifier in (self.gate, self.verifier))

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        passed = self.gate(completion, gold, question=question, truncated=truncated)
        if passed.score is None:
            return passed
        if not passed.correct:
            return Verdict(passed.status, 0.0, passed.answer, f"gate: {passed.reason}")
        return self.verifier(completion, gold, question=question, truncated=truncated)


@dataclass(frozen=True)
class Weighted:
    """The weighted sum of several verifiers' scores; correct where every one of them is.

    Where one cannot decide, neither can the sum.

    >>> from rlpath.rewards.verifiers.exact import ExactVerifier
    >>> verify = Weighted(((ExactVerifier(), 1.0), (ExactVerifier(ignore_case=True), 0.5)))
    >>> verify("Paris", "Paris").score, verify("paris", "Paris").score
    (1.5, 0.5)
    """

    parts: Sequence[tuple[Verifier, float]]

    def __post_init__(self) -> None:
        if not self.parts or not all(math.isfinite(weight) for _, weight in self.parts):
            raise ValueError("a weighted sum needs at least one verifier, and finite weights")

    @property
    def structured_gold(self) -> bool:
        """Whether all parts read golds that are lists or objects."""
        return all(getattr(verifier, "structured_gold", False) for verifier, _ in self.parts)

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        verdicts = [v(completion, gold, question=question, truncated=truncated) for v, _ in self.parts]
        undecided = next((v for v in verdicts if v.score is None), None)
        if undecided:
            return undecided
        score = math.fsum(w * (v.score or 0.0) for v, (_, w) in zip(verdicts, self.parts, strict=True))
        failed = next((v for v in verdicts if not v.correct), None)
        shown = failed or verdicts[0]
        return Verdict(failed.status if failed else Status.CORRECT, score, shown.answer, shown.reason)
