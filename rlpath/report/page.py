"""The parts of a self-contained page: one style sheet, no script, nothing fetched, every text escaped.

The HTML stands in templates/parts.html, one macro for each function here. Functions take text and return HTML; where a
parameter takes HTML its docstring says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rlpath.core.types import Outcome

TEMPLATES = Path(__file__).with_name("templates")
STYLE = (TEMPLATES / "style.css").read_text(encoding="utf-8")
WIDE = 6
"""A table of more columns than this scrolls on a phone, and says so."""
_PARTS: Any = (
    Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    .get_template("parts.html")
    .module
)
_KINDS = {Outcome.IMPROVED: "improved", Outcome.WORSE: "worse", Outcome.NO_EVIDENCE: "none"}


class Html(str):
    """Text that is HTML already: a table does not escape it again."""


def style(name: str) -> str:
    """The style sheet templates/`name`.css, for `page`."""
    return (TEMPLATES / f"{name}.css").read_text(encoding="utf-8")


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """A whole document; `body` is HTML, `style` is CSS of the page's own after the common one."""
    return str(_PARTS.page(title, STYLE + style, list(body)))


def heading(title: str) -> str:
    """The page's one first-level heading."""
    return str(_PARTS.heading(title))


def subheading(title: str) -> str:
    """A heading within a section."""
    return str(_PARTS.subheading(title))


def verdict_box(outcome: Outcome, sentence: str) -> str:
    """The verdict's first word large, the figures under it, in the color of the outcome."""
    rest = sentence.removeprefix(outcome).lstrip(":; ")
    rest = rest if rest.startswith("pass@") else rest[:1].upper() + rest[1:]
    return outcome_box(outcome, outcome.capitalize(), f"{rest}.")


def outcome_box(outcome: Outcome, words: str, rest: str, label: str = "") -> str:
    """Words large, the rest under them, in the color of the outcome; `label` is a small remark behind the words."""
    return str(_PARTS.verdict(_KINDS[outcome], words, rest, label))


def standing(line: str, link: str = "") -> str:
    """The line under the title that counts what was found; `link` leads to the warnings."""
    return str(_PARTS.standing(line, link))


def warnings(title: str, items: Iterable[str]) -> str:
    """What stands against the result, as a list in a red frame; a warning that is repeated is listed once."""
    return str(_PARTS.warnings(title, list(dict.fromkeys(items))))


def items(rows: Iterable[tuple[str, str, str]]) -> str:
    """A plain list of (kind of label, label, text); a row without a label is text alone."""
    return str(_PARTS.items(list(rows)))


def note(text: str) -> str:
    """A remark that must not be overlooked."""
    return str(_PARTS.note(text))


def soft(text: str) -> str:
    """A quiet line of explanation."""
    return str(_PARTS.soft(text))


def link(address: str, text: str) -> str:
    """A line that leads to a file beside the page."""
    return str(_PARTS.link(address, text))


def paragraph(text: str, strong: str = "", *, bad: bool = False) -> str:
    """Running text, after a word and a colon where `strong` is given; `bad` colors that word."""
    return str(_PARTS.paragraph(text, strong, bad))


def section(title: str, *parts: str) -> str:
    """A heading with what stands under it (HTML); nothing where there is nothing to show."""
    inner = "\n".join(part for part in parts if part)
    return str(_PARTS.section(title, inner)) if inner else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text; a cell "0.5 [0.4, 0.6]" shows its interval smaller, one of `Html` stays as it is."""
    return str(_PARTS.table(head, [[_cell(cell) for cell in row] for row in rows], len(head) > WIDE))


def _cell(cell: str) -> Markup:
    if isinstance(cell, Html):
        return Markup(cell)
    value, _, limits = cell.partition(" [")
    return _PARTS.cell(value, limits)


def plots(figures: Iterable[str]) -> str:
    """Figures (SVG text) side by side where there is room."""
    drawn = [figure for figure in figures if figure]
    return str(_PARTS.plots(drawn)) if drawn else ""


def chip(status: str) -> str:
    """A status as a small label."""
    return str(_PARTS.chip(status))


def completion(side: str, status: str, text: str, tokens: int | None = None) -> str:
    """One completion with its status."""
    length = f"{tokens} token{'s'[: tokens != 1]}" if tokens is not None else ""
    return str(_PARTS.completion(side, status, text, length))


def sample(prompt: str, gold: str, sides: Iterable[str]) -> str:
    """A problem with the completions of each side (HTML)."""
    return str(_PARTS.sample(prompt, gold, list(sides)))


def details(title: str, value: Mapping[str, Any]) -> str:
    """A nested dictionary, folded away."""
    return str(_PARTS.details(title, json.dumps(value, indent=2, ensure_ascii=False)))


def folded(title: str, inner: str) -> str:
    """HTML, folded away."""
    return str(_PARTS.folded(title, inner))


def quiet(text: str) -> Html:
    """A cell in the color of explanations."""
    return Html(_PARTS.quiet(text))


def flagged(text: str, remark: str) -> Html:
    """A cell with a remark in red behind its text; none where `remark` is empty."""
    return Html(_PARTS.flagged(text, remark))


def preformatted(text: str) -> str:
    """Text whose lines and spaces stay as they are."""
    return str(_PARTS.preformatted(text))


def browser(filters: Iterable[tuple[str, Sequence[tuple[str, str]]]], rows: Iterable[str], nothing: str) -> str:
    """Rows (HTML of `browser_row`) under groups of filters, each (name, choices of (value, text)), the first chosen.

    `nothing` stands where no row is left.
    """
    return str(_PARTS.browser(list(filters), list(rows), nothing))


def browser_row(kinds: Iterable[str], task: str, start: str, statuses: Iterable[str], inner: str) -> str:
    """One problem, folded: its task, how it starts and every side's status; `inner` (HTML) is what unfolds."""
    return str(_PARTS.browser_row(list(kinds), task, start, list(statuses), inner))
