"""Verifiers of JSON, formats, strings and countdowns: their golds, and texts made to be slow."""

import json
import time
from typing import Any

import pytest

from rlpath.core.types import Status, Verifier
from rlpath.rewards import (
    CodeVerifier,
    CountdownVerifier,
    ExactVerifier,
    FormatVerifier,
    InstructionVerifier,
    JSONVerifier,
    MathVerifier,
    as_trl_reward,
)

COUNTDOWN = {"numbers": [1, 2], "target": 3}
CLOSING = "4 is even\n</think>\n<answer>4</answer>"
READERS: list[tuple[Verifier, str]] = [
    (ExactVerifier(), "Paris"), (FormatVerifier(), "think_answer"), (FormatVerifier(), "max_words=3"),
    (JSONVerifier(), '{"type": "object"}'), (JSONVerifier(), "equal:[1]"), (CountdownVerifier(), json.dumps(COUNTDOWN)),
]  # fmt: skip
UNITS = [
    "<think>", "</think>", "<answer>", "<answer></answer>", "```json\n", "```\n", "```", "~~~", "\\boxed{", "{", "[",
    '"', '\\"', "\\", "$", "#### ", "**", " ", "\n", "\u200b", "a b ", '{"a":',
]  # fmt: skip


@pytest.mark.parametrize(("verifier", "gold"), READERS, ids=[f"{type(v).__name__}-{g[:12]}" for v, g in READERS])
def test_repeated_text_takes_linear_time(verifier: Verifier, gold: str) -> None:
    """60 kB of any one mark, also between others, are refused or read in well under a second each."""
    for unit in UNITS:
        for start, end in (("", ""), ('["', ""), ("<answer>", ""), ("x ", " ` y")):
            started = time.process_time()
            verifier(start + unit * (60_000 // len(unit)) + end, gold)
            assert time.process_time() - started < 1, (unit, start)


def test_a_think_block_that_the_prompt_opened() -> None:
    """Where the prompt ends with <think> the completion starts within the block; elsewhere it must open it."""
    verify = FormatVerifier()
    assert verify(CLOSING, "think_answer").status is Status.WRONG
    assert verify(CLOSING, "think_answer", question="<|assistant|>\n<think>\n").correct
    assert FormatVerifier(think_opened=True)(CLOSING, "think_answer").correct
    assert not FormatVerifier(think_opened=True)(f"<think>{CLOSING}", "think_answer").correct
    assert not FormatVerifier(think_opened=True)("</think><answer>4</answer>", "think_answer").correct
    reward = as_trl_reward(verify)
    assert reward(prompts=["q <think>", "q"], completions=[CLOSING] * 2, gold=["think_answer"] * 2) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("verifier", "completion", "gold"),
    [
        (JSONVerifier(), "[1]", {"type": "array"}),
        (CountdownVerifier(), "<answer>1 + 2</answer>", COUNTDOWN),
        (CodeVerifier(), "", {"function": "f", "cases": [[[1], 1]]}),
    ],
)
def test_a_gold_may_be_an_object(verifier: Verifier, completion: str, gold: Any) -> None:
    """A gold of these verifiers is JSON, as text or already read; objects of another kind decide nothing."""
    assert verifier(completion, gold) == verifier(completion, json.dumps(gold))
    assert verifier(completion, gold).score is not None
    for other in ({"value": 18}, ["18"], {1, 2}, float("nan"), None, object()):
        assert verifier(completion, other).status is Status.UNDECIDED  # type: ignore[arg-type]


def test_a_schema_without_a_keyword_is_no_gold() -> None:
    """An object that names no keyword of JSON Schema would accept every document; {} and true say so themselves."""
    verify = JSONVerifier()
    assert verify("1", '{"value": 18}').status is Status.UNDECIDED
    assert verify("no JSON", '{"value": 18}').status is Status.UNDECIDED
    assert verify("1", "{}").correct
    assert verify("1", "true").correct


def test_multiples_by_the_digits_that_are_written() -> None:
    """0.07 is a multiple of 0.01, though the quotient of the two floats is not 7."""
    for number, right in ((0.07, True), (0.075, False), (1e300, True), (-0.3, True), (7, True)):
        assert JSONVerifier()(json.dumps(number), '{"multipleOf": 0.01}').correct is right


@pytest.mark.parametrize(
    "gold",
    [None, float("nan"), ["18"], {"value": 18}, "First we add the apples, and then we divide them among all children."],
)
def test_a_gold_that_holds_no_answer_pays_nothing(gold: object) -> None:
    """Missing, structured and prose golds leave the completion out of its group."""
    reward = as_trl_reward(MathVerifier(), gold="answer")
    assert reward(prompts=["q"], completions=[r"\boxed{18}"], answer=[gold]) == [None]


def test_an_instruction_counts_marks_as_no_letters() -> None:
    """A forbidden word in emphasis is still said, and a postscript needs words behind its marker."""
    verify = InstructionVerifier()
    forbidden = 'ifeval:keywords:forbidden_words {"forbidden_words": ["cat"]}'
    postscript = 'ifeval:detectable_content:postscript {"postscript_marker": "P.S."}'
    assert [verify(text, forbidden).correct for text in ("_cat_", "**cat**", "cats", "a_cat")] == [False] * 2 + [
        True,
        False,
    ]
    assert [verify(f"Hi.\n{text}", postscript).correct for text in ("P.S.", "**P.S.**", "P.S. more")] == [
        False,
        False,
        True,
    ]
