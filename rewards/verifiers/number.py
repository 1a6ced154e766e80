"""`NumberVerifier`: is the final number the right one? For word problems such as GSM8K.

The gold answer is one number. The completion has to state one number, once or several times over, and it has to be
exactly equal; nothing is ever rounded or converted to a float.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.reading.extract import Said, Statement, doubtful, hear, last_sentence, part_of_more, said
from rlpath.rewards.reading.literals import (
    ANY_NUMBER,
    CURRENCY,
    LITERAL,
    NotANumber,
    Number,
    hedged,
    literal_value,
    only_spoken_number,
    plain,
    read_number,
)
from rlpath.rewards.reading.regions import offered_elsewhere
from rlpath.rewards.reading.units import UNIT
from rlpath.rewards.reading.vocabulary import BUT_NOT, NOT_BUT, bounded_before, calculates_before, denied

_SPELLED_MINUS = re.compile(r"(\d\s*)?\b(?:minus|negative)\s*$", re.I)
_SUBTRACTS = re.compile(r"(?:\b[A-Za-z\d]|\)) ?$")
_TIED = re.compile(r"[\w)] ?[*/^+<>≠-] ?$|\d:$|[A-Za-z0-9_.^]$|[\w-]\($|\\[A-Za-z]+ ?\{?$|[_^]\{$")
_ASKS_THE_TIME = re.compile(r"\bo['’]?clock\b|\bwhat (?:hour|time)\b|\bwhen\b", re.I)
_FULL_HOUR = re.compile(r"(?<![\d:])(\d{1,2}):00(?![\d:])")
_ASIDE = re.compile(r"(?<=\w) \((?=[^()]*[A-Za-z*×+=/-])[^()]*\)\W*$")  # "18 (9 × 2)" says how it came about
_COMPARED = re.compile(r",? which is (?:less|more|fewer|greater|higher|lower|also|about|\w+er) .*\d")
_CIRCUMSTANCE = re.compile(
    r" (?:in|after|for|over|within|during|by) (\d[\d.,]* (?:second|minute|hour|day|week|month|year)s?)\W*$"
)
_TEN_TO_THE = re.compile(r"\W*10 ?\^ ?\{? ?-?\d{1,4} ?\}?\W*")
_ONLY_NUMBER_LINE = re.compile(r"^\W*[-+]?[\d][\d.,]*\W*$")


@dataclass(frozen=True)
class NumberVerifier:
    r"""Accepts a completion whose one final answer is exactly the gold number.

    The answer is read from `\boxed{}`, an `<answer>` tag, a `####` line and sentences such as "the answer is 18"; all
    that are present must agree. Without any of them the last number of the last sentence with a number is taken,
    unless `require_statement` is set. A percent sign is read as the gold is: "60%" equals both 60 and 0.6.

    >>> verify = NumberVerifier()
    >>> verify("9 eggs at $2 each, so she makes\n#### $18.00", "18").status
    <Status.CORRECT: 'correct'>
    >>> verify("The answer is 18 or 20.", "18").reason
    'hedges between numbers'
    >>> verify("#### 1", "18", truncated=True).status
    <Status.TRUNCATED: 'truncated'>
    >>> verify("It is 18.", "several").status
    <Status.UNDECIDED: 'undecided'>
    """

    require_statement: bool = False

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        wanted = gold_number(gold)
        if isinstance(wanted, NotANumber):
            return Verdict.of(Status.UNDECIDED, reason=f"the gold answer {gold[:80]!r} is not one number")
        heard = hear(completion, question, truncated=truncated)
        if isinstance(heard, Verdict):
            return heard
        if heard.statements:
            return _judge_statements(heard, wanted, question)
        if self.require_statement:
            return Verdict.of(Status.NO_ANSWER, reason="no final answer is stated")
        return _judge_last(heard, wanted, question)


@lru_cache(maxsize=4096)
def gold_number(gold: str) -> Number | NotANumber:
    """The number of a gold answer: a bare one, or a worked solution that ends in `#### n` or a box."""
    found = said(gold).statements if ("####" in gold or "\\boxed" in gold) else ()
    if len({s.text for s in found}) > 1:
        return NotANumber("several gold answers")
    return read_number(found[-1].text if found else gold.strip())


def equal(answer: Number, gold: Number, question: str | None = None) -> bool:
    """True where the two are the same number, with percent signs and words such as "million" read as the gold is."""
    if answer.percent != gold.percent:
        fraction = answer.value / (100 if answer.percent else 1) == gold.value / (100 if gold.percent else 1)
        plain = gold.value if answer.percent else answer.value
        asked = gold.percent or question is None or re.search(r"%|percent", question, re.I)
        face = bool(asked) and answer.value == gold.value
        return fraction if plain.denominator != 1 and abs(plain) < 1 else face or (fraction and plain.denominator != 1)
    if answer.value == gold.value:
        return True
    asked_in_scale = answer.scale != 1 and gold.scale == 1 and question is not None
    return asked_in_scale and answer.face == gold.value and _asks_in(answer.scale, question or "")


def _asks_in(scale: int, question: str) -> bool:
    word = {
        12: "dozens?",
        100: "hundreds?",
        1000: "thousands?",
        10**6: "millions?",
        10**9: "billions?",
        10**12: "trillions?",
    }.get(scale)
    return word is not None and re.search(rf"\b(?:in|how many|number of)\s+{word}\b", question, re.I) is not None


def _judge_statements(heard: Said, wanted: Number, question: str | None) -> Verdict:
    read: list[tuple[Statement, Number]] = []
    unread: list[tuple[Statement, NotANumber]] = []
    for statement in heard.statements:
        number = _read_statement(statement, question)
        if isinstance(number, Number):
            read.append((statement, number))
        elif (
            statement.channel != "phrase"
            or "number where" not in number.reason
            or denied(NOT_BUT.sub("", statement.text))
        ):
            unread.append((statement, number))
    if unread:
        statement, problem = unread[-1]
        status = Status.WRONG if read or ANY_NUMBER.search(statement.text) else Status.NO_ANSWER
        return Verdict.of(status, statement.text[:200], problem.reason)
    if not read:
        return _judge_sentence(heard.statements[-1].text, wanted, question)
    statement, number = read[-1]
    for other, _ in read:
        if problem := part_of_more(heard.text, other):
            return Verdict.of(Status.WRONG, statement.text[:200], problem)
    if any(not equal(other, number) for _, other in read[:-1]):
        return Verdict.of(Status.WRONG, statement.text[:200], "two different final answers")
    first, last = read[0][0], read[-1][0]
    if more := offered_elsewhere(heard.text, first, last, lambda text: _all_equal(text, number.face)):
        return Verdict.of(Status.WRONG, statement.text[:200], more)
    return _compare(number, wanted, statement.text, question)


def _in_sentence(sentence: str) -> Number | NotANumber:
    """The one number of a short sentence behind `####` or in a tag: "Seth is 16 years old"."""
    sentence = plain(sentence)
    literals = list(LITERAL.finditer(sentence))
    if len(literals) != 1 or denied(sentence) or doubtful(sentence) or sentence.endswith("?"):
        return NotANumber("no one number in the sentence")
    if _tied(sentence, literals[0]):
        return NotANumber("a bound or an unfinished calculation")
    return read_number(sentence[literals[0].start() :].strip())


def _tied(sentence: str, number: re.Match[str]) -> bool:
    """True where what stands before a number of `sentence` bounds it or calculates with it."""
    before, after = sentence[: number.start()] + " " * number.group().startswith(" "), sentence[number.end() :]
    if number.group("sign") and _SUBTRACTS.search(before):
        return True
    if bounded_before(before) or _TIED.search(before) or calculates_before(before):
        return True
    return before.endswith("|") and before.count("|") % 2 == 1 and "|" not in after


def _read_statement(statement: Statement, question: str | None) -> Number | NotANumber:
    if statement.text.isdecimal():
        return read_number(statement.text)
    text = _on_the_hour(NOT_BUT.sub("", statement.text), question)
    if statement.channel == "tag" and "\n" in text.strip():
        text = text.strip().rsplit("\n", 1)[-1]
        if ANY_NUMBER.search(statement.text.strip()[: -len(text)]):
            return NotANumber("several lines of numbers in one answer")
    number = read_number(text)
    if statement.channel != "phrase" and isinstance(number, NotANumber) and "number where" in number.reason:
        return _in_sentence(text)
    return number


def _on_the_hour(text: str, question: str | None) -> str:
    """`text` with "2:00" as 2, where `question` asks for a time."""
    asked = ":00" in text and question is not None and _ASKS_THE_TIME.search(question)
    return _FULL_HOUR.sub(r"\1", text) if asked else text


def _all_equal(text: str, face: Fraction) -> bool:
    """True where no number in `text` is another one than `face`."""
    numbers = (literal_value(m) for m in LITERAL.finditer(plain(text)))
    return all(number is None or number == face for number in numbers)


def _compare(number: Number | NotANumber, wanted: Number, text: str, question: str | None) -> Verdict:
    if isinstance(number, NotANumber):
        return Verdict.of(Status.WRONG, text[:200], number.reason)
    if equal(number, wanted, question):
        return Verdict.of(Status.CORRECT, text[:200], "equal")
    return Verdict.of(Status.WRONG, text[:200], "a different number")


def _judge_last(heard: Said, wanted: Number, question: str | None) -> Verdict:
    text = heard.text.rstrip()
    found = last_sentence(text, ANY_NUMBER)
    if found is None:
        sentence = re.split(r"(?<=[.!?])\s+|\n", text.strip())[-1][-300:]  # "She has eighteen", without a digit
        number = only_spoken_number(sentence.rstrip(". "))
        if isinstance(number, Number) and not denied(sentence) and not doubtful(sentence) and sentence[-1:] != "?":
            return _compare(number, wanted, sentence, question)
        return Verdict.of(Status.NO_ANSWER, reason="no number in the completion")
    sentence, start = found
    if text[start + len(sentence) - 1 : start + len(sentence) + 1].startswith("?") or sentence.rstrip().endswith("?"):
        return Verdict.of(Status.NO_ANSWER, sentence.strip()[:200], "the last number is asked, not stated")
    before = text[:start].rstrip().rsplit("\n", 1)[-1]
    if _ONLY_NUMBER_LINE.match(sentence) and _ONLY_NUMBER_LINE.match(before) and before.strip() != sentence.strip():
        return Verdict.of(Status.WRONG, sentence.strip()[:200], "a list of numbers")
    return _judge_sentence(sentence.strip()[-2000:], wanted, question)


def _judge_sentence(sentence: str, wanted: Number, question: str | None) -> Verdict:
    """Judge a sentence that mentions a number without announcing it: its last number, unless denied or hedged."""
    sentence = NOT_BUT.sub("", plain(_on_the_hour(sentence, question)).rstrip(" .!"))
    sentence = BUT_NOT.sub("", sentence)
    shown = sentence[:200]
    if denied(sentence) or doubtful(sentence) or hedged(sentence):
        return Verdict.of(Status.WRONG, shown, "the number is denied or hedged")
    sentence = _ASIDE.sub("", sentence)
    if "=" in sentence:
        left, sentence = (side.strip() for side in sentence.rsplit("=", 1))
        bare, side = LITERAL.fullmatch(left), LITERAL.match(sentence)
        if bare and side and literal_value(bare) != literal_value(side):
            return Verdict.of(Status.WRONG, shown, "an equation between different numbers")
    given = _CIRCUMSTANCE.search(sentence) if question else None
    if given and given.group(1) in (question or "") and ANY_NUMBER.search(sentence[: given.start()]):
        sentence = sentence[: given.start()]  # "135 meters in 5 minutes", where the question gives the minutes
    literals = list(LITERAL.finditer(sentence))
    if not literals:
        return Verdict.of(Status.NO_ANSWER, shown, "no number after the equals sign")
    last = literals[-1]
    if len(literals) > 1 and (compared := _COMPARED.search(sentence, literals[-2].end(), last.end())):
        sentence, last = sentence[: compared.start()], literals[-2]  # "$18 daily, which is less than $20"
        literals.pop()
    if _TEN_TO_THE.fullmatch(sentence):
        return _compare(read_number(sentence), wanted, shown, question)
    if _tied(sentence, last):
        return Verdict.of(Status.WRONG, shown, "a bound or an unfinished calculation")
    if len(literals) > 1 and _listed(sentence[literals[-2].end() : last.start()]):
        return Verdict.of(Status.WRONG, shown, "a list of numbers")
    spelled = _SPELLED_MINUS.search(sentence[: last.start()].rstrip() + " ")
    if spelled and spelled.group(1):
        return Verdict.of(Status.WRONG, shown, "a bound or an unfinished calculation")
    number = read_number(("-" if spelled else "") + sentence[last.start() :].lstrip())
    return _compare(number, wanted, shown, question)


def _listed(between: str) -> bool:
    return re.fullmatch(rf"(?: ?{UNIT})?[\s,;/&|{CURRENCY}-]*(?:and|or|to)?[\s{CURRENCY}]*", between) is not None
