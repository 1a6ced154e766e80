"""How a chat template writes tools, their calls and their answers, read off the template itself.

Token ids of a conversation are laid end to end and never made from text again: the prompt once, then what the model
sampled, then the passage that the template puts between a model's turn and its next one. That is exact only where the
template writes the beginning of a conversation the same whatever follows, so a template that does not is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from rlpath.core.errors import InputError
from rlpath.models.chat import ChatOptions, check_options, encode_chat, special_ids, turn_end

NAME, KEY, VALUE, ANSWER, CONTENT, QUESTION = (
    f"{word}7c1e" for word in ("tool", "key", "value", "found", "said", "asked")
)
REMEDY = "choose a model whose template has tools, or give one, such as chatml-tools where turns are ChatML's"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model wrote: which tool, and its arguments by name. `fault` says why it is none that can be run."""

    name: str
    arguments: Mapping[str, Any]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class CallForm:
    """How a template writes a call: a JSON object with the tool's name and arguments, between `opening` and `closing`.

    Both are empty where a turn that calls is the bare object. `listed`: the object stands in a list.
    """

    opening: str
    closing: str
    name_field: str
    arguments_field: str
    listed: bool = False

    def write(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The call as the template writes it."""
        call: Any = {self.name_field: name, self.arguments_field: dict(arguments)}
        text = json.dumps([call] if self.listed else call, ensure_ascii=False)
        return f"{self.opening}\n{text}\n{self.closing}" if self.opening else text

    def read(self, text: str) -> list[ToolCall]:
        """The calls in a turn, in order; a broken one has a `fault`."""
        if not self.opening:
            return self._bare(text.strip())
        found: list[ToolCall] = []
        for part in text.split(self.opening)[1:]:
            body, closed, _ = part.partition(self.closing) if self.closing else (part, True, "")
            found += self._calls(body) if closed else [broken(f"there is no {self.closing}")]
        return found

    def _bare(self, text: str) -> list[ToolCall]:
        calls = self._calls(text)
        return [] if any(call.fault for call in calls) else calls

    def _calls(self, body: str) -> list[ToolCall]:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return [broken("it is not JSON")]
        return [self._call(one) for one in (value if isinstance(value, list) else [value])]

    def _call(self, value: Any) -> ToolCall:
        if not isinstance(value, dict) or not isinstance(value.get(self.name_field), str):
            return broken(f'it is no object with a "{self.name_field}"')
        arguments = value.get(self.arguments_field) or {}
        if not isinstance(arguments, dict):
            return ToolCall(value[self.name_field], {}, f'its "{self.arguments_field}" is no object')
        return ToolCall(value[self.name_field], arguments)


def broken(why: str) -> ToolCall:
    """A call that cannot be read."""
    return ToolCall("", {}, why)


class ToolChat:
    """Conversations with tools under one tokenizer's chat template.

    Raises `InputError` where the template knows no tools, writes calls other than as JSON, ends turns with no token of
    its own, or rewrites what came before. With `needs_tools` off only prompts are asked for, and nothing is refused.
    """

    def __init__(
        self, tokenizer: Any, system: str | None = None, options: ChatOptions | None = None, *, needs_tools: bool = True
    ) -> None:
        check_options(tokenizer, options)
        self.tokenizer, self.system, self.options = tokenizer, system, options
        self.special_ids = special_ids(tokenizer)
        self.specials = sorted(text for id in self.special_ids if (text := tokenizer.decode([id])).strip())
        self.form: CallForm | None = None
        if needs_tools:
            self.form = self._read_form()
            self._check_history()

    def prompt(self, question: str, tools: Sequence[Callable[..., Any]] = ()) -> list[int]:
        """Token ids of a user's turn after the tools' descriptions, ready for the model to answer."""
        if not tools:
            return encode_chat(self.tokenizer, question, self.system, self.options)
        return self._ids([*self._start(question)], tools=list(tools), asking=True)

    def read(self, token_ids: Sequence[int]) -> list[ToolCall]:
        """The calls in what a model wrote, in order."""
        if self.form is None:
            return []
        end = len(token_ids)
        while end and token_ids[end - 1] in self.special_ids:
            end -= 1
        # Some templates begin a call with a token of their own, which must not be left out.
        return self.form.read(self.tokenizer.decode(token_ids[:end], skip_special_tokens=False))

    def write(self, name: str, arguments: Mapping[str, Any]) -> str:
        """A call as the model should write it."""
        assert self.form is not None
        return self.form.write(name, arguments)

    def answers(self, answers: Sequence[tuple[str, str]]) -> list[int]:
        """Token ids from the end of a model's turn to its next one: the answers of tools, each with the tool's name."""
        asked = [*self._start(QUESTION), _calling(answers[0][0] or NAME)]
        told = [{"role": "tool", "name": name or NAME, "content": self.plain(text)} for name, text in answers]
        before, whole = self._ids(asked), self._ids([*asked, *told], asking=True)
        return whole[self._turn_end(before) :]

    def plain(self, text: str) -> str:
        """`text` with a space inside whatever would be read as a token of the template's own: no tool ends a turn."""
        for special in self.specials:
            text = text.replace(special, f"{special[0]} {special[1:]}")
        return text

    def cut(self, text: str, tokens: int) -> tuple[str, bool]:
        """The beginning of `text` that has at most `tokens` tokens, and whether anything is missing."""
        # No token is longer than its share of this: a flood need not be read to its end.
        head = text[: 32 * tokens]
        ids = self.tokenizer(self.plain(head), add_special_tokens=False)["input_ids"]
        if len(ids) <= tokens and len(head) == len(text):
            return text, False
        return self.tokenizer.decode(ids[:tokens]), True

    def _start(self, question: str) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": self.system}] if self.system is not None else []
        return [*system, {"role": "user", "content": question}]

    def _ids(self, messages: list[dict[str, Any]], *, tools: Any = None, asking: bool = False) -> list[int]:
        return self.tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=asking, return_dict=False, **(self.options or {})
        )

    def _text(self, messages: list[dict[str, Any]]) -> str:
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **(self.options or {}))

    def _turn_end(self, ids: Sequence[int]) -> int:
        """The place after the last special token: where a model's turn ends."""
        return next((at for at in range(len(ids), 0, -1) if ids[at - 1] in self.special_ids), 0)

    def _read_form(self) -> CallForm:
        """The form of calls, out of a conversation with words that occur nowhere else."""
        name = getattr(self.tokenizer, "name_or_path", "") or "this model"
        calling = {**_calling(NAME, {KEY: VALUE}), "content": CONTENT}
        told = {"role": "tool", "name": NAME, "content": ANSWER}
        if self.tokenizer.chat_template is None:
            raise InputError(
                f"the tokenizer of {name} has no chat template, so there is no way to call a tool: {REMEDY}"
            )
        try:
            text = self._text([*self._start(QUESTION), calling, told])
        except (TemplateError, TypeError) as error:
            raise InputError(
                f"the chat template of {name} refuses a conversation with tools ({error}): {REMEDY}"
            ) from None
        missing = [what for what, word in _WORDS.items() if word not in text]
        if missing:
            raise InputError(f"the chat template of {name} leaves out {' and '.join(missing)}: {REMEDY}")
        form = _json_form(text[self._turn_start(text) : text.rindex(ANSWER)], self.specials)
        if form is None:
            raise InputError(f"the chat template of {name} writes tool calls in a form that is not JSON: {REMEDY}")
        return form

    def _turn_start(self, text: str) -> int:
        """Where in the conversation's text the model's turn begins, behind what it says beside the call."""
        if CONTENT in text:
            return text.index(CONTENT) + len(CONTENT)
        asked = self.tokenizer.apply_chat_template(
            self._start(QUESTION), tokenize=False, add_generation_prompt=True, **(self.options or {})
        )
        return len(asked) if text.startswith(asked) else text.index(QUESTION)

    def _check_history(self) -> None:
        """Every conversation must begin with the tokens of what it continues."""
        name = getattr(self.tokenizer, "name_or_path", "") or "this model"
        if turn_end(self.tokenizer) is None:
            raise InputError(f"the chat template of {name} ends turns with no token of its own: {REMEDY}")
        for content in ("", CONTENT):
            turns = [*self._start(QUESTION), {**_calling(NAME, {KEY: VALUE}), "content": content}]
            turns += [{"role": "tool", "name": NAME, "content": ANSWER}, {**_calling(NAME), "content": content}]
            turns += [{"role": "tool", "name": NAME, "content": ANSWER}, {"role": "assistant", "content": CONTENT}]
            first = len(turns) - 4
            longest = self._ids(turns)
            for count in range(first, len(turns)):
                asking = turns[count - 1]["role"] != "assistant"
                ids = self._ids(turns[:count], asking=asking)
                kept = len(ids) if asking else self._turn_end(ids)
                if ids[:kept] != longest[:kept]:
                    raise InputError(
                        f"the chat template of {name} rewrites earlier turns once later ones follow, so what was "
                        "sampled would not be what is learned from: give a template that keeps them, such as "
                        "chatml-tools or TRL's get_training_chat_template"
                    )


_WORDS = {"the calls": NAME, "their arguments": VALUE, "the answers of tools": ANSWER}


def _calling(name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": name, "arguments": dict(arguments or {})}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _json_form(after: str, specials: Sequence[str]) -> CallForm | None:
    """The form of the call in `after`, which is what a template writes between a turn's text and a tool's answer."""
    for at in (match.start() for match in re.finditer(r"[\[{]", after)):
        try:
            value, end = json.JSONDecoder().raw_decode(after, at)
        except ValueError:
            continue
        call = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(call, dict) or NAME not in call.values():
            continue
        fields = {json.dumps(found): field for field, found in call.items()}
        arguments = fields.get(json.dumps({KEY: VALUE}))
        if arguments is None:
            continue
        rest = after[end:]
        ends = [rest.index(special) for special in specials if special in rest]
        closing = rest[: min(ends)].strip() if ends else ""
        opening = after[:at].strip()
        return CallForm(
            opening, closing if opening else "", fields[json.dumps(NAME)], arguments, isinstance(value, list)
        )
    return None
