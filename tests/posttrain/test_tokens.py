"""Examples as tokens: what the loss counts, what is left out, and templates that cannot be used."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.core.types import Demonstration, Preference, Turn
from rlpath.models.chat import CHATML, stop_token_ids
from rlpath.posttrain.experiment import Notes, RunContext
from rlpath.posttrain.tokens import (
    TokenRow,
    dpo_row,
    encode,
    encode_demonstration,
    encode_preference,
    in_order_of_use,
    reward_row,
    rows_within_length,
    sft_row,
)
from rlpath.posttrain.trainers import _CheckedTrainer
from rlpath.posttrain.tuning import tokenizer_for
from rlpath.posttrain.tuning_settings import TuningSettings

ASKED = (Turn("user", "Hi?"),)


def test_the_answer_begins_after_the_prompt_and_includes_its_end(tiny_tokenizer: Any) -> None:
    """ChatML: the prompt ends with the assistant's header, the answer with <|im_end|> and a newline."""
    row = encode_demonstration(tiny_tokenizer, Demonstration("a", ASKED, "Yes."))

    assert tiny_tokenizer.decode(row.prompt) == "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n"
    assert tiny_tokenizer.decode(row.answer) == "Yes.<|im_end|>\n"
    columns = sft_row(row)
    assert columns["input_ids"] == [*row.prompt, *row.answer]
    assert columns["labels"] == [-100] * len(row.prompt) + [*row.answer]


def test_a_pair_shares_its_prompt(tiny_tokenizer: Any) -> None:
    """TRL's columns for DPO and for reward models; a pair is as long as its longer row."""
    pair = encode_preference(tiny_tokenizer, Preference("p", ASKED, "Yes, of course.", "No."))

    assert pair.id == "p"
    assert pair.chosen.prompt == pair.rejected.prompt
    assert len(pair) == len(pair.chosen) > len(pair.rejected)
    assert dpo_row(pair)["rejected_ids"] == [*pair.rejected.answer]
    assert reward_row(pair)["chosen_ids"] == [*pair.chosen.prompt, *pair.chosen.answer]


def test_a_template_that_rewrites_the_prompt_is_refused(tiny_tokenizer: Any) -> None:
    """A template that drops the user's turn once it was answered cannot tell prompt and answer apart."""
    kept = tiny_tokenizer.chat_template
    tiny_tokenizer.chat_template = "{% for m in messages[-1:] %}{{ m['role'] + m['content'] }}{% endfor %}"
    try:
        with pytest.raises(InputError, match="example a: the chat template writes the prompt differently"):
            encode(tiny_tokenizer, "a", ASKED, "Yes.")
    finally:
        tiny_tokenizer.chat_template = kept


def rows(*lengths: int) -> list[TokenRow]:
    return [TokenRow(f"row-{length}", (1,), (2,) * (length - 1)) for length in lengths]


def test_long_examples_are_left_out_whole_and_counted() -> None:
    """Of lengths 3, 9 and 5 two fit into 5 tokens; the sentence has the count and the longest."""
    kept, notes = rows_within_length(rows(3, 9, 5), 5, "examples")

    assert [len(row) for row in kept] == [3, 5]
    assert notes == ["1 of 3 examples are longer than 5 tokens (the longest has 9) and were left out whole"]
    assert rows_within_length(rows(3), 5, "examples") == (rows(3), [])


def test_nothing_that_fits_is_refused() -> None:
    """No rows, and none short enough: one sentence each."""
    with pytest.raises(InputError, match="there are no training pairs"):
        rows_within_length([], 5, "training pairs")
    with pytest.raises(InputError, match="all 2 examples are longer than --max-length 5 tokens: the shortest has 7"):
        rows_within_length(rows(7, 9), 5, "examples")


def test_order_of_use_is_whole_passes_fixed_by_the_seed() -> None:
    """Every row once before any comes twice; the same seed gives the same order, another one another."""
    order = in_order_of_use(rows(1, 2, 3, 4, 5), 10, seed=1)

    assert {row.id for row in order[:5]} == {row.id for row in order[5:]} == {f"row-{i}" for i in range(1, 6)}
    assert order == in_order_of_use(rows(1, 2, 3, 4, 5), 10, seed=1)
    assert order != in_order_of_use(rows(1, 2, 3, 4, 5), 10, seed=2)
    assert len(in_order_of_use(rows(1, 2, 3), 2, seed=0)) == 2


NO_END = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture
def folder_of(
    tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> Callable[[str | None], RunContext]:
    """`folder_of(template)`: a run started on a tiny model whose tokenizer has that chat template."""

    def make(template: str | None) -> RunContext:
        tokenizer = copy.deepcopy(tiny_tokenizer)
        tokenizer.chat_template = template
        tiny_model().save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        return RunContext(None, SimpleNamespace(num_processes=1), tmp_path / "model")  # type: ignore[arg-type]

    return make


def test_a_template_that_writes_no_end_is_taught_one(folder_of: Callable[[str | None], RunContext]) -> None:
    """The tokenizer's end token follows the answer, and stops sampling; where there is one, none is added."""
    tokenizer = tokenizer_for(folder_of(NO_END), TuningSettings(), Notes(None))
    row = encode(tokenizer, "a", (Turn("user", "2 + 2?"),), "4")

    assert tokenizer.decode(row.answer) == "assistant: 4\n<|im_end|>"
    assert stop_token_ids(None, tokenizer) == {row.answer[-1]}

    tokenizer = tokenizer_for(folder_of(CHATML), TuningSettings(), Notes(None))
    assert tokenizer.decode(encode(tokenizer, "a", (Turn("user", "2 + 2?"),), "4").answer) == "4<|im_end|>\n"


def test_a_base_model_gets_a_template_by_flag(folder_of: Callable[[str | None], RunContext]) -> None:
    """Without one it is refused, with one it is tuned; an unknown name is told before anything is loaded."""
    context = folder_of(None)
    with pytest.raises(InputError, match="has no chat template"):
        tokenizer_for(context, TuningSettings(), Notes(None))

    assert tokenizer_for(context, TuningSettings(chat_template="chatml"), Notes(None)).chat_template == CHATML
    with pytest.raises(InputError, match="--chat-template llama is neither one of chatml, chatml-tools nor a file"):
        TuningSettings(chat_template="llama").check(1)


def test_among_processes_no_forward_is_run_to_find_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process alone would wait for the others for ever: all of its examples are named instead."""
    trainer = SimpleNamespace(accelerator=SimpleNamespace(num_processes=2), names=["a", "b", "c"])
    said = _CheckedTrainer._blame(trainer, None, {}, torch.tensor([2, 0, 2]))  # type: ignore[arg-type]
    assert said == "for one of the examples c, a"
