"""The environment that the README shows is one: its example runs, and names what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rlpath.envs.load import ENVIRONMENTS

PAGE = (Path(__file__).parents[3] / "envs" / "README.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    """An environment of one's own, from the class to an episode by hand, as a program."""
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr


def test_every_environment_is_in_the_table() -> None:
    """By the name that recipes and `rlpath eval` take."""
    assert [name for name in ENVIRONMENTS if f"`{name}" not in PAGE] == []


def test_the_example_of_an_adapter_runs() -> None:
    """The part of the page on Gymnasium, which every install has."""
    page = (Path(__file__).parents[3] / "envs" / "adapters" / "README.md").read_text(encoding="utf-8")
    first, *_ = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    exec(compile(first, "envs/adapters/README.md", "exec"), {})
