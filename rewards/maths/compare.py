"""Does an answer say the same as the gold answer? The gold decides which type of answer is expected.

A number is no interval, a set no ordered pair, an equation no value; within its type an answer may be written in any
way that is equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from rlpath.rewards.maths.equations import is_expression, proportional, put, same_inequality, solved
from rlpath.rewards.maths.expressions import equal, rational, same
from rlpath.rewards.maths.sets import EMPTY, real_set, same_set
from rlpath.rewards.maths.tree import (
    INTEGER,
    NATURAL,
    Based,
    Interval,
    Matrix,
    Node,
    Num,
    Op,
    Relation,
    Seq,
    Sym,
    Text,
    Unit,
    Unreadable,
    mapped,
    renamed,
    symbols,
    walk,
)
from rlpath.rewards.maths.values import Clock, TooLarge, Undefined, exact, numeric
from rlpath.rewards.reading.literals import Number, read_number
from rlpath.rewards.reading.numerals import words_to_number
from rlpath.rewards.reading.vocabulary import denied

_NOTHING = frozenset([
    "no solution", "no solutions", "no real solution", "no real solutions", "none", "empty set", "does not exist",
    "dne",
])  # fmt: skip
_ALL_REALS = frozenset({"all real numbers", "all reals", "real numbers", "all real number", "any real number"})
MAX_ITEMS = 60


def synonyms(words: str) -> frozenset[str]:
    """The wordings that say the same as `words`."""
    return next((group for group in (_NOTHING, _ALL_REALS) if words in group), frozenset({words}))


def agree(answer: Node, gold: Node, clock: Clock) -> bool:
    """Whether `answer` is a right way to write `gold`."""
    if isinstance(answer, Num | Op) and isinstance(gold, Num | Op):
        given, wanted = rational(answer), rational(gold)
        if given is not None and wanted is not None:
            return given == wanted
    if isinstance(gold, Relation) and gold.ops[-1] == "≈":
        return _same_approximately(answer, gold, clock)
    answer, gold = _spread(_named_alike(answer, gold)), _spread(gold)
    if not is_expression(gold):
        answer = _exactly(answer)
    if (letters := _choice_letters(gold)) and len(letters) > 1:
        return _choice_letters(answer) == letters
    match gold:
        case Op("mod", (residue, modulus)):
            return _same_residue(answer, residue, modulus, clock)
        case Text(words):
            return _same_words(answer, words)
        case Based():
            return answer == gold
        case Matrix():
            return _same_matrix(answer, gold, clock)
        case Seq("ratio", items):
            return _same_ratio(answer, items, clock)
        case Seq("tuple", items):
            return _same_tuple(answer, items, clock)
        case Seq(_, items):
            return _same_collection(answer, gold, items, clock)
        case Relation():
            return _same_relation(answer, gold, clock)
        case Interval():
            return _same_pair(answer, gold, clock)
        case Op(("cup" | "cap" | "setminus"), _) | Sym("set:R" | "set:0" | "set:Z" | "set:N" | "set:Q" | "set:C"):
            return _same_real_set(answer, gold, clock)
    return _same_expression(answer, gold, clock)


def _same_residue(answer: Node, residue: Node, modulus: Node, clock: Clock) -> bool:
    """Whether `answer` names the residue class: by itself, or "mod" the same modulus."""
    match answer:
        case Op("mod", (given, of)):
            if not equal(of, modulus, clock):
                return False
            a, g, m = exact(given, clock), exact(residue, clock), exact(modulus, clock)
            return a is not None and g is not None and bool(m) and ((a - g) / m).denominator == 1
    return agree(answer, residue, clock)


def _spread(node: Node) -> Node:
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


def _exactly(node: Node) -> Node:
    """`node` with "≈" read as "="."""
    if isinstance(node, Relation) and "≈" in node.ops:
        return Relation(tuple("=" if op == "≈" else op for op in node.ops), node.sides)
    return node


def _componentwise(left: Node, right: Node) -> tuple[Node, ...]:
    """The equations of "(x, y) = (1, 2)", or () where it is none."""
    names, values = _entries(left), _entries(right)
    if not names or not values or len(names) != len(values) or not all(isinstance(n, Sym) for n in names):
        return ()
    return tuple(Relation(("=",), pair) for pair in zip(names, values, strict=True))


def _choice_letters(node: Node) -> frozenset[str]:
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
        if is_label(first) and not (_bare_symbols(first) & symbols(rest[-1])):
            return first, tuple(rest)
        if len(rest) == 1 and is_label(rest[0]) and not (_bare_symbols(rest[0]) & symbols(first)):
            return rest[0], (first,)
        if not any(is_label(s) for s in node.sides) and not any(symbols(s) for s in node.sides):
            return None, node.sides
    return None, (node,)


def _bare_symbols(label: Node) -> frozenset[str]:
    return symbols(label) if isinstance(label, Sym) else frozenset()


def _same_expression(answer: Node, gold: Node, clock: Clock) -> bool:
    """Every side of the answer's equation chain must be the gold value: "x = 9*2 = 18" is 18, "9*2 = 17" nothing."""
    if isinstance(answer, Seq) and answer.kind == "list":
        return all(not isinstance(item, Seq) and _same_expression(item, gold, clock) for item in answer.items)
    if isinstance(answer, Op) and answer.name == "mod":
        value, modulus = exact(answer.args[0], clock), exact(answer.args[1], clock)
        reduced = value is not None and modulus is not None and 0 <= value < modulus
        return reduced and isinstance(answer.args[0], Num) and equal(answer.args[0], gold, clock)
    chain = answer.sides if isinstance(answer, Relation) and set(answer.ops) == {"="} and symbols(gold) else ()
    if chain and all(is_expression(s) and equal(s, gold, clock) for s in chain):
        return True
    if isinstance(answer, Seq) and answer.kind == "ratio" and len(answer.items) == 2:
        answer = Op("div", answer.items)
    label, sides = unlabeled(answer)
    match answer:
        case Relation(("=",), (Op("add", names), value)) if all(is_label(n) for n in names):
            sides = (value,)  # "m + n = 7"
    if label is not None and _bare_symbols(label) & symbols(gold):
        return False
    if isinstance(answer, Relation) and len(sides) > 1 and answer.ops[-1] == "≈" and _rounds(sides[-1], gold, clock):
        sides = sides[:-1]
    return all(is_expression(s) and (equal(s, gold, clock) or _same_family(s, gold, clock)) for s in sides)


def _same_family(answer: Node, gold: Node, clock: Clock) -> bool:
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


def _named_alike(answer: Node, gold: Node) -> Node:
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


def _same_approximately(answer: Node, gold: Relation, clock: Clock) -> bool:
    """Whether `answer` is one of the sides of "sqrt(2) ≈ 1.414", or an exact value that rounds to its decimal."""
    exact_sides, shown = list(gold.sides[:-1]), gold.sides[-1]
    if isinstance(answer, Relation) and answer.ops[-1] == "≈" and _rounds(answer.sides[-1], exact_sides[-1], clock):
        answer = Relation(answer.ops[:-1], answer.sides[:-1]) if len(answer.ops) > 1 else answer.sides[0]
    label = exact_sides[0] if is_label(exact_sides[0]) else None
    stated = [*exact_sides[1:], shown] if label is not None else gold.sides
    wanted = [side if label is None else Relation(("=",), (label, side)) for side in stated]
    return any(agree(_exactly(answer), side, clock) for side in wanted) or rounded(answer, shown, clock, digits=3)


def rounded(answer: Node, gold: Node, clock: Clock, digits: int = 4) -> bool:
    """Whether `gold` is a decimal of at least so many significant digits, and the exact `answer` rounds to it.

    A value that some decimal writes exactly has to be equal: 17/40 is not 0.42. Nor is a decimal ever taken for what
    it might round, however long it is.
    """
    if isinstance(answer, Relation) and answer.ops == ("≈",) and _rounds(answer.sides[1], answer.sides[0], clock):
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


def _rounds(shown: Node, gold: Node, clock: Clock) -> bool:
    """Whether a decimal shown behind an exact answer ("1/6 ≈ 0.167") is that answer rounded."""
    return isinstance(shown, Num) and shown.decimals > 0 and not symbols(gold) and _near(shown, gold, clock)


def _near(shown: Num, value: Node, clock: Clock) -> bool:
    try:
        distance = abs(numeric(value, clock) - float(shown.value))
    except (Undefined, TooLarge, Unreadable):
        return False
    return distance <= 0.5000001 * 10.0**-shown.decimals


def _same_words(answer: Node, words: str) -> bool:
    if answer == EMPTY and words in _NOTHING:
        return True
    if answer == Sym("set:R") and words in _ALL_REALS:
        return True
    _, sides = unlabeled(answer)
    answer = sides[-1]
    if isinstance(answer, Text):
        *said, last = answer.words.split(" is ")
        return (
            answer.words == words
            or (bool(said) and last == words and not denied(said[0]))
            or (answer.words in _NOTHING and words in _NOTHING)
            or (answer.words in _ALL_REALS and words in _ALL_REALS)
        )
    return isinstance(answer, Sym) and answer.name.lower() == words and len(words) == 1


def _same_matrix(answer: Node, gold: Matrix, clock: Clock) -> bool:
    _, sides = unlabeled(answer)
    answer = sides[-1]
    column = len(gold.rows[0]) == 1
    entries = _entries(answer)
    if column and entries is not None:
        rows: tuple[tuple[Node, ...], ...] = tuple((e,) for e in entries)
    elif isinstance(answer, Matrix) and answer.kind == gold.kind:
        rows = answer.rows
    else:
        return False
    if [len(r) for r in rows] != [len(r) for r in gold.rows]:
        return False
    pairs = [(a, g) for ra, rg in zip(rows, gold.rows, strict=True) for a, g in zip(ra, rg, strict=True)]
    return all(agree(a, g, clock) for a, g in pairs)


def _entries(node: Node) -> tuple[Node, ...] | None:
    """The entries of an ordered tuple, or None."""
    match node:
        case Seq("tuple", items):
            return items
        case Interval(low, high, False, False):
            return (low, high)
        case Matrix("matrix", rows) if all(len(row) == 1 for row in rows):
            return tuple(row[0] for row in rows)
    return None


def _same_ratio(answer: Node, items: Sequence[Node], clock: Clock) -> bool:
    _, sides = unlabeled(answer)
    answer = sides[-1]
    if len(items) == 2 and is_expression(answer) and items[1] != Num(Fraction(0)):
        return equal(answer, Op("div", tuple(items)), clock)
    if not (isinstance(answer, Seq) and answer.kind == "ratio" and len(answer.items) == len(items)):
        return False
    if any(isinstance(i, Num) and i.value == 0 for i in (*items, *answer.items)):
        return all(equal(a, g, clock) for a, g in zip(answer.items, items, strict=True))
    first, wanted = answer.items[0], items[0]
    return all(
        same(Op("mul", (a, wanted)), Op("mul", (g, first)), clock) for a, g in zip(answer.items, items, strict=True)
    )


def _same_tuple(answer: Node, items: Sequence[Node], clock: Clock) -> bool:
    match answer:
        case Seq("set", (inner,)):
            answer = inner
    entries = _entries(_last_side(answer))
    if entries is None:
        entries = _labeled_entries(answer)
    if entries is None or len(entries) != len(items):
        return False
    return all(agree(a, g, clock) for a, g in zip(entries, items, strict=True))


def _last_side(node: Node) -> Node:
    """What stands behind "x =", "x in" or "(x, y) =", or `node` itself."""
    match node:
        case Relation(("in",), (Sym(), Interval() as inside)):
            return inside
    if isinstance(node, Relation) and node.ops == ("=",):
        left, right = node.sides
        entries = _entries(left)
        if is_label(left) or (entries and all(isinstance(e, Sym) for e in entries)):
            return right
    return node


def _labeled_entries(node: Node) -> tuple[Node, ...] | None:
    """The values of "x = 1, y = 2" as a tuple, where the labels are different and in alphabetical order."""
    pairs = _labels(node) if isinstance(node, Seq) and node.kind == "list" else []
    names = [label.name for label, _ in pairs if isinstance(label, Sym)]
    ordered = bool(pairs) and len(names) == len(pairs) and names == sorted(set(names))
    return tuple(value for _, value in pairs) if ordered else None


def _labels(node: Node) -> list[tuple[Node | None, Node]]:
    """The items of a list with their labels."""
    return [(label, sides[-1]) for label, sides in map(unlabeled, _items(node))]


def _collection(node: Node) -> tuple[str, tuple[Node, ...]] | None:
    """Kind and items of a list or set, with "x =" dropped where every item, or the first alone, has the same label."""
    node = _spread(_last_side(node))
    if isinstance(node, Relation) and node.ops == ("in",) and isinstance(node.sides[0], Sym):
        node = node.sides[1]
    if not (isinstance(node, Seq) and node.kind in ("list", "set", "array")):
        return None
    split = [unlabeled(item) for item in node.items]
    labels = {label for label, _ in split}
    if split[0][0] is not None and labels <= {split[0][0], None}:
        return node.kind, tuple(sides[-1] for _, sides in split)
    return node.kind, node.items


def _named(node: Node) -> set[str]:
    """The first letters of the labels of a list: one for "x_1 = 1, x_2 = 2", two for "x = 1, y = 2"."""
    pairs = _labels(node) if isinstance(node, Seq) and node.kind == "list" else []
    return {label.name[:1] for label, _ in pairs if isinstance(label, Sym)}


def _same_collection(answer: Node, gold: Node, items: Sequence[Node], clock: Clock) -> bool:
    if len(_named(answer)) > 1 and len(_named(gold)) < 2:
        return False  # "x = 1, y = 2" is a point, not two solutions
    wanted, given = _collection(gold), _collection(answer)
    entries = _entries(answer)
    labeled = _labeled_entries(gold)
    if labeled is not None and entries is not None and len(entries) == len(labeled):
        return all(agree(a, g, clock) for a, g in zip(entries, labeled, strict=True))
    if wanted is None or given is None:
        return _same_real_set(answer, gold, clock)
    gold_items, answer_items = list(wanted[1]), list(given[1])
    if len(gold_items) > MAX_ITEMS or len(answer_items) > MAX_ITEMS:
        return False
    if wanted_names := _by_name(gold):
        values = _items(answer)
        given_names = _by_name(answer) or dict(zip(wanted_names, values, strict=False))
        if len(values) != len(wanted_names) or wanted_names.keys() != given_names.keys():
            return False
        return all(agree(given_names[name], value, clock) for name, value in wanted_names.items())
    if "set" in (wanted[0], given[0]):
        gold_items, answer_items = _distinct(gold_items, clock), _distinct(answer_items, clock)
    if _matched(answer_items, gold_items, clock) or _matched(_items(answer), _items(gold), clock):
        return True
    return all(isinstance(i, Relation) for i in gold_items) and _same_real_set(answer, gold, clock)


def _items(node: Node) -> list[Node]:
    return list(node.items) if isinstance(node, Seq) else [node]


def _by_name(node: Node) -> dict[str, Node]:
    """The values of "Paolo: 18, Qing: 14" under their names; empty where not every value has one."""
    pairs = _labels(node)
    named = {
        label.words.replace("imum", "").removesuffix(" is").removesuffix(" value"): value
        for label, value in pairs
        if isinstance(label, Text)
    }
    return named if len(named) == len(pairs) else {}


def _distinct(items: list[Node], clock: Clock) -> list[Node]:
    kept: list[Node] = []
    for item in items:
        if not any(agree(item, other, clock) for other in kept):
            kept.append(item)
    return kept


def _matched(answers: list[Node], golds: list[Node], clock: Clock) -> bool:
    """Whether the two lists are the same up to order; equality is transitive, so the first match will do."""
    if len(answers) != len(golds):
        return False
    left = list(golds)
    for item in answers:
        found = next((g for g in left if agree(item, g, clock)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _same_pair(answer: Node, gold: Interval, clock: Clock) -> bool:
    plain = not (gold.closed_low or gold.closed_high)
    if plain and _same_tuple(answer, (gold.low, gold.high), clock):
        return True
    shown = _last_side(answer)
    if isinstance(shown, Interval) and (shown.closed_low, shown.closed_high) == (gold.closed_low, gold.closed_high):
        return agree(shown.low, gold.low, clock) and agree(shown.high, gold.high, clock)
    return _same_real_set(shown, gold, clock)


def _same_real_set(answer: Node, gold: Node, clock: Clock) -> bool:
    if answer == gold:
        return True
    if isinstance(answer, Text):
        return (gold == EMPTY and answer.words in _NOTHING) or (gold == Sym("set:R") and answer.words in _ALL_REALS)
    given, wanted = real_set(answer, clock), real_set(gold, clock)
    return given is not None and wanted is not None and same_set(given, wanted, clock)


def _same_relation(answer: Node, gold: Relation, clock: Clock) -> bool:
    if set(gold.ops) == {"="}:
        return _same_equation(answer, gold, clock)
    wanted = real_set(gold, clock)
    if wanted is not None:
        given = real_set(answer, clock)
        return given is not None and same_set(given, wanted, clock)
    if gold.ops == ("in",):
        inside = answer.sides[1] if isinstance(answer, Relation) and answer.ops == ("in",) else answer
        return agree(inside, gold.sides[1], clock)
    return same_inequality(answer, gold, clock)


def _same_equation(answer: Node, gold: Relation, clock: Clock) -> bool:
    if not symbols(gold):
        return agree(answer, gold.sides[-1], clock)
    label, sides = unlabeled(gold)
    value = sides[-1]
    if isinstance(answer, Relation) and (solved(answer, gold, clock) or solved(gold, answer, clock)):
        return True
    multiplied_through = isinstance(answer, Relation) and proportional(answer, gold, clock)
    if label is None or (multiplied_through and len(symbols(gold)) > 1):
        return multiplied_through
    given_label, given = unlabeled(answer)
    if given_label is not None and (
        given_label == label
        or (
            not (isinstance(label, Sym) and isinstance(given_label, Sym))
            and not (_applied(label) and _applied(given_label))
        )
    ):
        return all(agree(g, value, clock) for g in given)
    if not isinstance(answer, Relation):
        return not (_bare_symbols(label) & symbols(answer)) and agree(answer, value, clock)
    return bool(symbols(value)) and proportional(answer, gold, clock)


def _applied(label: Node) -> bool:
    return isinstance(label, Op) and label.name.startswith("app:")
