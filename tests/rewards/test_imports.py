"""What importing the verifiers costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rlpath import rewards

HEAVY = ("torch", "trl", "transformers", "numpy", "sympy", "mpmath", "jsonschema")


def loaded(statement: str) -> list[str]:
    """Which of the heavy modules a fresh interpreter has after `statement`."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import rlpath.rewards", []),
        ("from rlpath.rewards import NumberVerifier", []),
        ("from rlpath.rewards.verifiers.number import NumberVerifier", []),
        ("from rlpath.rewards import CodeVerifier, as_trl_reward, ChoiceVerifier, ExactVerifier, BatchVerifier", []),
        ("from rlpath.rewards import MathVerifier", ["mpmath"]),
        ("from rlpath.rewards import *", ["mpmath", "jsonschema"]),
    ],
)
def test_imports_are_as_light_as_what_they_name(statement: str, allowed: list[str]) -> None:
    """Only the mathematics loads mpmath, only schemas load jsonschema, and nothing loads torch."""
    assert set(loaded(statement)) <= set(allowed)


def test_every_public_name_is_there() -> None:
    """What the package promises can be imported from it, and nothing else can."""
    assert sorted(rewards._HOMES) == sorted(rewards.__all__) == rewards.__all__
    for name in rewards.__all__:
        assert getattr(rewards, name).__name__ == name
        assert name in dir(rewards)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = rewards.Nothing
