"""Are two equations the same curve, or two inequalities the same condition, however they are written?"""

from __future__ import annotations

from fractions import Fraction

from rlpath.rewards.maths.expressions import same
from rlpath.rewards.maths.tree import INTEGER, Node, Num, Op, Relation, Sym, Unreadable, mapped, symbols
from rlpath.rewards.maths.values import Clock, TooLarge, Undefined, exact, numeric

_TWO = Num(Fraction(2))  # zero is what is twice itself, whatever variables it is written with


def is_expression(node: Node) -> bool:
    """True for what has a value: no set, no relation, no words."""
    return isinstance(node, Num | Sym | Op) and not (isinstance(node, Op) and node.name in ("cup", "cap", "setminus"))


def put(node: Node, name: str, value: Node) -> Node:
    """`node` with `value` for the variable `name`."""
    return value if node == Sym(name) else mapped(node, lambda inner: put(inner, name, value))


def _difference(node: Relation) -> Node | None:
    if len(node.sides) != 2 or not all(is_expression(s) for s in node.sides):
        return None
    return Op("add", (node.sides[0], Op("neg", (node.sides[1],))))


def proportional(answer: Relation, gold: Relation, clock: Clock) -> bool:
    """Whether two equations are the same up to a constant factor: a(x) g(c) = a(c) g(x) for a fixed point c."""
    if answer.ops != ("=",) or gold.ops != ("=",):
        return False
    factor = _factor(answer, gold, clock)
    a, g = _difference(answer), _difference(gold)
    return factor is not None and a is not None and g is not None and same(a, Op("mul", (factor, g)), clock)


def solved(answer: Relation, curve: Relation, clock: Clock) -> bool:
    """Whether `answer`, "y = ...", is the curve solved for y: on it the other equation holds, and holds nowhere else.

    So it is where the other equation is of degree one in y, or is itself solved for another variable and holds within.
    """
    name, value = _solved_for(answer)
    outside = _difference(curve) if curve.ops == ("=",) else None
    if not name or outside is None or len(symbols(outside)) < 2 or symbols(outside) != symbols(answer):
        return False
    at = [put(outside, name, Op("add", (value, Num(Fraction(n))))) for n in (0, 1, 2)]
    if not same(at[0], Op("mul", (_TWO, at[0])), clock):
        return False
    other, within = _solved_for(curve)
    if other and other != name and (inside := _difference(answer)) is not None:
        back = put(inside, other, within)
        return same(back, Op("mul", (_TWO, back)), clock)
    return same(at[2], Op("mul", (_TWO, at[1])), clock)


def _solved_for(node: Relation) -> tuple[str, Node]:
    """The variable and the value of "y = 2x"; an empty name for other equations."""
    match node:
        case Relation(("=",), (Sym(name), value)) | Relation(("=",), (value, Sym(name))) if name not in symbols(value):
            return name, value
    return "", node


def same_inequality(answer: Node, gold: Relation, clock: Clock) -> bool:
    if not isinstance(answer, Relation):
        return False
    answer, gold = _rising(answer), _rising(gold)
    comparable = answer.ops == gold.ops and all(is_expression(s) for s in (*answer.sides, *gold.sides))
    if comparable and all(same(a, g, clock) for a, g in zip(answer.sides, gold.sides, strict=True)):
        return True
    if len(answer.ops) != 1 or len(gold.ops) != 1:
        return False
    factor = _factor(answer, gold, clock)
    a, g = _difference(answer), _difference(gold)
    if not isinstance(factor, Num) or a is None or g is None or not same(a, Op("mul", (factor, g)), clock):
        return False
    flipped = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    return answer.ops[0] == (gold.ops[0] if factor.value > 0 else flipped.get(gold.ops[0], gold.ops[0]))


def _rising(node: Relation) -> Relation:
    """The chain written with "<": "a > b > c" as "c < b < a"."""
    if set(node.ops) <= {">", ">="}:
        return Relation(tuple(op.replace(">", "<") for op in reversed(node.ops)), tuple(reversed(node.sides)))
    return node


def _factor(answer: Relation, gold: Relation, clock: Clock) -> Node | None:
    """The candidate for the constant between two equations: their quotient at one fixed point."""
    a, g = _difference(answer), _difference(gold)
    if a is None or g is None or symbols(a) != symbols(g):
        return None
    names = sorted(symbols(g))
    for step in range(3):
        shifted = {name: Fraction(7 * step, 5) + 2 + n for n, name in enumerate(names)}
        try:
            top, bottom = exact(a, clock, shifted), exact(g, clock, shifted)
        except (TooLarge, Undefined):
            continue
        if top is None or bottom is None:
            break
        if bottom and top:
            return Num(top / bottom)
    return next((Num(sign) for sign in (Fraction(1), Fraction(-1)) if same(a, Op("mul", (Num(sign), g)), clock)), None)


def same_family(answer: Node, gold: Node, clock: Clock) -> bool:
    """Whether two families a + b k over all integers k are the same set: b alike up to its sign, a up to a multiple."""
    if symbols(answer) != {INTEGER} or symbols(gold) != {INTEGER}:
        return False
    at = [[put(side, INTEGER, Num(Fraction(k))) for k in (0, 1, 2)] for side in (answer, gold)]
    steps = [_minus(values[1], values[0]) for values in at]
    linear = all(same(_minus(v[2], v[1]), step, clock) for v, step in zip(at, steps, strict=True))
    if not linear or not (same(steps[0], steps[1], clock) or same(steps[0], Op("neg", (steps[1],)), clock)):
        return False
    shift = Op("div", (_minus(at[0][0], at[1][0]), steps[1]))
    try:
        nearest = round(numeric(shift, clock).real)
    except (TooLarge, Undefined, Unreadable):
        return False
    return same(shift, Num(Fraction(nearest)), clock)


def _minus(left: Node, right: Node) -> Node:
    return Op("add", (left, Op("neg", (right,))))
