"""Rows of instruction and preference data in the shapes that people have them in, as a prompt and answers.

Demonstrations: `prompt` and `completion` (texts, or lists of messages), `messages` that end with the assistant's (also
called `conversations`, with ShareGPT's `from` and `value`), or Alpaca's `instruction`, `input` and `output`.
Preferences: `chosen` and `rejected`, each a text beside a `prompt`, a list of messages beside one, or a whole
conversation, where what the two have in common is the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Turn

Turns = tuple[Turn, ...]
_ROLES = {"human": "user", "gpt": "assistant"}


def demonstration_of(row: Mapping[str, Any], place: str) -> tuple[Turns, str]:
    """Prompt and answer of a row. Raises InputError naming `place` for a row of none of the shapes."""
    if "messages" in row or "conversations" in row:
        return _last_answer(_turns(row.get("messages", row.get("conversations")), place, "messages"), place, "messages")
    if "instruction" in row:
        asked = "\n\n".join(part for part in (_text(row, "instruction", place), _optional(row, "input", place)) if part)
        return (Turn("user", asked),), _text(row, "output", place)
    if "completion" in row or "prompt" in row:
        return read_prompt(row.get("prompt"), place), _answer(row, "completion", place)
    raise InputError(
        f"{place}: no demonstration: give prompt and completion, messages, or instruction and output "
        f"(found {', '.join(row) or 'nothing'})"
    )


def preference_of(row: Mapping[str, Any], place: str) -> tuple[Turns, str, str]:
    """Prompt, chosen and rejected answer of a row. Raises InputError naming `place` for a row of none of the shapes."""
    if row.get("prompt") is not None:
        prompt = read_prompt(row["prompt"], place)
        return prompt, _answer(row, "chosen", place, prompt), _answer(row, "rejected", place, prompt)
    if not isinstance(row.get("chosen"), list) or not isinstance(row.get("rejected"), list):
        raise InputError(
            f"{place}: the field 'prompt' must be text, or messages of role and content that end with a user's; or "
            "chosen and rejected must be whole conversations"
        )
    prompt, chosen = _last_answer(_turns(row["chosen"], place, "chosen"), place, "chosen")
    other, rejected = _last_answer(_turns(row["rejected"], place, "rejected"), place, "rejected")
    if prompt != other:
        raise InputError(f"{place}: chosen and rejected must be the same conversation up to their last message")
    return prompt, chosen, rejected


def read_prompt(prompt: object, place: str) -> Turns:
    """A prompt from text or from messages that end with the user's. Raises InputError naming `place`."""
    if isinstance(prompt, str) and prompt.strip():
        return (Turn("user", prompt.strip()),)
    if isinstance(prompt, list) and prompt:
        turns = _turns(prompt, place, "prompt")
        if turns[-1].role == "user":
            return turns
    raise InputError(
        f"{place}: the field 'prompt' must be text, or messages of role and content that end with a user's"
    )


def _answer(row: Mapping[str, Any], field: str, place: str, prompt: Turns = ()) -> str:
    """An answer from text, from one assistant's message, or from the whole conversation that begins with `prompt`."""
    if not isinstance(row.get(field), list):
        return _text(row, field, place)
    turns = _turns(row[field], place, field)
    before, answer = _last_answer(turns, place, field, alone=True)
    if before not in ((), prompt):
        raise InputError(f"{place}: the field {field!r} is a conversation that does not begin with the prompt")
    return answer


def _last_answer(turns: Turns, place: str, field: str, *, alone: bool = False) -> tuple[Turns, str]:
    *before, last = turns
    asked = bool(before) and before[-1].role == "user"
    if last.role != "assistant" or not last.content.strip() or not (asked or (alone and not before)):
        raise InputError(f"{place}: the field {field!r} must end with a user's message and an assistant's")
    return tuple(before), last.content.strip()


def _turns(messages: object, place: str, field: str) -> Turns:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InputError(f"{place}: the field {field!r} must be a list of messages of role and content")
    return tuple(_turn(message, place, field) for message in messages)


def _turn(message: object, place: str, field: str) -> Turn:
    if isinstance(message, Mapping):
        role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
        if isinstance(role, str) and isinstance(content, str):
            return Turn(_ROLES.get(role, role), content)
    raise InputError(f"{place}: the field {field!r} holds a message without the texts role and content")


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{place}: the field {field!r} is missing, empty or not text")
    return value.strip()


def _optional(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field) or ""
    if not isinstance(value, str):
        raise InputError(f"{place}: the field {field!r} is not text")
    return value.strip()
