"""`CountdownVerifier`: does an expression reach a target with the numbers given, each used once?

The expression is read by a small grammar of its own (whole numbers, + - * /, brackets) and computed in exact fractions;
nothing a model wrote is ever evaluated by Python. The gold answer is JSON:

    >>> gold = '{"numbers": [3, 5, 7], "target": 26}'
    >>> verify = CountdownVerifier()
    >>> verify("<answer>3 * 7 + 5</answer>", gold).status.value
    'correct'
    >>> verify("<answer>26</answer>", gold).reason
    '26 is not one of the numbers'
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded

TOKEN = re.compile(r"\s*(?:(\d+)|([-+*/()]))")
LONGEST = 200  # characters of an expression
MOST_BRACKETS = 20
SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"})


class UnreadableExpression(Exception):
    """The answer is no expression of whole numbers; the message says why."""


@dataclass(frozen=True)
class CountdownVerifier:
    """Accepts one expression between the only <answer> tags, optionally followed by `= target`.

    Every number of the gold must be used at most once and no other may be; with `use_all`, each exactly once.
    """

    use_all: bool = True
    structured_gold: ClassVar = True

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        wanted = read_gold(gold)
        if wanted is None:
            return Verdict.of(Status.UNDECIDED, reason="the gold is not an object of numbers and a target")
        numbers, target = wanted
        answers = answers_in(completion.rpartition("</think>")[2])
        if not answers:
            status = Status.TRUNCATED if truncated else Status.NO_ANSWER
            return Verdict.of(status, reason="there is no <answer>…</answer> behind the thinking")
        if len(answers) > 1:
            return Verdict.of(Status.WRONG, answers[-1][:LONGEST], "there is more than one answer")
        try:
            value, used = read_expression(answers[0], target)
        except UnreadableExpression as problem:
            return Verdict.of(Status.WRONG, answers[0][:LONGEST], str(problem))
        status, reason = self._compare(value, used, Counter(numbers), target)
        return Verdict.of(status, answers[0].strip(), reason)

    def _compare(self, value: Fraction, used: Counter[int], given: Counter[int], target: int) -> tuple[Status, str]:
        for number in sorted(used):
            if used[number] > given[number]:
                problem = "is used too often" if number in given else "is not one of the numbers"
                return Status.WRONG, f"{number} {problem}"
        if self.use_all and used != given:
            return Status.WRONG, f"{min(given - used)} is not used"
        if value != target:
            return Status.WRONG, f"it is {value}, not {target}"
        return Status.CORRECT, "reached"


def answers_in(text: str) -> list[str]:
    """What stands between each <answer> and the next </answer>; a pattern would be quadratic in tags left open."""
    found, position = [], 0
    while (start := text.find("<answer>", position)) >= 0 and (end := text.find("</answer>", start)) >= 0:
        found.append(text[start + len("<answer>") : end])
        position = end
    return found


def read_gold(gold: str) -> tuple[list[int], int] | None:
    """Numbers and target of a gold answer, None where it has none."""
    try:
        row = json.loads(gold)
    except (ValueError, RecursionError):
        return None
    numbers, target = (row.get("numbers"), row.get("target")) if isinstance(row, dict) else (None, None)
    if not isinstance(numbers, list) or not numbers or not all(type(n) is int and n > 0 for n in (*numbers, target)):
        return None
    return numbers, target  # type: ignore[return-value]


def read_expression(text: str, target: int) -> tuple[Fraction, Counter[int]]:
    """Value of an expression and the numbers in it; raises UnreadableExpression. `= target` behind it is allowed."""
    if len(text) > LONGEST:
        raise UnreadableExpression(f"the answer is longer than {LONGEST} characters")
    expression, equals, result = text.translate(SIGNS).partition("=")
    if equals and result.strip() != str(target):
        raise UnreadableExpression("behind = stands another number than the target")
    if expression.count("(") > MOST_BRACKETS:
        raise UnreadableExpression(f"there are more than {MOST_BRACKETS} brackets")
    reader = Reader(tokens(expression))
    value = reader.sum()
    if reader.tokens:
        raise UnreadableExpression(f"{reader.tokens[0]!r} is not expected there")
    return value, reader.used


def tokens(text: str) -> list[str]:
    found, position = [], 0
    text = text.strip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:
            raise UnreadableExpression(f"{text[position:].strip()[:1]!r} is not part of an expression")
        found.append(match[1] or match[2])
        position = match.end()
    return found


class Reader:
    """Recursive descent over sums, products and brackets; MOST_BRACKETS bounds its depth."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.used: Counter[int] = Counter()

    def take(self, wanted: str) -> str:
        """The next token if it is one of the characters of `wanted`, else ""."""
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in wanted else ""

    def sum(self) -> Fraction:
        """Terms joined by + and -."""
        value = self.product()
        while sign := self.take("+-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> Fraction:
        """Factors joined by * and /."""
        value = self.factor()
        while sign := self.take("*/"):
            factor = self.factor()
            if sign == "/" and not factor:
                raise UnreadableExpression("it divides by zero")
            value = value * factor if sign == "*" else value / factor
        return value

    def factor(self) -> Fraction:
        """A number or a sum in brackets."""
        if self.take("("):
            value = self.sum()
            if not self.take(")"):
                raise UnreadableExpression("a bracket is not closed")
            return value
        if not self.tokens or not self.tokens[0].isdecimal():
            raise UnreadableExpression("a number is missing")
        number = int(self.tokens.pop(0))
        self.used[number] += 1
        return Fraction(number)
