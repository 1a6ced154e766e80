"""`ExactVerifier`: is the answer this very string?"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from rlpath.core.types import Status, Verdict
from rlpath.rewards.reading.extract import said, spoken
from rlpath.rewards.verifiers.guard import guarded


@dataclass(frozen=True)
class ExactVerifier:
    r"""Accepts the gold string and nothing else, as the whole completion or as what every box and tag in it holds.

    White space at the ends is ignored, and canonically equivalent Unicode is the same text. With `ignore_case`, so is
    case. A sentence around the answer is not the answer.

    >>> ExactVerifier()("<think>France...</think> Paris\n", "Paris").status
    <Status.CORRECT: 'correct'>
    >>> ExactVerifier()("It is Paris.", "Paris").status
    <Status.WRONG: 'wrong'>
    >>> ExactVerifier(ignore_case=True)("<answer>PARIS</answer>", "Paris").status
    <Status.CORRECT: 'correct'>
    """

    ignore_case: bool = False

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        wanted = self._normal(gold)
        if not wanted:
            return Verdict.of(Status.UNDECIDED, reason="the gold answer is empty")
        text = spoken(completion)
        stated = [s.text for s in said(text, question).statements if s.channel in ("box", "tag", "hashes")]
        if truncated and not stated:
            return Verdict.of(Status.TRUNCATED, reason="cut off before a complete final answer")
        if not text.strip():
            return Verdict.of(Status.NO_ANSWER, reason="nothing is said")
        if self._normal(text) == wanted:
            return Verdict.of(Status.CORRECT, text.strip()[:200], "the same text")
        answers = {self._normal(s) for s in stated}
        if answers == {wanted}:
            return Verdict.of(Status.CORRECT, stated[-1][:200], "the same text")
        reason = "two different final answers" if len(answers) > 1 else "a different text"
        return Verdict.of(Status.WRONG, (stated or [text])[-1].strip()[:200], reason)

    def _normal(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text.strip())
        return unicodedata.normalize("NFC", text.casefold()) if self.ignore_case else text
