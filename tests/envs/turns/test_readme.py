"""The environment that the README shows is one: its example runs, and names what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rlpath.envs.load import ENVIRONMENTS

ENVS = Path(__file__).parents[3] / "envs"
PAGE = (ENVS / "README.md").read_text(encoding="utf-8")
ADAPTERS = (ENVS / "adapters" / "README.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    """An environment of one's own, from the class to an episode by hand; and one of Gymnasium's, as a program."""
    own, gymnasium = (re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)[0] for page in (PAGE, ADAPTERS))
    done = subprocess.run(
        [sys.executable, "-c", own + gymnasium], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr


def test_every_environment_is_in_the_table() -> None:
    """By the name that recipes and `rlpath eval` take."""
    assert [name for name in ENVIRONMENTS if f"`{name}" not in PAGE] == []
