"""Plain numbers as people write them, read exactly.

`read_number` takes a short piece of text, such as what stands in a box, and returns the one number it states as a
`Fraction`, or says why it states none: a range, a list, a bound, an unfinished calculation. Nothing here is a float.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rlpath.rewards.reading.numerals import DIGITS, MAX_EXPONENT, SCALES, WORD, numeral, spoken_number, words_to_number
from rlpath.rewards.reading.units import UNIT
from rlpath.rewards.reading.vocabulary import (
    PERCENT,
    bounded_before,
    calculates_after,
    calculates_before,
    denied_behind,
    has_alternative,
)

_MINUS = "−–‐‑‒﹣－➖"
_SPACES = "\u00a0\u2009\u202f\u2007\u2008\u2006\u205f\u3000"
_PLAIN = str.maketrans(
    f"{_MINUS}{_SPACES}＋×⋅·∗÷⁄∕／％﹪．，٫٬≈≃≅＝→⇒’：？",
    "-" * len(_MINUS) + " " * len(_SPACES) + "+****///" + "/%%.,.,======':?",
)
_VULGAR = {c: Fraction(unicodedata.numeric(c)).limit_denominator(10) for c in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"}
CURRENCY = "$€£¥₹₩₽¢₦₱"

_SIGN = r"(?P<sign>[-+]?)"
LITERAL = re.compile(
    rf"{_SIGN} ?[{CURRENCY}]? ?(?P<sign2>[-+]?)"
    rf"(?:(?P<mixed>{DIGITS})(?: | ?and ?|-)(?P<mixed_top>\d+) ?/ ?(?P<mixed_bottom>\d+)(?![\d.])"
    rf"|(?P<plain>{DIGITS}(?:\.\d+|\.(?!\w))?|\.\d+))"
    r"(?: ?(?:[eE]|\* ?10 ?(?:\^|\*\*) ?)(?P<exponent>\(?[-+]?\d+\)?|\{ ?[-+]?\d+ ?\})(?![\d.]))?"
    r"(?: ?/ ?(?P<bottom>\d+(?:,\d{3})*(?:\.\d+)?)(?![\d,]*\d|/\d))?"
)
_SIMPLE = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?")
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3}){1,5}")
_TEN_TO_THE = re.compile(r"10 ?\^ ?\{? ?(-?\d{1,4}) ?\}?(?![\d.])")
_FULL_HOUR = re.compile(r"^:00(?= ?[ap]\.?m\b)", re.I)
_PERCENT = re.compile(rf"\s*(?:{PERCENT})", re.I)
_OF_A_NUMBER = re.compile(r" ?(?:of|de|von|от|du|des)? ?-?\d")
# "18 oder 20", "18 in 20", "18 hoch 2": only a reason or a circumstance may tie a number to the next.
_WORD_AND_NUMBER = re.compile(
    r" ?(?!(?:because|since|as|for|after|when|on|given|if|y|und|and|et|и)\b)"
    r"([^\W\d_]+ |[^\x00-\u2e7f\d]+)(?:на )?-?[\d$]",
    re.I,
)
_TRAILING_OR = re.compile(r"\bor [^\d]*$")  # "125 students like chess or football"
_ALSO = re.compile(r"[\s,;/]*(?:or|and|maybe|perhaps|to)\s+(?:maybe |perhaps |possibly )?", re.I)
_ASIDE = re.compile(r"^ (?:\([^()]{2,120}\)|[-–—] (?=[a-z]{3,})[^\n]*)\W*$|^ [—–] .*$", re.S | re.I)
ANY_NUMBER = re.compile(rf"[\d{''.join(_VULGAR)}]")
_NUMBER_SPAN = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?|\.\d+")

_LATEX_FRACTION = re.compile(r"\\[dtc]?frac ?(?:\{ ?([-+]?[\d.,]+) ?\}|(\d)) ?(?:\{ ?([\d.,]+) ?\}|(\d))")
_LATEX_TEXT = re.compile(
    r"\\(?:(?:text|math)(?:bf|it|rm|normal)?|emph|underline|operatorname|mbox|fbox|boxed|bm)\*? ?\{([^{}]*)\}"
)
_LATEX_SPACE = re.compile(r"\\[,;:! >]|\\q?quad\b|~")
_MARKUP = re.compile(r"\\[()\[\]]|[*_`]{2,}|`|\\(?:left|right|displaystyle|bf|rm)\b")
_EMPHASIS = re.compile(r"(?<![\w*)^])([*_])(?=[^\s*_-])([^*_\n]{1,200}?)(?<=[\w.%)])\1(?![\w*])")
_DOLLARS = re.compile(r"\b(?:US|AU|CA|HK|NZ|[ACS])\$(?=\d)")
_UNIT_POWER = re.compile(rf"(?<=[\d\s/])({UNIT}) ?\^ ?\{{?([23])\b\}}?")
_ARROW = re.compile(r"[=-]>|\\(?:therefore|implies|to|(?:[Ll]ong)?[Rr]ightarrow|approx)(?![A-Za-z])")
_LEAD = re.compile(
    r"^(?:[\s:*_`\"'“(]|exactly|only|just|simply|indeed|therefore|thus|so|then|a total of|in total|about|"
    r"around|roughly|"
    r"approximately|approx\.?|equal to|usd|rs\.?|us|~|=|the (?:number|integer|value)|that|is|an?(?= ))+",
    re.I,
)
_BEFORE_NUMBER = re.compile(r"[^\d=]{1,60}(?=\d)")
_SPELLED_MINUS = re.compile(r"(?:minus|negative) ?(?=[\d$.])", re.I)
_ASSIGNED = re.compile(r"^[A-Za-z][\w{}\\]{0,12}(?:\([^()]{0,12}\))? ?=")
# What directly behind a number makes it a part of something longer; `_PERCENT` and asides are taken off before.
_CONTINUES = re.compile(
    r"[_₀-₉⁰¹²³⁴-⁹]|(?i: ?\(?(?:(?:in )?base|in (?:hex|bin|oct)\w+)\b)"  # another base, a power
    r"| ?: ?\d| ?\(mod\b|[°'′] ?\d+ ?['\"′″]"  # a ratio, a residue, minutes
    r"|(?i: ?[(\[{](?:approx\w*|about|or|maybe)?[ ~.]*\d[\d.,]*[)\]}])| ?\[[^\]\d]*\d|[)\]}]+[.\d^*/]"  # brackets
    rf"|(?i: ?{UNIT}[\s,]+(?:and )?\d+ ?{UNIT}\b)"  # an amount in two units
    r"|(?i:\s*(?:,|;|/|&|-|\||to\b|through\b|and\b|or\b|\\pm|±|plus or minus\b|vs\.?)\s*(?:and |or )?"
    rf"[-+]?[{CURRENCY}]?[-+]?\.?\d)| [-+$]?\.?\d|.*\bor\W*$"  # a list or a range
    r"|\s*\\.*\d|\.\.|\.?…|\s*\\[lc]?dots|\s*\?|\s*[-+]\W*$"  # more behind a command, digits that go on
    r"|[xyzabcnpqruvwije](?![A-Za-z.])| ?[xyzn]$"  # a variable
    r"|\s*(?:[*^<>≤≥≠%]?\s*[+*^<>≤≥≠]|/(?! ?[a-z]{2})|-\s*[\d(\\a-zA-Z]|!|:\d|[xX]\s*\d|\(\d"
    r"|\\(?:times|cdot|div|le|ge|lt|gt|neq?|pm|sqrt|pi)\b)"  # an operator
    r"|[A-Za-z]*\d|[.,]\d"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was read: its face value, the factor a word behind it puts on it, a percent sign.

    `face` is the value as written; `scale` is 10**6 behind "million", else 1.
    """

    face: Fraction
    scale: int = 1
    percent: bool = False

    @property
    def value(self) -> Fraction:
        return self.face if self.scale == 1 else self.face * self.scale


@dataclass(frozen=True, slots=True)
class NotANumber:
    """Why a piece of text does not state one number."""

    reason: str


@lru_cache(maxsize=4096)
def read_number(text: str) -> Number | NotANumber:
    r"""The one number `text` states. It is kept: the completions of a group give the same few answers.

    >>> read_number("$1,200.50 per month").value
    Fraction(2401, 2)
    >>> read_number(r"\frac{3}{4}").value, read_number("2 1/2").value, read_number("−3").value
    (Fraction(3, 4), Fraction(5, 2), Fraction(-3, 1))
    >>> read_number("18 or 20")
    NotANumber(reason='hedges between numbers')
    """
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return Number(Fraction(int(text)))
    if _SIMPLE.fullmatch(text):
        return Number(Fraction(text))
    if _GROUPED.fullmatch(text):
        return Number(Fraction(text.replace(",", "")))
    text = plain(text)
    if "=" in text:
        return _read_equation(text)
    return _read_side(text)


def plain(text: str) -> str:
    """`text` without LaTeX and Markdown dress, in ASCII digits and operators."""
    if not text.isascii():
        text = "".join(_ascii(c) for c in text.translate(_PLAIN))
    text = text.replace("{,}", ",")
    if "\\" in text:
        text = text.replace("\\$", "$").replace("\\%", "%").replace(",\\!", ",")
        text = text.replace("\\times", "*").replace("\\cdot", "*").replace("\\div", "/")
        for _ in range(2):
            text = _LATEX_TEXT.sub(r" \1 ", text)
        text = _LATEX_FRACTION.sub(_plain_fraction, text)
        text = _LATEX_SPACE.sub(" ", text)
        text = text.replace("^\\circ", " degrees").replace("^{\\circ}", " degrees")
    if "$" in text:
        text = _DOLLARS.sub("$", text)
    text = _ARROW.sub("=", text).replace("!=", "≠").replace("\\not=", "≠")
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub(r"\2", text)
    if "^" in text:
        text = _UNIT_POWER.sub(lambda m: m.group(1) + "⁰¹²³"[int(m.group(2))], text)
    text = _MARKUP.sub(" ", text).replace("$$", " ")
    return re.sub(r"\s+", " ", text).strip()


def _plain_fraction(match: re.Match[str]) -> str:
    top, bottom = match.group(1) or match.group(2), match.group(3) or match.group(4)
    return f" {top}/{bottom} "


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    if character in _VULGAR:
        value = _VULGAR[character]
        return f" {value.numerator}/{value.denominator}"
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def _read_equation(text: str) -> Number | NotANumber:
    if hedged(text):
        return NotANumber("hedges between numbers")
    sides = [side for side in text.split("=") if side.strip()]
    read = [_read_side(side) for side in sides]
    literals = [number for number in read if isinstance(number, Number)]
    if not read or not literals or isinstance(read[-1], NotANumber):
        return NotANumber("an equation without a number on its last side")
    last = literals[-1]
    if any(n.face != last.face and _bare(s) for n, s in zip(read, sides, strict=True) if isinstance(n, Number)):
        return NotANumber("an equation between different numbers")
    return last


def _bare(side: str) -> bool:
    return re.fullmatch(r"[\s\d.,$()-]+", side) is not None


def _read_side(text: str) -> Number | NotANumber:
    text = text.strip()
    bare = _trim(text)
    if spelled := _SPELLED_MINUS.match(bare):
        bare = "-" + bare[spelled.end() :]
    match = LITERAL.match(bare)
    power = _TEN_TO_THE.match(bare)
    if power and abs(int(power.group(1))) <= MAX_EXPONENT:
        return _with_rest(Fraction(10) ** int(power.group(1)), power.group(), bare[power.end() :], bare)
    if not match:
        spoken = spoken_number(bare)
        if spoken is None or (words_to_number(bare) is None and not _PERCENT.match(spoken[1])):
            return NotANumber("no number where the answer is stated")
        return _with_rest(spoken[0], "", spoken[1], bare)
    face = literal_value(match)
    if face is None:
        return NotANumber("a malformed or oversized number")
    return _with_rest(face, match.group(), bare[match.end() :], bare)


def _trim(text: str) -> str:
    if len(text) > 2 and text[0] == "(" and text[-1] == ")":
        text = text[1:-1]
    if (before := _BEFORE_NUMBER.match(text)) and calculates_before(before.group()):
        return "the calculation " + text
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    return text.lstrip("$ ") if text[:2] == "$-" and text.endswith("$") else text


def _with_rest(face: Fraction, literal: str, rest: str, whole: str) -> Number | NotANumber:
    rest = _FULL_HOUR.sub("", rest)
    if not rest or rest in (".", "$", "$."):
        return Number(face)
    rest = _ASIDE.sub("", rest) or "."
    if rest[0] == "$" and literal[:1] not in CURRENCY:
        rest = rest[1:] or "."
    if ((also := _ALSO.match(rest)) and spoken_number(rest[also.end() :])) or hedged(whole):
        return NotANumber("hedges between numbers")
    if denied_behind(rest):
        return NotANumber("the number is denied")
    percent = _PERCENT.match(rest)
    rest = rest[percent.end() :] if percent else rest
    if calculates_after(rest) or _CONTINUES.match(rest) or (percent and _OF_A_NUMBER.match(rest)):
        return NotANumber("a part of a calculation, of a list or of a longer number")
    if joined := _WORD_AND_NUMBER.match(rest):
        return NotANumber(f"another number behind {joined.group(1)!r}")
    if (plus := re.search(r"\band (?=[a-z])", rest[:60])) and spoken_number(rest[plus.end() :]):
        return NotANumber("a second amount")
    more = re.match(r"[^\d]{0,40}(?:,|;|\band\b|/|&)\s*(?:and |or )?\$?(-?[\d.,]+)", rest)
    if more and numbers_in(more.group(1)) != numbers_in(literal):
        return NotANumber("a list of numbers")
    return _scaled(face, rest, percent is not None)


def _scaled(face: Fraction, rest: str, percent: bool) -> Number:
    word = re.match(r"\s*-?([千百万萬亿億打]|[^\W\d_]+)", rest)
    unit = word.group(1).lower() if word else ""
    if rest[:1] and rest[0] in "MBkK" and len(unit) == 1:
        return Number(face, {"m": 10**6, "b": 10**9, "k": 1000}[unit])
    scale = SCALES.get(unit.removesuffix("s") or unit, 1) if word and word.group(1) != "K" else 1
    return Number(face, scale, percent)


def literal_value(match: re.Match[str]) -> Fraction | None:
    """The value of a `LITERAL` match, or None where it is too large to hold or divides by zero."""
    part = match.groupdict("")
    exponent = part["exponent"].strip("(){} ")
    value = numeral((part["mixed"] or part["plain"]) + (f"e{exponent}" if exponent else ""))
    for top, bottom in ((part["mixed_top"], part["mixed_bottom"]), ("", part["bottom"])):
        if value is None or not bottom:
            continue
        below = numeral(bottom)
        if not below:
            return None
        value = value + Fraction(int(top)) / below if top else value / below
    return -value if value and (part["sign"] == "-") != (part["sign2"] == "-") else value


def numbers_in(text: str) -> list[str]:
    """Every number in `text`, as canonical digits: thousands separators and trailing zeros removed."""
    found = []
    for span in _NUMBER_SPAN.findall(text):
        digits = span.replace(",", "").lstrip("+")
        found.append(digits.rstrip("0").rstrip(".") if "." in digits else digits)
    return found


def hedged(text: str) -> bool:
    """True where `text` offers more than one number with words such as "or", "maybe", "depending on"."""
    return has_alternative(_TRAILING_OR.sub("", text)) and len(set(numbers_in(text))) > 1


def only_spoken_number(sentence: str) -> Number | NotANumber:
    """The one number that `sentence`, which has no digits, writes out in words."""
    found: list[Number | NotANumber] = []
    at = 0
    for word in WORD.finditer(sentence):
        if word.start() < at or word.group().lower() == "one":
            continue
        if spoken := spoken_number(sentence[word.start() :]):
            before = sentence[: word.start()]
            tied = calculates_before(before) or bounded_before(before)
            found.append(NotANumber("a calculation") if tied else _with_rest(spoken[0], "", spoken[1], spoken[1]))
            at = len(sentence) - len(spoken[1])
    return found[0] if len(found) == 1 else NotANumber("not one number in words")
