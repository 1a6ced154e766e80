"""Tools, calls and answers as templates write them, read off the templates; what cannot be used is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import trl

from rlpath.core.errors import InputError
from rlpath.models.chat import CHATML, CHATML_TOOLS
from rlpath.models.tool_chat import CallForm, ToolChat

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
TAGS = CallForm("<tool_call>", "</tool_call>", "name", "arguments")


def under(tokenizer: Any, template: str, *specials: str) -> Any:
    copied = copy.deepcopy(tokenizer)
    copied.chat_template = template
    if specials:
        copied.add_special_tokens({"additional_special_tokens": list(specials)})
    return copied


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3_training", "qwen3_instruct_2507", "qwen3_vl"])
def test_tags_are_read_off_published_templates(name: str, tiny_tokenizer: Any) -> None:
    """Qwen's templates write a JSON object between tags."""
    assert ToolChat(under(tiny_tokenizer, (TEMPLATES / f"{name}.jinja").read_text())).form == TAGS


def test_a_bare_object_is_a_call(tiny_tokenizer: Any) -> None:
    """Llama's template writes nothing but the object, whose arguments are called parameters."""
    template = (TEMPLATES / "llama3_1.jinja").read_text()
    specials = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>")
    chat = ToolChat(under(tiny_tokenizer, template, *specials))

    assert chat.form == CallForm("", "", "name", "parameters")
    (call,) = chat.read(chat.tokenizer(chat.write("add", {"a": 1}))["input_ids"])
    assert (call.name, call.arguments, call.fault) == ("add", {"a": 1}, "")
    assert chat.read(chat.tokenizer("The answer is {12}.")["input_ids"]) == []


def test_calls_in_a_list_with_a_token_of_their_own(tiny_tokenizer: Any) -> None:
    """As some models write them: a special token, then a list of objects up to the end of the turn."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ m['content'] }}"
        "{% if m['tool_calls'] %}[CALLS][{% for c in m['tool_calls'] %}"
        '{"name": {{ c.function.name | tojson }}, "arguments": {{ c.function.arguments | tojson }}}'
        "{{ '' if loop.last else ', ' }}{% endfor %}]{% endif %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
    )
    chat = ToolChat(under(tiny_tokenizer, template, "[CALLS]"))

    assert chat.form == CallForm("[CALLS]", "", "name", "arguments", listed=True)
    text = 'I try [CALLS][{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"x": 1}}]<|im_end|>'
    assert [call.name for call in chat.read(chat.tokenizer(text)["input_ids"])] == ["f", "g"]


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "has no chat template, so there is no way to call a tool"),
        (CHATML, "leaves out the calls and their arguments: choose a model whose template has tools"),
        ("gemma.jinja", "refuses a conversation with tools"),
        ("phi3.jinja", "leaves out the calls and their arguments and the answers of tools"),
        ("qwen3_5_think.jinja", "writes tool calls in a form that is not JSON"),
        ("qwen3.jinja", "rewrites earlier turns once later ones follow"),
        (CHATML_TOOLS.replace("<|im_end|>", "."), "ends turns with no token of its own"),
        (
            CHATML_TOOLS.replace("<|im_start|>user{{", "{{ messages | length }}<|im_start|>user{{"),
            "rewrites earlier turns",
        ),
    ],
)
def test_a_template_that_cannot_be_used(template: str | None, sentence: str, tiny_tokenizer: Any) -> None:
    """One sentence each, with the remedy."""
    if template is not None and template.endswith(".jinja"):
        template = (TEMPLATES / template).read_text()
    tokenizer = under(tiny_tokenizer, template or "")
    if template is None:
        tokenizer.chat_template = None
    with pytest.raises(InputError, match=sentence):
        ToolChat(tokenizer)


def test_tools_stand_before_the_question(tiny_tokenizer: Any) -> None:
    """Name, description and arguments of a tool; without tools the prompt is that of any other problem."""

    def add(a: int, b: int) -> str:
        """Add two numbers.

        Args:
            a: the first
            b: the second
        """
        return str(a + b)

    chat = ToolChat(under(tiny_tokenizer, CHATML_TOOLS), system="Be brief.")
    text = chat.tokenizer.decode(chat.prompt("1 + 1?", [add]))

    assert text.startswith("<|im_start|>system\nBe brief.\n\nThese tools can be called:\n")
    assert '"name": "add", "description": "Add two numbers."' in text
    assert text.endswith(
        "</tool_call> and end your turn.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "tools" not in chat.tokenizer.decode(chat.prompt("1 + 1?"))


def test_a_long_answer_is_cut_by_its_tokens(tiny_tokenizer: Any) -> None:
    """At most so many tokens, whether or not the rest is read."""
    chat = ToolChat(under(tiny_tokenizer, CHATML_TOOLS))

    assert chat.cut("abc", 3) == ("abc", False)
    assert chat.cut("abcd", 3) == ("abc", True)
    assert chat.cut("x" * 10_000_000, 3) == ("xxx", True)


def test_a_templates_own_tokens_are_taken_apart(tiny_tokenizer: Any) -> None:
    """Also where taking one apart would leave another."""
    chat = ToolChat(under(tiny_tokenizer, CHATML_TOOLS))
    for text in ("<|im_end|>", "<|im_<|im_end|>end|>", "<|pad|><|im_start|>assistant"):
        assert not set(chat.tokenizer(chat.plain(text))["input_ids"]) & {0, 1, 2}
