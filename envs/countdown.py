"""Countdown: reach a target with given numbers, each used once. Generated, with a known solution for each problem.

The task of the television game, as in TinyZero and reasoning-gym. A problem is drawn by combining its numbers two by
two, so it has a solution, and every intermediate result is a whole number above 0. The side of a problem (train or
validation) is decided by its numbers alone: no set of numbers that was trained on is asked in the evaluation, with any
target.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from fractions import Fraction

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.rewards.verifiers.countdown import CountdownVerifier

PROMPT = (
    "Using the numbers {numbers}, each exactly once, write an expression that equals {target}. "
    "You may use + - * / and brackets. Think first, then give the expression alone between <answer> and </answer>."
)
LARGEST_TARGET = 999


def countdown(
    split: Side = "train",
    *,
    count: int = 3,
    largest: int = 20,
    size: int = 1000,
    seed: int = 0,
    held_out_fraction: float = 0.25,
) -> ProblemSet:
    """`size` distinct problems of one side, drawn by `seed`, of `count` numbers from 1 to `largest`.

    Raises InputError for counts outside 2 to 6, `largest` outside 2 to 100, or more problems than there are.
    """
    check_split(split, held_out_fraction)
    if not 2 <= count <= 6 or not 2 <= largest <= 100 or size < 1:
        raise InputError(
            f"countdown takes 2 to 6 numbers of at most 2 to 100, and a size of at least 1, not {count}, {largest} "
            f"and {size}"
        )
    rng = random.Random(f"{seed}/{split}/countdown/{count}/{largest}")
    found: dict[str, Problem] = {}
    for _ in range(100 * size):
        if len(found) == size:
            break
        numbers = sorted(rng.randint(1, largest) for _ in range(count))
        if side_of(f"countdown/{','.join(map(str, numbers))}", held_out_fraction) != split:
            continue
        drawn = _combine(numbers, rng)
        if drawn and drawn[0] not in numbers and drawn[0] <= LARGEST_TARGET:
            problem = _problem(numbers, *drawn, rng)
            found.setdefault(problem.id, problem)
    if len(found) < size:
        raise InputError(f"{len(found)} {split} problems of countdown were found, asked for {size}: ask for fewer")
    return ProblemSet(f"countdown:{count}", split, tuple(found.values()), CountdownVerifier(), "procedural")


def _combine(numbers: list[int], rng: random.Random) -> tuple[int, str] | None:
    """Combine the numbers two by two at random: the result and the expression; None where a step is not allowed."""
    left = [(number, str(number)) for number in numbers]
    while len(left) > 1:
        rng.shuffle(left)
        (a, text_a), (b, text_b) = left.pop(), left.pop()
        sign = rng.choice("+-*/")
        if (sign == "-" and a <= b) or (sign == "/" and a % b):
            return None
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[sign]
        left.append((value, f"({text_a} {sign} {text_b})"))
    return left[0][0], left[0][1][1:-1]


def _problem(numbers: list[int], target: int, solution: str, rng: random.Random) -> Problem:
    shown = rng.sample(numbers, len(numbers))
    prompt = PROMPT.format(numbers=", ".join(map(str, shown)), target=target)
    gold = json.dumps({"numbers": numbers, "target": target})
    answer = f"<answer>{solution}</answer>"
    meta = {"numbers": tuple(numbers), "target": target, "solution": solution, "reference": answer}
    return Problem(f"{','.join(map(str, numbers))}={target}", prompt, gold, meta)


def solve(numbers: list[int], target: int) -> str | None:
    """An expression that reaches `target` with each number once, by trying all; None where there is none."""
    return next(_solutions([(Fraction(number), str(number)) for number in numbers], target), None)


def _solutions(left: list[tuple[Fraction, str]], target: int) -> Iterator[str]:
    if len(left) == 1:
        if left[0][0] == target:
            yield left[0][1]
        return
    for i, (a, text_a) in enumerate(left):
        for j, (b, text_b) in enumerate(left):
            if i == j:
                continue
            rest = [pair for k, pair in enumerate(left) if k not in (i, j)]
            results = {"-": a - b} | ({"+": a + b, "*": a * b} if i < j else {}) | ({"/": a / b} if b else {})
            for sign, value in results.items():
                yield from _solutions([*rest, (value, f"({text_a} {sign} {text_b})")], target)
