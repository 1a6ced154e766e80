"""Two sets of greedy answers to the same items, item by item: how many were right, the difference, its interval and p.

Models are lists of evaluations, one a training seed. With several, the error holds the variance over items and over
seeds, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlpath.core.stats import Interval, mcnemar, sign_flip, two_level_difference
from rlpath.evals.compare.comparison import ALPHA, FEWEST
from rlpath.evals.suite.harness import TaskRun

Sign = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Paired:
    """After less before: the difference of accuracies with its 95 % interval, and the two-sided p over items."""

    difference: Interval
    p: float

    def sign(self, p: float | None = None) -> Sign:
        """Who is ahead: 1 or -1 where the interval excludes zero and p (adjusted, if given) is below 5 %, else 0."""
        if self.difference.low <= 0 <= self.difference.high or (self.p if p is None else p) >= ALPHA:
            return 0
        return 1 if self.difference.estimate > 0 else -1


def right_R_P(asked: Sequence[TaskRun]) -> NDArray[np.float64]:
    """1 where the greedy answer is right, [training seeds, items], items in the order of the problems."""
    return np.array([[float(n) for n in each.evaluation.correct("greedy").values()] for each in asked])


def paired(before_R_P: NDArray[np.float64], after_R_P: NDArray[np.float64], clusters: Sequence[object] = ()) -> Paired:
    """Mean difference over items of the seeds' averages; items of one cluster count as one observation.

    p is McNemar's exact one for single items of single seeds; for clusters of single seeds the larger of a sign-flip
    permutation and the t-test, 1 on fewer than 30; for several seeds the t-test of both levels.
    """
    names = list(clusters) or list(range(before_R_P.shape[1]))
    grouped = names if len(set(names)) < len(names) else None
    several = len(before_R_P) > 1 and len(after_R_P) > 1
    if several and len(before_R_P) != len(after_R_P):
        raise ValueError(f"{len(before_R_P)} and {len(after_R_P)} training seeds cannot be paired")
    gains_R_P = after_R_P - before_R_P
    found = two_level_difference(gains_R_P, clusters=grouped)
    if len(gains_R_P) == 1 and grouped is None:
        return Paired(found.interval, mcnemar(before_R_P[0], after_R_P[0]))
    if len(set(names)) < FEWEST:
        return Paired(found.interval, 1.0)
    p = found.p if len(gains_R_P) > 1 else max(found.p, sign_flip(gains_R_P[0], grouped))
    return Paired(found.interval, p)


def signed(difference: Interval) -> str:
    """A difference of shares with its interval, in percentage points."""
    return f"{100 * difference.estimate:+.1f} [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"
