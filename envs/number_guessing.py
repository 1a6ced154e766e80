"""Guess a number from "higher" and "lower": a game of several turns whose optimal policy is known.

Bisection finds any of n numbers with ⌊log2 n⌋ + 1 guesses, and no policy needs fewer in the worst case. So many guesses
there are, and the reward of a perfect player is exactly 1.
"""

from __future__ import annotations

import random
import re

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.envs.turns.by_hand import Call
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.problems import environment_problems

_RANGE = re.compile(r"from (\d+) to (\d+)")


class NumberGuessing:
    """Reward 1 for finding the number within the guesses that bisection needs, else 0."""

    def __init__(self) -> None:
        self.secret, self.left, self.found = 0, 0, False

    @property
    def done(self) -> bool:
        """Whether the number was found or no guess is left."""
        return self.found or self.left == 0

    def reset(self, low: int, high: int, secret: int, **row: object) -> str:
        """A new number from `low` to `high`."""
        self.secret, self.left, self.found = secret, guesses_needed(high - low + 1), False
        return (
            f"I think of a whole number from {low} to {high}. Find it with the tool guess. You have {self.left} "
            "guesses, and after each one you are told whether my number is higher or lower."
        )

    def guess(self, number: int) -> str:
        """Guess the number.

        Args:
            number: your guess
        """
        if self.done:
            return "the game is over"
        if type(number) is not int:
            raise TypeError("number must be a whole number")
        self.left -= 1
        self.found = number == self.secret
        return "found" if self.found else "higher" if self.secret > number else "lower"

    def get_reward(self) -> float:
        """1 where the number was found, else 0."""
        return float(self.found)


def guesses_needed(numbers: int) -> int:
    """Guesses with which bisection finds any of so many numbers."""
    return numbers.bit_length()


def bisect(question: str, answers: list[str]) -> Call:
    """The optimal policy: the middle of what is left."""
    match = _RANGE.search(question)
    assert match is not None
    low, high = int(match[1]), int(match[2])
    for answer in answers:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if answer == "higher" else (low, middle - 1)
    return Call("guess", number=(low + high) // 2)


def number_guessing(
    split: Side = "train", *, numbers: int = 15, size: int = 500, seed: int = 0, held_out_fraction: float = 0.25
) -> ProblemSet:
    """`size` games over ranges of `numbers` numbers; a range belongs to one side, so that held-out questions are new.

    Raises InputError where there are fewer games than asked for, or a range of one number.
    """
    check_split(split, held_out_fraction)
    if numbers < 2:
        raise InputError(f"a range of {numbers} numbers leaves nothing to guess: take at least 2")
    starts = [low for low in range(1, 1000) if side_of(f"number-guessing/{low}/{numbers}", held_out_fraction) == split]
    games = [(low, secret) for low in starts for secret in range(low, low + numbers)]
    if not 1 <= size <= len(games):
        raise InputError(f"there are {len(games)} {split} games of {numbers} numbers: {size} were asked for")
    drawn = random.Random(f"{seed}/{split}/{numbers}").sample(games, size)
    rows = [
        {"id": f"{low}-{low + numbers - 1}-{secret}", "low": low, "high": low + numbers - 1, "secret": secret}
        for low, secret in drawn
    ]
    limits = Limits(turns=guesses_needed(numbers) + 1)
    return environment_problems(f"number-guessing:{numbers}", NumberGuessing, rows, split=split, limits=limits)
