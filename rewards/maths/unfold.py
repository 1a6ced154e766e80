"""What a short way of writing stands for: plus-minus, nested lists, componentwise equations, ordinals in words."""

from __future__ import annotations

import re

from rlpath.rewards.maths.labels import entries_of
from rlpath.rewards.maths.tree import Interval, Node, Num, Op, Relation, Seq, Sym, Text, mapped, walk
from rlpath.rewards.reading.literals import Number, read_number
from rlpath.rewards.reading.numerals import words_to_number


def spread(node: Node) -> Node:
    """`node` with plus-minus written out as two answers and nested lists made one."""
    match node:
        case Text(words) if (value := words_to_number(words, alone=True)) is not None:
            return Num(value)
        case Text(words) if isinstance(number := _numbered(words), Number):
            return Num(number.value)
        case Relation(("=",), (left, right)) if pairs := _componentwise(left, right):
            return Seq("list", pairs)
        case Seq(("list" | "set") as kind, items) if any(_has_sign(i) for i in items):
            return Seq(kind, tuple(part for item in items for part in _both_signs(item)))
        case Seq("set", (Seq("list" | "set") as inner,)):
            return inner
        case Op() | Interval() | Seq("tuple") | Relation(("=",) | ("!=",), _) if _has_sign(node):
            return Seq("list", tuple(_both_signs(node)))
    return node


def _numbered(words: str) -> Number | None:
    """The number of "12th day" and "day 12", but not of a date or a time."""
    found = _ORDINAL.fullmatch(words)
    number = read_number(found.group(1)) if found else None
    return number if isinstance(number, Number) else None


_ORDINAL = re.compile(
    r"(?:the )?(?:(?:day|week|month|year|row|term|place) )?([0-9]+) ?(?:st|nd|rd|th)?"
    r"(?: (?:day|week|month|year|row|term|place))?"
)


def exactly(node: Node) -> Node:
    """`node` with "≈" read as "="."""
    if isinstance(node, Relation) and "≈" in node.ops:
        return Relation(tuple("=" if op == "≈" else op for op in node.ops), node.sides)
    return node


def _componentwise(left: Node, right: Node) -> tuple[Node, ...]:
    """The equations of "(x, y) = (1, 2)", or () where it is none."""
    names, values = entries_of(left), entries_of(right)
    if not names or not values or len(names) != len(values) or not all(isinstance(n, Sym) for n in names):
        return ()
    return tuple(Relation(("=",), pair) for pair in zip(names, values, strict=True))


def choice_letters(node: Node) -> frozenset[str]:
    """The letters of an answer such as "A, C", "AC" or "A and C" to a question with several right options."""
    match node:
        case Text(words):
            parts = words.replace(" and ", ",").replace(" ", "").upper().split(",")
        case Seq("list", items) | Op("mul", items):
            parts = [item.name if isinstance(item, Sym) else "" for item in items]
        case _:
            return frozenset()
    return frozenset(parts) if all(len(p) == 1 and p in "ABCDEFGH" for p in parts) else frozenset()


def _has_sign(node: Node) -> bool:
    return any(isinstance(n, Op) and n.name in ("pm", "mp") for n in walk(node))


def _both_signs(node: Node) -> list[Node]:
    """`node` with its signs read one way and the other; each of several "plus-minus" in a sum on its own."""
    match node:
        case Op("pm", (first, last)) if _has_sign(first):
            return [Op("add", (one, two)) for one in _both_signs(first) for two in (last, Op("neg", (last,)))]
    return [_with_sign(node, "pm"), _with_sign(node, "mp")] if _has_sign(node) else [node]


def _with_sign(node: Node, positive: str) -> Node:
    """`node` with the signs of one kind, "pm" or "mp", read as plus and those of the other as minus."""
    match node:
        case Op(("pm" | "mp") as name, args):
            *rest, last = (_with_sign(a, positive) for a in args)
            last = last if name == positive else Op("neg", (last,))
            return Op("add", (*rest, last)) if rest else last
    return mapped(node, lambda inner: _with_sign(inner, positive))
