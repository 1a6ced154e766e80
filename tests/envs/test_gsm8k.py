"""GSM8K: the published file gives its gold answers, a fixed validation slice, and errors that name the line."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.envs.gsm8k import VALIDATION_ROWS, gsm8k, gsm8k_problems
from rlpath.evals.measure.held_out import gsm8k_test, held_out

needs_data = pytest.mark.skipif(
    not Path(os.environ.get("RLPATH_DATA", "/nonexistent"), "gsm8k/train.jsonl").exists(),
    reason="RLPATH_DATA has no gsm8k/train.jsonl",
)


def row(number: int, answer: str | None = None) -> str:
    return json.dumps({"question": f"Question {number}?", "answer": answer or f"It is so.\n#### {number}"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gsm8k").mkdir()
    monkeypatch.setenv("RLPATH_DATA", str(tmp_path))
    return tmp_path / "gsm8k"


def write(folder: Path, lines: list[str], name: str = "train.jsonl") -> None:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_slice_is_fixed_and_disjoint(folder: Path) -> None:
    """500 questions are held out, the same for every seed and row order, and training has the rest."""
    rows = [row(number) for number in range(700)]
    write(folder, rows)
    train, held = gsm8k("train"), gsm8k("validation", seed=4)
    questions = {p.meta["question"] for p in held.problems}
    assert (len(train), len(held)) == (200, VALIDATION_ROWS)
    assert questions.isdisjoint(p.meta["question"] for p in train.problems)
    write(folder, rows[::-1])
    assert {p.meta["question"] for p in gsm8k("validation").problems} == questions


def test_gold_is_the_number_after_the_marks() -> None:
    """Thousands separators and a currency sign go, minus and decimals stay."""
    answers = ["#### 1,234", "a #### b\n#### -7", "#### $18", "#### 0.5", "####  .5 "]
    rows = [{"question": str(i), "answer": answer} for i, answer in enumerate(answers)]
    assert [p.gold for p in gsm8k_problems(rows, "here", "x")] == ["1234", "-7", "18", "0.5", ".5"]


def test_a_repeated_question_is_kept_once() -> None:
    """A question that occurs twice cannot end up on both sides."""
    rows = [{"question": "Same?", "answer": "#### 1"}, {"question": " Same? ", "answer": "#### 1"}]
    assert [p.id for p in gsm8k_problems(rows, "here", "train")] == ["train-0"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row(1), "{not json"], "line 2: not JSON"),
        ([row(1), "", "[1]"], "line 3: expected a JSON object, found list"),
        ([row(1), "[1]"], "line 2: expected a JSON object, found list"),
        ([row(1), '{"question": "Why?"}'], "line 2: the field 'answer' is missing"),
        ([row(1), row(2), row(3, "no marks")], "line 3: the answer does not end in '#### <number>'"),
        ([], "is empty"),
        ([row(1)], "1 questions: more than 500"),
    ],
)
def test_malformed_files_name_file_and_line(folder: Path, lines: list[str], message: str) -> None:
    """Every fault of a data file is one sentence with the file and the line."""
    write(folder, lines)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        gsm8k()
    assert "train.jsonl" in str(caught.value)


def test_bytes_that_are_not_utf8_are_told(folder: Path) -> None:
    """A broken encoding names its line."""
    (folder / "train.jsonl").write_bytes(row(1).encode() + b"\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"line 2: not UTF-8"):
        gsm8k()


def test_absent_data_says_what_to_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without file and without the hub's library the error names RLPATH_DATA."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="set RLPATH_DATA"):
        gsm8k()
    monkeypatch.setenv("RLPATH_DATA", str(folder / "missing"))
    with pytest.raises(InputError, match="not a folder"):
        gsm8k()


def test_sizes_out_of_range_are_refused(folder: Path) -> None:
    """More problems than there are, or none, is an error rather than a shorter set."""
    write(folder, [row(number) for number in range(510)])
    assert len(gsm8k(size=10)) == 10
    for size in (0, 11):
        with pytest.raises(InputError, match="10 problems"):
            gsm8k(size=size)


def test_test_split_opens_in_evals_alone(folder: Path) -> None:
    """`gsm8k` refuses the test split; `held_out` reads its file."""
    write(folder, [row(number) for number in range(510)])
    write(folder, [row(number) for number in range(600, 605)], "test.jsonl")
    with pytest.raises(InputError, match=r"rlpath\.evals"):
        gsm8k("test")  # type: ignore[arg-type]
    assert sorted(p.gold for p in gsm8k_test().problems) == ["600", "601", "602", "603", "604"]
    assert held_out("gsm8k", split="test", size=2).split == "test"
    assert held_out("gsm8k").split == "validation"
    with pytest.raises(InputError, match="no test split"):
        held_out("arithmetic:add-1", split="test")


def test_no_other_room_names_the_test_file() -> None:
    """Outside evals/ no module reads the test split, from file or hub."""
    root = Path(__file__).parents[2]
    rooms = [root / room for room in ("rlpath", "rlpath/posttrain", "envs", "rewards", "recipes")]
    found = [
        path.name
        for room in rooms
        for path in room.glob("*.py")
        if re.search(r"test\.jsonl|from_hub\(\s*[\"']test|split=[\"']test[\"']", path.read_text(encoding="utf-8"))
    ]
    assert found == []


@needs_data
def test_every_published_solution_verifies() -> None:
    """All 7,473 training and 1,319 test solutions are judged correct against their own gold."""
    sets = [gsm8k("train"), gsm8k("validation"), gsm8k_test()]
    assert [len(s) for s in sets] == [6973, 500, 1319]
    wrong = [p.id for s in sets for p in s.problems if not s.verifier(p.meta["solution"], p.gold).correct]
    assert wrong == []


@needs_data
def test_no_test_question_is_in_training() -> None:
    """No question of the test split stands in the training file."""
    train = {p.meta["question"] for split in ("train", "validation") for p in gsm8k(split).problems}
    assert train.isdisjoint(p.meta["question"] for p in gsm8k_test().problems)


@pytest.mark.parametrize("bad", [{"question": "Q?", "answer": None}, {"question": "Q?"}, {"answer": "#### 1"}])
def test_a_row_without_an_answer_is_refused(bad: dict[str, str]) -> None:
    """Rows that do not come from a file, and were not checked there, name their line too."""
    with pytest.raises(InputError, match="line 2: the question or the answer is missing"):
        gsm8k_problems([{"question": "R?", "answer": "#### 1"}, bad], "here", "x")
