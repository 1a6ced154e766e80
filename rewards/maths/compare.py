"""Does an answer say the same as the gold answer? The gold decides which type of answer is expected.

A number is no interval, a set no ordered pair, an equation no value; within its type an answer may be written in any
way that is equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rlpath.rewards.maths.equations import is_expression, proportional, same_family, same_inequality, solved
from rlpath.rewards.maths.expressions import equal, rational, same
from rlpath.rewards.maths.labels import (
    bare_symbols,
    by_name,
    entries_of,
    is_applied,
    is_label,
    items_of,
    labeled_entries,
    labels_of,
    last_side,
    named_alike,
    unlabeled,
)
from rlpath.rewards.maths.rounding import rounded, rounds_to
from rlpath.rewards.maths.sets import EMPTY, real_set, same_set
from rlpath.rewards.maths.tree import Based, Interval, Matrix, Node, Num, Op, Relation, Seq, Sym, Text, symbols
from rlpath.rewards.maths.unfold import choice_letters, exactly, spread
from rlpath.rewards.maths.values import Clock, exact
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
    answer, gold = spread(named_alike(answer, gold)), spread(gold)
    if not is_expression(gold):
        answer = exactly(answer)
    if (letters := choice_letters(gold)) and len(letters) > 1:
        return choice_letters(answer) == letters
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
    if label is not None and bare_symbols(label) & symbols(gold):
        return False
    if isinstance(answer, Relation) and len(sides) > 1 and answer.ops[-1] == "≈" and rounds_to(sides[-1], gold, clock):
        sides = sides[:-1]
    return all(is_expression(s) and (equal(s, gold, clock) or same_family(s, gold, clock)) for s in sides)


def _same_approximately(answer: Node, gold: Relation, clock: Clock) -> bool:
    """Whether `answer` is one of the sides of "sqrt(2) ≈ 1.414", or an exact value that rounds to its decimal."""
    exact_sides, shown = list(gold.sides[:-1]), gold.sides[-1]
    if isinstance(answer, Relation) and answer.ops[-1] == "≈" and rounds_to(answer.sides[-1], exact_sides[-1], clock):
        answer = Relation(answer.ops[:-1], answer.sides[:-1]) if len(answer.ops) > 1 else answer.sides[0]
    label = exact_sides[0] if is_label(exact_sides[0]) else None
    stated = [*exact_sides[1:], shown] if label is not None else gold.sides
    wanted = [side if label is None else Relation(("=",), (label, side)) for side in stated]
    return any(agree(exactly(answer), side, clock) for side in wanted) or rounded(answer, shown, clock, digits=3)


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
    entries = entries_of(answer)
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
    entries = entries_of(last_side(answer))
    if entries is None:
        entries = labeled_entries(answer)
    if entries is None or len(entries) != len(items):
        return False
    return all(agree(a, g, clock) for a, g in zip(entries, items, strict=True))


def _collection(node: Node) -> tuple[str, tuple[Node, ...]] | None:
    """Kind and items of a list or set, with "x =" dropped where every item, or the first alone, has the same label."""
    node = spread(last_side(node))
    if isinstance(node, Relation) and node.ops == ("in",) and isinstance(node.sides[0], Sym):
        node = node.sides[1]
    if not (isinstance(node, Seq) and node.kind in ("list", "set", "array")):
        return None
    split = [unlabeled(item) for item in node.items]
    labels = {label for label, _ in split}
    if split[0][0] is not None and labels <= {split[0][0], None}:
        return node.kind, tuple(sides[-1] for _, sides in split)
    return node.kind, node.items


def _same_collection(answer: Node, gold: Node, items: Sequence[Node], clock: Clock) -> bool:
    if len(labels_of(answer)) > 1 and len(labels_of(gold)) < 2:
        return False  # "x = 1, y = 2" is a point, not two solutions
    wanted, given = _collection(gold), _collection(answer)
    entries = entries_of(answer)
    labeled = labeled_entries(gold)
    if labeled is not None and entries is not None and len(entries) == len(labeled):
        return all(agree(a, g, clock) for a, g in zip(entries, labeled, strict=True))
    if wanted is None or given is None:
        return _same_real_set(answer, gold, clock)
    gold_items, answer_items = list(wanted[1]), list(given[1])
    if len(gold_items) > MAX_ITEMS or len(answer_items) > MAX_ITEMS:
        return False
    if wanted_names := by_name(gold):
        values = items_of(answer)
        given_names = by_name(answer) or dict(zip(wanted_names, values, strict=False))
        if len(values) != len(wanted_names) or wanted_names.keys() != given_names.keys():
            return False
        return all(agree(given_names[name], value, clock) for name, value in wanted_names.items())
    if "set" in (wanted[0], given[0]):
        gold_items, answer_items = _distinct(gold_items, clock), _distinct(answer_items, clock)
    if _matched(answer_items, gold_items, clock) or _matched(items_of(answer), items_of(gold), clock):
        return True
    return all(isinstance(i, Relation) for i in gold_items) and _same_real_set(answer, gold, clock)


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
    shown = last_side(answer)
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
            and not (is_applied(label) and is_applied(given_label))
        )
    ):
        return all(agree(g, value, clock) for g in given)
    if not isinstance(answer, Relation):
        return not (bare_symbols(label) & symbols(answer)) and agree(answer, value, clock)
    return bool(symbols(value)) and proportional(answer, gold, clock)
