"""Which part of a completion is the program.

A completion may hold several pieces of code: drafts, the solution, a usage example, sample output, asserts. The
program is the last piece that defines what the tests ask for, so one that is explained afterwards is still found, and
of two that define it the later one counts. The text is read line by line and never parsed: parsing what a model wrote
happens in the sandbox alone.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# From the start of a run of marks and over all of it, which keeps the search linear in a long run.
OPENING = re.compile(r"((?<!`)`{3,}+|(?<!~)~{3,}+)[ \t]*([\w+.{}-]*)[^`~]*$")
CLOSING = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*$")
TAGGED = re.compile(
    r"\[(?P<square>PYTHON|CODE|ANSWER|SOLUTION|BEGIN)\](?P<in_square>.*?)(?:(?P<square_end>\[(?:/(?P=square)|DONE)\])|\Z)"
    r"|<(?P<angle>answer|code|solution|python|pre)\b[^<>\n]*>(?P<in_angle>.*?)(?:(?P<angle_end></(?P=angle)>)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
END_ALONE = re.compile(
    r"^[ \t]*(?:`{3,}|~{3,}|\[DONE\]|\[/PYTHON\]|</(?:answer|code|solution|python)>)", re.MULTILINE | re.IGNORECASE
)
BODY = re.compile(r"[ \t]+\S|(?:async|class|def|from|import|return)\b|@")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TURN_END = re.compile(r"(?:<\|\w{1,20}\|>|</s>|<eos>|<end_of_turn>)\s*\Z")
LONGEST_TURN_END = 40
QUOTED_FENCE = re.compile(r"^> ?(?:`{3}|~{3})", re.MULTILINE)
QUOTED = re.compile(r"^>(?!>>) ?", re.MULTILINE)
DEFINITION = re.compile(
    r"^(?:>>> )?(?:(?:async[ \t]+)?(?:def|class)[ \t]+(?P<defined>\w+)|(?P<assigned>\w+)[ \t]*(?::[^=\n]*)?=(?!=))",
    re.MULTILINE,
)
FUNCTION = re.compile(r"^(?:>>> )?(?:(?:async[ \t]+)?(?:def|class)[ \t]|\w+[ \t]*=[ \t]*lambda\b)", re.MULTILINE)
METHOD = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
READS = re.compile(r"\binput\(|\bsys\.stdin\b|\bopen\(0|\bos\.read\(0|\bfileinput\b")
CALLS = re.compile(r"\w\(")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A piece of code at `start` of the text, its fence's tag in lower case; not `closed` where the text ends in it."""

    start: int
    end: int
    text: str
    closed: bool
    tag: str = ""


@dataclass(frozen=True, slots=True)
class FoundCode:
    """What of a completion is to be run.

    `sources` is where the program may be, most probable last; before it is the whole text, which is the program should
    it be Python as it stands (a raw program may hold a fence in a string). `others` are the further pieces of code, the
    nearest before the program first. `whole` says whether the program is whole should the completion have been cut, and
    `prose` whether it stands in no fence or tag, so that it may have prose around it.
    """

    sources: list[str]
    others: list[str]
    whole: bool
    prose: bool


def find_program(completion: str, names: frozenset[str] | None = frozenset()) -> FoundCode:
    """The program in a completion. `names` are what the tests ask for, empty where they do not say, None for a script
    that reads stdin."""
    text = cleaned(without_thinking(completion))
    found = blocks(text)
    pieces = [block for block in found if is_python(block.tag) and block.text.strip()]
    texts = [piece.text for piece in pieces]
    outside = text_outside(text, found)
    scores = [score(piece, names) for piece in texts]
    if names is not None and not any(scores) and not score(outside, names):
        spans = [span for span in SPAN.findall(outside) if score(span, names)]
        if spans:
            return FoundCode([text, spans[-1]], [], False, False)
    if not pieces or (outside.strip() and score(outside, names) > max(scores)):
        return FoundCode([text, outside] if pieces else [text] * bool(text.strip()), texts, False, True)
    best = max(range(len(pieces)), key=lambda at: (scores[at], at))
    others = [*texts[:best][::-1], *texts[best + 1 :]]
    raw = [] if TAGGED.match(text.lstrip()) else [text]  # `[BEGIN]` would be Python
    return FoundCode([*raw, texts[best]], others, all(block.closed for block in found), False)


def cleaned(text: str) -> str:
    """`text` without a byte order mark, the tokens that end a turn, and the marks of a quotation around a fence."""
    text = text.lstrip("\ufeff")
    end = len(text)
    while tail := TURN_END.search(text[max(0, end - LONGEST_TURN_END) : end]):
        end -= len(tail.group())
    text = text[:end]
    return QUOTED.sub("", text) if QUOTED_FENCE.search(text) else text


def score(text: str, names: frozenset[str] | None) -> int:
    """How much a piece of code looks like the program."""
    return script_score(text) if names is None else definition_score(text, names)


def definition_score(text: str, names: frozenset[str]) -> int:
    """How many of `names` a piece of code defines; where the tests name nothing, whether it defines any function."""
    if not names:
        return int(bool(FUNCTION.search(text)))
    defined = {found["defined"] or found["assigned"] for found in DEFINITION.finditer(text)}
    if "Solution" in defined:
        defined |= set(METHOD.findall(text))
    return len(names & defined)


def text_outside(text: str, found: list[CodeBlock]) -> str:
    """What of `text` is in no block."""
    parts, position = [], 0
    for block in found:
        parts.append(text[position : block.start])
        position = max(position, block.end)
    return "\n".join([*parts, text[position:]])


def script_score(text: str) -> int:
    """How much a piece of code looks like a script that reads stdin, rather than like a sample of its output."""
    return 2 if READS.search(text) else 1 if CALLS.search(text) else 0


def without_thinking(text: str) -> str:
    """`text` without what is between <think> tags; a lone closing tag means that the prompt opened it."""
    head, *rest = text.split("<think>")
    text = head + "".join(part.partition("</think>")[2] for part in rest)
    return text.rpartition("</think>")[2]


def blocks(text: str) -> list[CodeBlock]:
    """The fenced blocks of `text` and its tagged passages without one, in order."""
    opened = opened_by_prompt(text)
    rest = opened[0].end if opened else 0
    fenced = [replace(block, start=block.start + rest, end=block.end + rest) for block in fenced_blocks(text[rest:])]
    found = [*opened, *fenced]
    ends = [block.end for block in fenced]
    for match in TAGGED.finditer(text, rest):
        behind = bisect.bisect_right(ends, match.start())  # the first fence that ends within the tag or after it
        if behind == len(fenced) or fenced[behind].start >= match.end():
            content = match["in_angle"] if match["square"] is None else match["in_square"]
            closed = bool(match["square_end"] or match["angle_end"])
            first, _, others = content.partition("\n")
            found.append(
                CodeBlock(match.start(), match.end(), others if not first.strip() else content.lstrip(), closed)
            )
    return sorted(found, key=lambda block: block.start)


def opened_by_prompt(text: str) -> list[CodeBlock]:
    """The block at the start of `text` that the prompt opened and that only its end shows, such as `[DONE]`.

    A fence ends such a block where there is an odd number of them, none has a tag, and code stands before the first.
    """
    end = END_ALONE.search(text)
    if not end or not (BODY.match(text) or any(kind.search(text, 0, end.start()) for kind in (FUNCTION, READS))):
        return []
    mark = end.group().strip()
    if mark[0] in "`~":
        lines = [line.strip() for line in text.splitlines() if line.lstrip().startswith(mark)]
        if len(lines) % 2 == 0 or lines[0] != mark or mark in text[: end.end() - len(mark)]:
            return []
    elif TAGGED.search(text, 0, end.start()):
        return []
    return [CodeBlock(0, end.end(), text[: end.start()], True)]


def fenced_blocks(text: str) -> Iterator[CodeBlock]:
    """Every fenced block."""
    mark, tag, indent, start, position = "", "", 0, 0, 0
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if not mark:
            opening = OPENING.search(line.rstrip())
            if opening and line.count(opening[1]) == 1:  # else the line holds a fenced phrase and opens nothing
                mark, tag, lines, start = opening[1], opening[2].lower(), [], position
                indent = len(line) - len(line.lstrip())
        elif (closing := CLOSING.match(line.rstrip("\r\n"))) and closing[1].startswith(mark):
            yield CodeBlock(start, position + len(line), "".join(lines), True, tag)
            mark = ""
        else:
            lines.append(line[min(indent, len(line) - len(line.lstrip(" "))) :])
        position += len(line)
    if mark:
        yield CodeBlock(start, position, "".join(lines), False, tag)


def is_python(tag: str) -> bool:
    """Whether a fence of this tag may hold Python: `python3.11`, `py`, `pycon`, or none."""
    return re.fullmatch(r"(?:i?python|py)[\d.]*|pycon|", tag.strip("{}.")) is not None
