"""The words everyone shares: what a problem set refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet
from rlpath.rewards import FormatVerifier, NumberVerifier, WithGold


@pytest.mark.parametrize("gold", [None, math.nan, 18, ["18"], "", "  \n"])
def test_a_problem_without_a_gold_answer_is_refused(gold: Any) -> None:
    """The set names the problem before anything is trained on it."""
    problems = (Problem("a", "2+2?", "4"), Problem("b", "2+3?", gold))
    with pytest.raises(InputError, match=r"problem 'b' of sums \(by hand\) has no gold answer"):
        ProblemSet("sums", "train", problems, NumberVerifier(), "by hand")


def test_a_verifier_that_reads_no_gold_needs_none() -> None:
    """A format contract has a gold of its own; a gold that is not text is still refused."""
    verifier = WithGold(FormatVerifier(), "think_answer")
    assert len(ProblemSet("sums", "train", (Problem("a", "2+2?", ""),), verifier, "by hand")) == 1
    missing: Any = None
    with pytest.raises(InputError, match="it is None"):
        ProblemSet("sums", "train", (Problem("a", "2+2?", missing),), verifier, "by hand")
