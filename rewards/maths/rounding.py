"""When is one value the other rounded? Rounding depends on which side is the gold answer, equality does not."""

from __future__ import annotations

from rlpath.rewards.maths.tree import Node, Num, Op, Relation, Sym, Unreadable, symbols
from rlpath.rewards.maths.values import Clock, TooLarge, Undefined, exact, numeric


def rounded(answer: Node, gold: Node, clock: Clock, digits: int = 4) -> bool:
    """Whether `gold` is a decimal of at least so many significant digits, and the exact `answer` rounds to it.

    A value that some decimal writes exactly has to be equal: 17/40 is not 0.42. Nor is a decimal ever taken for what
    it might round, however long it is.
    """
    if isinstance(answer, Relation) and answer.ops == ("≈",) and rounds_to(answer.sides[1], answer.sides[0], clock):
        answer = answer.sides[0]
    if not (isinstance(gold, Num) and gold.decimals > 0 and isinstance(answer, Op | Sym)) or symbols(answer):
        return False
    if len(str(abs(int(gold.value * 10**gold.decimals)))) < digits:
        return False
    try:
        value = exact(answer, clock)
    except (TooLarge, Undefined):
        return False
    return (value is None or 10**60 % value.denominator != 0) and _near(gold, answer, clock)


def rounds_to(shown: Node, gold: Node, clock: Clock) -> bool:
    """Whether a decimal shown behind an exact answer ("1/6 ≈ 0.167") is that answer rounded."""
    return isinstance(shown, Num) and shown.decimals > 0 and not symbols(gold) and _near(shown, gold, clock)


def _near(shown: Num, value: Node, clock: Clock) -> bool:
    try:
        distance = abs(numeric(value, clock) - float(shown.value))
    except (Undefined, TooLarge, Unreadable):
        return False
    return distance <= 0.5000001 * 10.0**-shown.decimals
