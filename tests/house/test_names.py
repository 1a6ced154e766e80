"""One meaning a name: a public class is defined under its name in one module only."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

from tests.house.test_rooms import modules, name_of

SHARED = {
    "Agent": "the networks that act and learn, one for each deep algorithm",
    "Args": "the arguments of a deep algorithm, or of a script",
    "Batch": "the rows of one update, one for each on-policy algorithm",
    "Optimizers": "the optimizers of one actor-critic algorithm",
    "Rollout": "what was sampled to learn from, on environments and on prompts",
    "Settings": "the settings of a recipe, or of a script",
    "Interval": "a confidence interval in statistics, a set of numbers in mathematics; no module needs both",
    "Stopwatch": "wall and processor seconds; nothing may import a script",
}
"""Names that several modules may give to their own version of one idea."""


def classes(file: Path) -> set[str]:
    """Public classes that a module defines at its top."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


@cache
def places() -> dict[str, list[str]]:
    """The modules, tests left out, in which each public class is defined."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in modules("rlpath", "envs", "rewards", "evals", "recipes", "scripts"):
        for name in classes(file):
            found[name].append(name_of(file))
    return found


def test_one_meaning_a_name() -> None:
    """Two ideas have two names; the few that are one idea in several versions are listed with it."""
    assert {name: where for name, where in places().items() if len(where) > 1 and name not in SHARED} == {}


def test_no_exception_is_left_over() -> None:
    """A name that is defined once needs no reason to be shared."""
    found = places()

    assert [name for name in SHARED if len(found[name]) < 2] == []


def test_a_second_definition_is_found(tmp_path: Path) -> None:
    """The search sees classes, not functions nor private ones."""
    (tmp_path / "one.py").write_text("class Plan: ...\nclass _Own: ...\ndef plan(): ...\n")

    assert classes(tmp_path / "one.py") == {"Plan"}
