"""Questions whose answer is a number, given by the tool `answer`: what environments with different tools share."""

from __future__ import annotations

import re
from fractions import Fraction

NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?")


class NumberQuestion:
    """A question whose answer is a number. Reward 1 for the right number in the first call of `answer`."""

    instruction = "Call the tool answer with the final number."

    def __init__(self) -> None:
        self.gold, self.given, self.done = "", "", False

    def reset(self, question: str, gold: str, **row: object) -> str:
        """A new question."""
        self.gold, self.given, self.done = gold, "", False
        return f"{question}\n\n{self.instruction}"

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
