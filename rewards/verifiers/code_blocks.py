"""Which part of a completion is the program.

A completion may hold several pieces of code: drafts, the solution, a usage example, sample output, asserts. The
program is the last piece that defines what the tests ask for, so one that is explained afterwards is still found, and
of two that define it the later one counts. The text is read line by line and never parsed: parsing what a model wrote
happens in the sandbox alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPENING = re.compile(r"(`{3,}|~{3,})[ \t]*([\w+.{}-]*)[^`~]*$")
CLOSING = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*$")
TAGGED = re.compile(
    r"\[PYTHON\](?P<square>.*?)(?:(?P<square_end>\[/PYTHON\])|\Z)"
    r"|<(?P<name>answer|code|solution|python)>(?P<angle>.*?)(?:(?P<angle_end></(?P=name)>)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
DEFINITION = re.compile(
    r"^(?:async[ \t]+)?(?:def|class)[ \t]+(?P<defined>\w+)|^(?P<assigned>\w+)[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE
)
FUNCTION = re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]|^\w+[ \t]*=[ \t]*lambda\b", re.MULTILINE)
METHOD = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
READS = re.compile(r"\binput\(|\bsys\.stdin\b|\bopen\(0|\bos\.read\(0|\bfileinput\b")
CALLS = re.compile(r"\w\(")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A piece of code at `start` of the text; not `closed` where the text ends within it."""

    start: int
    end: int
    text: str
    closed: bool
    python: bool = True


def find_program(completion: str, names: frozenset[str] | None = frozenset()) -> tuple[list[str], bool]:
    """Where the program may be, most probable last, and whether it is whole should the completion have been cut.

    `names` are what the tests ask for, empty where they do not say, None for a script that reads stdin. Before the
    chosen piece stands the whole text, which is the program should it be Python as it stands (a raw program may hold a
    fence in a string).
    """
    text = without_thinking(completion)
    found = blocks(text)
    pieces = [block for block in found if block.python and block.text.strip()]
    if not pieces:
        return ([text] if text.strip() else []), False
    scores = [script_score(piece.text) if names is None else definition_score(piece.text, names) for piece in pieces]
    best = max(range(len(pieces)), key=lambda at: (scores[at], at))
    return [text, pieces[best].text], all(block.closed for block in found)


def definition_score(text: str, names: frozenset[str]) -> int:
    """How many of `names` a piece of code defines; where the tests name nothing, whether it defines any function."""
    if not names:
        return int(
            bool(re.search(r"^(?:async[ \t]+)?(?:def|class)[ \t]|^\w+[ \t]*=[ \t]*lambda\b", text, re.MULTILINE))
        )
    defined = {found["defined"] or found["assigned"] for found in DEFINITION.finditer(text)}
    if "Solution" in defined:
        defined |= set(METHOD.findall(text))
    return len(names & defined)


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
    fenced = list(fenced_blocks(text))
    found = list(fenced)
    for match in TAGGED.finditer(text):
        if all(block.end <= match.start() or block.start >= match.end() for block in fenced):
            content = match["square"] if match["name"] is None else match["angle"]
            closed = bool(match["square_end"] or match["angle_end"])
            first, _, others = content.partition("\n")
            found.append(
                CodeBlock(match.start(), match.end(), others if not first.strip() else content.lstrip(), closed)
            )
    return sorted(found, key=lambda block: block.start)


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
            yield CodeBlock(start, position + len(line), "".join(lines), True, is_python(tag))
            mark = ""
        else:
            lines.append(line[min(indent, len(line) - len(line.lstrip(" "))) :])
        position += len(line)
    if mark:
        yield CodeBlock(start, position, "".join(lines), False, is_python(tag))


def is_python(tag: str) -> bool:
    return tag.strip("{}.") in ("", "python", "python3", "py", "py3")
