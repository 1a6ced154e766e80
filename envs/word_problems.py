"""Generated word problems in GSM8K's manner, of one or two steps with small whole numbers, with worked solutions.

GSM8K itself is out of reach of a model of 135 million weights; these are not, and nobody can have trained on them.
A solution says each step as "7 + 5 = 12" and ends with "#### 12". The side of a problem (train or validation) is
decided by its numbers: no combination of numbers that was trained on is asked in the evaluation, in any story.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.rewards.verifiers.number import NumberVerifier

PROMPT = "{question}\n\nThink step by step, then give the final answer as one number after ####."
NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jon", "Kira", "Leo")
THINGS = ("apples", "books", "cards", "coins", "eggs", "keys", "lamps", "marbles", "pens", "shells", "stamps", "toys")
LEVELS = ("one-step", "two-step", "mixed")


@dataclass(frozen=True, slots=True)
class StoryTemplate:
    """A story told of numbers `{a}`, `{b}`, `{c}`: which operations lead to its answer, one after the other."""

    text: str
    operations: str


ONE_STEP = (
    StoryTemplate("{name} has {a} {things} and finds {b} more. How many {things} does {name} have now?", "+"),
    StoryTemplate("There are {a} {things} on the table and {b} {things} in a box. How many {things} are there?", "+"),
    StoryTemplate("{name} bought {a} {things} on Monday and {b} on Tuesday. How many {things} did {name} buy?", "+"),
    StoryTemplate("{name} has {a} {things} and gives {b} to {other}. How many {things} does {name} have left?", "-"),
    StoryTemplate("A shop had {a} {things} and sold {b} of them. How many {things} are left in the shop?", "-"),
    StoryTemplate("{name} needs {a} {things} and has {b}. How many more {things} does {name} need?", "-"),
    StoryTemplate("There are {a} bags with {b} {things} in each. How many {things} are in the bags?", "*"),
    StoryTemplate("{name} packs {b} {things} into each of {a} boxes. How many {things} does {name} pack?", "*"),
)
TWO_STEP = (
    StoryTemplate("{name} has {a} {things}, finds {b} more and then gives {c} to {other}. How many are left?", "+-"),
    StoryTemplate(
        "A shop had {a} {things}, sold {b} and then got {c} new ones. How many {things} does it have now?", "-+"
    ),
    StoryTemplate(
        "{name} has {a} {things}. {other} has {b} more, and buys another {c}. How many has {other} now?", "++"
    ),
    StoryTemplate(
        "There are {a} bags with {b} {things} in each, and {c} {things} on the floor. How many are there?", "*+"
    ),
    StoryTemplate(
        "{name} fills {a} boxes with {b} {things} each and sells {c} of the {things}. How many are left?", "*-"
    ),
    StoryTemplate("{name} had {a} {things}, lost {b} and gave {c} to {other}. How many {things} are left?", "--"),
)


def word_problems(
    split: Side = "train", level: str = "mixed", *, size: int = 1000, seed: int = 0, held_out_fraction: float = 0.25
) -> ProblemSet:
    """`size` distinct problems of one side, drawn by `seed`; `level` is one-step, two-step or mixed.

    Raises InputError for an unknown level, or more problems than there are stories and numbers.
    """
    check_split(split, held_out_fraction)
    if level not in LEVELS:
        raise InputError(f"word problems of level {level!r} are none of {', '.join(LEVELS)}")
    stories = {"one-step": ONE_STEP, "two-step": TWO_STEP, "mixed": ONE_STEP + TWO_STEP}[level]
    rng = random.Random(f"{seed}/{split}/{level}")
    found: dict[str, Problem] = {}
    for _ in range(200 * size):
        if len(found) == size:
            break
        story = rng.choice(stories)
        numbers = _numbers(story.operations, rng)
        if numbers and side_of(_key(story.operations, numbers), held_out_fraction) == split:
            problem = _problem(story, numbers, rng)
            found.setdefault(problem.prompt, problem)
    if len(found) < size or size < 1:
        raise InputError(f"{len(found)} {split} word problems of level {level} were found, asked for {size}")
    name = f"word-problems:{level}"
    return ProblemSet(name, split, tuple(found.values()), NumberVerifier(), "procedural")


def _key(operations: str, numbers: tuple[int, ...]) -> str:
    return f"word-problems/{operations}/{','.join(map(str, sorted(numbers)))}"


def _numbers(operations: str, rng: random.Random) -> tuple[int, ...] | None:
    """One number more than operations; None where an intermediate result would be below 1."""
    first = rng.randint(2, 9) if operations[0] == "*" else rng.randint(2, 20)
    rest = tuple(rng.randint(2, 9 if operation == "*" else 20) for operation in operations)
    numbers = (first, *rest)
    return numbers if all(result > 0 for _, _, _, result in steps(operations, numbers)) else None


def steps(operations: str, numbers: tuple[int, ...]) -> list[tuple[int, str, int, int]]:
    """The steps from left to right: left operand, operation, right operand, result."""
    found, value = [], numbers[0]
    for operation, number in zip(operations, numbers[1:], strict=True):
        result = {"+": value + number, "-": value - number, "*": value * number}[operation]
        found.append((value, operation, number, result))
        value = result
    return found


def _problem(story: StoryTemplate, numbers: tuple[int, ...], rng: random.Random) -> Problem:
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    values = dict(zip("abc", numbers, strict=False))
    question = story.text.format(name=name, other=other, things=thing, **values)
    worked = steps(story.operations, numbers)
    gold = str(worked[-1][3])
    solution = "\n".join([*(f"{left} {op} {right} = {result}" for left, op, right, result in worked), f"#### {gold}"])
    meta = {"question": question, "solution": solution, "operations": story.operations, "numbers": numbers}
    number = (ONE_STEP + TWO_STEP).index(story)
    id = "/".join([str(number), name, other, thing, *map(str, numbers)])
    return Problem(id, PROMPT.format(question=question), gold, meta)
