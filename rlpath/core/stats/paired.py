"""Two models on the same problems: exact tests, what they could have seen, and Holm's adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlpath.core.stats.quantiles import chi_square_quantile, normal_quantile
from rlpath.core.stats.values import (
    Array,
    cluster_means,
    cluster_sizes,
    differences,
    observations,
    pad,
    standard_error,
    vector,
)

EXACT_UP_TO = 16  # clusters: 2**16 sign patterns are listed, more are sampled
_CHUNK = 250


def mcnemar(before_P: ArrayLike, after_P: ArrayLike) -> float:
    """Exact two-sided McNemar p-value: the binomial test on problems that changed (McNemar 1947)."""
    before, after = vector(before_P), vector(after_P)
    _check_pair(before, after)
    gained, lost = int(((before == 0) & (after == 1)).sum()), int(((before == 1) & (after == 0)).sum())
    changed = gained + lost
    if changed == 0:
        return 1.0
    tail = sum(math.comb(changed, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**changed)


def _check_pair(before: Array, after: Array) -> None:
    if len(before) != len(after) or not np.isin([before, after], (0.0, 1.0)).all():
        raise ValueError("McNemar needs two lists of 0 and 1 over the same problems")


def sign_flip(
    differences: ArrayLike, clusters: Sequence[object] | None = None, *, resamples: int = 20_000, seed: int = 0
) -> float:
    """Two-sided permutation p-value that paired differences average zero; the signs of a cluster flip together.

    Exact up to 16 clusters that differ from zero; beyond, sampled, the observed pattern counted as one of the draws
    (Phipson & Smyth 2010), so that p is never 0.
    """
    x = vector(differences)
    sums = x if clusters is None else cluster_means(x, clusters) * cluster_sizes(clusters)
    sums = sums[np.abs(sums) > 1e-12]
    observed = abs(sums.sum()) - 1e-9
    if len(sums) <= EXACT_UP_TO:
        patterns = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
        return float((np.abs((1 - 2 * patterns) @ sums) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, resamples, _CHUNK):
        signs = 1 - 2 * rng.integers(2, size=(min(_CHUNK, resamples - start), len(sums)))
        extreme += int((np.abs(signs @ sums) >= observed).sum())
    return (extreme + 1) / (resamples + 1)


def minimal_detectable_effect(
    before_P: ArrayLike,
    after_P: ArrayLike,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    clusters: Sequence[object] | None = None,
) -> float:
    """The smallest true difference that these problems would show with this `power` at level `alpha`, two-sided."""
    factor = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return factor * standard_error(pad(observations(differences(before_P, after_P), clusters)))


def detectable_by_sign_flip(
    before_P: ArrayLike,
    after_P: ArrayLike,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    clusters: Sequence[object] | None = None,
) -> float:
    """The smallest true difference that `sign_flip` would show with at least this `power`; 1 where it never could.

    The test measures a mean against the root mean square of the differences, which the effect itself raises: e =
    z(1 - alpha/2) sqrt((s^2 + e^2) / n) + z(power) s / sqrt(n). As s is estimated, the upper 90 % limit of it is taken
    (Browne 1995), so that the figure errs on the large side.
    """
    padded = pad(observations(differences(before_P, after_P), clusters))
    n = len(padded)
    error = standard_error(padded) * math.sqrt((n - 1) / chi_square_quantile(0.1, n - 1))
    share = normal_quantile(1 - alpha / 2) ** 2 / n
    if share >= 1:
        return 1.0
    real = normal_quantile(power) * error
    root = math.sqrt(real**2 - (1 - share) * (real**2 - share * n * error**2))
    return min(1.0, (real + root) / (1 - share))


def required_n(effect: float, sd: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Problems needed to see a true mean difference `effect` where paired differences have deviation `sd`."""
    if effect <= 0 or sd <= 0:
        raise ValueError(f"required_n needs a positive effect and deviation, got {effect} and {sd}")
    factor = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil((factor * sd / effect) ** 2 - 1e-9)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given (Holm 1979): compare each with alpha."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
