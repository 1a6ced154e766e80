"""Which token ends a turn, and what a chat template is told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.models.chat import CHATML, encode_chat, read_template, stop_token_ids, thinking_options, turn_end

END, START = 2, 1
THINKS = CHATML.replace(
    "<|im_start|>assistant\n{% endif %}",
    "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}",
)


@pytest.fixture
def tokenizer(tiny_tokenizer: Any) -> Any:
    return copy.deepcopy(tiny_tokenizer)


def test_a_base_model_stops_where_fine_tuning_taught_it_to(tokenizer: Any) -> None:
    """Its tokenizer's end token is another than the template's turn end: both stop."""
    tokenizer.eos_token = "<|pad|>"

    assert turn_end(tokenizer) == END
    assert stop_token_ids(7, tokenizer) == {7, 0, END}
    assert stop_token_ids([7, 8], tokenizer) == {7, 8, 0, END}


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, END),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", None),
        ("{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}\n{% endfor %}", None),
        ("{% for m in messages %}{{ m.content }} {{ eos_token }}{% endfor %}", END),
    ],
)
def test_the_end_of_a_turn_is_read_off_the_template(tokenizer: Any, template: str, end: int | None) -> None:
    """The first special token after an answer; a token that only begins turns is none."""
    tokenizer.chat_template = template
    assert turn_end(tokenizer) == end


def test_thinking_is_switched_by_the_template(tokenizer: Any) -> None:
    """Off adds what the template writes for it; a template that does not read the option refuses it."""
    plain = encode_chat(tokenizer, "2 + 2?", None, thinking_options("default"))
    with pytest.raises(InputError, match="does not read enable_thinking"):
        encode_chat(tokenizer, "2 + 2?", None, thinking_options("off"))

    tokenizer.chat_template = THINKS
    assert encode_chat(tokenizer, "2 + 2?", None, thinking_options("on")) == plain
    off = tokenizer.decode(encode_chat(tokenizer, "2 + 2?", None, thinking_options("off")))
    assert off.endswith("assistant\n<think></think>")


def test_a_template_is_given_by_name_or_file(tmp_path: Path) -> None:
    """Anything else is refused with the two."""
    (tmp_path / "mine.jinja").write_text("{{ messages }}")

    assert read_template("chatml") == CHATML
    assert read_template(str(tmp_path / "mine.jinja")) == "{{ messages }}"
    with pytest.raises(InputError, match="neither one of chatml, chatml-tools nor a file"):
        read_template("llama3")


@pytest.mark.parametrize(
    ("cards", "expected"), [([(8, 0)], "bfloat16"), ([(7, 5)], "float32"), ([(9, 0), (7, 0)], "float32")]
)
def test_bf16_is_not_assumed_of_old_cards(
    monkeypatch: pytest.MonkeyPatch, cards: list[tuple[int, int]], expected: str
) -> None:
    """An A100 has it, a T4 has not, and the oldest of several cards decides."""
    from rlpath.models import precision

    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(precision.torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(precision.torch.cuda, "get_device_capability", cards.__getitem__)
    assert precision.fast_dtype() == expected


def test_the_width_of_attention_is_heads_times_head_size(tiny_model: Callable[..., Any]) -> None:
    """Qwen3 has heads of 16 on a hidden size of 32: 2 layers × 4 heads × 16, not 2 × 32."""
    from rlpath.models.layers import attention_width

    assert attention_width(tiny_model("qwen3").config) == 128
    assert attention_width(tiny_model("llama").config) == 64
