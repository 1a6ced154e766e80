"""Two levels of variance in one error: problems (how well a model was measured) and training seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rlpath.core.stats.intervals import mean_over_problems
from rlpath.core.stats.quantiles import t_cdf, t_quantile
from rlpath.core.stats.values import Interval, differences, effective_clusters, observations, pad, standard_error


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
    observed = observations(gains.mean(0) - mean, clusters) + mean
    padded = pad(observed)
    center = float(padded.mean())
    problems = standard_error(padded) ** 2
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


def paired_difference(
    before_P: ArrayLike, after_P: ArrayLike, level: float = 0.95, clusters: Sequence[object] | None = None
) -> Interval:
    """Mean of after - before over problems (each in [0, 1]) with an adjusted Wald interval.

    One gain and one loss are added before mean and standard error are taken: Bonett & Price's interval (2012). Without
    them problems that all stayed the same would claim certainty, and the interval of a few that changed would cover
    the truth too rarely. With `clusters`, a cluster's total counts as one observation.
    """
    return two_level_difference([differences(before_P, after_P)], level, clusters=clusters).interval
