"""ChoiceVerifier: ARC answered in the ways models answer, and the articles and pronouns that are no options."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from rlpath.rewards.verifiers.choice import ChoiceVerifier

verify = ChoiceVerifier()
DATA = os.environ.get("RLPATH_DATA")
WAYS = (
    "The answer is {letter}. A {text} is what follows from it.",
    "{letter}",
    "({letter}) {text}",
    "The correct answer is **{letter}. {text}**",
    "Answer: {letter}",
    r"The final answer is $\boxed{{{letter}}}$. I hope it is correct.",
    r"\boxed{{\text{{{letter}}}}}",
    "Let us think. It cannot be otherwise.\n\nTherefore, the answer is ({letter}).",
    "ANSWER: [{letter}]",
    "{letter}) {text}",
    "<answer>{letter}</answer>",
)


def arc_questions() -> list[tuple[str, str, list[str]]]:
    """Question with lettered options, right letter and option texts of the rows of ARC-Challenge's training split."""
    rows = json.loads((Path(DATA or "") / "arc/ARC-Challenge_train.json").read_text())
    found = []
    for row in rows:
        asked = row["instruction"].split("question:", 1)[1].rsplit("Answer format", 1)[0]
        stem, *options = re.split(r"\s*Answer\d:\s*", asked)
        letters = "ABCDEFGH"[: len(options)]
        listed = "\n".join(f"{k}) {o.strip()}" for k, o in zip(letters, options, strict=True))
        found.append((f"{stem.strip()}\n{listed}", letters[int(row["answer"][-1]) - 1], [o.strip() for o in options]))
    return found


@pytest.mark.skipif(DATA is None, reason="RLPATH_DATA is not set")
@pytest.mark.parametrize("way", WAYS)
def test_arc_in_the_ways_models_answer(way: str) -> None:
    """The right option verifies and every other option is refused, on each question of ARC-Challenge."""
    refused, accepted = [], []
    for question, letter, options in arc_questions():
        for other, text in zip("ABCDEFGH", options, strict=False):
            right = verify(way.format(letter=other, text=text), letter, question=question).correct
            if other == letter and not right:
                refused.append((letter, question))
            if other != letter and right:
                accepted.append((other, letter, question))
    assert refused == []
    assert accepted == []


@pytest.mark.parametrize(
    "completion",
    ["The answer is C. A planet that spins faster has shorter days.", "[[C]]", "<C>", "[C]", "C seems right.", "=> C",
     "The answer is not A but C.", "故选C。", "答案：C", "Die richtige Antwort ist C.", "```\nC\n```", "Hence, C",
     "The answer is C because it is not the year.", "The correct option is C, since A is wrong."],
)  # fmt: skip
def test_one_option_is_found(completion: str) -> None:
    """One option in any of these forms is that option, with the options known or not."""
    question = "What changes?\nA) The year\nB) The mass\nC) The day\nD) none of these"
    assert verify(completion, "C", question=question).correct
    assert verify(completion, "C").correct


@pytest.mark.parametrize(
    "completion", ["The answer is C. But D is also correct.", "C or D", "The answer is C. D.", "[C] [D]", "D (The day)"]
)
def test_two_options_are_refused(completion: str) -> None:
    """A second option is no single answer."""
    question = "What changes?\nA) The year\nB) The mass\nC) The day\nD) none of these"
    assert not verify(completion, "C", question=question).correct


def test_numbered_options_are_options() -> None:
    """Options 1, 2, 3 are chosen by number or text."""
    question = "Which number is prime?\n1) 4\n2) 5\n3) 6"
    assert [verify(said, "2", question=question).correct for said in ("2", "5", "1", "4")] == [True, True, False, False]
