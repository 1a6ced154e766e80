"""Is the answer in a form that answers the question? A value must be evaluated, a factorisation factored.

A model that writes the question's own expression in the box has not computed anything, although the expression is equal
to the gold answer. These rules need the question; without it only values are compared.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache

from rlpath.rewards.maths.compare import unlabelled
from rlpath.rewards.maths.expressions import exact_or_none, measured
from rlpath.rewards.maths.parser import parse
from rlpath.rewards.maths.regions import spans
from rlpath.rewards.maths.tree import Node, Num, Op, Seq, Sym, Unreadable, key, walk

_SQUASHED = (
    (re.compile(r"\\(?:left|right|displaystyle|big|Big|,|;|!|:|quad)|[$\s~]"), ""),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\(?:cdot|times|ast)(?![A-Za-z])|×|·|\*\*?"), "*"),
    (re.compile(r"−|–"), "-"),
    (re.compile(r"\\div(?![A-Za-z])|÷"), "/"),
    (re.compile(r"\{(\w)\}"), r"\1"),
)
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


def form_problem(answer: Node, text: str, gold: Node, question: str) -> str:
    """Why `answer`, though equal to `gold`, does not answer `question`; an empty string where it does."""
    _, sides = unlabelled(answer)
    _, gold_sides = unlabelled(gold)
    value, wanted = sides[-1], gold_sides[-1]
    if _face_percent(value, wanted, question):
        return "a percentage where no percentage is asked for"
    if key(value) == key(wanted) or isinstance(value, Num | Sym):
        return _decimal_problem(value, wanted, question)
    if _restated(value, text, wanted, question):
        return "the question's own expression, not its value"
    return _decimal_problem(value, wanted, question) or _shape_problem(value, wanted, question)


def _face_percent(value: Node, wanted: Node, question: str) -> bool:
    """True for "18%" where 18 is asked and the question knows no percentages."""
    measure = measured(value)
    if not measure.percent or measured(wanted).percent or re.search(r"%|percent", question, re.I):
        return False
    return exact_or_none(measure.value) == exact_or_none(wanted)


def _restated(value: Node, text: str, wanted: Node, question: str) -> bool:
    written = squash(text.rsplit("=", 1)[-1].strip(" .$"))
    asked = squash(question)
    if len(written) >= 3 and written in asked and squash(str(exact_or_none(wanted))) != written:
        return True
    if isinstance(value, Op) and value.name != "neg" and key(value) in _asked_expressions(question):
        return True
    if isinstance(wanted, Num) and _unevaluated(value):
        numbers = Counter(str(n.value) for n in walk(value) if isinstance(n, Num))
        known = Counter(str(Fraction(n)) for n in _NUMBERS.findall(question.replace(",", "")))
        return numbers.total() >= 2 and not numbers - known
    return False


@lru_cache(maxsize=256)
def _asked_expressions(question: str) -> frozenset[str]:
    """The keys of all expressions, and their parts, between dollar signs in `question`."""
    keys: set[str] = set()
    for _, _, content in spans(question)[:40]:
        try:
            keys.update(key(node) for node in walk(parse(content.strip(" .,?"))) if isinstance(node, Op))
        except Unreadable:
            continue
    return frozenset(keys)


def _unevaluated(value: Node) -> bool:
    """True for a calculation left standing: anything but a signed number, a reduced fraction, a mixed number."""
    match value:
        case Op("neg" | "percent", (inner,)):
            return _unevaluated(inner)
        case Op("div", (Num(a), Num(b))):
            return a.denominator == b.denominator == 1 and (b == 0 or (a / b).denominator == 1)
        case Op("add", (Num(), Op("div", (Num(), Num())))):
            return False
        case Op():
            return True
    return False


def squash(text: str) -> str:
    """`text` without spaces and LaTeX dress, for finding one expression in another text."""
    for pattern, replacement in _SQUASHED:
        text = pattern.sub(replacement, text)
    return text


def _decimal_problem(value: Node, wanted: Node, question: str) -> str:
    if not (isinstance(wanted, Num) and wanted.decimals > 0) or isinstance(value, Num):
        return ""
    if re.search(
        r"\b(?:as|in|to) (?:a )?decimal|decimal (?:form|places?|number)|nearest (?:tenth|hundredth|thousandth)",
        question,
        re.I,
    ):
        return "not written as a decimal"
    return ""


def _shape_problem(value: Node, wanted: Node, question: str) -> str:
    factored = isinstance(wanted, Op) and wanted.name in ("mul", "pow")
    if factored and re.search(r"\bfactor(?:ed|ise|ize|isation|ization)?\b", question, re.I) and _is_sum(value):
        return "not factored"
    if _is_sum(wanted) and re.search(r"\b(?:expand|multiply out)", question, re.I) and not _is_sum(value):
        return "not expanded"
    if re.search(r"\b(?:simplest form|lowest terms|reduced|simplify|fully simplified)\b", question, re.I):
        return _reduction_problem(value, wanted)
    return ""


def _reduction_problem(value: Node, wanted: Node) -> str:
    match value, wanted:
        case Op("div", (Num(a), Num(b))), (Num() | Op("div", (Num(), Num()))):
            if a.denominator == b.denominator == 1 and math.gcd(int(a), int(b)) > 1:
                return "not in lowest terms"
    return ""


def _is_sum(node: Node) -> bool:
    return isinstance(node, Op) and node.name == "add"


def item_count(node: Node) -> int:
    """How many answers a gold answer lists: more than one for lists, sets and plus-minus."""
    if isinstance(node, Seq) and node.kind in ("list", "set"):
        return len(node.items)
    return 2 if any(isinstance(n, Op) and n.name in ("pm", "mp") for n in walk(node)) else 1
