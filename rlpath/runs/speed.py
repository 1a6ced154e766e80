"""How fast one core of this machine is, beside the machine on which the minutes of milestones were measured."""

from __future__ import annotations

import time

import numpy as np

REFERENCE = 3.1e-3
"""Seconds that `work` takes on one idle core of the reference machine: AMD EPYC (Zen 3), float32, 2 cores."""
SIZE, PRODUCTS, REPEATS = 96, 100, 15


def seconds_of_work() -> float:
    """The least of a few timings of the same float32 matrix products, small enough for one core and its cache."""
    matrix = np.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, 2)
    times = []
    for _ in range(REPEATS):
        product, started = matrix, time.perf_counter()
        for _ in range(PRODUCTS):
            product = matrix @ product
        times.append(time.perf_counter() - started)
    return min(times)


def slower_than_reference() -> float:
    """Factor on the reference machine's minutes; what runs beside this hardly counts, as the least time is taken."""
    return seconds_of_work() / REFERENCE
