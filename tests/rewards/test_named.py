"""Verifiers by name, the one with a hole, and whether two judges are the same code."""

from __future__ import annotations

from typing import Any, get_args

from rlpath.core.types import Status
from rlpath.rewards import ExactVerifier, MathVerifier, NumberVerifier
from rlpath.rewards.combine.flawed import ContainsVerifier
from rlpath.rewards.combine.named import VerifierName, verifier_named, verifiers_of


def test_every_name_is_a_verifier_and_own_is_the_problems_own() -> None:
    """The names that settings offer are all there are."""
    own = ExactVerifier(ignore_case=True)
    found = {name: type(verifier_named(name, own)) for name in get_args(VerifierName)}

    assert verifier_named("own", own) is own
    assert found == {
        "own": ExactVerifier,
        "number": NumberVerifier,
        "math": MathVerifier,
        "exact": ExactVerifier,
        "contains": ContainsVerifier,
    }


def test_the_flawed_verifier_has_its_hole() -> None:
    """A list is accepted, and so are digits of another number. The strict one refuses both."""
    verify, strict = ContainsVerifier(), NumberVerifier()

    for said in ("It is 12, or 7, or 3.", "1734", "7", "cut off 7"):
        assert verify(said, "7", truncated=True).status is Status.CORRECT
    for said in ("It is 12, or 7, or 3.", "1734"):
        assert strict(said, "7").status is Status.WRONG
    assert verify("seven", "7").status is Status.WRONG
    assert verify(" ", "7").status is Status.NO_ANSWER


def test_the_same_class_is_the_same_code() -> None:
    """With other settings too; a function is itself alone."""

    def paid(**_: Any) -> list[float]:
        return []

    assert verifiers_of(NumberVerifier(), NumberVerifier(require_statement=True)) == {
        "training": "NumberVerifier",
        "evaluation": "NumberVerifier",
        "same_code": True,
    }
    assert not verifiers_of(ContainsVerifier(), NumberVerifier())["same_code"]
    assert verifiers_of(paid, NumberVerifier()) == {
        "training": "paid",
        "evaluation": "NumberVerifier",
        "same_code": False,
    }
