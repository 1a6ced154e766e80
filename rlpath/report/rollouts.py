"""Every rollout of a run on one page that is searched and opened offline: groups side by side, turns, tokens, rewards.

The rows lie in the page as JSON, and one script of its own draws those that are looked at; nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rlpath.report import page

STYLE = """
.find { display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; align-items: center; font-size: .9rem; }
.find input[type=search] { width: min(26rem, 80vw); }
.one > summary { font-weight: 400; font-size: .92rem; } .one > .sample { margin-top: .7rem; }
.dot { color: var(--none); } .dot.correct { color: var(--good); } .dot.wrong { color: var(--bad); }
.token { background: var(--shade); } body.plain .token { background: none; }
.told { color: var(--none); border-bottom: 1px dotted var(--none); } div.told { border-bottom: 0; font-style: italic; }
.said { margin-bottom: .3rem; }
"""
_ENVIRONMENT = Environment(loader=FileSystemLoader(page.TEMPLATES), autoescape=True, undefined=StrictUndefined)


def rollouts_page(title: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """The page of the lines of `samples.jsonl`, in the order in which they were written."""
    groups = in_groups(rows)
    data = json.dumps(groups, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    body = _ENVIRONMENT.get_template("rollouts.html").render(data=data)
    parts = (
        "Each line is a prompt with its group of completions; open it to read them. What the model wrote is colored by "
        "its log-probability where that was kept (the first group of a step); what a tool answered carries no loss and "
        "stands in gray."
    )
    return page.page(title, [page.heading(title), page.soft(parts), body], STYLE)


def in_groups(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one problem in one step, side by side."""
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in rows:
        if "completion" not in row:
            continue
        key = (row.get("step"), row.get("problem_id"))
        if key not in found:
            asked = {"prompt": row["prompt"], "gold": str(row.get("gold", ""))}
            found[key] = {"step": key[0], "id": str(key[1]), **asked, "rows": []}
        found[key]["rows"].append(_row(row))
    return list(found.values())


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        "text": row["completion"],
        "status": row["status"],
        "reward": row.get("reward", row.get("score")),
        "reason": row.get("reason", ""),
        "tokens": row.get("tokens", 0),
        "finish": row.get("finish_reason", ""),
    }
    more: Sequence[str] = ("turns", "tools", "parts", "pieces")
    return kept | {name: row[name] for name in more if row.get(name)}
