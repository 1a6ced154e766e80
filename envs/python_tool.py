"""Questions that a short program answers: the model writes Python, reads what it printed, and answers.

Programs run in the sandbox of `rlpath.rewards`: no network, no files of yours, and limits on time and memory. The
questions are generated and too long to do in one's head: counts and sums over a range of numbers.
"""

from __future__ import annotations

import random

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.number_question import NumberQuestion
from rlpath.envs.programs import LIMITS, check_sandbox, run_program
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.envs.turns.calls import EpisodeLimits
from rlpath.envs.turns.problems import environment_problems

KINDS = ("multiples", "digits", "squares")


class PythonTool(NumberQuestion):
    """A question for a program. Programs keep nothing from one run to the next."""

    instruction = "Write a Python program that prints it, run it with the tool run, then call the tool answer."
    limits = LIMITS

    def __init__(self) -> None:
        check_sandbox()
        super().__init__()

    def run(self, program: str) -> str:
        """Run a Python program and read what it prints.

        Args:
            program: the whole program; it must print what is to be seen
        """
        return run_program(str(program), limits=self.limits).told


def python_questions(
    split: Side = "train",
    *,
    size: int = 200,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    limits: EpisodeLimits | None = None,
) -> ProblemSet:
    """`size` distinct questions of one side, drawn by `seed`. Raises InputError where there are not so many."""
    check_split(split, held_out_fraction)
    rng = random.Random(f"{seed}/{split}/python")
    rows: dict[str, dict[str, str]] = {}
    for _ in range(100 * size):
        kind, high, base = rng.choice(KINDS), rng.randint(200, 2000), rng.randint(3, 19)
        id = f"{kind}-{high}-{base}"
        if len(rows) < size and side_of(f"python/{id}", held_out_fraction) == split:
            rows[id] = {"id": id, **_question(kind, high, base)}
    if not 1 <= size <= len(rows):
        raise InputError(f"{len(rows)} {split} questions for Python were found, asked for {size}")
    return environment_problems("python", PythonTool, list(rows.values()), split=split, limits=limits)


def _question(kind: str, high: int, base: int) -> dict[str, str]:
    numbers = range(1, high + 1)
    if kind == "multiples":
        text = f"What is the sum of all whole numbers from 1 to {high} that are multiples of {base}?"
        gold = sum(n for n in numbers if n % base == 0)
    elif kind == "digits":
        text = f"How many whole numbers from 1 to {high} have digits that add up to {base}?"
        gold = sum(sum(map(int, str(n))) == base for n in numbers)
    else:
        text = f"How many whole numbers n from 1 to {high} leave the remainder 1 when n * n is divided by {base}?"
        gold = sum(n * n % base == 1 for n in numbers)
    return {"question": text, "gold": str(gold)}
