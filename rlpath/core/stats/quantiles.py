"""Quantiles and distribution functions, by SciPy, which is imported when first used: it is slow to load."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist


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
