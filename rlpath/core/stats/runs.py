"""Sets of runs, one a training seed: Student's and Welch's tests, permutations, curves and profiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from rlpath.core.stats.levels import Difference
from rlpath.core.stats.paired import sign_flip
from rlpath.core.stats.quantiles import t_cdf, t_quantile
from rlpath.core.stats.values import Array, Interval, tails, vector

BOOTSTRAP_FROM = 10  # the percentile bootstrap of 3 runs covers 75 %, not 95 %; from about 10 it is close


def iqm(values: ArrayLike) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter (Agarwal et al. 2021, arXiv 2108.13264).

    Below four values nothing is cut, and it is the mean.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    cut = len(x) // 4
    return float(x[cut : len(x) - cut].mean())


def stratified_bootstrap(
    scores_R_T: ArrayLike,
    statistic: Callable[[Array], float] = iqm,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic of runs by tasks; runs are redrawn within each task (arXiv 2108.13264)."""
    scores = np.asarray(scores_R_T, dtype=np.float64)
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(f"scores must be runs by tasks with at least two runs, got shape {scores.shape}")
    rng = np.random.default_rng(seed)
    runs, tasks = scores.shape
    draws = [statistic(scores[rng.integers(runs, size=scores.shape), np.arange(tasks)]) for _ in range(resamples)]
    low, high = np.quantile(draws, tails(level))
    name = f"stratified bootstrap over {runs} runs"
    return Interval(float(statistic(scores)), float(low), float(high), name, level)


def mean_band(curves_R_B: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Lower and upper limits of the mean of R curves at each of B points, (B,) each; the band holds point by point.

    Student's interval at any number of curves, as for a single mean.
    """
    curves = np.asarray(curves_R_B, dtype=np.float64)
    if curves.ndim != 2 or len(curves) < 2:
        raise ValueError(f"a band needs at least two curves as runs by points, got shape {curves.shape}")
    runs = len(curves)
    half = t_quantile(0.5 + level / 2, runs - 1) * curves.std(0, ddof=1) / math.sqrt(runs)
    return curves.mean(0) - half, curves.mean(0) + half


def paired_difference_of_runs(before_R: ArrayLike, after_R: ArrayLike, level: float = 0.95) -> Difference:
    """Mean of after - before over runs with the same seeds in the same order: Student's paired test and interval."""
    before, after = vector(before_R), vector(after_R)
    if len(before) != len(after) or len(before) < 2:
        raise ValueError(
            f"a paired difference of runs needs two lists of equal length >= 2, got {len(before)} and {len(after)}"
        )
    gain = after - before
    error = float(gain.std(ddof=1)) / math.sqrt(len(gain))
    p = sign_flip(gain) if _flat(error, gain) else None
    return _student(float(gain.mean()), error, len(gain) - 1, level, f"paired t over {len(gain)} seeds", p)


def difference_of_runs(before_R: ArrayLike, after_R: ArrayLike, level: float = 0.95) -> Difference:
    """Mean of after minus mean of before over independent runs: Welch's test and interval (Welch 1947).

    The degrees of freedom are rounded down to whole ones, which widens the interval a little.
    """
    before, after = vector(before_R), vector(after_R)
    if min(len(before), len(after)) < 2:
        raise ValueError(f"a difference of means needs two runs on each side, got {len(before)} and {len(after)}")
    parts = [float(x.var(ddof=1)) / len(x) for x in (before, after)]
    error = math.sqrt(sum(parts))
    flat = _flat(error, np.concatenate([before, after]))
    freedom = sum(part**2 / (len(x) - 1) for part, x in zip(parts, (before, after), strict=True))
    df = len(before) + len(after) - 2 if flat else max(1, math.floor(sum(parts) ** 2 / freedom + 1e-9))
    p = permutation(before, after) if flat else None
    test = f"Welch's t, {len(before)} and {len(after)} seeds"
    return _student(float(after.mean() - before.mean()), error, df, level, test, p)


def permutation(before_R: ArrayLike, after_R: ArrayLike, *, resamples: int = 20_000, seed: int = 0) -> float:
    """Two-sided p-value that the labels of two sets of runs do not matter to the difference of their means.

    Exact up to 20 000 ways to deal the runs out; beyond, sampled as in `sign_flip`.
    """
    before, after = vector(before_R), vector(after_R)
    pooled, size = np.concatenate([before, after]), len(before)
    observed = abs(after.mean() - before.mean()) - 1e-9
    total = pooled.sum()

    def gap(sums: Array) -> Array:
        return np.abs((total - sums) / len(after) - sums / size)

    if math.comb(len(pooled), size) <= resamples:
        sums = np.array([sum(chosen) for chosen in combinations(pooled.tolist(), size)])
        return float((gap(sums) >= observed).mean())
    rng = np.random.default_rng(seed)
    sums = np.array([rng.permutation(pooled)[:size].sum() for _ in range(resamples)])
    return (int((gap(sums) >= observed).sum()) + 1) / (resamples + 1)


def smallest_p(n: int, m: int | None = None) -> float:
    """The smallest two-sided p-value that a permutation of n pairs, or of n against m runs, can give."""
    return 2 / 2**n if m is None else (2 if n == m else 1) / math.comb(n + m, n)


def probability_of_improvement(
    x_R_T: ArrayLike, y_R_T: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """The chance that a run of x beats a run of y on the same task, ties as a half, averaged over tasks.

    Stratified bootstrap over the runs of both (arXiv 2108.13264).
    """
    x, y = np.asarray(x_R_T, dtype=np.float64), np.asarray(y_R_T, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not x.size or not y.size:
        raise ValueError(f"x and y must be runs by the same tasks, got shapes {x.shape} and {y.shape}")
    rng, columns = np.random.default_rng(seed), np.arange(x.shape[1])
    draws = [
        _beats(x[rng.integers(len(x), size=x.shape), columns], y[rng.integers(len(y), size=y.shape), columns])
        for _ in range(resamples)
    ]
    low, high = np.quantile(draws, tails(level))
    return Interval(_beats(x, y), float(low), float(high), "stratified bootstrap over runs", level)


def performance_profile(
    scores_R_T: ArrayLike, thresholds: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Share of runs that score more than each threshold, averaged over tasks, and its limits; (thresholds,) each.

    The score distribution of Agarwal et al. 2021 (arXiv 2108.13264), with a stratified bootstrap point by point.
    """
    scores, levels = np.asarray(scores_R_T, dtype=np.float64), vector(thresholds)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must be runs by tasks, got shape {scores.shape}")
    above = (scores[:, :, None] > levels).astype(np.float64)
    rng = np.random.default_rng(seed)
    runs, tasks = scores.shape
    # How often each run is drawn within its task says all: the profile of a draw is a weighted mean.
    counts = rng.multinomial(runs, [1 / runs] * runs, size=(resamples, tasks)) / (runs * tasks)
    draws = np.einsum("dtr,rtl->dl", counts, above)
    low, high = np.quantile(draws, tails(level), axis=0)
    return above.mean((0, 1)), low, high


def prediction_half_width(sd: Array, runs: int, new_runs: int, alpha: float) -> Array:
    """How far the mean of m new runs may lie from that of n reference runs of deviation `sd`: t sd sqrt(1/m + 1/n).

    At this width a mean of new runs of the same normal distribution falls outside with probability `alpha`.
    """
    if runs < 2 or new_runs < 1:
        raise ValueError(f"a prediction needs two reference runs and a new one, got {runs} and {new_runs}")
    return t_quantile(1 - alpha / 2, runs - 1) * sd * math.sqrt(1 / new_runs + 1 / runs)


def _flat(error: float, values: Array) -> bool:
    """Whether the runs do not vary, so that Student's test has nothing to divide by."""
    return error <= 1e-12 * max(1.0, float(np.abs(values).max()))


def _student(mean: float, error: float, df: int, level: float, test: str, p: float | None) -> Difference:
    """Student's interval and p-value; where `p` is given (the runs are flat), that one."""
    half = t_quantile(0.5 + level / 2, df) * error
    interval = Interval(mean, mean - half, mean + half, test, level)
    if p is not None:
        return Difference(interval, p, f"{test}; no spread, p by permutation", math.inf)
    detectable = (t_quantile(0.975, df) + t_quantile(0.8, df)) * error
    return Difference(interval, 2 * (1 - t_cdf(abs(mean) / error, df)), test, detectable)


def _beats(x_R_T: Array, y_R_T: Array) -> float:
    gap = x_R_T[:, None, :] - y_R_T[None, :, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())
