"""The names in an answer: labels in front of its values, bound variables, arbitrary constants."""

from __future__ import annotations

import re

from rlpath.rewards.maths.tree import (
    INTEGER,
    NATURAL,
    Interval,
    Matrix,
    Node,
    Op,
    Relation,
    Seq,
    Sym,
    Text,
    Unit,
    renamed,
    symbols,
    walk,
)


def is_label(node: Node) -> bool:
    """True for the left side of "x = 5" or "f(x) = 2x": a name, or names side by side, without a number."""
    match node:
        case Sym(name):
            return name not in ("pi", "e", "i", "oo")
        case Text() | Unit():
            return True
        case Op(name, args):
            if name.startswith("app:") or name in ("abs", "det"):
                return True
            if name in ("sin", "cos", "tan", "log", "ln"):
                return bool(symbols(node))
            if name == "div":
                return all(is_label(a) and not isinstance(a, Text | Unit) for a in args)
            return name == "mul" and all(
                isinstance(a, Text | Unit) or (isinstance(a, Sym) and is_label(a)) for a in args
            )
    return False


def unlabeled(node: Node) -> tuple[Node | None, tuple[Node, ...]]:
    """The label of an equation and its further sides; (None, (node,)) for anything else."""
    if isinstance(node, Relation) and set(node.ops) <= {"=", "≈"}:
        first, *rest = node.sides
        if is_label(first) and not (bare_symbols(first) & symbols(rest[-1])):
            return first, tuple(rest)
        if len(rest) == 1 and is_label(rest[0]) and not (bare_symbols(rest[0]) & symbols(first)):
            return rest[0], (first,)
        if not any(is_label(s) for s in node.sides) and not any(symbols(s) for s in node.sides):
            return None, node.sides
    return None, (node,)


def bare_symbols(label: Node) -> frozenset[str]:
    return symbols(label) if isinstance(label, Sym) else frozenset()


def entries_of(node: Node) -> tuple[Node, ...] | None:
    """The entries of an ordered tuple, or None."""
    match node:
        case Seq("tuple", items):
            return items
        case Interval(low, high, False, False):
            return (low, high)
        case Matrix("matrix", rows) if all(len(row) == 1 for row in rows):
            return tuple(row[0] for row in rows)
    return None


def last_side(node: Node) -> Node:
    """What stands behind "x =", "x in" or "(x, y) =", or `node` itself."""
    match node:
        case Relation(("in",), (Sym(), Interval() as inside)):
            return inside
    if isinstance(node, Relation) and node.ops == ("=",):
        left, right = node.sides
        entries = entries_of(left)
        if is_label(left) or (entries and all(isinstance(e, Sym) for e in entries)):
            return right
    return node


def labeled_entries(node: Node) -> tuple[Node, ...] | None:
    """The values of "x = 1, y = 2" as a tuple, where the labels are different and in alphabetical order."""
    pairs = _labels(node) if isinstance(node, Seq) and node.kind == "list" else []
    names = [label.name for label, _ in pairs if isinstance(label, Sym)]
    ordered = bool(pairs) and len(names) == len(pairs) and names == sorted(set(names))
    return tuple(value for _, value in pairs) if ordered else None


def _labels(node: Node) -> list[tuple[Node | None, Node]]:
    """The items of a list with their labels."""
    return [(label, sides[-1]) for label, sides in map(unlabeled, items_of(node))]


def labels_of(node: Node) -> set[str]:
    """The first letters of the labels of a list: one for "x_1 = 1, x_2 = 2", two for "x = 1, y = 2"."""
    pairs = _labels(node) if isinstance(node, Seq) and node.kind == "list" else []
    return {label.name[:1] for label, _ in pairs if isinstance(label, Sym)}


def items_of(node: Node) -> list[Node]:
    return list(node.items) if isinstance(node, Seq) else [node]


def by_name(node: Node) -> dict[str, Node]:
    """The values of "Paolo: 18, Qing: 14" under their names; empty where not every value has one."""
    pairs = _labels(node)
    named = {
        label.words.replace("imum", "").removesuffix(" is").removesuffix(" value"): value
        for label, value in pairs
        if isinstance(label, Text)
    }
    return named if len(named) == len(pairs) else {}


def is_applied(label: Node) -> bool:
    return isinstance(label, Op) and label.name.startswith("app:")


def named_alike(answer: Node, gold: Node) -> Node:
    """`answer` with its bound variables and arbitrary constants named as in the gold: n for k, A for C_1, t for x."""
    value = unlabeled(answer)[1][-1] if isinstance(answer, Relation) and isinstance(gold, Op) else answer
    mine, theirs = symbols(value), symbols(gold)
    here, there = sorted(mine - theirs), sorted(theirs - mine)
    if not here or len(here) != len(there) or len(here) > 2:
        return answer
    if len(here) == 1:
        old, new = here[0], there[0]
        bound = {old, new} & {INTEGER, NATURAL}
        integers = {old, new} <= _INDICES | {INTEGER, NATURAL} and (bound or Sym("pi") in set(walk(gold)))
        if (integers and bound != {INTEGER, NATURAL}) or (_argument(answer) == old and _argument(gold) == new):
            return renamed(answer, {old: new})
    sum_of = unlabeled(gold)[1][-1]
    added_last = isinstance(sum_of, Op) and sum_of.name == "add" and Sym(there[0]) in sum_of.args
    free = (added_last and len(here) == 1) or (_argument(gold) and _argument(answer))
    solution = isinstance(gold, Relation) and isinstance(answer, Relation)  # y = Ce^x, of a differential equation
    arbitrary = _CONSTANT if free else _CAPITAL_CONSTANT if solution else _NUMBERED_CONSTANT
    if all(arbitrary.fullmatch(name) for name in there) and all(_CONSTANT.fullmatch(name) for name in here):
        return renamed(answer, dict(zip(here, there, strict=True)))
    return answer


_INDICES = frozenset({"k", "n", "m", "l", "j"})
_CONSTANT = re.compile("[CKck]|[ABCDabcd](?:_[0-9])?")
_CAPITAL_CONSTANT = re.compile("[CK](?:_[0-9])?")
_NUMBERED_CONSTANT = re.compile("[Cc]_[0-9]")


def _argument(node: Node) -> str | None:
    """The variable of a function that is defined by an equation: x in "f(x) = 2x"."""
    match node:
        case Relation(("=",), (Op(name, (Sym(variable),)), *_)) if name.startswith("app:"):
            return variable
    return None
