"""Sets of real numbers: intervals, unions, and the inequalities that describe them, compared as sets."""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.rewards.maths.expressions import same
from rlpath.rewards.maths.tree import Interval, Node, Num, Op, Relation, Seq, Sym, Unreadable, symbols
from rlpath.rewards.maths.values import Clock, numeric

INFINITY = Sym("oo")
MINUS_INFINITY = Op("neg", (INFINITY,))
EMPTY = Sym("set:0")
REALS = Sym("set:R")


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval with its ends as numbers too, for ordering; a single point has both ends closed and equal."""

    low: Node
    high: Node
    closed_low: bool
    closed_high: bool
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class RealSet:
    """Disjoint pieces in order, and the variable that ranges over them if one was named."""

    pieces: tuple[Piece, ...]
    variable: str | None = None


def real_set(node: Node, clock: Clock) -> RealSet | None:
    """The set that `node` describes, or None where it describes none."""
    match node:
        case Interval():
            piece = _piece(node, clock)
            return RealSet((piece,)) if piece else None
        case Sym("set:R"):
            return RealSet((_whole(clock),))
        case Sym("set:0"):
            return RealSet(())
        case Op(("cup" | "cap" | "setminus") as name, (left, right)):
            return _combined(name, left, right, clock)
        case Seq("set", items):
            points = [_point(item, clock) for item in items]
            return RealSet(_merged([p for p in points if p])) if all(points) else None
        case Relation():
            return _described(node, clock)
        case Seq(("list" | "either") as kind, items) if all(isinstance(i, Relation | Interval) for i in items):
            return _together([real_set(item, clock) for item in items], clock, either=kind == "either")
    return None


def _whole(clock: Clock) -> Piece:
    piece = _piece(Interval(MINUS_INFINITY, INFINITY, False, False), clock)
    assert piece is not None
    return piece


def _order(node: Node, clock: Clock) -> float | None:
    if node == INFINITY:
        return float("inf")
    if node == MINUS_INFINITY:
        return float("-inf")
    if symbols(node) or not isinstance(node, Num | Sym | Op):
        return None
    try:
        value = numeric(node, clock)
    except Unreadable:
        return None
    return value.real if value.imag == 0 else None


def _piece(node: Interval, clock: Clock) -> Piece | None:
    start, stop = _order(node.low, clock), _order(node.high, clock)
    if start is None or stop is None or start > stop or (start == stop and not (node.closed_low and node.closed_high)):
        return None
    closed_low, closed_high = node.closed_low and start != float("-inf"), node.closed_high and stop != float("inf")
    return Piece(node.low, node.high, closed_low, closed_high, start, stop)


def _point(node: Node, clock: Clock) -> Piece | None:
    return _piece(Interval(node, node, True, True), clock)


def _merged(pieces: list[Piece]) -> tuple[Piece, ...]:
    """The pieces in order, with touching and overlapping ones joined."""
    out: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.start, not p.closed_low)):
        last = out[-1] if out else None
        if last and (piece.start < last.stop or (piece.start == last.stop and (piece.closed_low or last.closed_high))):
            further = (piece.stop, piece.closed_high) > (last.stop, last.closed_high)
            end = piece if further else last
            out[-1] = Piece(last.low, end.high, last.closed_low, end.closed_high, last.start, end.stop)
        else:
            out.append(piece)
    return tuple(out)


def _complement(pieces: tuple[Piece, ...], clock: Clock) -> list[Piece]:
    gaps, low, closed = [], MINUS_INFINITY, False
    for piece in pieces:
        gaps.append(Interval(low, piece.low, closed, not piece.closed_low))
        low, closed = piece.high, not piece.closed_high
    gaps.append(Interval(low, INFINITY, closed, False))
    return [p for gap in gaps if (p := _piece(gap, clock))]


def _combined(name: str, left: Node, right: Node, clock: Clock) -> RealSet | None:
    a, b = real_set(left, clock), real_set(right, clock)
    if a is None or b is None:
        return None
    if name == "cup":
        return RealSet(_merged([*a.pieces, *b.pieces]))
    removed = b.pieces if name == "setminus" else _merged(_complement(b.pieces, clock))
    kept = _merged([*_complement(a.pieces, clock), *removed])
    return RealSet(_merged(_complement(kept, clock)))


def _described(node: Relation, clock: Clock) -> RealSet | None:
    """The set of an inequality chain in one variable, of `x in S`, or of `x != a`."""
    if node.ops == ("in",) and isinstance(node.sides[0], Sym):
        found = real_set(node.sides[1], clock)
        return RealSet(found.pieces, node.sides[0].name) if found else None
    if node.ops == ("!=",) and isinstance(node.sides[0], Sym):
        point = _point(node.sides[1], clock)
        return RealSet(tuple(_complement((point,), clock)), node.sides[0].name) if point else None
    if absolute := _absolute(node, clock):
        return absolute
    ops, sides = node.ops, node.sides
    if all(op in (">", ">=") for op in ops):
        ops, sides = tuple(op.replace(">", "<") for op in reversed(ops)), tuple(reversed(sides))
    if not all(op in ("<", "<=") for op in ops):
        return None
    low, high = Interval(MINUS_INFINITY, INFINITY, False, False), None
    match sides, ops:
        case (Sym(name), high), (op,):
            low = Interval(MINUS_INFINITY, high, False, op == "<=")
        case (start, Sym(name)), (op,):
            low = Interval(start, INFINITY, op == "<=", False)
        case (start, Sym(name), high), (op1, op2):
            low = Interval(start, high, op1 == "<=", op2 == "<=")
        case _:
            return None
    piece = _piece(low, clock)
    return RealSet((piece,), name) if piece else None


def _absolute(node: Relation, clock: Clock) -> RealSet | None:
    """The set of |x| < a, |x| >= a and the like."""
    match node.ops, node.sides:
        case (("<" | "<=" | ">" | ">=") as op,), (Op("abs", (Sym(name),)), bound):
            pass
        case (("<" | "<=" | ">" | ">=") as op,), (bound, Op("abs", (Sym(name),))):
            op = op.translate(str.maketrans("<>", "><"))
        case _:
            return None
    closed = op in ("<=", ">")  # of |x| <= a, and of what |x| > a leaves out
    inner = _piece(Interval(Op("neg", (bound,)), bound, closed, closed), clock)
    if inner is None:
        return None
    return RealSet((inner,) if "<" in op else tuple(_complement((inner,), clock)), name)


def _together(found: list[RealSet | None], clock: Clock, *, either: bool) -> RealSet | None:
    """Conditions in a list hold together; joined by "or", or where no number fulfills them all, one of them does."""
    sets = [s for s in found if s is not None]
    names = {s.variable for s in sets}
    if len(sets) != len(found) or len(names) != 1:
        return None
    union = RealSet(_merged([p for s in sets for p in s.pieces]), names.pop())
    if either:
        return union
    outside = _merged([gap for s in sets for gap in _complement(s.pieces, clock)])
    common = _merged(_complement(outside, clock))
    return RealSet(common, union.variable) if common else union


def same_set(answer: RealSet, gold: RealSet, clock: Clock) -> bool:
    """Whether two sets of reals are the same: the same pieces, with the same ends open and closed."""
    if answer.variable and gold.variable and answer.variable != gold.variable:
        return False
    if len(answer.pieces) != len(gold.pieces):
        return False
    return all(
        (a.closed_low, a.closed_high) == (g.closed_low, g.closed_high)
        and same(a.low, g.low, clock)
        and same(a.high, g.high, clock)
        for a, g in zip(answer.pieces, gold.pieces, strict=True)
    )
