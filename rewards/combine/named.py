"""Verifiers by name, as settings choose them: who rewards training, and who judges the evaluation."""

from __future__ import annotations

from typing import Any, Literal

from rlpath.core.types import Verifier
from rlpath.rewards.combine.flawed import ContainsVerifier
from rlpath.rewards.maths import MathVerifier
from rlpath.rewards.verifiers.exact import ExactVerifier
from rlpath.rewards.verifiers.number import NumberVerifier

VerifierName = Literal["own", "number", "math", "exact", "contains"]


def verifier_named(name: VerifierName, own: Verifier) -> Verifier:
    """The named verifier; `own` is the one that the problem set brings with it."""
    kinds = {"number": NumberVerifier, "math": MathVerifier, "exact": ExactVerifier, "contains": ContainsVerifier}
    return own if name == "own" else kinds[name]()


def judges(training: object, evaluation: object) -> dict[str, Any]:
    """Who rewards training and who judges the evaluation, for a manifest, and whether both are the same code.

    `training` is a verifier or a reward function. The same class with other settings is still the same code.
    """
    return {
        "training": _name(training),
        "evaluation": _name(evaluation),
        "same_code": _kind(training) is _kind(evaluation),
    }


def _kind(judge: object) -> object:
    return judge if isinstance(judge, type) or hasattr(judge, "__code__") else type(judge)


def _name(judge: object) -> str:
    return str(getattr(judge, "__name__", type(judge).__name__))
