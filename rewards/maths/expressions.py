"""Are two expressions equal? Exactly where both are rational, else by many digits; with variables at several points."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rlpath.rewards.maths.build import is_measured
from rlpath.rewards.maths.tree import Node, Num, Op, Sym, Unit, Unreadable, contains, key, symbols, walk
from rlpath.rewards.maths.values import Clock, Evaluator, TooLarge, Undefined, exact, same_value
from rlpath.rewards.reading.units import lookup, singular

_POINTS = 12
_BEYOND = frozenset({2, 4, 8, 9})
_ENOUGH = 6


_DEGREE = (("degree", 1),)
_RADIANS = frozenset({"radian", "rad"})


class GoldTooLarge(Exception):
    """The gold answer itself cannot be evaluated within the bounds, so nothing can be compared to it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An expression without its units: `units` maps names to powers, sorted."""

    value: Node
    units: tuple[tuple[str, int], ...]
    percent: bool


def equal(answer: Node, gold: Node, clock: Clock) -> bool:
    """Whether two expressions are the same, units and percent signs included."""
    if key(answer) == key(gold):
        return True
    left, right = _in_radians(measured(answer), measured(gold))
    scale = _unit_scale(left, right)
    if scale is None:
        return False
    value = left.value if scale == 1 else Op("mul", (Num(scale), left.value))
    if left.percent != right.percent:
        return not (left.units or right.units) and _equal_percent(Measured(value, (), left.percent), right, clock)
    return same(value, right.value, clock)


def _equal_percent(answer: Measured, gold: Measured, clock: Clock) -> bool:
    """A percent sign on one side: 60% is 0.6, and it is 60 where the gold is a whole number or more than one."""
    plain = exact_or_none(gold.value if answer.percent else answer.value)
    whole = plain is not None and plain.denominator == 1
    if not whole and same(_hundredth(answer), _hundredth(gold), clock):
        return True
    below_one = plain is not None and not whole and abs(plain) < 1
    return not below_one and same(answer.value, gold.value, clock)


def _hundredth(side: Measured) -> Node:
    return Op("percent", (side.value,)) if side.percent else side.value


def exact_or_none(node: Node) -> Fraction | None:
    """The exact value of a constant, or None where it is not rational, not defined or too large."""
    try:
        return exact(node)
    except (TooLarge, Undefined):
        return None


def rational(node: Node) -> Fraction | None:
    """The exact value of a constant that is written without a percent sign, or None as in `exact_or_none`."""
    if isinstance(node, Num):
        return node.value
    return None if contains(node, "percent") else exact_or_none(node)


def measured(node: Node) -> Measured:
    """`node` split into its value, the units multiplied to it, and a percent sign around it."""
    units: dict[str, int] = {}
    value = _without_units(node, units, 1)
    percent = True
    match value:
        case Op("percent", (inner,)):
            value = inner
        case Op("neg", (Op("percent", inner),)):
            value = Op("neg", inner)
        case _:
            percent = False
    if not units.keys().isdisjoint(_RADIANS) and _has_pi(value):
        units = {name: power for name, power in units.items() if name not in _RADIANS}
    return Measured(value, tuple(sorted((n, p) for n, p in units.items() if p)), percent)


def _without_units(node: Node, units: dict[str, int], sign: int) -> Node:
    match node:
        case Op("mul", args) if any(_unit_power(a) for a in args):
            for a in args:
                if found := _unit_power(a):
                    _note_unit(found[0], found[1] * sign, units)
            rest = tuple(_without_units(a, units, sign) for a in args if not _unit_power(a))
            return Op("mul", rest) if len(rest) > 1 else rest[0] if rest else Num(Fraction(1))
        case Op("div", (top, bottom)):
            if found := _unit_power(bottom):
                _note_unit(found[0], -found[1] * sign, units)
                return _without_units(top, units, sign)
            return Op("div", (_without_units(top, units, sign), bottom))
        case Op("neg", (inner,)):
            return Op("neg", (_without_units(inner, units, sign),))
        case Op("add", terms) if all(is_measured(term) for term in terms):
            return _one_amount(terms, units)
    return node


def _one_amount(terms: tuple[Node, ...], units: dict[str, int]) -> Node:
    """The sum of "2 hours 30 minutes" in hours; as it stands where the units do not convert."""
    first, *rest = (measured(term) for term in terms)
    arc = "arc" if first.units == _DEGREE else ""  # the minutes behind degrees are no time
    rest_units = [tuple((n if n.startswith("arc") else arc + n, power) for n, power in part.units) for part in rest]
    scales = [conversion(units_of, first.units) for units_of in rest_units]
    if any(scale is None for scale in scales):
        return Op("add", terms)
    units.update(first.units)
    more = [Op("mul", (Num(scale), part.value)) for scale, part in zip(scales, rest, strict=True) if scale is not None]
    return Op("add", (first.value, *more))


def _unit_power(node: Node) -> tuple[str, int] | None:
    match node:
        case Unit(name):
            return name, 1
        case Op("pow", (Unit(name), Num(power))) if power.denominator == 1 and abs(power) < 10:
            return name, int(power)
    return None


def _note_unit(phrase: str, power: int, units: dict[str, int]) -> None:
    """Add the units of `phrase` ("square inches", "miles per hour"); a word that is no unit is kept as it is."""
    sign, factor = 1, 1
    phrase = {"mph": "mile per hour", "kph": "km per hour", "kmh": "km per hour"}.get(phrase, phrase)
    for written in phrase.replace("/", " per ").replace("*", " ").split():
        word, _, exponent = written.partition("^")
        if word in ("per", "a", "an", "each"):
            sign = -1 if word == "per" else sign
        elif word in ("square", "sq", "squared", "cubic", "cubed"):
            factor = 2 if word.startswith("s") else 3
            if word in ("squared", "cubed") and units:
                last = next(reversed(units))
                units[last] *= factor
                factor = 1
        else:
            name = singular(word)
            units[name] = units.get(name, 0) + power * sign * factor * int(exponent or 1)
            factor = 1


def _unit_scale(answer: Measured, gold: Measured) -> Fraction | None:
    """What the answer's value has to be multiplied with to be in the gold's units; None where they do not convert.

    A missing unit is taken as the other side's.
    """
    if answer.units == gold.units:
        return Fraction(1)
    if not answer.units or not gold.units:
        return Fraction(1)
    return conversion(answer.units, gold.units)


def _in_radians(answer: Measured, gold: Measured) -> tuple[Measured, Measured]:
    """Both sides, with degrees turned into radians where the other side is a bare multiple of pi."""
    if answer.units == _DEGREE and not gold.units and _has_pi(gold.value):
        return _radians(answer), gold
    if gold.units == _DEGREE and not answer.units and _has_pi(answer.value):
        return answer, _radians(gold)
    return answer, gold


def _radians(angle: Measured) -> Measured:
    return Measured(Op("mul", (angle.value, Op("div", (Sym("pi"), Num(Fraction(180)))))), (), angle.percent)


def conversion(source: tuple[tuple[str, int], ...], target: tuple[tuple[str, int], ...]) -> Fraction | None:
    """The exact factor from one product of units to another, or None where the dimensions differ or are unknown."""
    dimensions: dict[str, int] = {}
    scale = Fraction(1)
    for units, sign in ((source, 1), (target, -1)):
        for name, power in units:
            found = lookup(name)
            if found is None:
                return None
            dimension, factor = found
            dimensions[dimension] = dimensions.get(dimension, 0) + sign * power
            scale *= factor ** (sign * power)
    return scale if not any(dimensions.values()) else None


def _has_pi(node: Node) -> bool:
    return Sym("pi") in set(walk(node))


def same(answer: Node, gold: Node, clock: Clock) -> bool:
    """Whether two expressions without units have the same value everywhere both are defined."""
    if _infinite(answer) or _infinite(gold):
        return _infinite(answer) == _infinite(gold)
    if key(answer) == key(gold):
        return True
    try:
        if symbols(answer) or symbols(gold):
            return _same_function(answer, gold, clock)
        return _same_constant(answer, gold, clock)
    except (Undefined, Unreadable):
        return False


def _infinite(node: Node) -> int:
    """1 for infinity, -1 for minus infinity, 0 for anything else."""
    if node == Sym("oo"):
        return 1
    return -1 if isinstance(node, Op) and node.name == "neg" and node.args == (Sym("oo"),) else 0


def _same_constant(answer: Node, gold: Node, clock: Clock) -> bool:
    try:
        wanted = exact(gold, clock)
        if wanted is None:
            Evaluator(30, {}, clock).value(gold)
    except TooLarge:
        raise GoldTooLarge from None
    try:
        given = exact(answer, clock)
        if wanted is not None and given is not None:
            return given == wanted
        return bool(same_value(answer, gold, {}, clock))
    except TooLarge:
        return False


def _same_function(answer: Node, gold: Node, clock: Clock) -> bool:
    names = sorted(symbols(answer) | symbols(gold))
    if not symbols(gold) or not symbols(answer) <= symbols(gold):
        return False
    points = _Points(names, answer, gold)
    if any(contains(side, "fact", "binom", "fact2") for side in (answer, gold)):
        return _same_numerically(answer, gold, points, 4, clock)
    if (verdict := _same_exactly(answer, gold, points, clock)) is not None:
        return verdict
    return _same_numerically(answer, gold, points, _POINTS, clock)


class _Points:
    """Points that depend on both expressions, so that none can be written to agree at points known beforehand.

    Every other one is positive, the others have mixed signs; values lie in (0, 3), and up to beyond the constants.
    """

    def __init__(self, names: list[str], answer: Node, gold: Node) -> None:
        self.names = names
        self.seed = hashlib.sha256(f"{key(answer)}\0{key(gold)}".encode()).digest()
        numbers = (abs(n.value) for e in (answer, gold) for n in walk(e) if isinstance(n, Num))
        self.reach = 3 + 2 * max(numbers, default=0)

    def first(self, count: int) -> Iterator[dict[str, Fraction]]:
        """The first `count` of them, each made when it is needed."""
        return ({name: self._coordinate(n, name) for name in self.names} for n in range(count))

    def _coordinate(self, n: int, name: str) -> Fraction:
        digest = hashlib.sha256(self.seed + f"{n}:{name}".encode()).digest()
        share = Fraction(int.from_bytes(digest[:5], "big") | 1, 1 << 40)
        value = share if digest[6] % 2 else 1 + 2 * share
        if n in _BEYOND and self.reach < 1000:  # beyond every constant on either side, where |x - 5| and 5 - x part
            value = (1 + share) * self.reach
        return -value if n in (1, 4, 9) or (n in (3, 7) and digest[7] % 2) else value


def _same_exactly(answer: Node, gold: Node, points: _Points, clock: Clock) -> bool | None:
    """Exact comparison where both are rational functions, which differ at random points unless equal; else None."""
    if any(
        isinstance(n, Op) and n.name not in ("add", "mul", "neg", "div", "pow") for e in (answer, gold) for n in walk(e)
    ):
        return None
    compared = False
    for point in points.first(4):
        try:
            a, b = exact(answer, clock, point), exact(gold, clock, point)
        except Undefined:
            continue
        except TooLarge:
            return None
        if a is None or b is None:
            return None
        if a != b:
            return False
        compared = True
    return True if compared else None


def _same_numerically(answer: Node, gold: Node, points: _Points, count: int, clock: Clock) -> bool:
    """Whether both agree at enough points where the gold answer is real, or else at complex ones."""
    imaginary = any(n == Sym("i") for side in (answer, gold) for n in walk(side))
    for real in (False,) if imaginary else (True, False):
        agreed = 0
        for point in points.first(count if real else 4):
            if real and not _real_there(gold, point, clock):
                continue
            try:
                if not same_value(answer, gold, point, clock, real=real):
                    return False
            except Undefined:
                if real:
                    return False
                continue
            except TooLarge:
                return False
            agreed += 1
            if agreed == _ENOUGH:
                return True
        if agreed >= 2:
            return True
    return False


def _real_there(gold: Node, point: dict[str, Fraction], clock: Clock) -> bool:
    try:
        run = Evaluator(20, point, clock)
        run.value(gold)
    except (Undefined, TooLarge):
        return False
    return run.real
