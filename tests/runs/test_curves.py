"""A learning curve has the same grid for every run, and says what the episodes said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.runs.curves import binned, last_mean, learning_curve
from rlpath.runs.run_folder import RunRecord


def record(metrics: list[dict[str, Any]], **config: Any) -> RunRecord:
    return RunRecord(Path("run"), config, {}, metrics, [], {}, True)


def test_bins_hold_the_mean_of_what_ended_in_them() -> None:
    """Four bins of 10 steps: an edge belongs to the bin it closes, an empty bin repeats the one before."""
    step, value = np.array([5.0, 10.0, 11.0, 39.0, 41.0]), np.array([1.0, 3.0, 4.0, 10.0, 20.0])

    edges, means = binned(step, value, 40, 4)

    assert edges.tolist() == [10, 20, 30, 40]
    # 41 is past the planned end (the last rollout): it counts to the last bin.
    assert means.tolist() == [2, 4, 4, 15]


def test_before_the_first_episode_the_first_value_stands() -> None:
    """A curve has no gaps."""
    _, means = binned(np.array([25.0]), np.array([7.0]), 40, 4)

    assert means.tolist() == [7, 7, 7, 7]


def test_a_curve_of_episodes_and_of_rewards() -> None:
    """Returns where there are episodes, else the reward of language-model training; the plan gives the grid."""
    losses = {"step": 50, "losses/value_loss": 1.0}
    episodes = [{"step": s, "charts/episodic_return": 2.0 * s} for s in (10, 60, 100)]
    curve = learning_curve(record([*episodes, losses], total_timesteps=100), bins=2)

    assert curve.step.tolist() == [50, 100] and curve.value.tolist() == [20, 160] and curve.area == 90
    rewards = learning_curve(record([{"step": 1, "reward": 0.5}, {"step": 2, "reward": 1.0}], steps=2), bins=2)
    assert rewards.value.tolist() == [0.5, 1.0] and rewards.key == "reward"
    assert last_mean(record(episodes), 2) == 160 and last_mean(record([losses])) is None
    with pytest.raises(InputError, match="no learning curve"):
        learning_curve(record([losses], total_timesteps=100))
