"""Is the answer in a form that answers the question? A value must be evaluated, a factorization factored.

A model that writes the question's own expression in the box has not computed anything, although the expression is equal
to the gold answer. These rules need the question; without it only values are compared.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from functools import lru_cache

from rlpath.rewards.maths.expressions import equal, exact_or_none, measured
from rlpath.rewards.maths.labels import unlabeled
from rlpath.rewards.maths.parser import parse
from rlpath.rewards.maths.tree import Node, Num, Op, Relation, Seq, Unreadable, key, mapped, symbols, walk
from rlpath.rewards.maths.values import Clock
from rlpath.rewards.reading.regions import spans

_PLAIN_OPERATIONS = frozenset({"add", "mul", "neg", "div", "pow", "sqrt", "root", "percent", "pm", "mp"})


def form_problem(answer: Node, gold: Node, question: str) -> str:
    """Why `answer`, though equal to `gold`, does not answer `question`; an empty string where it does."""
    copied = isinstance(answer, Relation) and key(without_nothings(answer)) in _asked_expressions(question)
    if copied and not symbols(gold):
        return "an equation of the question, not its answer"
    value, wanted = unlabeled(answer)[1][-1], unlabeled(gold)[1][-1]
    if _face_percent(value, wanted, question):
        return "a percentage where no percentage is asked for"
    if key(value) == key(wanted):
        return _decimal_problem(value, wanted, question)
    if _restated(value, wanted, question):
        return "the question's own expression, not its value"
    return _decimal_problem(value, wanted, question) or _shape_problem(value, wanted, question)


def _face_percent(value: Node, wanted: Node, question: str) -> bool:
    """True for "18%" where 18 is asked and the question knows no percentages."""
    measure = measured(value)
    if not measure.percent or measured(wanted).percent or re.search(r"%|percent", question, re.I):
        return False
    return exact_or_none(measure.value) == exact_or_none(wanted)


def _restated(value: Node, wanted: Node, question: str) -> bool:
    """True for an answer that still is to be computed: a normal form is asked for, and this is none."""
    number = measured(value).value
    known = exact_or_none(number) is not None or asked_decimals(question) is not None
    if _is_ratio(wanted) or (isinstance(wanted, Num) and known):
        return not _is_numeral(number)
    plainest = without_nothings(value)
    if isinstance(plainest, Op) and plainest.name != "neg" and key(plainest) in _asked_expressions(question):
        return key(plainest) != key(wanted)
    if (given := _given_size(question, wanted)) > (least := _size(wanted)):
        return _size(value) > (given + least) / 2
    return not symbols(wanted) and bool(_functions(value) - _functions(wanted))


def _size(node: Node) -> int:
    return sum(1 for inner in walk(node) if not (isinstance(inner, Op) and inner.name == "neg"))


@lru_cache(maxsize=1024)
def _given_size(question: str, wanted: Node) -> int:
    """The size of the shortest expression in `question` that equals `wanted`, so that simplifying it is the task."""
    clock, sizes = Clock(0.2), []
    for node in _spans_read(question):
        for side in node.sides if isinstance(node, Relation) else (node,):
            if isinstance(side, Op) and equal(side, wanted, clock):
                sizes.append(_size(side))
    return min(sizes, default=0)


def _is_ratio(node: Node) -> bool:
    match node:
        case Op("div", (Num(), Num())):
            return True
        case Op("neg", (inner,)):
            return _is_ratio(inner)
    return False


def _is_numeral(value: Node) -> bool:
    """True for a number written out: signed, a fraction, mixed, a percentage, or times a power of ten."""
    match value:
        case Num():
            return True
        case Op("neg" | "percent", (inner,)):
            return _is_numeral(inner)
        case Op("div", (top, bottom)):
            ratio = exact_or_none(value)
            whole = ratio is None or ratio.denominator == 1  # a division left to the reader
            return not whole and all(isinstance(_unsigned(n), Num) for n in (top, bottom))
        case Op("add", (Num() as whole, Op("div", (Num(), Num())))):
            return whole.value != 0
        case Op("pow", (Num(base), exponent)):
            return base == 10 and isinstance(_unsigned(exponent), Num)
        case Op("mul", (Num() as factor, Op("pow", _) as power)):
            return factor.value != 1 and _is_numeral(power)
    return not isinstance(value, Op)


def _unsigned(node: Node) -> Node:
    return node.args[0] if isinstance(node, Op) and node.name == "neg" else node


def without_nothings(node: Node) -> Node:
    """`node` without what changes nothing: + 0, times 1, over 1, to the power 1."""
    if not isinstance(node, Op):
        return mapped(node, without_nothings)
    args = tuple(without_nothings(a) for a in node.args)
    if node.name == "add":
        args = tuple(a for a in args if exact_or_none(a) != 0) or args[:1]
    if node.name == "mul":
        args = tuple(a for a in args if exact_or_none(a) != 1) or args[:1]
    if node.name in ("div", "pow") and exact_or_none(args[1]) == 1:
        args = args[:1]
    if len(args) == 1 and node.name in ("add", "mul", "div", "pow"):
        return args[0]
    return Op(node.name, args)


def _functions(node: Node) -> set[str]:
    return {n.name for n in walk(node) if isinstance(n, Op)} - _PLAIN_OPERATIONS


@lru_cache(maxsize=256)
def _asked_expressions(question: str) -> frozenset[str]:
    """The keys of all expressions, and their parts, between dollar signs in `question`."""
    nodes = (node for read in _spans_read(question) for node in walk(read))
    return frozenset(key(without_nothings(node)) for node in nodes if isinstance(node, Op | Relation))


@lru_cache(maxsize=256)
def _spans_read(question: str) -> tuple[Node, ...]:
    """The trees of what stands between dollar signs in `question`."""
    read = []
    for _, _, content in spans(question)[:40]:
        with suppress(Unreadable):
            read.append(parse(content.strip(" .,?")))
    return tuple(read)


def _decimal_problem(value: Node, wanted: Node, question: str) -> str:
    rounded = isinstance(wanted, Num) and wanted.decimals > 0 and not isinstance(value, Num)
    asked = rounded and (_AS_DECIMAL.search(question) or _DECIMALS.search(question))
    return "not written as a decimal" if asked else ""


def asked_decimals(question: str) -> int | None:
    """How many decimals `question` asks for, 0 where it only asks for a rounded value; None where it asks for neither.

    >>> [asked_decimals(q) for q in ("Find it to two decimal places.", "Round to the nearest tenth.", "Find it.")]
    [2, 1, None]
    """
    if places := _DECIMALS.search(question):
        found = (places.group(1) or places.group(2)).lower()
        return _PLACES.get(found) or int(found)
    return 0 if _ROUNDED.search(question) else None


_DECIMALS = re.compile(r"\b(\d|one|two|three|four) decimal place|\bnearest (tenth|hundredth|thousandth)", re.I)
_AS_DECIMAL = re.compile(r"\b(?:as|in|to) (?:an? )?(?:\w+ )?decimal|decimal (?:form|places?|number)", re.I)
_ROUNDED = re.compile(r"\bround(?:ed)?\b|\bapproximat|\bestimate|\bsignificant (?:fig|dig)|≈", re.I)
_PLACES = {"one": 1, "two": 2, "three": 3, "four": 4, "tenth": 1, "hundredth": 2, "thousandth": 3}


def _shape_problem(value: Node, wanted: Node, question: str) -> str:
    """The asked form is a norm that the answer has to reach: as many factors, terms without brackets, lowest terms."""
    factored = re.search(r"\bfactor(?:ed|ise|ize|isation|ization)?\b", question, re.I)
    if factored and isinstance(wanted, Op) and wanted.name in ("mul", "pow") and _factors(value) < _factors(wanted):
        return "not factored"
    if _is_sum(wanted) and re.search(r"\b(?:expand|multiply out)", question, re.I) and not _is_expanded(value):
        return "not expanded"
    if re.search(r"\b(?:simplest|lowest terms|reduced|simplify|simplified)\b", question, re.I):
        return _reduction_problem(value, wanted)
    if re.search(r"\bas a (?:common )?fraction\b", question, re.I) and _is_ratio(wanted) and isinstance(value, Num):
        return "not a fraction"
    return ""


def _factors(node: Node) -> int:
    """How many factors with a variable `node` is written as a product of."""
    match node:
        case Op("mul" | "neg", args):
            return sum(_factors(a) for a in args)
        case Op("div", (top, _)):
            return _factors(top)
        case Op("pow", (base, Num(n))) if n.denominator == 1 and 0 < n < 100:
            return int(n) * _factors(base)
    return 1 if symbols(node) else 0


def _is_expanded(node: Node) -> bool:
    terms = node.args if isinstance(node, Op) and node.name == "add" else ()
    return len(terms) > 1 and not any(
        isinstance(n, Op) and n.name in ("mul", "pow") and any(_is_sum(a) for a in n.args)
        for t in terms
        for n in walk(t)
    )


def _reduction_problem(value: Node, wanted: Node) -> str:
    if _is_ratio(wanted):
        match _unsigned(value):
            case Op("div", (top, bottom)):
                a, b = _unsigned(top), _unsigned(bottom)
                if not (isinstance(a, Num) and isinstance(b, Num) and a.decimals < 0 and b.decimals < 0):
                    return "not a fraction of whole numbers"
                return "not in lowest terms" if math.gcd(int(a.value), int(b.value)) > 1 else ""
            case Op("add", _):
                return ""
        return "not a fraction"
    if key(without_nothings(value)) != key(value):
        return "not simplified"
    if any(_square_inside(n) for n in walk(value)) and not any(_square_inside(n) for n in walk(wanted)):
        return "not simplified: a square is left under the root"
    return ""


def _square_inside(node: Node) -> bool:
    match node:
        case Op("sqrt", (inner,)) if (n := exact_or_none(inner)) and n.denominator == 1 and 0 < n < 10**6:
            return any(n % (k * k) == 0 for k in range(2, math.isqrt(int(n)) + 1))
    return False


def _is_sum(node: Node) -> bool:
    return isinstance(node, Op) and node.name == "add"


def item_count(node: Node) -> int:
    """How many answers a gold answer lists: more than one for lists, sets and plus-minus."""
    if isinstance(node, Seq) and node.kind in ("list", "set"):
        return len(node.items)
    return 2 if any(isinstance(n, Op) and n.name in ("pm", "mp") for n in walk(node)) else 1
