r"""Rewrites the words in a mathematical answer as the mathematics they stand for, before it is read by the grammar.

>>> in_symbols(r"\text{negative }5"), in_symbols("5 out of 36"), in_symbols(r"\frac{\pi}{4}+k\pi, k\in\mathbb{Z}")
('-5', '5 / 36', '\\frac{\\pi}{4}+k\\pi')
"""

from __future__ import annotations

import re

from rlpath.rewards.reading.literals import words_to_number

_NAMES = r"sin|cos|tan|cot|sec|csc|log|ln|exp|abs|max|min|gcd|lcm|arcsin|arccos|arctan|floor|ceil"
_INTEGERS = r"\\mathbb\s*\{?\s*[ZN]\s*\}?(?:\^\+|_\{[^{}]*\})?|ℤ|\\Z\b|\\text\{\s*(?:integers?|Z)\s*\}"
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^\s*(?:=|\\implies|\\Rightarrow|=>)\s*", ""),
        (r"^\s*(?:\\text\{)?\s*(?:[Nn]egative|[Mm]inus)\s*\}?\s*(?=[\d\\$.])", "-"),
        (r"(?<=\d)\s*(?:\\text\{)?\s*\bout of\s*\}?\s*(?=\d)", " / "),
        (r"(?<=[\dn])\s*\^?\s*\{?\s*\\(?:text|mathrm|textrm)\{\s*(?:th|st|nd|rd)\s*\}\s*\}?", ""),
        (r"(?<=\d)(?:th|st|nd|rd)\b", ""),
        (r"(\.\d*?)(\d)\2\2+\s*(?:\\ldots|\\dots|\\cdots|\.\.\.|…)\s*$", r"\1\\overline{\2}"),
        (r"(?<=\d) ?x ?(?=10\s*\^)", r"\\times "),
        (r"(?<![\d.,])(\d{1,3}) (\d{3})(?: (\d{3}))?(?![\d.]|\s*/)", r"\1\2\3"),
        (rf"\\(?:text|mathrm|operatorname)\{{\s*({_NAMES})\s*\}}\s*(?=[({{])", r"\\\1"),
        (
            r"^\s*\\text\{\s*(?:[Tt]he )?(?:[Oo]rdered )?(?:[Pp]oint|[Vv]ertex|[Pp]air|[Ii]nterval|[Cc]enter)\s*\}\s*",
            "",
        ),
        (r"^[A-Z]\s*(?=\(\s*-?[\d\\][^()]*,[^()]*\)\s*$)", ""),
        (r"^\s*(?:\\text\{)?\s*([Yy]es|[Nn]o|[Tt]rue|[Ff]alse)\b[,.;:] [^{}]*\}?\s*$", r"\\text{\1}"),
        (r"(?:\\text\{)?\s*\binfinity\b\s*\}?", r"\\infty "),
        (
            r"^\s*(?:\\text\{)?\s*[Aa](?:ll|ny) real (?:values?|numbers?)(?: of| for)?\s*\}?\s*\$?[a-z]?\$?\s*$",
            r"\\mathbb{R}",
        ),
        (
            r"^\s*(?:\\text\{)?\s*(?:[Tt]here (?:is|are) )?"
            r"([Nn]o (?:real |integer )?solutions?)(?: exists?)?\s*\}?\s*$",
            r"\\text{\1}",
        ),
        (r"(?<=[\d}])\s*(?:\\ )?\s*\(\s*\\text\{[A-Za-z -]+\}\s*\)\s*$", ""),
        (
            r"(?<=[\w}])[\s,;]*(?:\\q?quad|\\ |\s)*\(?\s*(?:\\text\{[^{}]*\}|where|for|with)?\s*\$?[kmnlj]\s*(?:\\in|∈)"
            rf"\s*(?:{_INTEGERS})\$?\s*\)?\s*$",
            "",
        ),
        (r"(?<=[\w}])[\s,]*\\text\{\s*for (?:all|any|every|each|some)(?: real| integers?)*\s*\}\s*[a-z]\s*$", ""),
        (r"(?<=[\w})]) for (?:all|any|every|each)(?: real| integers?)* \$?[a-z]\$?$", ""),
        (r"\bP\s*\(\s*\w+\s*(?:\||\\mid)\s*\w+\s*\)(?=\s*=)", "P"),
        (r"\\(?:dim|deg|ker|rank|operatorname\{[a-z]+\})\s*\(?\s*[A-Z]\s*\)?(?=\s*=)", "d"),
        (r"(?:\\text\{)?\s*\bper ?cent\b\s*\}?\s*$", r"\\%"),
    )
)
_AM_PM = re.compile(r"\s*(?:\\text\{)?\s*[ap]\.?\s?m\.?\s*\}?\s*$", re.I)
_LETTERED = re.compile(r"^\s*\\(?:text|textbf|mathrm|mathbf)\s*\{\s*\(([A-J])\)\s*\}.*$", re.S)
_NAMED = re.compile(
    r"(?:\\text\{)?\s*\b(?:[A-Z][a-z]+\s*[:=]|(?:the )?(?:minimum|maximum|min|max)(?: is| value)?:?)"
    r"\s*\}?\s*(?=[-\d\\$])"
)
_ONLY_WORDS = re.compile(r"^\s*(?:\\text\{)?\s*([A-Za-z]{2,}[A-Za-z -]*)\}?\s*$")
_HAS_MORE = re.compile(r"\\|[A-Za-z]|\d \d|=|…")


def in_symbols(text: str) -> str:
    """`text` with wording such as "negative", "out of" or "for k in Z" replaced by symbols or left out."""
    if not _HAS_MORE.search(text):
        return text
    if (bare := _ONLY_WORDS.match(text)) and (value := words_to_number(bare.group(1), alone=True)) is not None:
        return str(value)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def without_names(text: str) -> str:
    """A list without the names of its values: "Paolo: 18, Qing: 14", "minimum 1, maximum 3"."""
    return _NAMED.sub("", text)


def like_gold(text: str, gold: str) -> str:
    """`text` without what the gold leaves out: "a.m." behind a time, the option's text behind its letter."""
    if ":" in gold and not _AM_PM.search(gold) and re.match(r"\d", text):
        text = _AM_PM.sub("", text)
    if re.fullmatch(r"(?:\\text\w*\{)?\(?[A-J]\)?\}?", gold.strip()):
        text = _LETTERED.sub(r"\\text{\1}", text)
    return text
