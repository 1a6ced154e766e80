r"""Rewrites the words in a mathematical answer as the mathematics they stand for, before it is read by the grammar.

>>> in_symbols(r"\text{negative }5"), in_symbols("5 out of 36"), in_symbols(r"x = 2 n, \text{where } n \in ℤ")
('-5', '5 / 36', 'x = 2 n, n\\in\\mathbb{Z}')
"""

from __future__ import annotations

import re

from rlpath.rewards.reading.numerals import words_to_number
from rlpath.rewards.reading.vocabulary import has_alternative

MAX_WORDING = 1000  # characters; the patterns are quadratic, and no answer in words is longer
_NAMES = r"sin|cos|tan|cot|sec|csc|log|ln|exp|abs|max|min|gcd|lcm|arcsin|arccos|arctan|floor|ceil"
_OPEN, _CLOSE = r"(?:\\text\{)?\s*", r"\s*\}?\s*"  # words may stand in \text{...}
_INTEGERS = r"\\mathbb\s*\{?\s*([ZN])\s*\}?(?:\^\+|_\{[^{}]*\})?|ℤ|\\Z\b|\bZ\b|\\text\{\s*(?:integers?|Z)\s*\}"
_KINDS = r"(?:(?:real|positive|natural|integers?|integer|numbers?|values?|constants?|of)\s*)*"
_DOTS = r"(?:\\[lc]?dots|\.\.\.|…)"
# What may be rewritten at all: words, dots, a group of digits, an aside, a leading sign of equality.
_WORDY = re.compile(
    r"\\(?:text|mathrm|mathbb|operatorname|in|Z|dim|deg|ker|rank|lim|sum|int|prod|max|min|forall|implies|Rightarrow|mid|[lc]?dots)"
    r"(?![A-Za-z])|(?<!\\)\b[A-Za-z]{2,}|\d[a-z]{2}|[∈∀ℤ…]|\.\.\.|\d \d|\d ?x ?1|^\s*(?:=|≈|\\approx)|[A-Z]\s*\(|C_"
    r"|\(\s*="
)
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # signs and numerals
        (r"^\s*(?:=|\\approx(?![a-z])|≈|\\implies|\\Rightarrow|=>)\s*|^\s*(?:an?|the)\s+(?=[A-Za-z]{4,})", ""),
        (rf"^\s*{_OPEN}(?:[Nn]egative|[Mm]inus){_CLOSE}(?=[\d\\$.])", "-"),
        (rf"(?<=\d)\s*{_OPEN}\bout of{_CLOSE}(?=\d)", " / "),
        (rf"(?<=\d)\s*{_OPEN}\bto{_CLOSE}(?=\d)", ":"),
        (r"(?<=[\dn])\s*\^?\s*\{?\s*\\(?:text|mathrm|textrm)\{\s*(?:th|st|nd|rd)\s*\}\s*\}?", " "),
        (r"(?<=\d)(?:\^\{(?:th|st|nd|rd)\}|\^?(?:th|st|nd|rd)\b)", ""),
        (r"(?:\{\})?_\{?([\w+-]+)\}?\s*C_\{?([\w+-]+)\}?|\bC\((\w+), ?(\w+)\)", r"\\binom{\1\3}{\2\4}"),
        (rf"(\.\d*?)(\d)\2\2+\s*{_DOTS}\s*$", r"\1\\overline{\2}"),
        (r"(?<=\d) ?x ?(?=10\s*\^)", r"\\times "),
        (r"(?<![\d.,])(\d{1,3}) (\d{3})(?: (\d{3}))?(?![\d.]|\s*/)", r"\1\2\3"),
        (rf"{_OPEN}\bper ?cent\b{_CLOSE}$", r"\\%"),
        (rf"{_OPEN}\binfinity\b{_CLOSE}", r"\\infty "),
        # names in front of a value
        (rf"\\(?:text|mathrm|operatorname)\{{\s*({_NAMES})\s*\}}\s*(?=[({{])", r"\\\1"),
        (r"\\(max|min)(?=\s*[=:])", r"\\text{\1}"),
        (
            r"^\s*\\text\{\s*(?:[Tt]he )?(?:[Oo]rdered )?(?:[Pp]oint|[Vv]ertex|[Pp]air|[Ii]nterval|[Cc]enter)\s*\}\s*",
            "",
        ),
        (r"^[A-Z]\s*(?=\(\s*-?[\d\\][^()]*,[^()]*\)\s*$)", ""),
        (r"\bP\s*\(\s*\w+\s*(?:\||\\mid)\s*\w+\s*\)(?=\s*=)", "P"),
        (r"\\(?:dim|deg|ker|rank|operatorname\{[a-z]+\})\s*\(?\s*[A-Z]\s*\)?(?=\s*=)", "d"),
        (r"^\s*\\(?:lim|sum|int|prod)(?![A-Za-z])(?:[^{}=]|\{[^{}]*\})*=\s*", ""),
        # answers in words
        (rf"^\s*{_OPEN}([Yy]es|[Nn]o|[Tt]rue|[Ff]alse)\b[,.;:] [^{{}}]*\}}?\s*$", r"\\text{\1}"),
        (
            rf"^\s*{_OPEN}[Aa](?:ll|ny) real (?:numbers?|values?)(?: \$?x\$?)? (?:except|other than){_CLOSE}(.+)$",
            r"\\mathbb{R}\\setminus\\{\1\\}",
        ),
        (rf"^\s*{_OPEN}[Aa](?:ll|ny) real (?:values?|numbers?)(?: of| for)?{_CLOSE}\$?[a-z]?\$?\s*$", r"\\mathbb{R}"),
        (
            rf"^\s*{_OPEN}(?:[Tt]here (?:is|are) )?([Nn]o (?:real |integer )?solutions?)(?: exists?)?{_CLOSE}$",
            r"\\text{\1}",
        ),
        (
            rf"^\s*(?:{_OPEN}[Aa]ll positive real numbers|\\mathbb\s*\{{?R\}}?\s*[\^_]\s*\{{?\+\}}?){_CLOSE}$",
            r"(0,\\infty)",
        ),
        # asides and conditions behind it
        (r"(?<=[\d}])\s*(?:\\ )?\s*\(\s*\\text\{[A-Za-z -]+\}\s*\)\s*$", ""),
        (r"(?<=[\d}])\s*(?:\\ )?\s*\(\s*(=[^()]+)\)\s*$", r" \1"),
        (rf"(?<=[\w)}}])[\s,;(]*{_OPEN}[^{{}}$\d]*\binteger{_CLOSE}\$?([kmnlj])\$?\s*\)?\s*$", r", \1\\in\\mathbb{Z}"),
        (
            rf"[\s,;(]*{_OPEN}(?:,\s*)?(?:where|with|for){_CLOSE}\$?([kmnlj])\$?\s*"
            rf"{_OPEN}is an(?:y)? integer{_CLOSE}\)?\s*$",
            r", \1\\in\\mathbb{Z}",
        ),
        (
            rf"(?<=[\w=)}}\]])[\s,;]*(?:\\q?quad|\\ |\s)*[\s,;]*{_OPEN}\(?\s*(?:for|\\forall|∀)\b"
            rf"\s*(?:all|any|every|each|some)?\s*{_KINDS}{_CLOSE}\$?\b[a-z]\$?\s*(?:(?:\\in|∈)\s*\\mathbb\s*\{{?[RZN]\}}?(?:\^\+)?"
            r"|\\geq? ?[01])?\s*\)?\s*(?=$|[,;]|\\text\{\s*(?:and|or)\b)",
            "",
        ),
        (r"(?<==)(.*[\w)}])[\s,]*(?:\\ )?\s*\(?\s*\b[a-z]\s*(?:\\in|∈)\s*\\mathbb\s*\{?R\}?\s*\)?\s*$", r"\1"),
    )
)
_DECLARED = re.compile(
    r"(?<=[\w)}\]])[\s,;]*(?:\\q?quad|\\ |\s)*\(?\s*(?:\\text\{[^{}]*\}|where|for|with)?\s*\$?([kmnlj])\s*(?:\\in|∈)"
    rf"\s*(?:{_INTEGERS})\$?\s*\)?\s*$"
)
_AM_PM = re.compile(r"\s*(?:\\text\{)?\s*[ap]\.?\s?m\.?\s*\}?\s*$", re.I)
_LETTERED = re.compile(r"^\s*\\(?:text|textbf|mathrm|mathbf)\s*\{\s*\(([A-J])\)\s*\}(.*)$", re.S)
_LETTER = re.compile(r"(?:\\text\w*\{)?\(?[A-J]\)?\}?")
_ONLY_WORDS = re.compile(r"^\s*(?:\\text\{)?\s*([A-Za-z]{2,}[A-Za-z -]*)\}?\s*$")


def in_symbols(text: str) -> str:
    """`text` with wording such as "negative", "out of" or "where n is an integer" replaced by symbols or left out."""
    if len(text) > MAX_WORDING or not _WORDY.search(text):
        return text
    if (bare := _ONLY_WORDS.match(text)) and (value := words_to_number(bare.group(1), alone=True)) is not None:
        return str(value)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return _DECLARED.sub(lambda m: f", {m.group(1)}\\in\\mathbb{{{m.group(2) or 'Z'}}}", text)


def like_gold(text: str, gold: str) -> str:
    """`text` without what the gold leaves out: "a.m." behind a time, the option's text behind its letter."""
    if ":" in gold and not _AM_PM.search(gold) and re.match(r"\d", text):
        text = _AM_PM.sub("", text)
    lettered = _LETTERED.match(text) if _LETTER.fullmatch(gold.strip()) else None
    joined = lettered and (has_alternative(lettered.group(2)) or re.search(r"^,|\band\b", lettered.group(2)))
    return f"\\text{{{lettered.group(1)}}}" if lettered and not joined else text
