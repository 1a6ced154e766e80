"""Units of answers: which words are units, and how those of one dimension convert, exactly."""

from __future__ import annotations

import re
from fractions import Fraction

from rlpath.rewards.reading.literals import bounded_before, words_to_number
from rlpath.rewards.reading.vocabulary import CALCULATES_AFTER, CALCULATES_BEFORE, CALCULATES_LATER

_F = Fraction
# name: (dimension, factor to the dimension's base unit). Plurals are derived.
_TABLE: dict[str, tuple[str, Fraction]] = {
    "mm": ("length", _F(1, 1000)), "millimeter": ("length", _F(1, 1000)), "millimetre": ("length", _F(1, 1000)),
    "cm": ("length", _F(1, 100)), "centimeter": ("length", _F(1, 100)), "centimetre": ("length", _F(1, 100)),
    "m": ("length", _F(1)), "meter": ("length", _F(1)), "metre": ("length", _F(1)),
    "km": ("length", _F(1000)), "kilometer": ("length", _F(1000)), "kilometre": ("length", _F(1000)),
    "in": ("length", _F(254, 10000)), "inch": ("length", _F(254, 10000)), "inches": ("length", _F(254, 10000)),
    "ft": ("length", _F(3048, 10000)), "foot": ("length", _F(3048, 10000)), "feet": ("length", _F(3048, 10000)),
    "yd": ("length", _F(9144, 10000)), "yard": ("length", _F(9144, 10000)),
    "mi": ("length", _F(1609344, 1000)), "mile": ("length", _F(1609344, 1000)),
    "ms": ("time", _F(1, 1000)), "s": ("time", _F(1)), "sec": ("time", _F(1)), "second": ("time", _F(1)),
    "min": ("time", _F(60)), "minute": ("time", _F(60)), "h": ("time", _F(3600)), "hr": ("time", _F(3600)),
    "hour": ("time", _F(3600)), "day": ("time", _F(86400)), "week": ("time", _F(604800)),
    "month": ("month", _F(1)), "year": ("month", _F(12)), "yr": ("month", _F(12)),
    "mg": ("mass", _F(1, 1000)), "g": ("mass", _F(1)), "gram": ("mass", _F(1)), "kg": ("mass", _F(1000)),
    "kilogram": ("mass", _F(1000)), "tonne": ("mass", _F(10**6)),
    "oz": ("weight", _F(1)), "ounce": ("weight", _F(1)), "lb": ("weight", _F(16)), "lbs": ("weight", _F(16)),
    "pound": ("weight", _F(16)),
    "ml": ("volume", _F(1, 1000)), "mL": ("volume", _F(1, 1000)), "milliliter": ("volume", _F(1, 1000)),
    "l": ("volume", _F(1)), "L": ("volume", _F(1)), "liter": ("volume", _F(1)), "litre": ("volume", _F(1)),
    "cup": ("us volume", _F(1)), "pint": ("us volume", _F(2)), "quart": ("us volume", _F(4)),
    "gallon": ("us volume", _F(16)),
    "cent": ("money", _F(1, 100)), "¢": ("money", _F(1, 100)), "dollar": ("money", _F(1)), "usd": ("money", _F(1)),
    "arcminute": ("angle", _F(1, 60)), "arcsecond": ("angle", _F(1, 3600)),
    "degree": ("angle", _F(1)), "deg": ("angle", _F(1)), "radian": ("radian", _F(1)), "rad": ("radian", _F(1)),
    "kph": ("speed", _F(1)), "mph": ("speed", _F(1)), "n": ("force", _F(1)), "newton": ("force", _F(1)),
    "j": ("energy", _F(1)),
    "joule": ("energy", _F(1)), "kj": ("energy", _F(1000)), "w": ("power", _F(1)), "watt": ("power", _F(1)),
    "kw": ("power", _F(1000)), "pa": ("pressure", _F(1)), "kpa": ("pressure", _F(1000)), "hz": ("frequency", _F(1)),
    "v": ("voltage", _F(1)), "volt": ("voltage", _F(1)), "ohm": ("resistance", _F(1)), "mol": ("amount", _F(1)),
    "square": ("square", _F(1)), "cubic": ("cubic", _F(1)), "unit": ("unit", _F(1)), "sq": ("square", _F(1)),
}  # fmt: skip
_NO_UNIT = frozenset([
    "is", "isn", "are", "was", "were", "be", "been", "not", "no", "never", "or", "but", "and", "if", "too", "wrong",
    "incorrect", "less", "more", "than", "least", "most", "about", "maybe", "perhaps", "possibly", "probably", "to",
    "through", "otherwise", "rather", "either", "versus", "dozen", "dozens", "below", "above", "over", "under",
    "negative", "minus", "plus", "times", "divided", "squares", "cubed", "root", "mod", "modulo", "unless", "except",
    "between", "without", "instead", "approximately", "roughly", "does", "exist", "undefined", "infinite",
    "solution", "solutions", "where", "when", "which", "that", "given", "for", "all", "any",
    "we", "you", "i", "have", "get", "so", "thus", "then", "hence", "therefore",
])  # fmt: skip
_MONTHS = frozenset([
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
])  # fmt: skip
_LETTERS = frozenset(["m", "g", "s", "h", "l", "L", "N", "J", "W", "V", "A", "K", "F", "T", "C"])


def reads_as_unit(words: str) -> bool:
    """True where `words` behind a number can be a unit or what is counted: nouns, none that calculates or hedges.

    >>> [reads_as_unit(words) for words in ("square inches", "eggs per day", "and a half", "to 9")]
    [True, True, False, False]
    """
    if re.search(r"\d", words) or CALCULATES_AFTER.match(f" {words}") or CALCULATES_LATER.match(f" {words}"):
        return False
    return not any(w in _NO_UNIT or words_to_number(w) is not None for w in re.findall(r"[a-z]+", words.lower()))


def is_name(words: str) -> bool:
    """True where `words` before a number can be the name of what it counts: "Paolo", "minimum", "the answer".

    >>> [is_name(words) for words in ("Paolo", "day", "between", "not")]
    [True, True, False, False]
    """
    return (
        words.lower() not in _MONTHS
        and reads_as_unit(words)
        and CALCULATES_BEFORE.search(words) is None
        and not bounded_before(words)
    )


def is_unit_word(word: str) -> bool:
    """True for words that name a unit, singular or plural; single letters only where they usually do."""
    if len(word) == 1:
        return word in _LETTERS
    return singular(word) in _TABLE


def singular(word: str) -> str:
    """`word` in lower case without its plural ending.

    >>> singular("Inches"), singular("cents"), singular("feet")
    ('inch', 'cent', 'feet')
    """
    word = word.strip(" .").lower()
    if word in _TABLE:
        return "inch" if word == "inches" else word
    if word.endswith("es") and word[:-2] in _TABLE:
        return word[:-2]
    return word[:-1] if word.endswith("s") and len(word) > 2 else word


def lookup(word: str) -> tuple[str, Fraction] | None:
    """Dimension and factor of a unit word, or None."""
    return _TABLE.get(singular(word))
