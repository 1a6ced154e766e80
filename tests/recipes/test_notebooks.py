"""The notebooks run from start to end and compute what their text says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("marimo")
FOLDER = Path(__file__).parents[2] / "recipes" / "notebooks"


def run(name: str) -> dict[str, Any]:
    """The variables that a notebook ends with."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.app.run()[1])


def test_a_verifier_in_your_own_code() -> None:
    """The verifier agrees with all eight labels, the pattern with five."""
    found = run("verifier")

    assert (found["agree_verifier"], found["agree_pattern"]) == (8, 5)


def test_reading_an_evaluation() -> None:
    """Adjusted p-values are never below the raw ones, and the detectable effect is between 5 and 15 points."""
    found = run("reading_an_evaluation")

    assert all(a >= p for a, p in zip(found["adjusted"], found["p_values"], strict=True))
    assert 0.05 < found["detectable"] < 0.15


@pytest.mark.needs("train")
def test_ppo_over_seeds() -> None:
    """Three seeds differ, and each has learned something: a random policy earns about 22."""
    found = run("ppo_over_seeds")

    assert len(set(found["returns"].values())) == 3
    assert all(25 < value < 500 for value in found["returns"].values())


def test_every_notebook_is_run() -> None:
    """A new notebook needs a test here."""
    assert {path.stem for path in FOLDER.glob("*.py")} == {"verifier", "ppo_over_seeds", "reading_an_evaluation"}
