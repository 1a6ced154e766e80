"""Verifiers as reward functions for TRL's `GRPOTrainer`; neither torch nor TRL is imported.

>>> from rlpath.rewards.verifiers.number import NumberVerifier
>>> reward = as_trl_reward(NumberVerifier(), gold="answer")
>>> reward(prompts=["2+2?"] * 3, completions=["#### 4", "#### 5", "four"], answer=["4", "4", "several"])
[1.0, 0.0, None]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Verdict, Verifier

Message = dict[str, Any]


def as_trl_reward(
    verifier: Verifier,
    *,
    gold: str = "gold",
    question: str | None = None,
    max_completion_length: int | None = None,
    eos_token_ids: Sequence[int] = (),
    name: str | None = None,
) -> TRLReward:
    """A function for `GRPOTrainer(reward_funcs=[...])` that pays the score of each completion's verdict.

    `gold` names the dataset column with the gold answer, `question` one with the question; without it the last user
    message, or the plain prompt, is shown to the verifier. A completion of `max_completion_length` tokens that does
    not end in one of `eos_token_ids` is judged as truncated. Undecided verdicts become None, which TRL leaves out.
    """
    label = name or type(verifier).__name__
    return TRLReward(verifier, gold, question, max_completion_length, tuple(eos_token_ids), label)


@dataclass(frozen=True)
class TRLReward:
    """What `as_trl_reward` returns: a picklable callable with the `__name__` under which TRL logs it."""

    verifier: Verifier
    gold: str
    question: str | None
    max_completion_length: int | None
    eos_token_ids: tuple[int, ...]
    name: str

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(
        self,
        prompts: Sequence[str | list[Message]],
        completions: Sequence[str | list[Message]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        return [v.score for v in self.verdicts(prompts, completions, completion_ids, **columns)]

    def verdicts(
        self,
        prompts: Sequence[str | list[Message]],
        completions: Sequence[str | list[Message]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[Verdict]:
        """The verdicts behind the rewards, in order."""
        golds = self._column(self.gold, columns, len(completions))
        questions = (
            [_last_user(prompt) for prompt in prompts]
            if self.question is None
            else self._column(self.question, columns, len(completions))
        )
        return [
            self.verifier(completion_text(c), str(g), question=q, truncated=self._truncated(i, completion_ids))
            for i, (c, g, q) in enumerate(zip(completions, golds, questions, strict=True))
        ]

    def _column(self, column: str, columns: dict[str, Any], n: int) -> Sequence[Any]:
        if column not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise InputError(f"the dataset has no column {column!r} for {self.name}; its further columns are: {known}")
        if len(columns[column]) != n:
            raise InputError(f"column {column!r} has {len(columns[column])} values for {n} completions")
        return columns[column]

    def _truncated(self, index: int, completion_ids: Sequence[Sequence[int]] | None) -> bool:
        if self.max_completion_length is None or completion_ids is None:
            return False
        ids = completion_ids[index]
        return len(ids) >= self.max_completion_length and ids[-1] not in self.eos_token_ids


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
