"""Two sets of greedy answers to the same items, item by item: how many were right, the difference, its interval and p.

Models are lists of evaluations, one a training seed. Training seeds are a level of their own: an interval is over items
or over seeds, whichever is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlpath.core.stats import (
    Interval,
    difference_of_runs,
    interval_over_seeds,
    mcnemar,
    paired_difference,
    sign_flip,
)
from rlpath.evals.compare.comparison import ALPHA
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

    p is McNemar's exact one for single items of single seeds, else a sign-flip permutation over the clusters.
    """
    before_P, after_P = before_R_P.mean(0), after_R_P.mean(0)
    names = list(clusters) or list(range(len(before_P)))
    each_its_own = len(set(names)) == len(names)
    interval = paired_difference(before_P, after_P, clusters=None if each_its_own else names)
    runs = max(len(before_R_P), len(after_R_P))
    if runs == 1 and each_its_own:
        return Paired(interval, mcnemar(before_P, after_P))
    if runs > 1:
        over_seeds = _over_seeds(before_R_P.mean(1), after_R_P.mean(1))
        interval = max(interval, over_seeds, key=lambda each: each.high - each.low)
    return Paired(interval, sign_flip(after_P - before_P, names))


def signed(difference: Interval) -> str:
    """A difference of shares with its interval, in percentage points."""
    return f"{100 * difference.estimate:+.1f} [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"


def _over_seeds(before_R: NDArray[np.float64], after_R: NDArray[np.float64]) -> Interval:
    if min(len(before_R), len(after_R)) > 1:
        return difference_of_runs(before_R, after_R).interval
    return interval_over_seeds(after_R - before_R)
