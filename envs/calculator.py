"""Word problems with a calculator: the sums are a tool's, and what is to be learned is which ones to ask for.

The problems are those of `word_problems`, with the same training and held-out sides, so that accuracy with the tool can
be compared with accuracy without it.
"""

from __future__ import annotations

from fractions import Fraction

from rlpath.core.types import ProblemSet
from rlpath.envs.number_question import NumberQuestion
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import EpisodeLimits
from rlpath.envs.turns.problems import environment_problems
from rlpath.envs.word_problems import word_problems
from rlpath.rewards.verifiers.countdown import LONGEST, MOST_BRACKETS, SIGNS, Reader, UnreadableExpression, tokens


class Calculator(NumberQuestion):
    """A question whose sums a tool computes."""

    instruction = "Use the tool calculate for every sum, then call the tool answer with the final number."

    def calculate(self, expression: str) -> str:
        """Compute an expression of whole numbers, + - * / and brackets.

        Args:
            expression: for example 3 * (4 + 5)
        """
        return in_figures(value_of(str(expression)))


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
    limits: EpisodeLimits | None = None,
) -> ProblemSet:
    """`size` of the word problems of one side, to be played. Raises InputError as `word_problems` does."""
    drawn = word_problems(split, level, size=size, seed=seed, held_out_fraction=held_out_fraction)
    rows = [{"id": p.id, "question": p.meta["question"], "gold": p.gold} for p in drawn.problems]
    return environment_problems(f"calculator:{level}", Calculator, rows, split=split, limits=limits)
