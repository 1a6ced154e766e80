"""Was this item in the training data? Detectors that ask the model, one score an item: higher means more probable seen.

Published attacks of this kind are near chance on large models trained once on much text (Duan et al.,
arXiv 2402.07841), and a high figure often comes from a test that can be passed without the model (Das et al.,
arXiv 2406.16201). So a score is only ever read beside reference items that are known to be unseen and otherwise alike,
and every report quotes the rates that the contamination lab measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rlpath.core.stats import Interval, difference_of_runs, paired_difference, sign_flip, t_interval, wilson
from rlpath.evals.contamination.token_scores import TokenScores

SHARE = 0.2
"""The lowest fifth of the tokens, fixed beforehand: the best share picked on labeled items is no detector."""


def mean_logprob(scores: TokenScores) -> float:
    """Mean log-probability of a token: the plainest score."""
    return float(scores.logprobs.mean())


def min_k(scores: TokenScores, share: float = SHARE) -> float:
    """Mean of the lowest `share` of the token log-probabilities, one token at least (Shi et al., arXiv 2310.16789)."""
    return _lowest(scores.logprobs, share)


def min_k_plus(scores: TokenScores, share: float = SHARE) -> float:
    """The same after each log-probability is put in standard deviations from its mean (Zhang et al., arXiv 2404.02936).

    A position at which the model is certain has no deviation and is left out; where all are, the score is 0.
    """
    spread = scores.deviations > 1e-6
    standard = (scores.logprobs[spread] - scores.means[spread]) / scores.deviations[spread]
    return _lowest(standard, share) if len(standard) else 0.0


def prefix_completion(scores: TokenScores, start: int) -> float:
    """Share of the text from token `start` on (counted as in `scores`) that greedy decoding would write out, unbroken.

    One forward suffices: greedy decoding follows the text exactly as long as each next token is the first choice.
    """
    rest = scores.top[start:]
    if not len(rest):
        raise ValueError(f"nothing is left after token {start} of {len(scores)}")
    return float(np.argmin(rest) if not rest.all() else len(rest)) / len(rest)


def completion_agreement(completion: str, rest: str) -> float:
    """Share of the words of `rest` with which `completion` begins: prefix completion for a model that only writes."""
    from rlpath.evals.contamination.words import words

    wanted, written = words(rest), words(completion)
    if not wanted:
        raise ValueError("nothing is left to complete")
    agreed = 0
    while agreed < min(len(wanted), len(written)) and wanted[agreed] == written[agreed]:
        agreed += 1
    return agreed / len(wanted)


def twin_gap(original: TokenScores, twins: Sequence[TokenScores]) -> float:
    """Mean log-probability of the item less that of its twins: the same text with other numbers and names."""
    return mean_logprob(original) - float(np.mean([mean_logprob(twin) for twin in twins]))


def auc(seen: ArrayLike, unseen: ArrayLike) -> float:
    """The chance that a seen item scores above an unseen one, ties as a half (Mann and Whitney 1947)."""
    x, y = np.asarray(seen, dtype=np.float64), np.asarray(unseen, dtype=np.float64)
    ordered = np.sort(y)
    below, up_to = np.searchsorted(ordered, x, side="left"), np.searchsorted(ordered, x, side="right")
    return float((below + up_to).sum() / (2 * len(x) * len(y)))


def threshold(unseen: ArrayLike, false_positives: float = 0.05) -> float:
    """The lowest score to flag, so that at most this share of the unseen items reaches it."""
    y = np.sort(np.asarray(unseen, dtype=np.float64))[::-1]
    allowed = math.floor(false_positives * len(y) + 1e-9)
    return float(np.nextafter(y[allowed], np.inf)) if allowed < len(y) else -math.inf


def roc(seen: ArrayLike, unseen: ArrayLike, rates: Sequence[float]) -> list[float]:
    """True-positive rates at these false-positive rates."""
    x = np.asarray(seen, dtype=np.float64)
    return [float((x >= threshold(unseen, rate)).mean()) for rate in rates]


@dataclass(frozen=True, slots=True)
class Membership:
    """A set of test items against reference items known to be unseen, by one detector.

    `flagged` is the share of the test items that score above all but 5 % of the references: about 0.05 if unseen.
    """

    auc: float
    flagged: Interval
    items: int
    references: int


def compare_with_references(scores: ArrayLike, reference_scores: ArrayLike) -> Membership:
    """How the test items score beside the references. Raises ValueError for fewer than 20 references."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(reference_scores, dtype=np.float64)
    if len(y) < 20 or not len(x):
        raise ValueError(f"a 5 % threshold needs at least 20 references and an item, got {len(y)} and {len(x)}")
    above = int((x >= threshold(y)).sum())
    return Membership(auc(x, y), wilson(above, len(x)), len(x), len(y))


@dataclass(frozen=True, slots=True)
class Gap:
    """A set less its twin: the mean difference over items, its interval, and the two-sided p-value that it is zero."""

    difference: Interval
    p: float

    @property
    def p_greater(self) -> float:
        """One-sided: that the set does no better than its twin."""
        return self.p / 2 if self.difference.estimate > 0 else 1 - self.p / 2


def performance_gap(
    on_set: Sequence[float], on_twin: Sequence[float], clusters: Sequence[object] | None = None, seed: int = 0
) -> Gap:
    """A model's accuracy on a set less that on its perturbed twin, item by item, values in [0, 1].

    A gap that clean models of the same size do not show speaks for memory of the very wording. The p-value is a
    sign-flip permutation test, by `clusters` (templates) where there are some.
    """
    return Gap(paired_difference(on_twin, on_set), sign_flip(np.subtract(on_set, on_twin), clusters, seed=seed))


def set_gap(twin_gaps: Sequence[float], seed: int = 0) -> Gap:
    """The same for log-probabilities: the mean of `twin_gap` over the items of a set, at least two.

    Twins are less likely in themselves, for their numbers do not fit together: a gap above zero is no evidence yet.
    """
    return Gap(t_interval(twin_gaps), sign_flip(twin_gaps, seed=seed))


def gap_beside_references(twin_gaps: Sequence[float], reference_gaps: Sequence[float]) -> Gap:
    """How far the gaps of a set exceed those of items known to be unseen: Welch's test, two of each at least."""
    found = difference_of_runs(reference_gaps, twin_gaps)
    return Gap(found.interval, found.p)


def _lowest(values: np.ndarray, share: float) -> float:
    if not 0 < share <= 1:
        raise ValueError(f"the share of tokens lies above 0 and up to 1, got {share}")
    count = max(1, int(len(values) * share))
    return float(np.partition(values, count - 1)[:count].mean())
