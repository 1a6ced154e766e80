"""Demonstrations and preferences as token ids, through the tokenizer's chat template; nothing is cut in the middle.

An example that is longer than the limit is left out whole, counted, and told of in a sentence: a prompt without its
end, or an answer without its last words, would teach something else.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rlpath.core.errors import InputError
from rlpath.core.types import Demonstration, Preference, Turn
from rlpath.models.chat import ChatOptions, turn_end

UNLABELED = -100


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A prompt and one answer as token ids; `id` names the example."""

    id: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A prompt with the preferred answer and the other one."""

    chosen: TokenRow
    rejected: TokenRow

    @property
    def id(self) -> str:
        return self.chosen.id

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))


Row = TypeVar("Row", TokenRow, TokenPair)


def encode(
    tokenizer: Any, id: str, prompt: Sequence[Turn], answer: str, options: ChatOptions | None = None
) -> TokenRow:
    """One row. The answer includes whatever the template writes after it, so that the model learns to stop.

    Where the template writes no end of turn, the tokenizer's end token follows the answer. Raises `InputError` where
    the template does not write the prompt as the beginning of prompt and answer.
    """
    more = options or {}
    asked = [turn._asdict() for turn in prompt]
    answered = [*asked, {"role": "assistant", "content": answer}]
    start = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False, **more)
    whole = tokenizer.apply_chat_template(answered, return_dict=False, **more)
    if whole[: len(start)] != start:
        raise InputError(
            f"example {id}: the chat template writes the prompt differently once an answer follows, so the two "
            "cannot be told apart; choose a model whose template keeps the prompt"
        )
    end = [] if turn_end(tokenizer) is not None else [tokenizer.eos_token_id]
    return TokenRow(id, tuple(start), (*whole[len(start) :], *end))


def encode_demonstration(tokenizer: Any, example: Demonstration, options: ChatOptions | None = None) -> TokenRow:
    """A demonstration as tokens."""
    return encode(tokenizer, example.id, example.prompt, example.completion, options)


def encode_preference(tokenizer: Any, example: Preference, options: ChatOptions | None = None) -> TokenPair:
    """A preference as tokens."""
    chosen = encode(tokenizer, example.id, example.prompt, example.chosen, options)
    return TokenPair(chosen, encode(tokenizer, example.id, example.prompt, example.rejected, options))


def rows_within_length(rows: Sequence[Row], max_length: int, what: str) -> tuple[list[Row], list[str]]:
    """The rows of at most `max_length` tokens, and a sentence about the others, if any.

    Raises `InputError` where there are no rows or none fits.
    """
    if not rows:
        raise InputError(f"there are no {what}: give at least one")
    kept = [row for row in rows if len(row) <= max_length]
    if not kept:
        shortest = min(map(len, rows))
        raise InputError(
            f"all {len(rows)} {what} are longer than --max-length {max_length} tokens: the shortest has {shortest}"
        )
    if len(kept) == len(rows):
        return kept, []
    longest = max(map(len, rows))
    note = (
        f"{len(rows) - len(kept)} of {len(rows)} {what} are longer than {max_length} tokens (the longest has "
        f"{longest}) and were left out whole"
    )
    return kept, [note]


def in_order_of_use(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` rows in the order in which training uses them: shuffled passes over all, fixed by `seed`."""
    generator = random.Random(seed)
    order: list[Row] = []
    while len(order) < count:
        order += generator.sample(rows, len(rows))
    return order[:count]


def sft_row(row: TokenRow) -> dict[str, list[int]]:
    """TRL's columns for SFT: the loss counts the answer alone."""
    return {"input_ids": [*row.prompt, *row.answer], "labels": [UNLABELED] * len(row.prompt) + [*row.answer]}


def dpo_row(pair: TokenPair) -> dict[str, list[int]]:
    """TRL's columns for DPO."""
    return {
        "prompt_ids": [*pair.chosen.prompt],
        "chosen_ids": [*pair.chosen.answer],
        "rejected_ids": [*pair.rejected.answer],
    }


def reward_row(pair: TokenPair) -> dict[str, list[int]]:
    """TRL's columns for a reward model: each answer behind the prompt."""
    return {
        "chosen_ids": [*pair.chosen.prompt, *pair.chosen.answer],
        "rejected_ids": [*pair.rejected.prompt, *pair.rejected.answer],
    }
