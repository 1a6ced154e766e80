"""Lists of numbers as statistics take them: checked vectors, clusters of problems, paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


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


def vector(values: ArrayLike) -> Array:
    """The values as a vector. Raises ValueError where they are empty, not finite or not one list."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"expected a non-empty list of finite numbers, got shape {x.shape}")
    return x


def tails(level: float) -> tuple[float, float]:
    """The lower and the upper quantile that leave `level` between them."""
    return (1 - level) / 2, (1 + level) / 2


def cluster_sizes(clusters: Sequence[object]) -> Array:
    """The number of problems of each cluster, clusters in order of first appearance."""
    counts: dict[object, int] = {}
    for name in clusters:
        counts[name] = counts.get(name, 0) + 1
    return np.array(list(counts.values()), dtype=np.float64)


def cluster_means(values: ArrayLike, clusters: Sequence[object]) -> Array:
    """The mean of the values of each cluster, clusters in order of first appearance."""
    x = vector(values)
    order = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([order[name] for name in clusters])
    return np.bincount(index, weights=x) / np.bincount(index)


def effective_clusters(clusters: Sequence[object]) -> float:
    """How many clusters of equal size would say as much: P^2 / sum of squared sizes."""
    sizes = cluster_sizes(clusters)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def cluster_error(values_P: ArrayLike, clusters: Sequence[object]) -> float:
    """The cluster-robust standard error of a mean over problems; 0 for a single cluster, which has no spread."""
    x, sizes = vector(values_P), cluster_sizes(clusters)
    totals = cluster_means(x, clusters) * sizes - sizes * x.mean()
    count = len(sizes)
    return math.sqrt(float((totals**2).sum()) * count / max(1, count - 1)) / len(x)


def differences(before_P: ArrayLike, after_P: ArrayLike) -> Array:
    """After less before, by problem. Raises ValueError for lists of unlike length or values outside [0, 1]."""
    before, after = vector(before_P), vector(after_P)
    if len(before) != len(after) or min(before.min(), after.min()) < 0 or max(before.max(), after.max()) > 1:
        raise ValueError("a paired difference needs two lists of values in [0, 1] over the same problems")
    return after - before


def pad(differences: Array) -> Array:
    """The differences with one gain and one loss of full size added (Bonett & Price 2012).

    Full size, since the rare large loss that a skewed set of small gains must be weighed against may not have been
    drawn. Totals of clusters can pass 1: there the largest is full size.
    """
    most = max(1.0, float(np.abs(differences).max()))
    return np.append(differences, [most, -most])


def observations(differences: Array, clusters: Sequence[object] | None) -> Array:
    """The differences, or each cluster's total, scaled so that their mean is the mean over problems."""
    if clusters is None:
        return differences
    sizes = cluster_sizes(clusters)
    return cluster_means(differences, clusters) * sizes * len(sizes) / sizes.sum()


def standard_error(padded: Array) -> float:
    """The standard error of the mean of values that `pad` returned."""
    return float(padded.std()) / math.sqrt(len(padded))
