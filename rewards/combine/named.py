"""Verifiers by name, as settings choose them: the one that rewards training, and the one of the evaluation."""

from __future__ import annotations

from typing import Any, Literal

from rlpath.core.types import Verifier
from rlpath.rewards.combine.flawed import ContainsVerifier
from rlpath.rewards.verifiers.exact import ExactVerifier
from rlpath.rewards.verifiers.math import MathVerifier
from rlpath.rewards.verifiers.number import NumberVerifier

VerifierName = Literal["own", "number", "math", "exact", "contains"]


def verifier_named(name: VerifierName, own: Verifier) -> Verifier:
    """The named verifier; `own` is the one that the problem set brings with it."""
    kinds = {"number": NumberVerifier, "math": MathVerifier, "exact": ExactVerifier, "contains": ContainsVerifier}
    return own if name == "own" else kinds[name]()


def verifiers_of(training: object, evaluation: object) -> dict[str, Any]:
    """What rewards training and what verifies the evaluation, for a manifest, and whether both are the same code.

    `training` is a verifier or a reward function. The same class with other settings is still the same code.
    """
    return {
        "training": _name(training),
        "evaluation": _name(evaluation),
        "same_code": _kind(training) is _kind(evaluation),
    }


def _kind(verifier: object) -> object:
    return verifier if isinstance(verifier, type) or hasattr(verifier, "__code__") else type(verifier)


def _name(verifier: object) -> str:
    return str(getattr(verifier, "__name__", type(verifier).__name__))
