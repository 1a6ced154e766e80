"""The statistics behind every claim: intervals over seeds and problems, paired tests, power, pass@k.

Two levels of variance are kept apart: problems (how well one model was measured) and training seeds (how much the
recipe varies). Array names carry their axes: R runs, T tasks, P problems. Everything here is numpy and the standard
library; a seed fixes every draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
BOOTSTRAP_FROM = 10  # the percentile bootstrap of 3 runs covers 75 %, not 95 %; from about 10 it is close
EXACT_UP_TO = 16  # clusters: 2**16 sign patterns are listed, more are sampled
_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence limits, the method that gave them and the level, 0.95 unless told."""

    estimate: float
    low: float
    high: float
    method: str
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


# Quantiles


def normal_quantile(probability: float) -> float:
    """The standard normal quantile."""
    return NormalDist().inv_cdf(probability)


def t_cdf(t: float, df: float) -> float:
    """Student's t distribution function."""
    from scipy.special import stdtr  # here, since importing SciPy takes longer than all of this module

    return float(stdtr(df, t))


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: float) -> float:
    """The quantile of Student's t with `df` >= 1 degrees of freedom, whole or not."""
    from scipy.special import stdtrit

    if df < 1 or not 0 < probability < 1:
        raise ValueError(f"t_quantile needs df >= 1 and 0 < probability < 1, got {df} and {probability}")
    return float(stdtrit(df, probability))


def chi_square_quantile(probability: float, df: float) -> float:
    """The quantile of chi-square."""
    from scipy.special import chdtri

    return float(chdtri(df, 1 - probability))


def t_power(effect_over_error: float, df: float, alpha: float = 0.05) -> float:
    """The power of a two-sided t-test whose true mean is so many standard errors from zero, by the non-central t."""
    from scipy.special import nctdtr

    limit = t_quantile(1 - alpha / 2, df)
    return float(1 - nctdtr(df, effect_over_error, limit) + nctdtr(df, effect_over_error, -limit))


# Intervals


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927): sensible at 0 and at `trials` successes."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"wilson needs 0 <= successes <= trials and trials >= 1, got {successes} of {trials}")
    limits = _score_limits(successes / trials, trials, normal_quantile(0.5 + level / 2))
    return Interval(successes / trials, *limits, "Wilson", level)


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval of the mean of at least two values."""
    x = _vector(values)
    if len(x) < 2:
        raise ValueError("an interval of a mean needs at least two values")
    mean = float(x.mean())
    half = t_quantile(0.5 + level / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(mean, mean - half, mean + half, f"t over {len(x)}", level)


def interval_over_seeds(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of one number per run with Student's interval, at any number of runs.

    The percentile bootstrap covers 90 % instead of 95 % at 10 runs, and is nowhere better for a mean.
    """
    return t_interval(values, level)


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
    low, high = np.quantile(draws, _tails(level))
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


def mean_over_problems(values_P: ArrayLike, level: float = 0.95, clusters: Sequence[object] | None = None) -> Interval:
    """Mean of values in [0, 1], one per problem, with Wilson's interval at the effective number of problems.

    That number is P mean (1 - mean) / variance: as many 0/1 problems as would vary so much (as for proportions of
    clustered surveys, Franco et al. 2019). At 0/1 values it is Wilson's own interval with t for z; it neither claims
    certainty where every problem has the same value nor leaves [0, 1], and holds the truth more often than a bootstrap
    over problems. Of twenty problems that are hardly ever solved it still says too much.
    With `clusters` the variance is the cluster-robust one, and t has the degrees of freedom of the effective number
    of clusters, P^2 / sum of squared sizes.
    """
    x = _vector(values_P)
    if x.min() < 0 or x.max() > 1:
        raise ValueError("values over problems must lie in [0, 1]")
    mean, variance = float(x.mean()), float(x.var(ddof=1)) if len(x) > 1 else 0.0
    effective = len(x) * max(1.0, mean * (1 - mean) / variance if variance > 0 else 1.0)
    units, over = float(len(x)), f"{len(x)} problems"
    if clusters is not None:
        units, over = effective_clusters(clusters), f"{len(set(clusters))} clusters of {len(x)} problems"
        error = cluster_error(x, clusters)
        # Where clusters agree by chance or entirely, they still are no more than so many observations.
        effective = min(effective, mean * (1 - mean) / error**2 if error > 0 else units)
    quantile = t_quantile(0.5 + level / 2, max(1.0, units - 1))
    return Interval(mean, *_score_limits(mean, effective, quantile), f"Wilson over {over}", level)


def effective_clusters(clusters: Sequence[object]) -> float:
    """How many clusters of equal size would say as much: P^2 / sum of squared sizes."""
    sizes = _sizes(clusters)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def cluster_error(values_P: ArrayLike, clusters: Sequence[object]) -> float:
    """The cluster-robust standard error of a mean over problems; 0 for a single cluster, which has no spread."""
    x, sizes = _vector(values_P), _sizes(clusters)
    totals = cluster_means(x, clusters) * sizes - sizes * x.mean()
    count = len(sizes)
    return math.sqrt(float((totals**2).sum()) * count / max(1, count - 1)) / len(x)


# pass@k


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that k of n samples hold a correct one: 1 - C(n-c, k) / C(n, k) (Chen et al., arXiv 2107.03374).

    Raises ValueError for k above n: fewer samples say nothing about k.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass@k needs 1 <= k <= n and 0 <= correct <= n, got n={n}, correct={correct}, k={k}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def mean_pass_at_k(
    n: int, correct_P: Sequence[int], k: int, level: float = 0.95, clusters: Sequence[object] | None = None
) -> Interval:
    """pass@k averaged over problems, each sampled n times, with an interval over problems or their clusters."""
    return mean_over_problems([pass_at_k(n, int(c), k) for c in correct_P], level, clusters)


# Two models on the same problems


def mcnemar(before_P: ArrayLike, after_P: ArrayLike) -> float:
    """Exact two-sided McNemar p-value: the binomial test on problems that changed (McNemar 1947)."""
    before, after = _vector(before_P), _vector(after_P)
    _check_pair(before, after)
    gained, lost = int(((before == 0) & (after == 1)).sum()), int(((before == 1) & (after == 0)).sum())
    changed = gained + lost
    if changed == 0:
        return 1.0
    tail = sum(math.comb(changed, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**changed)


def cluster_means(values: ArrayLike, clusters: Sequence[object]) -> Array:
    """The mean of the values of each cluster, clusters in order of first appearance."""
    x = _vector(values)
    order = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([order[name] for name in clusters])
    return np.bincount(index, weights=x) / np.bincount(index)


def sign_flip(
    differences: ArrayLike, clusters: Sequence[object] | None = None, *, resamples: int = 20_000, seed: int = 0
) -> float:
    """Two-sided permutation p-value that paired differences average zero; the signs of a cluster flip together.

    Exact up to 16 clusters that differ from zero; beyond, sampled, the observed pattern counted as one of the draws
    (Phipson & Smyth 2010), so that p is never 0.
    """
    x = _vector(differences)
    sums = x if clusters is None else cluster_means(x, clusters) * _sizes(clusters)
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


def paired_difference(
    before_P: ArrayLike, after_P: ArrayLike, level: float = 0.95, clusters: Sequence[object] | None = None
) -> Interval:
    """Mean of after - before over problems (each in [0, 1]) with an adjusted Wald interval.

    One gain and one loss are added before mean and standard error are taken: Bonett & Price's interval (2012). Without
    them problems that all stayed the same would claim certainty, and the interval of a few that changed would cover
    the truth too rarely. With `clusters`, a cluster's total counts as one observation.
    """
    return two_level_difference([_differences(before_P, after_P)], level, clusters=clusters).interval


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
    return factor * _standard_error(_padded(_observations(_differences(before_P, after_P), clusters)))


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
    padded = _padded(_observations(_differences(before_P, after_P), clusters))
    n = len(padded)
    error = _standard_error(padded) * math.sqrt((n - 1) / chi_square_quantile(0.1, n - 1))
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
    low, high = np.quantile(draws, _tails(level))
    return Interval(_beats(x, y), float(low), float(high), "stratified bootstrap over runs", level)


# Two sets of runs


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference between two sets of runs.

    `p` is two-sided. `detectable` is the smallest true difference that so many runs with such a spread would show with
    80 % power at the 5 % level; infinite where the runs do not differ among themselves, and so say nothing of it.
    """

    interval: Interval
    p: float
    test: str
    detectable: float


def two_level_difference(
    gains_R_P: ArrayLike, level: float = 0.95, clusters: Sequence[object] | None = None, alpha: float = 0.05
) -> Difference:
    """Mean of paired differences [training seeds, problems], each in [-1, 1], with both levels' variance.

    Seeds and problems are crossed random effects: every seed is measured on the same problems. The variance of the
    grand mean is that over seeds plus that over problems, SE^2 = s^2_seeds / R + s^2_problems / C, of the means of rows
    and of columns (or of clusters of columns); the residual is in both, so it counts twice and the error is on the safe
    side. Degrees of freedom are Satterthwaite's (1946). A fixed baseline is part of every problem's effect. One run has
    the level of problems alone. `detectable` is what would show with 80 % power at level `alpha`.
    """
    gains = np.asarray(gains_R_P, dtype=np.float64)
    if gains.ndim != 2 or not gains.size or not np.isfinite(gains).all() or np.abs(gains).max() > 1:
        raise ValueError(f"gains must be runs by problems with values in [-1, 1], got shape {gains.shape}")
    mean, runs = float(gains.mean()), len(gains)
    units = float(gains.shape[1]) if clusters is None else effective_clusters(clusters)
    # Of clusters of unlike size not the totals vary but what they are off the mean by.
    observed = _observations(gains.mean(0) - mean, clusters) + mean
    padded = _padded(observed)
    center = float(padded.mean())
    problems = _standard_error(padded) ** 2
    seeds = float(gains.mean(1).var(ddof=1)) / runs if runs > 1 else 0.0
    error = math.sqrt(problems + seeds)
    parts = problems**2 / max(1.0, units + 1) + (seeds**2 / (runs - 1) if runs > 1 else 0.0)
    df = max(1.0, (problems + seeds) ** 2 / parts)
    over = "problems" if clusters is None else "clusters"
    name = f"paired over {len(observed)} {over}" + (f" and {runs} seeds" if runs > 1 else "")
    half = t_quantile(0.5 + level / 2, df) * error
    interval = Interval(mean, max(-1.0, center - half), min(1.0, center + half), name, level)
    p = 2 * t_cdf(-abs(center) / error, df)
    detectable = (t_quantile(1 - alpha / 2, df) + t_quantile(0.8, df)) * error * len(padded) / len(observed)
    return Difference(interval, p, f"t-test, {name}", min(1.0, detectable))


def two_level_mean(values_R_P: ArrayLike, level: float = 0.95, clusters: Sequence[object] | None = None) -> Interval:
    """Mean of values in [0, 1] over training seeds and problems: Wilson's limits at the joint effective number.

    As `mean_over_problems` of the averages over seeds, with the variance over seeds added, and Satterthwaite's degrees
    of freedom.
    """
    values = np.asarray(values_R_P, dtype=np.float64)
    alone = mean_over_problems(values.mean(0), level, clusters)
    runs = len(values)
    if runs < 2:
        return alone
    units = float(values.shape[1]) if clusters is None else effective_clusters(clusters)
    quantile = t_quantile(0.5 + level / 2, max(1.0, units - 1))
    # The limits are asymmetric near 0 and 1: each side's length over t is that side's error over problems.
    seeds = float(values.mean(1).var(ddof=1)) / runs
    limits = []
    for sign, limit in ((-1, alone.low), (1, alone.high)):
        problems = ((limit - alone.estimate) / quantile) ** 2
        if problems + seeds == 0:
            limits.append(alone.estimate)
            continue
        df = (problems + seeds) ** 2 / (problems**2 / max(1.0, units - 1) + seeds**2 / (runs - 1))
        length = t_quantile(0.5 + level / 2, max(1.0, df)) * math.sqrt(problems + seeds)
        limits.append(min(1.0, max(0.0, alone.estimate + sign * length)))
    low, high = limits
    return Interval(alone.estimate, low, high, f"{alone.method} and {runs} seeds", level)


def paired_difference_of_runs(before_R: ArrayLike, after_R: ArrayLike, level: float = 0.95) -> Difference:
    """Mean of after - before over runs with the same seeds in the same order: Student's paired test and interval."""
    before, after = _vector(before_R), _vector(after_R)
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
    before, after = _vector(before_R), _vector(after_R)
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
    before, after = _vector(before_R), _vector(after_R)
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


def performance_profile(
    scores_R_T: ArrayLike, thresholds: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Share of runs that score more than each threshold, averaged over tasks, and its limits; (thresholds,) each.

    The score distribution of Agarwal et al. 2021 (arXiv 2108.13264), with a stratified bootstrap point by point.
    """
    scores, levels = np.asarray(scores_R_T, dtype=np.float64), _vector(thresholds)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must be runs by tasks, got shape {scores.shape}")
    above = (scores[:, :, None] > levels).astype(np.float64)
    rng = np.random.default_rng(seed)
    runs, tasks = scores.shape
    # How often each run is drawn within its task says all: the profile of a draw is a weighted mean.
    counts = rng.multinomial(runs, [1 / runs] * runs, size=(resamples, tasks)) / (runs * tasks)
    draws = np.einsum("dtr,rtl->dl", counts, above)
    low, high = np.quantile(draws, _tails(level), axis=0)
    return above.mean((0, 1)), low, high


def prediction_half_width(sd: Array, runs: int, new_runs: int, alpha: float) -> Array:
    """How far the mean of m new runs may lie from that of n reference runs of deviation `sd`: t sd sqrt(1/m + 1/n).

    At this width a mean of new runs of the same normal distribution falls outside with probability `alpha`.
    """
    if runs < 2 or new_runs < 1:
        raise ValueError(f"a prediction needs two reference runs and a new one, got {runs} and {new_runs}")
    return t_quantile(1 - alpha / 2, runs - 1) * sd * math.sqrt(1 / new_runs + 1 / runs)


# Pieces


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


def _vector(values: ArrayLike) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"expected a non-empty list of finite numbers, got shape {x.shape}")
    return x


def _score_limits(p: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's limits of a share `p` of `n`, exact at 0 and 1."""
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (0.0 if p == 0 else center - half), (1.0 if p == 1 else center + half)


def _mean(values: Array) -> float:
    return float(values.mean())


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _sizes(clusters: Sequence[object]) -> Array:
    counts: dict[object, int] = {}
    for name in clusters:
        counts[name] = counts.get(name, 0) + 1
    return np.array(list(counts.values()), dtype=np.float64)


def _check_pair(before: Array, after: Array) -> None:
    if len(before) != len(after) or not np.isin([before, after], (0.0, 1.0)).all():
        raise ValueError("McNemar needs two lists of 0 and 1 over the same problems")


def _differences(before_P: ArrayLike, after_P: ArrayLike) -> Array:
    before, after = _vector(before_P), _vector(after_P)
    if len(before) != len(after) or min(before.min(), after.min()) < 0 or max(before.max(), after.max()) > 1:
        raise ValueError("a paired difference needs two lists of values in [0, 1] over the same problems")
    return after - before


def _padded(differences: Array) -> Array:
    """The differences with one gain and one loss of full size added (Bonett & Price 2012).

    Full size, since the rare large loss that a skewed set of small gains must be weighed against may not have been
    drawn. Totals of clusters can pass 1: there the largest is full size.
    """
    most = max(1.0, float(np.abs(differences).max()))
    return np.append(differences, [most, -most])


def _observations(differences: Array, clusters: Sequence[object] | None) -> Array:
    """The differences, or each cluster's total, scaled so that their mean is the mean over problems."""
    if clusters is None:
        return differences
    sizes = _sizes(clusters)
    return cluster_means(differences, clusters) * sizes * len(sizes) / sizes.sum()


def _standard_error(padded: Array) -> float:
    return float(padded.std()) / math.sqrt(len(padded))


def _beats(x_R_T: Array, y_R_T: Array) -> float:
    gap = x_R_T[:, None, :] - y_R_T[None, :, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())
