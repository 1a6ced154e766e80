r"""What a numeral is worth, exactly, in digits or in words: the one reader for sentences and for formulas.

>>> numeral("1,200.50"), numeral("1.5e3"), numeral("0.1(6)")
(Fraction(2401, 2), Fraction(1500, 1), Fraction(1, 6))
>>> words_to_number("one hundred and twenty-three dollars"), words_to_number("two thirds")
(Fraction(123, 1), Fraction(2, 3))
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_DIGITS = 1000
MAX_EXPONENT = 1000
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:'\d{3})+|\d{1,3}(?:_\d{3})+|\d{1,3}(?: \d{3})+(?![\d./])|\d+)"
_GROUPING = re.compile(r"[,'_ ]")

FRACTION_WORDS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
SCALES = {
    "hundred": 100, "thousand": 1000, "k": 1000, "million": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9,
    "trillion": 10**12, "dozen": 12, "score": 20, "lakh": 10**5, "crore": 10**7,
    "mil": 1000, "mille": 1000, "tausend": 1000, "тысяч": 1000, "тысячи": 1000, "百": 100, "千": 1000, "万": 10**4,
    "萬": 10**4, "亿": 10**8, "億": 10**8, "millone": 10**6, "millón": 10**6, "millionen": 10**6,
    "миллион": 10**6, "миллионов": 10**6, "миллиона": 10**6,
    "milliarden": 10**9, "milliard": 10**9, "миллиардов": 10**9, "dutzend": 12, "docena": 12, "douzaine": 12,
    "дюжин": 12, "дюжины": 12, "打": 12,
}  # fmt: skip
_SMALL_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
"""
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORD_VALUES = {w: i for i, w in enumerate(_SMALL_WORDS.split())} | {
    w: 20 + 10 * i for i, w in enumerate(_TENS_WORDS.split())
}
_WORD_SCALES = frozenset({"thousand", "million", "billion", "trillion", "dozen"})
_PARTS = {"halves": 2, **FRACTION_WORDS, **{f"{word}s": part for word, part in FRACTION_WORDS.items()}}
WORD = re.compile(r"[A-Za-z]+|\d[\d.,]*|[^\sA-Za-z\d-]")
_NO_UNIT = re.compile(r"\s*(?:of|or|and|point|thing|to|by|more|less|is|was|are|from)\b", re.I)


def numeral(text: str) -> Fraction | None:
    """The value of digits, which may be grouped, have an exponent and repeat in brackets; None beyond the bounds."""
    mantissa, _, exponent = _GROUPING.sub("", text).lower().partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent) > 9 or abs(int(exponent or 0)) > MAX_EXPONENT:
        return None
    whole, _, decimals = mantissa.rstrip(".)").partition(".")
    decimals, _, repeating = decimals.partition("(")
    value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals))
    if repeating:
        value += Fraction(int(repeating), 10 ** len(decimals) * (10 ** len(repeating) - 1))
    return value * Fraction(10) ** int(exponent) if exponent else value


def words_to_number(text: str, *, alone: bool = False) -> Fraction | None:
    """The value of a number written out in English, if `text` begins with one, or is one with `alone`.

    >>> words_to_number("one and a half"), words_to_number("one of them"), words_to_number("two dozen", alone=True)
    (Fraction(3, 2), None, Fraction(24, 1))
    """
    found = spoken_number(text[:200])
    if found is None:
        return None
    value, rest = found
    if rest.strip(" .!") and (alone or len(rest.split()) > 4 or _NO_UNIT.match(rest)):
        return None
    return value


def spoken_number(text: str) -> tuple[Fraction, str] | None:
    """The value of the number words that `text` begins with, and the text behind them; None where there are none."""
    found = list(WORD.finditer(text))
    if not found or text[: found[0].start()].strip(" \"'*_("):
        return None
    words = [word.group().lower() for word in found] + ["", "", ""]
    at = int(words[0] in ("minus", "negative"))
    sign = -1 if at else 1
    at += words[at] in ("a", "an") and (words[at + 1] in FRACTION_WORDS or words[at + 1] in SCALES)
    total, group, end = Fraction(0), Fraction(0), 0
    while True:
        word, following = words[at], words[at + 1]
        if word in _WORD_VALUES:
            group += _WORD_VALUES[word]
        elif word == "hundred" and (group or not end):
            group = (group or 1) * 100
        elif word in _WORD_SCALES and (group or not end):
            total, group = total + (group or 1) * SCALES[word], Fraction(0)
        elif word in _PARTS and (group or total or not end):
            return sign * (total + Fraction(group or 1) / _PARTS[word]), text[found[at].end() :]
        elif word == "and" and end and following in ("a", "an", "one") and words[at + 2] in FRACTION_WORDS:
            return sign * (total + group + Fraction(1, FRACTION_WORDS[words[at + 2]])), text[found[at + 2].end() :]
        elif not (word == "and" and end and following in _WORD_VALUES and (group >= 100 or total)):
            break
        end = found[at].end() if word != "and" else end
        at += 1
    return (sign * (total + group), text[end:]) if end else None
