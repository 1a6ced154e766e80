"""The syntax tree of a mathematical answer: plain frozen data, nothing in it computes.

A node is a number, a symbol, a piece of text, an operation on expressions, or a structure such as a tuple, an interval,
a matrix or a relation. `key` writes a node as a canonical string, for structural comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_NODES = 3000
MAX_DEPTH = 100


class Unreadable(Exception):
    """The text is not an answer this grammar knows, or is larger than its bounds."""


@dataclass(frozen=True, slots=True)
class Num:
    """An exact number; `decimals` counts the digits written behind a point, -1 for none."""

    value: Fraction
    decimals: int = -1


@dataclass(frozen=True, slots=True)
class Sym:
    """A variable or a named constant ("pi", "e", "i", "oo"), with its subscript in the name."""

    name: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit or a counting word behind a number ("cm", "degrees", "cents")."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """An answer in words, normalized."""

    words: str


@dataclass(frozen=True, slots=True)
class Op:
    """An operation: add, mul, div, pow, neg, pm, fact, percent, or a function by its name."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Seq:
    """Several answers: `kind` is list (order free), tuple (ordered), set (braces), either (joined by "or") or ratio."""

    kind: str
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A real interval. An open pair "(a, b)" may also be a point: `comparing` decides by the other side."""

    low: Node
    high: Node
    closed_low: bool
    closed_high: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of a matrix; `kind` is "matrix" or "det" for vertical bars."""

    kind: str
    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain such as `a < x <= b` or `y = 2x`; `ops` stand between `sides`."""

    ops: tuple[str, ...]
    sides: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Based:
    """A numeral in an explicit base, such as 52_8."""

    digits: str
    base: int


Node = Num | Sym | Unit | Text | Op | Seq | Interval | Matrix | Relation | Based


_PARTS: dict[type, Callable[[Any], tuple[Node, ...]]] = {
    Op: lambda node: node.args,
    Seq: lambda node: node.items,
    Interval: lambda node: (node.low, node.high),
    Matrix: lambda node: tuple(cell for row in node.rows for cell in row),
    Relation: lambda node: node.sides,
    **dict.fromkeys((Num, Sym, Unit, Text, Based), lambda node: ()),
}


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly under `node`."""
    return _PARTS[type(node)](node)


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything under it."""
    yield node
    stack = list(children(node))
    while stack:
        node = stack.pop()
        yield node
        stack += children(node)


def mapped(node: Node, change: Callable[[Node], Node]) -> Node:
    """`node` with `change` applied to the nodes directly under it."""
    match node:
        case Op(name, args):
            return Op(name, tuple(change(a) for a in args))
        case Seq(kind, items):
            return Seq(kind, tuple(change(i) for i in items))
        case Interval(low, high, a, b):
            return Interval(change(low), change(high), a, b)
        case Matrix(kind, rows):
            return Matrix(kind, tuple(tuple(change(c) for c in row) for row in rows))
        case Relation(ops, sides):
            return Relation(ops, tuple(change(s) for s in sides))
    return node


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """`node` with its variables named as `names` says."""
    if isinstance(node, Sym):
        return Sym(names.get(node.name, node.name))
    return mapped(node, lambda inner: renamed(inner, names))


def check_size(node: Node) -> Node:
    """`node` itself, or `Unreadable` where it has more than `MAX_NODES` nodes or is deeper than `MAX_DEPTH`."""
    stack, count = [(node, 0)], 0
    while stack:
        inner, depth = stack.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise Unreadable("more parts than an answer has")
        stack.extend((child, depth + 1) for child in children(inner))
    return node


def symbols(node: Node) -> frozenset[str]:
    """The names of the variables in `node`, without constants."""
    return frozenset(n.name for n in walk(node) if isinstance(n, Sym) and n.name not in CONSTANTS)


def contains(node: Node, *names: str) -> bool:
    """True where an operation of one of `names` occurs in `node`."""
    return any(isinstance(n, Op) and n.name in names for n in walk(node))


CONSTANTS = frozenset({"pi", "e", "i", "oo"})
# The names given to a variable that is declared to run over the integers or the natural numbers: "k in Z".
INTEGER, NATURAL = "any integer", "any natural number"


def key(node: Node) -> str:
    """A canonical string: equal strings mean the same answer up to the order of sums, products and sets."""
    match node:
        case Num(value):
            return str(value)
        case Sym(name):
            return name
        case Unit(name):
            return f"unit:{name}"
        case Text(words):
            return f"text:{words}"
        case Op(name, args):
            parts = [key(a) for a in args]
            return f"{name}({','.join(sorted(parts) if name in ('add', 'mul') else parts)})"
        case Seq(kind, items):
            parts = [key(a) for a in items]
            return f"{kind}[{','.join(parts if kind in ('tuple', 'ratio') else sorted(parts))}]"
        case Interval(low, high, a, b):
            return f"interval({key(low)},{key(high)},{a},{b})"
        case Matrix(kind, rows):
            return f"{kind}[{';'.join(','.join(key(c) for c in row) for row in rows)}]"
        case Relation(ops, sides):
            return f"rel({','.join(ops)};{','.join(key(s) for s in sides)})"
        case Based(digits, base):
            return f"{digits}_{base}"
