"""The returns that an environment can give at all: no interval of a mean return may reach beyond them."""

from __future__ import annotations

import math
from dataclasses import replace

from rlpath.core.stats import Interval

POSSIBLE: dict[str, tuple[float, float]] = {
    "CartPole-v0": (1, 200),
    "CartPole-v1": (1, 500),
    "Acrobot-v1": (-500, 0),
    "MountainCar-v0": (-200, 0),
    # 200 steps of at most π² + 0.1·8² + 0.001·2² each
    "Pendulum-v1": (-200 * (math.pi**2 + 6.404), 0),
    "FrozenLake-v1": (0, 1),
    "FrozenLake8x8-v1": (0, 1),
    "CliffWalking-v1": (-math.inf, -13),
    "Taxi-v3": (-math.inf, 20),
    "Taxi-v4": (-math.inf, 20),
}
"""Least and greatest undiscounted return of an episode under the registered settings."""


def possible(interval: Interval, env_id: str | None) -> Interval:
    """`interval` of a mean return, cut at what `env_id` can give; as it is where that is not known or not kept to."""
    low, high = POSSIBLE.get(env_id or "", (-math.inf, math.inf))
    if not low <= interval.estimate <= high:
        # Rewards were changed by a wrapper: the range is another.
        return interval
    return replace(interval, low=max(interval.low, low), high=min(interval.high, high))
