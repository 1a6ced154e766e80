"""Verifiers as reward functions for TRL's `GRPOTrainer`; neither torch nor TRL is imported.

>>> from rlpath.rewards.verifiers.number import NumberVerifier
>>> reward = as_trl_reward(NumberVerifier(), gold="answer")
>>> reward(prompts=["2+2?"] * 3, completions=["#### 4", "#### 5", "four"], answer=["4", "4", "several"])
[1.0, 0.0, None]
"""

from __future__ import annotations

import asyncio
import json
import math
import numbers
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Status, Verdict, Verifier
from rlpath.rewards.combine.batch import BatchVerifier, verify_completions

Message = dict[str, Any]
Prompts = Sequence[str | list[Message]]
TokenIds = Sequence[Sequence[int]]


def as_trl_reward(
    verifier: Verifier | BatchVerifier,
    *,
    gold: str = "gold",
    question: str | None = None,
    max_completion_length: int | None = None,
    eos_token_ids: Sequence[int] = (),
    name: str | None = None,
    workers: int | None = None,
    run_async: bool = False,
) -> TRLReward:
    """A function for `GRPOTrainer(reward_funcs=[...])` whose reward is the score of each completion's verdict.

    `gold` names the dataset column with the gold answer, `question` one with the question; without it the last user
    message, or the plain prompt, is shown to the verifier. A completion of `max_completion_length` tokens that does
    not end in one of `eos_token_ids` is judged as truncated.

    A batch is judged in `workers` threads, or in the processes of a `BatchVerifier`. With `run_async` the function is
    a coroutine, and TRL awaits all such rewards together.

    Undecided verdicts become None, which TRL leaves out; so do a gold that is missing (None, NaN) and one that is not
    text where the verifier reads text, and a verifier that raises. The function's `statuses` counts every verdict by
    status, and TRL's log gets the share of `undecided` and `error`.
    """
    inner = verifier.verifier if isinstance(verifier, BatchVerifier) else verifier
    kind = AsyncTRLReward if run_async else TRLReward
    return kind(
        verifier,
        gold,
        question,
        max_completion_length,
        tuple(eos_token_ids),
        name or type(inner).__name__,
        workers,
    )


@dataclass(frozen=True)
class TRLReward:
    """What `as_trl_reward` returns: a picklable callable with the `__name__` under which TRL logs it."""

    verifier: Verifier | BatchVerifier
    gold: str
    question: str | None
    max_completion_length: int | None
    eos_token_ids: tuple[int, ...]
    name: str
    workers: int | None
    statuses: Counter[Status] = field(default_factory=Counter, compare=False)

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(
        self, prompts: Prompts, completions: Prompts, completion_ids: TokenIds | None = None, **columns: Any
    ) -> Any:
        """The reward of each completion, in order; None where there is none."""
        return self._rewards(prompts, completions, completion_ids, **columns)

    def _rewards(
        self, prompts: Prompts, completions: Prompts, completion_ids: TokenIds | None = None, **columns: Any
    ) -> list[float | None]:
        verdicts = self.verdicts(prompts, completions, completion_ids, **columns)
        log_metric: Callable[[str, float], None] | None = columns.get("log_metric")
        if log_metric and verdicts:
            for status in (Status.UNDECIDED, Status.ERROR):
                share = sum(verdict.status is status for verdict in verdicts) / len(verdicts)
                log_metric(f"rewards/{self.name}/{status}", share)
        return [verdict.score for verdict in verdicts]

    def verdicts(
        self, prompts: Prompts, completions: Prompts, completion_ids: TokenIds | None = None, **columns: Any
    ) -> list[Verdict]:
        """The verdicts behind the rewards, in order."""
        n = len(completions)
        structured = takes_structured_gold(self.verifier)
        golds = [gold_text(gold, structured) for gold in self._column(self.gold, columns, n)]
        questions = (
            [_last_user(prompt) for prompt in prompts]
            if self.question is None
            else self._column(self.question, columns, n)
        )
        readable = [at for at, gold in enumerate(golds) if gold is not None]
        found = self._verify(
            [completion_text(completions[at]) for at in readable],
            [golds[at] or "" for at in readable],
            questions=[questions[at] for at in readable],
            truncated=[self._truncated(at, completion_ids) for at in readable],
        )
        verdicts = [Verdict.of(Status.UNDECIDED, reason="the gold is missing or not text")] * n
        for at, verdict in zip(readable, found, strict=True):
            verdicts[at] = verdict
        self.statuses.update(verdict.status for verdict in verdicts)
        return verdicts

    def _verify(self, completions: list[str], golds: list[str], **others: Any) -> list[Verdict]:
        if isinstance(self.verifier, BatchVerifier):
            return self.verifier(completions, golds, **others)
        return verify_completions(self.verifier, completions, golds, workers=self.workers, **others)

    def _column(self, column: str, columns: dict[str, Any], n: int) -> Sequence[Any]:
        if column not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise InputError(f"the dataset has no column {column!r} for {self.name}; its further columns are: {known}")
        if len(columns[column]) != n:
            raise InputError(f"column {column!r} has {len(columns[column])} values for {n} completions")
        return columns[column]

    def _truncated(self, index: int, completion_ids: TokenIds | None) -> bool:
        if self.max_completion_length is None or completion_ids is None:
            return False
        ids = completion_ids[index]
        return len(ids) >= self.max_completion_length and ids[-1] not in self.eos_token_ids


@dataclass(frozen=True)
class AsyncTRLReward(TRLReward):
    """The same as a coroutine function: judged in a thread, so that an event loop goes on meanwhile."""

    async def __call__(
        self, prompts: Prompts, completions: Prompts, completion_ids: TokenIds | None = None, **columns: Any
    ) -> list[float | None]:
        """The reward of each completion, in order; None where there is none."""
        return await asyncio.to_thread(self._rewards, prompts, completions, completion_ids, **columns)


def takes_structured_gold(verifier: object) -> bool:
    """Whether a verifier reads golds that are lists or objects, written as JSON: it says so itself."""
    if isinstance(verifier, BatchVerifier):
        verifier = verifier.verifier
    return bool(getattr(verifier, "structured_gold", False))


def gold_text(gold: object, structured: bool) -> str | None:
    """A gold answer as the text verifiers take; None where it is missing, or of a kind that has no such text.

    >>> [gold_text(gold, False) for gold in ("18", 18, None, float("nan"), ["18"], True)]
    ['18', '18', None, None, None, None]
    >>> gold_text(["assert f() == 1"], True)
    '["assert f() == 1"]'
    """
    if isinstance(gold, str):
        return gold
    if isinstance(gold, numbers.Real) and not isinstance(gold, bool):
        return str(gold) if math.isfinite(gold) else None
    if structured and isinstance(gold, list | tuple | dict):
        try:
            return json.dumps(gold)
        except (TypeError, ValueError, RecursionError):
            return None
    return None


def completion_text(completion: str | list[Message]) -> str:
    """The text of a plain completion, or of the assistant's last message in a conversational one."""
    if isinstance(completion, str):
        return completion
    said = [message for message in completion if message.get("role", "assistant") == "assistant"]
    return _content(said[-1]) if said else ""


def _last_user(prompt: str | list[Message]) -> str:
    if isinstance(prompt, str):
        return prompt
    asked = [message for message in prompt if message.get("role") == "user"]
    return _content(asked[-1]) if asked else ""


def _content(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if part.get("type", "text") == "text")
