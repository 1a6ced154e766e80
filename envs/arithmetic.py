"""Arithmetic in words: "What is 3 + 4?", from one-digit addition upwards, with held-out problems truly unseen.

A problem's side (train or validation) is decided by its unordered pair of operands, so 3 + 4, 4 + 3 and 4 - 3 are
always together, and no pair that was trained on is asked in the evaluation, at any difficulty.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.rewards.verifiers.number import NumberVerifier

Operation = Literal["+", "-", "*"]
PROMPT = "What is {a} {operation} {b}? Answer with the number only."
LARGEST_ENUMERATED = 200_000


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Which problems exist: operations, and the inclusive ranges of the two operands (in either order).

    A difference is asked with the larger operand first, so that no answer is negative, unless `negative` is set.
    """

    operations: tuple[Operation, ...] = ("+",)
    first: tuple[int, int] = (0, 9)
    second: tuple[int, int] = (0, 9)
    negative: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.operations) - {"+", "-", "*"}
        if unknown or not self.operations:
            raise InputError(f"operations {self.operations} must be some of +, - and *")
        for name, (low, high) in (("first", self.first), ("second", self.second)):
            if not 0 <= low <= high:
                raise InputError(f"the range {name} = ({low}, {high}) must hold 0 <= low <= high")


LEVELS: dict[str, Difficulty] = {
    "add-1": Difficulty(),
    "add-1x2": Difficulty(second=(10, 99)),
    "add-2": Difficulty(first=(10, 99), second=(10, 99)),
    "add-3": Difficulty(first=(100, 999), second=(100, 999)),
    "add-sub-1": Difficulty(("+", "-")),
    "add-sub-2": Difficulty(("+", "-"), (0, 99), (0, 99)),
    "mul-1": Difficulty(("*",), (2, 9), (2, 9)),
    "mul-1x2": Difficulty(("*",), (2, 9), (10, 99)),
    "all-1": Difficulty(("+", "-", "*")),
    "all-2": Difficulty(("+", "-", "*"), (0, 99), (0, 99)),
}


def arithmetic(
    split: Side = "train",
    level: str | Difficulty = "add-1",
    *,
    size: int | None = None,
    seed: int = 0,
    held_out_fraction: float = 0.25,
) -> ProblemSet:
    """`size` distinct problems of one side in an order fixed by `seed`; without `size`, every problem there is.

    The side of a problem depends on its operands and `held_out_fraction` alone, never on `seed`.
    Raises InputError for an unknown level, or a size larger than the number of problems on that side.
    """
    check_split(split, held_out_fraction)
    difficulty = _difficulty(level)
    name = f"arithmetic:{level}" if isinstance(level, str) else "arithmetic"
    if size is not None and size < 1:
        raise InputError(f"size {size} must be at least 1")
    rng = random.Random(f"{seed}/{split}")
    if _count_pairs(difficulty) * len(difficulty.operations) <= LARGEST_ENUMERATED:
        problems = [p for p in _every(difficulty) if _side(p, held_out_fraction) == split]
        rng.shuffle(problems)
        if not problems or (size or 0) > len(problems):
            raise InputError(f"{name} has {len(problems)} {split} problems, fewer than {size or 1}: ask for fewer")
    elif size is None:
        raise InputError(f"{name} has too many problems to list: give a size")
    else:
        problems = _drawn(difficulty, split, held_out_fraction, size, rng)
    return ProblemSet(name, split, tuple(problems[:size]), NumberVerifier(), "procedural")


def _difficulty(level: str | Difficulty) -> Difficulty:
    if isinstance(level, Difficulty):
        return level
    if level not in LEVELS:
        raise InputError(f"arithmetic level {level!r} is not one of {', '.join(LEVELS)}")
    return LEVELS[level]


def _problem(operation: Operation, a: int, b: int) -> Problem:
    gold = {"+": a + b, "-": a - b, "*": a * b}[operation]
    prompt = PROMPT.format(a=a, operation=operation, b=b)
    return Problem(f"{a}{operation}{b}", prompt, str(gold), {"operands": (a, b), "operation": operation})


def _side(problem: Problem, held_out_fraction: float) -> Side:
    low, high = sorted(problem.meta["operands"])
    return side_of(f"arithmetic/{low},{high}", held_out_fraction)


def _count_pairs(difficulty: Difficulty) -> int:
    (a, b), (c, d) = difficulty.first, difficulty.second
    return 2 * (b - a + 1) * (d - c + 1)


def _asked(difficulty: Difficulty, operation: Operation, a: int, b: int) -> bool:
    return operation != "-" or difficulty.negative or a >= b


def _every(difficulty: Difficulty) -> Iterator[Problem]:
    """Every problem once, both orders of the operands."""
    firsts, seconds = (range(low, high + 1) for low, high in (difficulty.first, difficulty.second))
    pairs = sorted({pair for a in firsts for b in seconds for pair in ((a, b), (b, a))})
    for operation in difficulty.operations:
        for a, b in pairs:
            if _asked(difficulty, operation, a, b):
                yield _problem(operation, a, b)


def _drawn(difficulty: Difficulty, split: Side, fraction: float, size: int, rng: random.Random) -> list[Problem]:
    """`size` distinct problems of a space too large to list, drawn one by one."""
    found: dict[str, Problem] = {}
    for _ in range(int(50 * size / min(fraction, 1.0 - fraction))):
        a, b = rng.randint(*difficulty.first), rng.randint(*difficulty.second)
        a, b = (a, b) if rng.random() < 0.5 else (b, a)
        operation = rng.choice(difficulty.operations)
        if not _asked(difficulty, operation, a, b):
            a, b = b, a
        problem = _problem(operation, a, b)
        if _side(problem, fraction) == split:
            found.setdefault(problem.id, problem)
        if len(found) == size:
            return list(found.values())
    raise InputError(f"only {len(found)} {split} problems found where {size} were asked for: ask for fewer")
