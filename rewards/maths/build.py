"""Builds nodes of the tree: exact numerals, normalized words, and operations from their parts."""

from __future__ import annotations

import re

from rlpath.rewards.maths.tree import Interval, Matrix, Node, Num, Op, Seq, Text, Unit, Unreadable
from rlpath.rewards.reading.numerals import numeral


def number(digits: str) -> Num:
    """The exact value of a numeral, with the decimals it is written with; raises `Unreadable` beyond the bounds."""
    value = numeral(digits)
    if value is None:
        raise Unreadable("a number with too many digits")
    written = digits.lower().partition("e")[0]
    return Num(value, len(written.partition(".")[2]) if "." in written and "(" not in written else -1)


def normal_words(text: str) -> str:
    """`text` in lower case, without articles, outer brackets and doubled spaces."""
    text = text.strip()
    text = text[6:] if text.lower().startswith("it is ") else text
    words = text.strip("()[].,:;\"' ").lower()
    words = re.sub(r"-(?!\d)", " ", words).split()
    return " ".join(words[1:] if words[:1] in (["the"], ["a"], ["an"]) and len(words) > 1 else words)


def nested_rows(items: list[Node]) -> Node:
    rows = [(i.low, i.high) if isinstance(i, Interval) else i.items for i in items if isinstance(i, Interval | Seq)]
    if len({len(row) for row in rows}) > 1:
        raise Unreadable("rows of different length")
    return Matrix("matrix", tuple(tuple(row) for row in rows))


def as_unit(node: Node) -> Node:
    """`node`, a factor, with words read as a unit."""
    match node:
        case Text(words):
            return Unit(words)
        case Op("pow", (Text(words), exponent)):
            return Op("pow", (Unit(words), exponent))
    return node


def is_measured(node: Node) -> bool:
    """True for a number with its unit: "2 hours", "30 degrees"."""
    match node:
        case Op("mul", (Num(), Unit())) | Op("mul", (Num(), Op("pow", (Unit(), _)))):
            return True
        case Op("add", parts):
            return all(is_measured(part) for part in parts)
    return False


def negated(node: Node) -> Node:
    return Num(-node.value, node.decimals) if isinstance(node, Num) else Op("neg", (node,))


def added(terms: list[Node]) -> Node:
    return terms[0] if len(terms) == 1 else Op("add", tuple(terms))


def multiplied(left: Node, right: Node) -> Node:
    parts = (*(left.args if isinstance(left, Op) and left.name == "mul" else (left,)), right)
    return Op("mul", parts)


def divided(top: Node, bottom: Node) -> Node:
    return Op("div", (top, bottom))


def raised(base: Node, exponent: Node) -> Node:
    if isinstance(base, Op) and base.name == "mul" and isinstance(base.args[-1], Unit):
        return Op("mul", (*base.args[:-1], Op("pow", (base.args[-1], exponent))))
    return Op("pow", (base, exponent))
