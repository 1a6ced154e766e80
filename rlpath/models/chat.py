"""How a tokenizer's chat template writes a turn, and which token ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from rlpath.core.errors import InputError

Thinking = Literal["default", "on", "off"]
ChatOptions = Mapping[str, Any]
"""Names that a chat template reads beside the messages, such as `enable_thinking` (Qwen3)."""


def thinking_options(choice: Thinking) -> dict[str, Any]:
    """The chat template's options for a choice of thinking: none, or `enable_thinking`."""
    return {} if choice == "default" else {"enable_thinking": choice == "on"}


def encode_chat(
    tokenizer: Any, prompt: str, system: str | None = None, options: ChatOptions | None = None
) -> list[int]:
    """Token ids of one user turn under the tokenizer's chat template (plain text where it has none).

    Raises `InputError` where `options` are given that the template does not read.
    """
    check_options(tokenizer, options)
    if tokenizer.chat_template is None:
        return tokenizer(prompt)["input_ids"]
    turns = [{"role": "system", "content": system}] if system is not None else []
    turns.append({"role": "user", "content": prompt})
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False, **(options or {}))


def check_options(tokenizer: Any, options: ChatOptions | None) -> None:
    """Raise `InputError` for an option that the chat template does not read: it would change nothing."""
    for name in options or {}:
        if name not in (tokenizer.chat_template or ""):
            raise InputError(f"the chat template of this model does not read {name}: leave it out")


def turn_end(tokenizer: Any) -> int | None:
    """The special token that the chat template writes after an answer, None where it writes none."""
    return None if tokenizer.chat_template is None else _turn_end(tokenizer, tokenizer.chat_template)


@lru_cache(maxsize=8)
def _turn_end(tokenizer: Any, template: str) -> int | None:
    asked = [{"role": "user", "content": "x"}]
    answered = [*asked, {"role": "assistant", "content": "x"}]
    start = tokenizer.apply_chat_template(asked, chat_template=template, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(answered, chat_template=template, return_dict=False)
    special = special_ids(tokenizer)
    # Templates may write the prompt differently once an answer follows: the end is looked for from the back.
    after = []
    for token in reversed(whole[len(start) :]):
        if tokenizer.decode([token]).strip() == "x":
            break
        after.append(token)
    return next((token for token in reversed(after) if token in special), None)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that are no text: those the tokenizer lists as special, and added ones marked so."""
    added = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added.union(tokenizer.all_special_ids))


def stop_token_ids(eos: int | Sequence[int] | None, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a turn: `eos` of the generation config, the tokenizer's, and the chat template's.

    A base model's end token is often not the one its template writes; what fine-tuning teaches is the template's.
    """
    listed = [eos] if isinstance(eos, int) else list(eos or [])
    more = (tokenizer.eos_token_id, turn_end(tokenizer))
    return frozenset([*listed, *(token for token in more if token is not None)])


def read_template(asked: str) -> str:
    """A chat template given by flag: the text of a Jinja file, or of `TEMPLATES`. Raises `InputError` for neither."""
    if asked in TEMPLATES:
        return TEMPLATES[asked]
    path = Path(asked).expanduser()
    if not path.is_file():
        known = ", ".join(TEMPLATES)
        raise InputError(f"--chat-template {asked} is neither one of {known} nor a file that holds a Jinja template")
    return path.read_text(encoding="utf-8")


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

CHATML_TOOLS = (
    "{% if tools %}<|im_start|>system\n"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\n\n' }}{% endif %}"
    "These tools can be called:\n{% for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}"
    "To call one, write <tool_call>\n"
    '{"name": "its name", "arguments": {"argument": "value"}}'
    "\n</tool_call> and end your turn.<|im_end|>{{ '\n' }}{% endif %}"
    "{% for message in messages %}{% if not (tools and loop.first and message['role'] == 'system') %}"
    "{% if message['role'] == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}<|im_start|>user{{ '\n' }}{% endif %}"
    "<tool_response>\n{{ message['content'] }}\n</tool_response>"
    "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}<|im_end|>{% endif %}{{ '\n' }}"
    "{% else %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}"
    "{% if message['content'] or not loop.first %}{{ '\n' }}{% endif %}<tool_call>\n"
    '{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>{{ '\n' }}{% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}"
)
"""ChatML with tools, their calls and answers in tags, as many instruct models were taught to write them."""
TEMPLATES = {"chatml": CHATML, "chatml-tools": CHATML_TOOLS}
