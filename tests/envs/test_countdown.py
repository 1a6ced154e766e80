"""Countdown: problems that can be solved, sides that share no numbers, and answers that only look right."""

from __future__ import annotations

import json
import time

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.envs.countdown import countdown, solve
from rlpath.envs.load import problem_set
from rlpath.rewards import CountdownVerifier, validate

GOLD = json.dumps({"numbers": [3, 5, 7, 7], "target": 38})
verify = CountdownVerifier()


def test_every_problem_has_its_solution_and_the_solver_finds_one() -> None:
    """The solution a problem was made from, and the one found by trying all, earn the full reward on both sides."""
    for split in ("train", "validation"):
        problems = countdown(split, size=40, count=4, seed=1)
        assert validate(problems) == ()
        for problem in problems.problems[:10]:
            found = solve(list(problem.meta["numbers"]), problem.meta["target"])
            assert problems.verifier(f"<think>so</think><answer>{found}</answer>", problem.gold).score == 1.0
    assert solve([1, 1], 7) is None


def test_a_seed_fixes_the_problems_and_sides_share_no_numbers() -> None:
    """The same seed gives the same problems, another seed others; no set of numbers is on both sides."""
    first, again, other = (countdown(size=300, seed=seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    held = countdown("validation", size=300, seed=5)
    assert {p.meta["numbers"] for p in held.problems}.isdisjoint(
        p.meta["numbers"] for each in (first, other) for p in each.problems
    )
    assert len({p.id for p in first.problems}) == 300
    assert problem_set("countdown:4", "train", size=5).name == "countdown:4"


@pytest.mark.parametrize("answer", ["3 + 5 * 7", "(3 + 5) * 7 - 7 * 3", "7 / 0", "3 + 5 + 7 + 7"])
def test_expressions_that_miss_are_wrong(answer: str) -> None:
    """A number left out, used twice, another value, a division by zero."""
    assert verify(f"<answer>{answer}</answer>", GOLD).status is Status.WRONG


ATTACKS = {
    "the target itself": "38",
    "the target with a no-op": "38 + 0",
    "digits joined": "35 + 7 - 7 + 3",
    "a number from outside": "7 * 7 - 5 - 3 - 3",
    "a power": "7 ** 3",
    "a call": "abs(38)",
    "an import": "__import__('os').system('true')",
    "a comparison that holds": "38 == 38",
    "two expressions": "5 * 7 + 3, 38",
    "an equation in between": "5 * 7 = 35 = 35",
    "a decimal": "3.8 * 10",
    "an empty answer": " ",
    "a sign in front": "-3",
    "a bracket left open": "(3 + 5 * 7",
    "brackets alone": "(" * 190,
    "deep brackets": "(" * 95 + "3" + ")" * 95,
    "a flood of digits": "9" * 100_000,
    "full-width digits": "３８",
    "words": "thirty-eight",
    "an equals sign and another number": "3 + 5 + 7 + 7 = 38",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name: str) -> None:
    """What only looks like a solution earns nothing and takes no time."""
    start = time.monotonic()
    assert verify(f"<answer>{ATTACKS[name]}</answer>", GOLD).status is Status.WRONG
    assert time.monotonic() - start < 1


def test_one_answer_behind_the_thinking() -> None:
    """Guesses in thought do not count, two answers are none, and a copy of the question is none."""
    gold = json.dumps({"numbers": [3, 5, 7], "target": 38})
    right = "<answer>3 + 5 * 7</answer>"
    assert verify(right, gold).correct
    assert verify("<answer> [3] + 5 × 7 = 38 </answer>", gold).correct
    assert verify(f"<think>{right}</think>", gold).status is Status.NO_ANSWER
    assert verify(f"<think><answer>9</answer></think>{right}", gold).correct
    assert verify(f"{right}<answer>3</answer>", gold).status is Status.WRONG
    assert verify(f"{right}{right}", gold).status is Status.WRONG
    problem = countdown(size=1).problems[0]
    assert verify(problem.prompt, problem.gold).status is Status.WRONG
    assert verify("<answer>3 + 5", gold, truncated=True).status is Status.TRUNCATED
    assert verify("<answer>3 + 5 * 7</answer>", gold, truncated=True).correct
    assert CountdownVerifier(use_all=False)("<answer>5 + 3</answer>", '{"numbers": [3, 5, 7], "target": 8}').correct


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "38",
        "null",
        "[]",
        '{"numbers": [], "target": 3}',
        '{"numbers": [1.5], "target": 3}',
        '{"numbers": [1], "target": true}',
        '{"numbers": [1]}',
    ],
)
def test_a_gold_that_names_no_problem_is_undecided(gold: str) -> None:
    """Nothing is right for a problem that nobody can read."""
    assert verify("<answer>1</answer>", gold).status is Status.UNDECIDED


@pytest.mark.parametrize(("settings", "message"), [
    ({"count": 1}, "2 to 6"), ({"count": 7}, "2 to 6"), ({"largest": 1}, "2 to 100"), ({"size": 0}, "at least 1"),
    ({"count": 2, "largest": 2, "size": 50}, "ask for fewer"),
])  # fmt: skip
def test_bad_settings_are_told(settings: dict[str, int], message: str) -> None:
    """Counts and sizes that make no problem set are refused."""
    with pytest.raises(InputError, match=message):
        countdown(**settings)
