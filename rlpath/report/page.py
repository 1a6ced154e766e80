"""The pieces of a self-contained page: one style sheet, no script, nothing fetched, every text escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #626a74; --line: #dcdfe4; --back: #fbfbfa; --card: #ffffff;
  --good: #2f855a; --bad: #c0434f; --none: #75808c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e5e8; --soft: #9aa3ad; --line: #343a42; --back: #15181c;
  --card: #1c2026; --good: #5bbf8c; --bad: #e5767f; --none: #98a2ad; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.1rem 4rem; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.35rem; font-weight: 650; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.02rem; font-weight: 650; margin: 2.6rem 0 .7rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.verdict { margin: 1.3rem 0; padding: 1rem 1.2rem; border-left: 5px solid var(--none); border-radius: 0 8px 8px 0;
  background: var(--card); box-shadow: 0 0 0 1px var(--line); }
.verdict.improved { border-left-color: var(--good); } .verdict.worse { border-left-color: var(--bad); }
.verdict strong { display: block; font-size: 1.2rem; } .verdict.improved strong { color: var(--good); }
.verdict.worse strong { color: var(--bad); }
.note { padding: .7rem 1rem; border-radius: 8px; border: 1px dashed var(--bad); margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .42rem .9rem .42rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 550; color: var(--soft); white-space: nowrap; } td small { color: var(--soft); white-space: nowrap; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
.plots figure { margin: 0; padding: .7rem .7rem .3rem; background: var(--card); border-radius: 8px;
  box-shadow: 0 0 0 1px var(--line); }
svg { display: block; width: 100%; height: auto; } svg text { font-family: inherit; }
.sample { margin: 0 0 1rem; padding: .9rem 1rem; background: var(--card); border-radius: 8px;
  box-shadow: 0 0 0 1px var(--line); }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .4rem 1.4rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0; max-height: 16rem; overflow-y: auto;
  font: .86rem/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
.prompt { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 .5rem; }
.chip { display: inline-block; padding: 0 .5rem; border-radius: 999px; font-size: .78rem; border: 1px solid var(--none);
  color: var(--none); } .chip.correct { color: var(--good); border-color: var(--good); }
.chip.wrong { color: var(--bad); border-color: var(--bad); }
details { border-top: 1px solid var(--line); padding: .5rem 0; } summary { cursor: pointer; font-weight: 550; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: .82rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
"""


KINDS = {"improved": "improved", "B is better": "improved", "got worse": "worse", "B is worse": "worse"}
"""The colour of a verdict, by its words."""


class Html(str):
    """Text that is HTML already: a table does not escape it again."""


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """A whole document; `body` is HTML, `title` is text, `style` is CSS of the page's own after the common one."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def heading(title: str) -> str:
    """The page's one first-level heading."""
    return f"<h1>{escape(title)}</h1>"


def verdict_box(word: str, sentence: str) -> str:
    """The verdict's word large, the figures under it, in the colour of what was found."""
    kind = KINDS.get(word, "none")
    rest = sentence.removeprefix(word).lstrip(":; ")
    rest = rest if rest.startswith("pass@") else rest[:1].upper() + rest[1:]
    return f'<div class="verdict {kind}"><strong>{escape(word.capitalize())}</strong>{escape(rest)}.</div>'


def note(text: str) -> str:
    """A remark that must not be overlooked."""
    return f'<p class="note">{escape(text)}</p>'


def soft(text: str) -> str:
    """A quiet line of explanation."""
    return f'<p class="soft">{escape(text)}</p>'


def section(title: str, *parts: str) -> str:
    """A heading with what stands under it; nothing where there is nothing to show."""
    inner = "\n".join(part for part in parts if part)
    return f"<h2>{escape(title)}</h2>\n{inner}" if inner else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text; a cell "0.5 [0.4, 0.6]" shows its interval smaller, one of `Html` stays as it is."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: str) -> str:
    if isinstance(cell, Html):
        return cell
    value, bracket, limits = escape(cell).partition(" [")
    return f"{value} <small>[{limits}</small>" if bracket else value


def plots(figures: Iterable[str]) -> str:
    """Figures (SVG text) side by side where there is room."""
    inner = "\n".join(f"<figure>{figure}</figure>" for figure in figures if figure)
    return f'<div class="plots">{inner}</div>' if inner else ""


def chip(status: str) -> str:
    """A status as a small label."""
    return f'<span class="chip {escape(status)}">{escape(status.replace("_", " "))}</span>'


def completion(side: str, status: str, text: str, tokens: int | None = None) -> str:
    """One completion with its status."""
    length = f' <span class="soft">{tokens} token{"s"[: tokens != 1]}</span>' if tokens is not None else ""
    shown = escape(text) if text.strip() else '<span class="soft">(empty)</span>'
    return f'<div><span class="soft">{escape(side)}</span> {chip(status)}{length}<div class="text">{shown}</div></div>'


def sample(prompt: str, gold: str, sides: Iterable[str]) -> str:
    """A problem with the completions of each side."""
    head = f'<p class="prompt">{escape(prompt)}</p><p class="soft">gold answer: {escape(gold)}</p>'
    return f'<div class="sample">{head}<div class="sides">{"".join(sides)}</div></div>'


def details(title: str, value: Mapping[str, Any]) -> str:
    """A nested dictionary, folded away."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
