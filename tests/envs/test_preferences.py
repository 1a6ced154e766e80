"""Preferences: files of your own, pairs that a verifier makes, and the published human sets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError, Unreachable
from rlpath.core.types import Preference, Turn
from rlpath.envs.conversations import demonstration_of
from rlpath.envs.preferences import one_side, pairs_of_verified, read_preferences
from rlpath.evals.measure.preferences import LLMBAR_PARTS, dialogue, human_preferences, llmbar

needs_data = pytest.mark.skipif("RLPATH_DATA" not in os.environ, reason="RLPATH_DATA is not set")


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_of_your_own(tmp_path: Path) -> None:
    """Prompts as text or as messages."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    path = write(
        tmp_path / "pairs.jsonl",
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."},
        {"prompt": messages, "chosen": "Hello", "rejected": "What"},
    )

    first, second = read_preferences(path)

    assert first == Preference("line-1", (Turn("user", "Why?"),), "Because.", "No idea.")
    assert second.prompt == (Turn("system", "Be brief."), Turn("user", "Hi"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "Why?", "chosen": "Because."}, "line 1: the field 'rejected' is missing"),
        ({"prompt": "Why?", "chosen": "", "rejected": "x"}, "line 1: the field 'chosen' is missing, empty"),
        ({"chosen": "a", "rejected": "b"}, "line 1: the field 'prompt' must be text"),
        ({"prompt": [{"role": "assistant", "content": "x"}], "chosen": "a", "rejected": "b"}, "end with a user's"),
    ],
)
def test_one_sided_rows_are_refused_by_line(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    """A pair without its other half, without a prompt, or whose prompt ends with an answer."""
    with pytest.raises(InputError, match=words):
        read_preferences(write(tmp_path / "pairs.jsonl", row))


ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
GOOD, BAD = {"role": "assistant", "content": "Hello"}, {"role": "assistant", "content": "What"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED, "chosen": "Hello", "rejected": "What"},
        {"prompt": ASKED, "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": ASKED, "chosen": [*ASKED, GOOD], "rejected": [*ASKED, BAD]},
        {"chosen": [*ASKED, GOOD], "rejected": [*ASKED, BAD]},
    ],
)
def test_pairs_in_every_shape_are_the_same_pair(tmp_path: Path, row: dict[str, Any]) -> None:
    """Answers as text, as a message, and as whole conversations with or without the prompt beside them."""
    (found,) = read_preferences(write(tmp_path / "pairs.jsonl", row))
    assert found == Preference("line-1", (Turn("system", "Be brief."), Turn("user", "Hi")), "Hello", "What")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": ASKED[1:], "completion": [GOOD]},
        {"messages": [ASKED[1], GOOD]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "input": "", "output": "Hello"},
    ],
)
def test_demonstrations_in_every_shape_are_the_same(row: dict[str, Any]) -> None:
    """Prompt and completion, messages, ShareGPT's and Alpaca's words."""
    assert demonstration_of(row, "here") == ((Turn("user", "Hi"),), "Hello")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x"}, "here: no demonstration: .*found text"),
        ({"messages": [ASKED[1]]}, "'messages' must end with a user's message and an assistant's"),
        ({"messages": [{"role": "user"}, GOOD]}, "without the texts role and content"),
        ({"instruction": "Hi"}, "the field 'output' is missing"),
        ({"prompt": "Hi", "completion": " "}, "the field 'completion' is missing"),
    ],
)
def test_a_row_of_no_shape_is_refused(row: dict[str, Any], words: str) -> None:
    """By file, line and field."""
    with pytest.raises(InputError, match=words):
        demonstration_of(row, "here")


def test_two_different_conversations_are_no_pair(tmp_path: Path) -> None:
    """What comes before the last message must be the same."""
    row = {"chosen": [*ASKED, GOOD], "rejected": [*ASKED[1:], BAD]}
    with pytest.raises(InputError, match="line 1: chosen and rejected must be the same conversation"):
        read_preferences(write(tmp_path / "pairs.jsonl", row))


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    """As editors on Windows write them; errors still name the line of the file."""
    row = json.dumps({"prompt": "Why?", "chosen": "a", "rejected": "b"})
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n" + row.encode() + b"\r\n\r\n" + row.encode() + b"\r\n")
    assert [pair.id for pair in read_preferences(path)] == ["line-2", "line-4"]

    path.write_bytes(b"\n\n{")
    with pytest.raises(InputError, match="line 3: not JSON"):
        read_preferences(path)


def test_a_constant_system_message_does_not_put_all_on_one_side() -> None:
    """The whole prompt decides the side, not its first turn."""
    same = Turn("system", "Be brief.")
    twins = [Preference(f"p{i}", (same, Turn("user", f"question {i // 2}")), "yes", "no") for i in range(60)]
    train, held_out = (one_side(twins, "mine", "here", side) for side in ("train", "validation"))

    assert len(train) + len(held_out) == 60 and len(held_out) >= 6
    assert not {p.prompt for p in train.examples} & {p.prompt for p in held_out.examples}


def pairs(count: int) -> list[Preference]:
    return [Preference(f"p{i}", (Turn("user", f"question {i // 2}"),), "yes", "no") for i in range(count)]


def test_sides_share_no_prompt() -> None:
    """Two pairs of one prompt are on one side; every pair is on exactly one; equal answers are left out and told."""
    twins = [*pairs(60), Preference("same", (Turn("user", "q"),), "a", "a")]
    train, held_out = (one_side(twins, "mine", "here", side) for side in ("train", "validation"))

    assert len(train) + len(held_out) == 60
    assert not {p.prompt for p in train.examples} & {p.prompt for p in held_out.examples}
    assert train.left_out == ("1 of 61 pairs of mine have two equal answers: left out",)
    assert one_side(twins, "mine", "here", "train").examples == train.examples
    with pytest.raises(InputError, match="mine has 0 train pairs"):
        one_side([], "mine", "here", "train")


def judged(problem: str, *answers: tuple[str, str]) -> list[dict[str, str]]:
    return [{"problem_id": problem, "prompt": f"{problem}?", "completion": text, "status": s} for text, s in answers]


def test_a_verifier_s_pairs_are_a_correct_against_a_wrong_answer() -> None:
    """Equal texts count once, truncated and undecided ones not at all; each wrong answer is used once."""
    rows = judged(
        "1+1",
        ("2", "correct"),
        ("2", "correct"),
        ("3", "wrong"),
        ("hm", "no_answer"),
        ("4", "truncated"),
        ("", "wrong"),
    )
    made = pairs_of_verified([*rows, *judged("2+2", ("5", "wrong"))])

    assert [(p.chosen, p.rejected) for p in made] in ([("2", "3"), ("2", "hm")], [("2", "hm"), ("2", "3")])
    assert made[0].prompt == (Turn("user", "1+1?"),)
    assert len(pairs_of_verified(rows, per_prompt=1)) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (judged("1+1", ("2", "correct")), "every judged answer is correct"),
        (judged("1+1", ("3", "wrong"), ("5", "wrong")), "every judged answer is wrong"),
        ([*judged("1+1", ("3", "wrong")), *judged("2+2", ("4", "correct"))], "no prompt has both"),
        ([], "no prompt has both"),
    ],
)
def test_one_sided_samples_are_refused(rows: list[dict[str, str]], words: str) -> None:
    """All correct, all wrong, or never both of one prompt: one sentence that says which."""
    with pytest.raises(InputError, match=f"one-sided.*{words}"):
        pairs_of_verified(rows)


def test_a_transcript_becomes_turns() -> None:
    """Text in the form that HH-RLHF uses."""
    found = dialogue("\n\nHuman: Hello\n\nAssistant: Hi.\nHow are you?\n\nHuman: Fine")

    assert found == [Turn("user", "Hello"), Turn("assistant", "Hi.\nHow are you?"), Turn("user", "Fine")]


@needs_data
def test_human_sets_are_whole_and_split_once() -> None:
    """2,303 pairs of HH-RLHF; PandaLM without ties; no opening turn on both sides; the source says whose file."""
    sizes = {}
    for name in ("hh-harmless", "pandalm"):
        train, held_out = human_preferences(name, "train"), human_preferences(name, "validation")
        assert not {p.prompt[0] for p in train.examples} & {p.prompt[0] for p in held_out.examples}
        assert all(p.chosen and p.rejected and p.prompt[-1].role == "user" for p in train.examples)
        assert "test file, split by us" in train.source
        assert "left out" in train.left_out[0]
        sizes[name] = (len(train), len(held_out))
    assert sizes["hh-harmless"] == (1749, 554)
    assert sum(sizes["pandalm"]) > 800


@needs_data
def test_llmbar_is_whole() -> None:
    """419 pairs in five parts, each a test split."""
    parts = [llmbar(part) for part in LLMBAR_PARTS]

    assert sum(map(len, parts)) == 419
    assert {part.split for part in parts} == {"test"}


def test_missing_preferences_say_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a known name nor a file; a known name without its data."""
    monkeypatch.delenv("RLPATH_DATA", raising=False)
    with pytest.raises(InputError, match="'nowhere' are none of hh-harmless, pandalm"):
        human_preferences("nowhere", "train")
    with pytest.raises(Unreachable, match="set RLPATH_DATA"):
        human_preferences("pandalm", "train")
