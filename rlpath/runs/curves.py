"""Learning curves read from run folders: one number for each equal share of a run's training, whatever recipe made it.

Episodes of reinforcement learning end at odd steps and are longer the better the policy; the mean over the episodes
that ended in a share of the training gives every run the same grid, so that curves can be averaged and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlpath.core.errors import InputError
from rlpath.runs.run_folder import RunRecord

Array = np.ndarray[Any, Any]
BINS = 50
KEYS = ("charts/episodic_return", "greedy_return", "reward")
"""What a curve shows: a training episode's return, the exact return of a table's greedy policy, or a training step's
mean reward; the first of them that was logged."""


@dataclass(frozen=True)
class Curve:
    """`value[i]` is the mean over (step[i-1], step[i]]; where nothing was logged it is the value before."""

    step: Array
    value: Array
    key: str

    @property
    def area(self) -> float:
        """Mean over the whole training: the area under the curve divided by its length."""
        return float(self.value.mean())


def has_curve(record: RunRecord) -> bool:
    """Whether the run logged anything a curve can be made of."""
    return any(row.get(key) is not None for key in KEYS for row in record.metrics)


def learning_curve(record: RunRecord, bins: int = BINS) -> Curve:
    """The curve of one run on `bins` equal shares of its planned training.

    Raises `InputError` where the run logged neither episodes nor rewards.
    """
    key = next((key for key in KEYS if any(row.get(key) is not None for row in record.metrics)), None)
    if key is None:
        raise InputError(f"{record.path} has logged no {' and no '.join(KEYS)}: it has no learning curve")
    rows = [(row["step"], row[key]) for row in record.metrics if row.get(key) is not None]
    step, value = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Curve(*binned(step, value, planned_steps(record), bins), key)


def planned_steps(record: RunRecord) -> int:
    """Steps of the whole training: what the configuration says, else the last logged."""
    for name in ("total_timesteps", "steps"):
        if isinstance(record.config.get(name), int):
            return record.config[name]
    return max((row["step"] for row in record.metrics), default=0)


def binned(step: Array, value: Array, total: int, bins: int = BINS) -> tuple[Array, Array]:
    """Right edges of `bins` equal shares of `total` steps, and the mean value in each, both (bins,).

    An empty share has the mean of the one before it, or of the first that is not empty.
    """
    edges = np.linspace(0, total, bins + 1)[1:]
    index = np.searchsorted(edges, np.minimum(step, total), side="left")
    counts = np.bincount(index, minlength=bins)
    sums = np.bincount(index, weights=value, minlength=bins)
    filled = np.flatnonzero(counts)
    before = np.maximum.accumulate(np.where(counts > 0, np.arange(bins), -1))
    source = np.where(before < 0, filled[0], before)
    return edges, sums[source] / counts[source]


def last_mean(record: RunRecord, count: int = 100) -> float | None:
    """Mean return of the last `count` training episodes; None before the first has ended."""
    returns: Sequence[float] = [row[KEYS[0]] for row in record.metrics if row.get(KEYS[0]) is not None][-count:]
    return float(np.mean(returns)) if returns else None
