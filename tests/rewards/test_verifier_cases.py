"""The adversarial suite: labeled cases by attack class, whose false accepts and false rejects may not rise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlpath.rewards.audit.measure import Tally, grade, read_cases

CASES = Path(__file__).parent / "verifier_cases"
# kind: number of cases (may only grow), false accepts and false rejects (may only shrink)
KNOWN = {
    "number": (1407, 0, 0),
    "math": (2095, 0, 0),
    "hard": (941, 0, 7),
    "mcq": (648, 0, 0),
    "exact": (44, 0, 0),
    "format": (186, 0, 0),
    "json": (115, 0, 0),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_no_new_disagreement(kind: str) -> None:
    """No more false accepts or false rejects than known, no errors, and no case over three seconds."""
    cases = read_cases(CASES / f"{kind}.jsonl")
    tally = Tally(kind, tuple(grade(cases)))
    n, false_accepts, false_rejects = KNOWN[kind]
    assert tally.n >= n
    assert [g.case.id for g in tally.graded if g.verdict.status == "error"] == []
    assert tally.false_accepts <= false_accepts, [g.case.id for g in tally.graded if g.accepted and not g.case.expected]
    assert tally.false_rejects <= false_rejects, [g.case.id for g in tally.graded if g.case.expected and not g.accepted]
    assert tally.slowest.seconds < 3
