"""HTML stands in the templates of rlpath/report: no other module builds it from strings."""

from __future__ import annotations

import ast
import re

from tests.house.test_rooms import modules, name_of

ELEMENTS = (
    "a|b|body|br|button|caption|code|dd|details|div|dl|dt|em|figcaption|figure|form|h[1-6]|head|hr|html|i|img|input"
    "|label|li|link|main|meta|nav|ol|option|p|pre|script|section|select|small|span|strong|style|sub|summary|sup|svg"
    "|table|tbody|td|th|thead|title|tr|ul"
)
TAG = re.compile(rf"<(?:{ELEMENTS})(?:\s+[\w-]+=|>)|</(?:{ELEMENTS})>")
READS = {
    "rlpath/report/plots.py": "the style of an SVG file that stands alone",
    "rewards/reading/": "verifiers read what models write",
    "rewards/verifiers/": "verifiers read what models write",
}
"""Where a tag in a string is not part of a page."""


def html_strings(source: str) -> list[int]:
    """Lines of string literals with a tag in them, docstrings left out."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and TAG.search(node.value)
    ]


def test_no_html_in_strings() -> None:
    """A page is made of the parts in rlpath/report/templates."""
    files = modules("rlpath", "envs", "rewards", "evals", "recipes", "scripts")
    found = {
        name_of(file): html_strings(file.read_text(encoding="utf-8"))
        for file in files
        if not name_of(file).startswith(tuple(READS))
    }

    assert {name: lines for name, lines in found.items() if lines} == {}


def test_html_would_be_found() -> None:
    """With attributes, in f-strings and closing tags; not in docstrings, comparisons or placeholders."""
    assert html_strings("x = '<div class=\"a\">'\ny = f'<td>{x}</td>'\n") == [1, 2, 2]
    assert html_strings('"""A <p> here."""\nx = "a<b and <task>"\n') == []
