r"""From the text of an answer, LaTeX or plain, to tokens.

>>> [token.text for token in tokens(r"\dfrac{1}{2} \cdot π ≤ 3,500")]
['frac', '{', '1', '}', '{', '2', '}', '*', 'pi', '<=', '3500']
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from rlpath.rewards.maths.tree import Unreadable
from rlpath.rewards.reading.units import is_unit_word

MAX_LENGTH = 4000
MAX_TOKENS = 2000


class Token(NamedTuple):
    """`kind` is num, sym, cmd, op, text or based; `spaced` says that white space stands before it."""

    kind: str
    text: str
    spaced: bool = False


# Signs that have a command or an ASCII sign; what else there is, Unicode's own normal form or names tell.
_CHARACTERS = {
    **dict.fromkeys("−–‒﹣－➖", "-"), **dict.fromkeys("×⋅·∗⨯•✕", "*"), **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("≈≃≅", "≈"), **dict.fromkeys("≤⩽≦", "<="), **dict.fromkeys("≥⩾≧", ">="), "≡": "=", "≠": "!=",
    "±": "\\pm ", "∓": "\\mp ", "√": "\\sqrt ", "∛": "\\cbrt ", "∞": "\\infty ", "∪": "\\cup ", "∩": "\\cap ",
    "∈": "\\in ", "∅": "\\emptyset ", "ℝ": "\\mathbb{R} ", "°": "\\degree ", "º": "\\degree ", "′": "'", "’": "'",
    "″": "''", "⟨": "\\langle ", "⟩": "\\rangle ", "∖": "\\setminus ", "⌊": "\\lfloor ", "⌋": "\\rfloor ",
    "⌈": "\\lceil ", "⌉": "\\rceil ", "∧": "\\land ", "∨": "\\lor ", "،": ",", "٫": ".", "٬": ",",
}  # fmt: skip
_PRIMES = re.compile(r"\^\s*\{?\s*(?:\\prime\b\s*)+\}?")
_SUPER_RUN = re.compile("[⁰¹²³⁴-⁾ⁿ]+")
_SUB_RUN = re.compile("[₀-₉]+")
_SPACES = re.compile(
    r"(?<!\\)\\(?:[,;:! >]|(?:q?quad|thinspace|enspace|hfill|displaystyle|textstyle|limits|nolimits)\b"
    r"|(?:rm|bf|it|mathstrut)\b"
    r"|(?:hspace\*?|phantom)\{[^{}]*\}|(?:left|right)\b(?!\s*\.)|(?:left|right)\s*\.|[bB]igg?[lrm]?\b)"
    r"|~|\$|\\[()]|&nbsp;|\\nobreak"
)
_GROUPING = re.compile(r"(?<=\d)(?:\{,\}|,\\!\s*|\\,|\\;|\\!\s*)(?=\d{3}(?!\d))")
_THIN_GROUPING = re.compile(r"(?<=\d),\\! +(?=\d{3})")
_LINE_HEIGHT = re.compile(r"\\\\\[[^\[\]]{0,12}(?:pt|ex|em|mm|cm)\]")
_DISPLAY = re.compile(r"(?<!\\)\\\[(?!\s*-?\d*\.?\d*(?:ex|pt|em|mm|cm)\])|\\\]")
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d)")
_WRAPPERS = {
    "mathrm", "mathbf", "mathit", "mathsf", "mathcal", "boldsymbol", "bm", "vec", "mathbb", "operatorname", "hat",
    "overrightarrow", "overline", "bar", "tilde", "underline",
}  # fmt: skip
_TEXTS = {"text", "mbox", "textbf", "textit", "textrm", "textnormal", "texttt", "hbox", "textsf", "emph"}
_BOXES = {"boxed", "fbox", "framebox", "displaystyle", "ensuremath", "bbox", "color", "large", "Large"}
_WITH_ARGUMENT = frozenset(_TEXTS | _WRAPPERS | _BOXES)
_ALIASES = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "flatfrac"), "frac"),
    **dict.fromkeys(("tbinom", "dbinom"), "binom"), **dict.fromkeys(("bmod", "mod"), "pmod"),
    **dict.fromkeys(("times", "cdot", "ast"), "*"), "div": "/", **dict.fromkeys(("le", "leq", "leqslant"), "<="),
    **dict.fromkeys(("ge", "geq", "geqslant"), ">="), "lt": "<", "gt": ">", **dict.fromkeys(("ne", "neq"), "!="),
    **dict.fromkeys(("approx", "simeq", "cong", "sim"), "≈"), "equiv": "=", "prime": "'", "colon": ":",
    **dict.fromkeys(("infty", "infinity", "inf"), "oo"), **dict.fromkeys(("cup", "union"), "cup"), "cap": "cap",
    **dict.fromkeys(("setminus", "backslash", "smallsetminus"), "setminus"), "varnothing": "emptyset",
    "emptyset": "emptyset",
    "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]", "langle": "<(", "rangle": ")>",
    **dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|"), **dict.fromkeys(("circ", "degree", "degrees"), "degree"),
    "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho",
    **dict.fromkeys(("land", "wedge"), "and"), **dict.fromkeys(("lor", "vee"), "or"),
    **dict.fromkeys(("ldots", "dots", "cdots"), "..."), **dict.fromkeys(("to", "rightarrow"), "->"),
    **dict.fromkeys(("implies", "Rightarrow", "Longrightarrow", "iff"), "=>"), **dict.fromkeys(("lnot", "neg"), "not"),
}  # fmt: skip
FUNCTIONS = frozenset([
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "asin", "acos", "atan", "sinh",
    "cosh", "tanh", "coth", "sech", "csch", "arcsinh", "arccosh", "arctanh", "asinh", "acosh", "atanh", "ln", "log",
    "lg", "exp", "sqrt", "cbrt", "abs", "floor", "ceil", "binom", "frac", "max", "min", "gcd", "lcm", "det", "re",
    "im", "arg", "Re", "Im",
])  # fmt: skip
WORDS = frozenset({"and", "or", "in", "not"})
GREEK_NAMES = frozenset([
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
])  # fmt: skip
# Short words that are no product of letters; every word of four letters or more is one.
_PLAIN_WORDS = frozenset([
    "we", "get", "is", "the", "it", "so", "of", "to", "if", "for", "be", "are", "has", "was", "you", "can", "at", "by",
    "as", "an", "my", "our", "its", "all", "sum", "let", "but", "now", "yes", "no", "odd", "up", "dne", "nan", "any",
    "ok",
])  # fmt: skip

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<num>\d+(?:\.\d+)?|\.\d+)|\\(?P<cmd>[A-Za-z]+)|\\(?P<esc>[{}%$#&_|\\])|(?P<word>[A-Za-z]+)"
    r"|(?P<op><=|>=|!=|=>|->|\*\*|!!|\.\.\.|[-+*/^_=<>!()\[\]{},;:|&'%≈])|(?P<dot>\.)"
)
_UNIT_POWER = re.compile(r"([A-Za-z])\s*\^\s*\{\s*(-?\d)\s*\}")
_EXPONENT = re.compile(r"[eE]([-+]?\d+)(?![\w.])")
_NESTING = {"(": 1, "[": 1, "\\{": 1, ")": -1, "]": -1, "\\}": -1}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}


def tokens(text: str) -> list[Token]:
    """The tokens of `text`; raises `Unreadable` on characters no answer has and on more than `MAX_TOKENS` tokens."""
    if len(text) > MAX_LENGTH:
        raise Unreadable("longer than an answer")
    return _scan(_prepared(text))


def _prepared(text: str) -> str:
    if not text.isascii():
        text = _SUPER_RUN.sub(lambda m: f"^{{{m.group()}}}", text)
        text = _SUB_RUN.sub(lambda m: f"_{{{m.group()}}}", text)
        text = "".join(_character(c) for c in text)
        text = text.replace("£", " ").replace("€", " ")
    if "\\" in text:
        text = text.replace("\\$", "\\dollar ").replace("\\!", "\\! ")
        text = _THIN_GROUPING.sub("{,}", text)
        text = _PRIMES.sub(lambda m: "'" * m.group().count("prime"), text)
        text = _LINE_HEIGHT.sub(r"\\\\", text)
        text = _DISPLAY.sub(" ", text)
    return _SPACES.sub(" ", _GROUPING.sub("", text))


@lru_cache(maxsize=4096)
def _character(c: str) -> str:
    """`c` in ASCII: by the table, as a digit, as the command of a Greek letter, or in Unicode's normal form."""
    if c.isascii() or c in _CHARACTERS:
        return _CHARACTERS.get(c, c)
    folded = unicodedata.normalize("NFKC", c)
    if len(folded) > 1:
        text = "".join(_character(part) for part in folded)
        return f" {text} " if "/" in text else text
    if (digit := unicodedata.decimal(folded, None)) is not None:
        return str(digit)
    alphabet, size, *_, name = (unicodedata.name(folded, "?") + " ? ?").split()[:4]
    if alphabet == "GREEK":
        return f"\\{name.capitalize() if size == 'CAPITAL' else name.lower()} "
    return _CHARACTERS.get(folded, folded) if folded.isascii() or folded in _CHARACTERS else c


def _scan(text: str) -> list[Token]:
    out: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise Unreadable(f"the character {text[position]!r}")
        position = match.end()
        if match.group("space"):
            spaced = True
            continue
        kind = match.lastgroup or ""
        if kind == "cmd" and match.group("cmd") in _WITH_ARGUMENT:
            position = _wrapped(text, position, match.group("cmd"), out, spaced)
        elif kind == "cmd" and match.group("cmd") in ("begin", "end"):
            position = _environment(text, position, match.group("cmd"), out)
        elif kind == "word":
            position = _word(text, match.group(), position, out, spaced)
        elif kind == "num":
            position = _number(text, match.group(), position, out, spaced)
        else:
            _plain(match, kind, out, spaced)
        spaced = False
        if len(out) > MAX_TOKENS:
            raise Unreadable("more tokens than an answer has")
    return out


def _plain(match: re.Match[str], kind: str, out: list[Token], spaced: bool) -> None:
    text = match.group(kind)
    if kind == "cmd":
        alias = _ALIASES.get(text, text)
        out.append(Token("op" if not alias.isalnum() else "cmd", alias, spaced))
    elif kind == "esc":
        out.append(Token("op", {"{": "\\{", "}": "\\}", "|": "|", "\\": "\\\\", "%": "%"}.get(text, text), spaced))
    elif kind == "op":
        out.append(Token("op", "^" if text == "**" else text, spaced))
    elif match.end() != len(match.string.rstrip()) and kind == "dot":
        raise Unreadable("a stray point")


def _number(text: str, digits: str, position: int, out: list[Token], spaced: bool) -> int:
    grouped = _GROUPED.match(text, position - len(digits))
    if grouped and not sum(_NESTING.get(token.text, 0) for token in out):  # within brackets a comma separates
        digits, position = grouped.group().replace(",", ""), grouped.end()
    exponent = _EXPONENT.match(text, position)
    if exponent:
        out.append(Token("num", digits + exponent.group(), spaced))
        return exponent.end()
    repeating = (
        re.compile(r"\\(?:overline|bar|dot)\s*\{(\d+)\}").match(text, position)
        if "." in digits or text[position : position + 1] == "."
        else None
    )
    if text[position : position + 1] == "." and not repeating:
        repeating = re.compile(r"\.\\(?:overline|bar|dot)\s*\{(\d+)\}").match(text, position)
        if repeating:
            digits += "."
    if repeating:
        out.append(Token("num", f"{digits}({repeating.group(1)})", spaced))
        return repeating.end()
    if re.match(r"x\d|0[xb]", text[position - len(digits) : position + 2]):
        raise Unreadable("a number in another notation")
    out.append(Token("num", digits, spaced))
    if text[position : position + 1] == "." and not text[position + 1 : position + 2].isdigit():
        rest = text[position + 1 :].lstrip()
        if not rest or not rest[0].isalnum():
            return position + 1
    return position


def _word(text: str, word: str, position: int, out: list[Token], spaced: bool) -> int:
    after_number = bool(out) and (out[-1].kind == "num" or out[-1].text in (")", "}", "]", "pi"))
    if word in WORDS or word.lower() in ("and", "or"):
        out.append(Token("cmd", word.lower(), spaced))
    elif word.lower() == "u" and out and out[-1].text in (")", "]") and text[position:].lstrip()[:1] in ("(", "["):
        out.append(Token("cmd", "cup", spaced))
    elif len(word) > 2 and word in _ALIASES and word not in ("prime", "sim", "mid", "circ", "div", "times", "land"):
        out.append(Token("cmd", _ALIASES[word], spaced))
    elif word in FUNCTIONS or word in GREEK_NAMES or word in ("pi", "oo"):
        out.append(Token("cmd", word, spaced))
    elif after_number and word.lower() in _SCALES:
        out.append(Token("cmd", f"scale{_SCALES[word.lower()]}", spaced))
    elif after_number and word.lower() == "percent":
        out.append(Token("op", "%", spaced))
    elif (
        word.lower() in _PLAIN_WORDS or (is_unit_word(word) and len(word) > (1 if after_number else 2)) or len(word) > 3
    ):
        phrase = re.compile(r"(?:[ -]+(?!(?:and|or)\b)[A-Za-z]{2,})*").match(text, position)
        end = phrase.end() if phrase else position
        out.append(Token("text", word + text[position:end], spaced))
        return end
    elif (
        is_unit_word(word)
        and out
        and (
            (len(word) > 1 and out[-1].kind == "text")
            or (out[-1].text == "/" and (len(word) > 1 or (len(out) > 1 and out[-2].kind == "text")))
        )
    ):
        out.append(Token("text", word, spaced))
    else:
        for n, letter in enumerate(word):
            out.append(Token("sym", letter, spaced and n == 0))
    return position


def _group(text: str, position: int) -> tuple[str, int]:
    """The content of the braces at `position` and the index behind them; the next character where there are none."""
    while position < len(text) and text[position].isspace():
        position += 1
    if text[position : position + 1] != "{":
        return text[position : position + 1], position + 1
    depth = 0
    for n in range(position, len(text)):
        if text[n] == "\\":
            continue
        depth += (text[n] == "{" and text[n - 1] != "\\") - (text[n] == "}" and text[n - 1] != "\\")
        if depth == 0:
            return text[position + 1 : n], n + 1
    raise Unreadable("an open brace")


def _wrapped(text: str, position: int, command: str, out: list[Token], spaced: bool) -> int:
    if command in ("displaystyle", "large", "Large"):
        return position
    content, end = _group(text, position)
    if command == "color":
        return end
    if command == "mathbb":
        out.append(Token("cmd", f"mathbb{content.strip()}", spaced))
        return end
    stripped = content.strip().rstrip(":=").strip() if command in _TEXTS else content.strip()
    stripped = _UNIT_POWER.sub(r"\1^\2", stripped)
    if command in ("overline", "bar") and stripped.isdecimal():
        raise Unreadable("digits under a line")
    if command in _BOXES or not re.fullmatch(r"[A-Za-z][\w .,'()/^&-]*|\([A-Z]\)", stripped):
        out += [Token("op", "{", spaced), *_scan(content), Token("op", "}")]
    elif re.fullmatch(r"\(?[A-Z]\)?", stripped) and not (out and out[-1].kind == "num"):
        out.append(Token("sym", stripped.strip("()"), spaced))
    elif joined := re.fullmatch(r"([A-Za-z ]+) (and|or)", stripped):
        out += [Token("text", joined.group(1), spaced), Token("cmd", joined.group(2), spaced)]
    elif stripped.lower() in ("and", "or") or (stripped == "in" and not (out and out[-1].kind == "num")):
        out.append(Token("cmd", stripped.lower(), spaced))
    elif command in _WRAPPERS and (len(stripped) == 1 or stripped in FUNCTIONS or (out and out[-1].text in ("_", "{"))):
        is_unit = (
            len(stripped) == 1
            and bool(out)
            and is_unit_word(stripped)
            and command == "mathrm"
            and (out[-1].kind in ("num", "text") or (out[-1].text in "*/" and out[-2:][0].kind == "text"))
        )
        kind = "text" if is_unit else "cmd" if len(stripped) > 1 else "sym"
        out.append(Token(kind, stripped, spaced))
    elif out and out[-1].kind == "num" and stripped.lower() in _SCALES:
        out.append(Token("cmd", f"scale{_SCALES[stripped.lower()]}", spaced))
    else:
        out.append(Token("text", stripped, spaced))
    return end


def _environment(text: str, position: int, command: str, out: list[Token]) -> int:
    name, end = _group(text, position)
    if name.strip("*") in ("array", "tabular") and command == "begin":
        _, end = _group(text, end)
    out.append(Token("op", f"{command}:{name.strip('*')}"))
    return end
