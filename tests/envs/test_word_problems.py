"""Generated word problems: the solutions are right, the sides share no numbers."""

from __future__ import annotations

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.envs.demonstrations import worked_solutions
from rlpath.envs.load import problem_set
from rlpath.envs.word_problems import LEVELS, steps, word_problems


def test_steps_by_hand() -> None:
    """3 bags of 4 and 5 more: 3 * 4 = 12, 12 + 5 = 17."""
    assert steps("*+", (3, 4, 5)) == [(3, "*", 4, 12), (12, "+", 5, 17)]


@pytest.mark.parametrize("level", LEVELS)
def test_solutions_are_judged_correct(level: str) -> None:
    """Every worked solution passes the verifier; every number of the story stands in the question."""
    problems = word_problems("train", level, size=300)

    for problem in problems.problems:
        assert (
            problems.verifier(problem.meta["solution"], problem.gold, question=problem.prompt).status is Status.CORRECT
        )
        assert int(problem.gold) > 0
        assert all(str(number) in problem.meta["question"] for number in problem.meta["numbers"])
    assert len({problem.id for problem in problems.problems}) == len({p.prompt for p in problems.problems}) == 300


def test_sides_share_no_combination_of_numbers() -> None:
    """Neither in the same story nor in another with the same operations."""
    sides = [word_problems(side, size=800) for side in ("train", "validation")]
    keys = [{(p.meta["operations"], tuple(sorted(p.meta["numbers"]))) for p in side.problems} for side in sides]

    assert not keys[0] & keys[1]
    assert word_problems("train", size=50, seed=3).problems == word_problems("train", size=50, seed=3).problems
    assert problem_set("word-problems:one-step", "train", size=5).name == "word-problems:one-step"


def test_what_does_not_exist_is_refused() -> None:
    """An unknown level; more problems than there are."""
    with pytest.raises(InputError, match="'three-step' are none of one-step"):
        word_problems("train", "three-step")
    with pytest.raises(InputError, match="asked for 0"):
        word_problems("train", size=0)


def test_worked_solutions_are_demonstrations() -> None:
    """The solution where there is one, the bare answer of a sum."""
    (story,) = worked_solutions(problem_set("word-problems:one-step", "train", size=1)).examples
    assert "####" in story.completion
    (total,) = worked_solutions(problem_set("arithmetic:add-1", "train", size=1)).examples
    assert total.completion.isdigit()
