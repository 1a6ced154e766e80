r"""Does a box stand alone, or is it a part of what surrounds it, as in `-\boxed{3}`, `\boxed{3}^2` or `2\boxed{3}`?

Before and behind a box there may stand what a list of harmless neighbors allows: words, punctuation, the dress of
TeX and Markdown, an equals sign, a unit. Everything else makes the box a part of a larger expression.
"""

from __future__ import annotations

import re

from rlpath.rewards.reading.vocabulary import calculates_after, calculates_before, denied_before, denied_behind

_SPACE = re.compile(r"(?:\s|\\[,;:! >]|\\q?quad\b|~|\\(?:displaystyle|left|right|bf|rm|Large|large)\b)+")
_DRESSED_BEFORE = re.compile(
    r"(?:\$|(?<=\$)\{|\\\(|\\\[|[*_`\"'“‘#>|&]|\\\\|\\(?:textbf|textit|text|mathbf|mathrm|boldsymbol|bm|underline|color|textcolor"
    r"|Large|large)\s*(?:\{[a-z]*\})?\s*\{|\\color\{\w+\}|\\begin\{[a-z*]+\}(?:\{[^{}]*\})?)$"
)
_ENDS_OF_DRESS = frozenset("${([*_`\"'“‘#>|&\\}")
_BOX_BEFORE = re.compile(r"\\boxed\s*\{[^{}]*\}[\s,;$]*$")
_COMMANDS_BEFORE = re.compile(
    r"\\(?:implies|Rightarrow|Longrightarrow|rightarrow|to|therefore|approx|equiv|iff|Leftrightarrow|quad|qquad|because"
    r"|longrightarrow|leadsto|simeq|cong|ldots|dots|le|leq|ge|geq|in|colon|newline|hfill|centering|item)$"
)
_WORD_BEFORE = re.compile(r"(?:[A-Za-z][\w'’-]*[A-Za-z]\d*|\b[aAI]|[^\x00-\x7f\W]+)[).:]?$")
_DASH_BEFORE = re.compile(r"(?<!is)(?<!are)(?<!equals)(?<!be)(?<![\d)}$]) [-–—]$|—$|--$")
_BULLET = re.compile(r"(?:^|\n)[ \t]*(?:[-–—*+•]|\d+[.)])[ \t]+$")
_SET_BEFORE = re.compile(r"[=:;,.!?<>≤≥≈→⇒∴：。，]$|\}$")
_GROUP_BEFORE = re.compile(r"\\(?:text|textbf|mbox|mathrm|begin|end|color|tag|label|textit)\*?\{[^{}]*\}$")

_AFTER_OPERATOR = re.compile(
    r"(?:\^|!(?=[\^!$]|\\)|!!|\.\d|\d|[*/+×·÷±]\s*[\w\\($]|[-−–](?=\d|\\[a-z]|\(|[a-z]\b)|[-−]\s+\d[^\n]*$|²|³|√|π"
    r"|\\(?:times|cdot|div|pm|mp|sqrt|pi|log|ln|sin|cos|tan|left|theta|alpha|beta|binom|[dt]?frac|boxed|infty|bmod)"
    r"(?![A-Za-z])|\(|[)\]|]+\s*[\^²³*/])"
)
_LETTERS_AFTER = re.compile(r"([A-Za-z]+)")
_UNIT_LETTERS = frozenset("mgshlLNJWVAKFCaI")
_OPTION = re.compile(r"boxed\s*\{\s*\\(?:text|textbf|mathrm|mathbf)\s*\{\s*\(?[A-J]\)?\s*\}\s*\}")
# "1/8 of 2 feet": what the share is of, named again.
_SHARE = re.compile(r"of (?:\d[\d.,]* (?!\d)|that\b|it\b)[a-z]*", re.I)
_SCALE_WORDS = re.compile(r"(?:hundred|thousand|million|billion|trillion|dozen|k)\b", re.I)


def part_of_more(text: str, start: int, end: int) -> str:
    """Why the box at `text[start:end]` is not an answer by itself, or an empty string where it is."""
    before, after = text[max(0, start - 200) : start], text[end : end + 200]
    if denied_before(before):
        return "the box holds an answer that is denied"
    if denied_behind(after):
        return "the answer is taken back after it was stated"
    lettered = _OPTION.search(text, start, end) and after[:1] != "^"  # the letter of an option, its text behind it
    if not (_may_stand_before(before) and (lettered or _may_stand_behind(after))):
        return "the box is part of a larger expression"
    return ""


def _may_stand_before(before: str) -> bool:
    if before[-1:] in (" ", "\t") and _BULLET.search(before):
        return True
    if before.endswith("|"):
        return False  # with no space behind it a bar opens an absolute value, and no cell of a table
    opened = False
    while True:
        trimmed = _without_space(before)
        if "\n" in before[len(trimmed) :] or not trimmed:
            return True
        dress = _DRESSED_BEFORE.search(trimmed) if trimmed[-1] in _ENDS_OF_DRESS else None
        if not dress or (opened and trimmed.endswith("$")):
            break
        opened = opened or dress.group() in ("$", "\\(", "\\[")
        before = trimmed[: dress.start()]
        if not before.strip():
            return True
    last, spaced = trimmed[-1], before != trimmed
    dashed = spaced and last in "-–—" and _DASH_BEFORE.search(trimmed)
    if dashed or (opened and last not in "-−+*/^="):
        return not calculates_before(trimmed)
    if spaced and last in "},;$" and _BOX_BEFORE.search(trimmed):
        return True
    if _COMMANDS_BEFORE.search(trimmed) or _GROUP_BEFORE.search(trimmed):
        return True
    if last == "(":
        return re.search(r"[A-Za-z\d})]\($", trimmed) is None
    if last == ".":
        return re.search(r"\d\.$", trimmed) is None or spaced
    if _SET_BEFORE.search(trimmed):
        return last != "}"
    if not _WORD_BEFORE.search(trimmed) or re.search(r"\\[A-Za-z]+$", trimmed):
        return last in ")]" and spaced
    return not calculates_before(trimmed)


def _without_space(text: str) -> str:
    """`text` without the white space at its end, TeX's included."""
    if "\\" not in text[-40:] and "~" not in text[-40:]:
        return text.rstrip()
    spaced = _SPACE.sub(lambda m: " " * len(m.group()), text[-40:])
    return text[: len(text) - (len(spaced) - len(spaced.rstrip(" ")))]


def _may_stand_behind(after: str) -> bool:
    space = _SPACE.match(after)
    rest = after[space.end() :] if space else after
    if not rest or (space and "\n" in space.group()):
        return True
    if _AFTER_OPERATOR.match(rest) and not (space and rest.startswith(("(", "\\boxed"))):
        return False
    closed = re.match(r"(?:\$|\\\)|\\\]|[*_`}])+\s*", rest)
    inner = rest[closed.end() :] if closed else rest
    if calculates_after(inner) or _SCALE_WORDS.match(inner):
        return _SHARE.match(inner) is not None
    if closed:
        return re.match(r"[\^²³!]", inner) is None or inner.startswith("!")
    letters = _LETTERS_AFTER.match(rest)
    if letters and len(letters.group()) == 1 and not rest[1:2].isalnum():
        return letters.group() in _UNIT_LETTERS and space is not None
    return not (letters and len(letters.group()) <= 2 and space is None and rest[1:2] in "(^_")
