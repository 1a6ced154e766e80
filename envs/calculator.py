"""Word problems with a calculator: the sums are a tool's, and what is to be learned is which ones to ask for.

The problems are those of `word_problems`, with the same training and held-out sides, so that accuracy with the tool can
be compared with accuracy without it.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rlpath.core.types import ProblemSet
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.problems import environment_problems
from rlpath.envs.word_problems import word_problems
from rlpath.rewards.verifiers.countdown import LONGEST, MOST_BRACKETS, SIGNS, Reader, UnreadableExpression, tokens

INSTRUCTION = "Use the tool calculate for every sum, then call the tool answer with the final number."
NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?")


class Calculator:
    """A question whose answer is a number. Reward 1 for the right number in the first call of `answer`."""

    def __init__(self) -> None:
        self.gold, self.given, self.done = "", "", False

    def reset(self, question: str, gold: str, **row: object) -> str:
        """A new question."""
        self.gold, self.given, self.done = gold, "", False
        return f"{question}\n\n{INSTRUCTION}"

    def calculate(self, expression: str) -> str:
        """Compute an expression of whole numbers, + - * / and brackets.

        Args:
            expression: for example 3 * (4 + 5)
        """
        return in_figures(value_of(str(expression)))

    def answer(self, number: str) -> str:
        """Give the final answer. Only the first one counts.

        Args:
            number: the number alone
        """
        if not self.done:
            self.given, self.done = str(number).strip(), True
        return "thank you"

    def get_reward(self) -> float:
        """1 for the right number, else 0."""
        return float(is_number(self.given, self.gold))


def is_number(given: str, gold: str) -> bool:
    """Whether `given` is one number in figures, and the right one."""
    return NUMBER.fullmatch(given) is not None and Fraction(given) == Fraction(gold)


def value_of(expression: str) -> Fraction:
    """The exact value of an expression. Raises `UnreadableExpression` with what is wrong with it."""
    if len(expression) > LONGEST or expression.count("(") > MOST_BRACKETS:
        raise UnreadableExpression(f"at most {LONGEST} characters and {MOST_BRACKETS} brackets can be computed")
    reader = Reader(tokens(expression.translate(SIGNS)))
    value = reader.sum()
    if reader.tokens:
        raise UnreadableExpression(f"{reader.tokens[0]!r} is not expected there")
    return value


def in_figures(value: Fraction) -> str:
    """A whole number, or a decimal of at most six places."""
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6f}".rstrip("0")


def calculator(
    split: Side = "train",
    level: str = "mixed",
    *,
    size: int = 1000,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    limits: Limits | None = None,
) -> ProblemSet:
    """`size` of the word problems of one side, to be played. Raises InputError as `word_problems` does."""
    drawn = word_problems(split, level, size=size, seed=seed, held_out_fraction=held_out_fraction)
    rows = [{"id": p.id, "question": p.meta["question"], "gold": p.gold} for p in drawn.problems]
    return environment_problems(f"calculator:{level}", Calculator, rows, split=split, limits=limits)
