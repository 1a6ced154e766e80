"""The best policy that does not watch the clock: recorded values, proofs, and a task small enough to try everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlpath.tabular.dp import expected_return, optimum, value_iteration
from rlpath.tabular.model import Model, load_model
from rlpath.tabular.stationary import best_stationary


@pytest.fixture(scope="module")
def lake() -> Model:
    return load_model("FrozenLake-v1")


def test_no_time_independent_policy_reaches_the_optimum_of_frozen_lake(lake: Model) -> None:
    """0.74016 against 0.74419, proven by branch and bound."""
    best = best_stationary(lake)

    assert best.value == pytest.approx(0.74016, abs=1e-5)
    assert best.is_proven and not best.is_optimal
    assert expected_return(lake, best.policy_SA) == best.value


def test_the_large_lake() -> None:
    """The greedy policies of γ = 0.99 and 0.999 give 0.86296 and 0.88565; changing single states finds 0.89357."""
    large = load_model("FrozenLake8x8-v1")
    for gamma, value in ((0.99, 0.86296), (0.999, 0.88565)):
        assert expected_return(large, value_iteration(large, gamma).policy_SA) == pytest.approx(value, abs=1e-5)
    best = best_stationary(large, bounds=4)

    assert best.value == pytest.approx(0.89357, abs=1e-5)
    assert not best.is_proven


@pytest.mark.parametrize(("env_id", "value"), [("CliffWalking-v1", -13), ("Taxi-v4", 7.93)])
def test_a_time_independent_policy_is_enough_where_haste_does_not_pay(env_id: str, value: float) -> None:
    """Proven optimal by equality with backward induction."""
    model = load_model(env_id)
    best = best_stationary(model if model.limit else model.within(500))

    assert best.is_optimal and best.is_proven
    assert best.value == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("searched", [0, 1000])
def test_it_is_the_best_of_all_where_all_can_be_tried(searched: int) -> None:
    """A slippery corridor beside holes, six steps: the value of the best of all 4³ policies, below the optimum."""
    rewards = {"step_reward": 0.0, "goal_reward": 1.0, "hole_reward": 0.2}
    corridor = load_model("TextGrid-v0", 6, rows=["S..", "HHG"], slip=0.6, **rewards)
    every = itertools.product(range(4), repeat=3)
    policies = np.array([np.eye(4)[[*actions, 0, 0, 0]] for actions in every])
    best = best_stationary(corridor, searched=searched)

    assert best.is_proven
    assert best.value == pytest.approx(expected_return(corridor, policies).max(), abs=1e-12)
    assert best.value < optimum(corridor) - 1e-4
