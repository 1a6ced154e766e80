"""Arithmetic problems: right answers, fixed by the seed, and sides that share no pair of operands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rlpath.core.errors import InputError
from rlpath.envs.arithmetic import LEVELS, Difficulty, arithmetic
from rlpath.envs.load import problem_set


def pairs(problems):
    return {tuple(sorted(problem.meta["operands"])) for problem in problems.problems}


def test_prompt_and_gold_are_word_for_word() -> None:
    """The prompt is the documented sentence and gold is the sum."""
    every = [p for split in ("train", "validation") for p in arithmetic(split).problems]
    three_plus_four = next(p for p in every if p.id == "3+4")
    assert three_plus_four.prompt == "What is 3 + 4? Answer with the number only."
    assert three_plus_four.gold == "7"
    assert len(every) == len({p.id for p in every}) == 100


@pytest.mark.parametrize("level", [name for name in LEVELS if name != "add-3"])
@pytest.mark.parametrize("seed", [0, 5])
def test_no_pair_is_on_both_sides(level: str, seed: int) -> None:
    """Training and held-out problems share no unordered pair of operands, whatever the seeds."""
    train = arithmetic("train", level, seed=seed)
    held_out = arithmetic("validation", level, seed=seed + 1)
    assert pairs(train).isdisjoint(pairs(held_out))
    assert len(held_out) > 0
    share = len(held_out) / (len(train) + len(held_out))
    assert 0.05 < share < 0.45


def test_sides_hold_across_difficulty_settings() -> None:
    """A pair held out in a harder setting is not trained on in an easier one."""
    assert pairs(arithmetic("train", "add-1")).isdisjoint(pairs(arithmetic("validation", "add-sub-2")))
    assert pairs(arithmetic("train", "mul-1")).isdisjoint(pairs(arithmetic("validation", "all-1")))


def test_every_answer_is_right_and_no_difference_negative() -> None:
    """Gold answers equal the computed value, and differences ask for the larger operand first."""
    for problem in arithmetic("train", "all-2").problems:
        a, b = problem.meta["operands"]
        value = {"+": a + b, "-": a - b, "*": a * b}[problem.meta["operation"]]
        assert problem.gold == str(value)
        assert value >= 0


def test_large_spaces_are_drawn_not_listed() -> None:
    """Three-digit addition gives distinct problems of the right side without listing 810,000."""
    train = arithmetic("train", "add-3", size=300)
    held_out = arithmetic("validation", "add-3", size=300)
    assert len({p.id for p in train.problems}) == len({p.id for p in held_out.problems}) == 300
    assert pairs(train).isdisjoint(pairs(held_out))


def test_same_seed_same_problems_in_another_process() -> None:
    """The set's hash is the same in a process with another hash seed, and differs for another seed."""
    code = "from rlpath.envs.arithmetic import arithmetic; print(arithmetic('train', 'add-2', size=50, seed=3).sha256)"
    out = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "77", "PYTHONPATH": "."},
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert out.stdout.strip() == arithmetic("train", "add-2", size=50, seed=3).sha256
    assert out.stdout.strip() != arithmetic("train", "add-2", size=50, seed=4).sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "add-9"}, "'add-9' is not one of add-1"),
        ({"size": 0}, "size 0"),
        ({"size": 101}, "train problems, fewer than 101"),
        ({"split": "test"}, "rlpath.evals"),
        ({"held_out_fraction": 1.0}, "held_out_fraction 1.0"),
        ({"level": "add-3"}, "give a size"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    """Each bad argument gives one sentence naming it."""
    with pytest.raises(InputError, match=message):
        arithmetic(**arguments)


def test_a_drawn_set_that_cannot_be_filled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing gives up with the number of problems found, where the space holds fewer than asked for."""
    monkeypatch.setattr("rlpath.envs.arithmetic.LARGEST_ENUMERATED", 10)
    assert len({p.id for p in arithmetic("train", size=60).problems}) == 60
    with pytest.raises(InputError, match="train problems found where 101"):
        arithmetic("train", size=101)


@pytest.mark.parametrize("fields", [{"operations": ()}, {"operations": ("/",)}, {"first": (9, 0)}, {"second": (-1, 3)}])
def test_impossible_difficulties_are_refused(fields: dict) -> None:
    """A difficulty without operations or with an empty or negative range cannot be made."""
    with pytest.raises(InputError):
        Difficulty(**fields)


def test_sets_are_found_by_name() -> None:
    """`problem_set` gives the same set as the function, and refuses a name it does not know."""
    assert problem_set("arithmetic:add-2", "train", size=9).sha256 == arithmetic("train", "add-2", size=9).sha256
    with pytest.raises(InputError, match="no problem set"):
        problem_set("algebra", "train")
