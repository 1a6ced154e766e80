"""`FormatVerifier`: does a completion keep to a format contract? The gold answer is the contract."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.reading.extract import spoken
from rlpath.rewards.verifiers import worker
from rlpath.rewards.verifiers.instruction import InstructionVerifier

_THINK_ANSWER = re.compile(r"\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*", re.S)
_TAGS = re.compile(r"</?\s*(?:think|answer)\b[^<>]*>", re.I)
_SEPARATORS = re.compile("[\\s\u200b\u2060\ufeff—]+")


@dataclass(frozen=True)
class FormatVerifier:
    r"""Accepts a completion that keeps the contract named by the gold.

    - `think_answer`: one `<think>` block, then one `<answer>` block, neither empty, and nothing else but white space.
      Where the question ends with `<think>`, as a prompt does whose chat template opens the block, or with
      `think_opened=True`, the completion starts within the block and must not open it again;
    - `max_words=N`, `min_words=N`: words are runs without white space that hold a letter or a digit; reasoning inside
      `<think>` does not count;
    - `regex:PATTERN`: Python's `re.fullmatch` on the whole completion, within `seconds`;
    - `ifeval:INSTRUCTION_ID {"argument": value}`: one of the 25 IFEval instructions, see `InstructionVerifier`.

    >>> FormatVerifier()("<think>2+2</think>\n<answer>4</answer>", "think_answer").status
    <Status.CORRECT: 'correct'>
    >>> FormatVerifier()("<think></think><answer>4</answer>", "think_answer").reason
    'an empty block'
    >>> FormatVerifier()("one two three", "max_words=2").reason
    '3 words'
    """

    seconds: float = 1.0
    think_opened: bool = False

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        verdict = self._verdict(completion, gold, question)
        if truncated and not (gold == "think_answer" and verdict.correct) and verdict.score is not None:
            return Verdict.of(Status.TRUNCATED, reason="cut off by the length limit")
        return verdict

    def _verdict(self, completion: str, gold: str, question: str | None) -> Verdict:
        if gold == "think_answer":
            opened = self.think_opened or (question or "").rstrip().endswith("<think>")
            return _decided(think_answer_problem("<think>" * opened + completion))
        if limit := re.fullmatch(r"(max|min)_words=(\d{1,9})", gold.strip()):
            return _words(completion, limit.group(1), int(limit.group(2)))
        if gold.startswith("regex:"):
            return self._regex(completion, gold.removeprefix("regex:"))
        if gold.startswith("ifeval:"):
            return InstructionVerifier()(completion, gold, question=question)
        return Verdict.of(Status.UNDECIDED, reason=f"there is no format contract {gold[:80]!r}")

    def _regex(self, completion: str, pattern: str) -> Verdict:
        try:
            re.compile(pattern)
            matched = worker.run("regex", pattern, completion, seconds=self.seconds)
        except re.error as error:
            return Verdict.of(Status.UNDECIDED, reason=f"the pattern does not compile: {error}")
        except (RecursionError, OverflowError, worker.WorkFailed) as error:
            return Verdict.of(Status.UNDECIDED, reason=f"the pattern cannot be used: {error}")
        except worker.OutOfTime:
            # Not undecided: a text made to be slow would leave its group instead of scoring 0.
            return Verdict.of(Status.WRONG, reason=f"matching took more than {self.seconds} s")
        return _decided("" if matched else "no full match")


def think_answer_problem(completion: str) -> str:
    """Why `completion` is not one `<think>` and then one `<answer>` block, or an empty string."""
    tags = [tag.group() for tag in _TAGS.finditer(completion)]
    if tags != ["<think>", "</think>", "<answer>", "</answer>"]:
        return "not exactly one <think> and then one <answer> block"
    match = _THINK_ANSWER.fullmatch(completion)
    if not match:
        return "text outside the blocks"
    if not all(map(says_something, match.groups())):
        return "an empty block"
    return ""


def says_something(text: str) -> bool:
    """Whether a text holds a letter, a digit, a symbol such as ∅ or an opening bracket, and not only points."""
    return any(c.isalnum() or unicodedata.category(c) in ("Sm", "Sc", "So", "Ps") for c in text)


def count_words(text: str) -> int:
    """The number of words: runs between white space, dashes or zero-width spaces that hold a letter or a digit."""
    return sum(any(c.isalnum() for c in run) for run in _SEPARATORS.split(text))


def _words(completion: str, which: str, limit: int) -> Verdict:
    words = count_words(spoken(completion))
    if words == 0:
        return Verdict.of(Status.NO_ANSWER, reason="no words")
    kept = words <= limit if which == "max" else words >= limit
    return _decided("" if kept else f"{words} words")


def _decided(problem: str) -> Verdict:
    return (
        Verdict.of(Status.WRONG, reason=problem) if problem else Verdict.of(Status.CORRECT, reason="the format is kept")
    )
