"""Units of answers: which words are units, and how those of one dimension convert, exactly."""

from __future__ import annotations

from fractions import Fraction

# What is measured: the names of its units, and what each is in the first of them. Plurals are derived.
_MEASURES = {
    "length": "m meter metre = 1; mm millimeter millimetre = 1/1000; cm centimeter centimetre = 1/100; "
    "km kilometer kilometre = 1000; in inch inches = 254/10000; ft foot feet = 3048/10000; yd yard = 9144/10000; "
    "mi mile = 1609344/1000",
    "time": "s sec second = 1; ms = 1/1000; min minute = 60; h hr hour = 3600; day = 86400; week = 604800",
    "months": "month = 1; year yr = 12",
    "mass": "g gram = 1; mg = 1/1000; kg kilogram = 1000; tonne = 1000000",
    "weight": "oz ounce = 1; lb lbs pound = 16",
    "volume": "l L liter litre = 1; ml mL milliliter = 1/1000",
    "us volume": "cup = 1; pint = 2; quart = 4; gallon = 16",
    "money": "dollar usd = 1; cent ¢ = 1/100",
    "angle": "degree deg = 1; arcminute = 1/60; arcsecond = 1/3600",
    "energy": "j joule = 1; kj = 1000",
    "power": "w watt = 1; kw = 1000",
    "pressure": "pa = 1; kpa = 1000",
    **{name: f"{name} = 1" for name in ("mol", "unit", "square", "cubic", "sq", "hz", "ohm", "mph", "kph")},
    "radian": "radian rad = 1", "force": "n newton = 1", "voltage": "v volt = 1",
}  # fmt: skip
_TABLE = {
    name: (dimension, Fraction(factor.strip()))
    for dimension, units in _MEASURES.items()
    for names, factor in (unit.split("=") for unit in units.split(";"))
    for name in names.split()
}
_LETTERS = frozenset(["m", "g", "s", "h", "l", "L", "N", "J", "W", "V", "A", "K", "F", "T", "C"])


UNIT = rf"(?:{'|'.join(sorted(_TABLE, key=len, reverse=True))})(?:e?s)?"


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
