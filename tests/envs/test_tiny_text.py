"""The text of the tiny model: sums worked out rightly, and nothing in it that is held out."""

from __future__ import annotations

import re

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.envs.arithmetic import arithmetic
from rlpath.envs.tiny_text import held_out_sums, tiny_text, worked_sums, working


def test_nothing_held_out_is_in_the_text() -> None:
    """No sum of the validation side stands in any document, in any form; a planted one is found in every form."""
    documents, counts = tiny_text("add-2", 1000, 500)
    text = " ".join(documents)
    held_out = arithmetic("validation", "add-2").problems
    assert counts["sums"] == 1000 and 250 < counts["word problems"] <= 500
    for problem in held_out:
        a, b = problem.meta["operands"]
        assert not any(f" {x} {sign} {y} " in text for x, y in ((a, b), (b, a)) for sign in ("+", "plus"))
    assert held_out_sums(documents, held_out) == []
    a, b = held_out[0].meta["operands"]
    planted = [
        f"1 + 2 = 3. {a} + {b} = {a + b}.",
        f"{b} plus {a} is {a + b}.",
        f"What is {a} + {b}? 1",
        f"{a} - {b}: 0.",
    ]
    assert held_out_sums([*planted, f"{a} apples and {b} pears"], held_out) == planted


def test_the_text_follows_from_the_seed() -> None:
    """The same seed gives the same documents, another one others."""
    assert tiny_text("add-1x2", 20, 5, seed=1) == tiny_text("add-1x2", 20, 5, seed=1)
    assert tiny_text("add-1x2", 20, 5, seed=1)[0] != tiny_text("add-1x2", 20, 5, seed=2)[0]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (48, 7, "8 + 7 = 15, 4 + 1 = 5. #### 55"),
        (7, 48, "7 + 8 = 15, 4 + 1 = 5. #### 55"),
        (95, 7, "5 + 7 = 12, 9 + 1 = 10. #### 102"),
        (40, 3, "0 + 3 = 3, 4 + 0 = 4. #### 43"),
        (99, 99, "9 + 9 = 18, 9 + 9 + 1 = 19. #### 198"),
        (3, 4, "3 + 4 = 7. #### 7"),
    ],
)
def test_a_sum_is_worked_out_by_columns(a: int, b: int, said: str) -> None:
    """As by hand."""
    assert working(a, b) == said


def test_every_step_of_a_working_is_right_and_its_end_is_verified() -> None:
    """Each equation holds, and the verifier reads the sum."""
    found = worked_sums("validation", "add-2", size=60)
    for problem in found.problems:
        solution = problem.meta["solution"]
        for terms, result in re.findall(r"([\d+ ]+) = (\d+)", solution):
            assert sum(map(int, terms.split(" + "))) == int(result)
        assert found.verifier(solution, problem.gold).status is Status.CORRECT


def test_a_level_with_other_operations_is_refused() -> None:
    """Only sums are worked out."""
    with pytest.raises(InputError, match="more than sums"):
        worked_sums("train", "all-1")
