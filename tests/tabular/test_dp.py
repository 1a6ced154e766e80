"""Dynamic programming against published and independently known values, and its methods against each other."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.dp import (
    epsilon_soft,
    expected_return,
    finite_horizon,
    greedy,
    optimum,
    policy_evaluation,
    policy_iteration,
    policy_values,
    return_moments,
    value_iteration,
)
from rlpath.tabular.examples import random_walk
from rlpath.tabular.model import Model, load_model

START_VALUES = [
    ("FrozenLake-v1", 0.9, 0.068891), ("FrozenLake-v1", 0.95, 0.180472), ("FrozenLake-v1", 0.99, 0.542026),
    ("FrozenLake8x8-v1", 0.9, 0.006411), ("FrozenLake8x8-v1", 0.95, 0.048250), ("FrozenLake8x8-v1", 0.99, 0.414640),
    ("CliffWalking-v1", 0.9, -7.458134), ("CliffWalking-v1", 0.95, -9.733158), ("CliffWalking-v1", 0.99, -12.247898),
    ("Taxi-v4", 0.9, -1.263323), ("Taxi-v4", 0.95, 1.729930), ("Taxi-v4", 0.99, 6.327464),
    ("CliffWalkingSlippery-v1", 0.9, -9.936417), ("CliffWalkingSlippery-v1", 0.99, -46.352672),
]  # fmt: skip


@pytest.fixture(scope="module")
def lake() -> Model:
    return load_model("FrozenLake-v1")


def uniform(model: Model) -> np.ndarray:
    return np.full((model.states, model.actions), 1 / model.actions)


def start_value(model: Model, v_S: np.ndarray) -> float:
    return float(model.start_S @ v_S)


@pytest.mark.parametrize(("env_id", "gamma", "value"), START_VALUES)
def test_optimal_values_of_the_start(env_id: str, gamma: float, value: float) -> None:
    """Value and policy iteration give the same, to the sixth digit of the recorded values."""
    model = load_model(env_id)

    assert start_value(model, value_iteration(model, gamma).v_S) == pytest.approx(value, abs=1e-6)
    assert start_value(model, policy_iteration(model, gamma).v_S) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("env_id", "limit", "value"),
    [
        ("FrozenLake-v1", None, 0.74419),
        ("FrozenLake8x8-v1", None, 0.91322),
        ("CliffWalking-v1", 500, -13),
        ("CliffWalkingSlippery-v1", 1000, -64.709),
        ("Taxi-v4", None, 7.93),
        ("WindyGridworld-v0", 500, -15),
        ("WindyGridworldKings-v0", 500, -7),
        ("DynaMaze-v0", 500, 1),
    ],
)
def test_optimum_inside_the_limit(env_id: str, limit: int | None, value: float) -> None:
    """Backward induction, undiscounted; Sutton & Barto give 15 and 7 steps for the windy grid."""
    assert optimum(load_model(env_id, limit)) == pytest.approx(value, abs=5e-4 if value == -64.709 else 1e-5)


def test_rain_makes_taxi_harder() -> None:
    """3.9546 with the rain of Taxi's own option, against 7.93."""
    assert optimum(load_model("Taxi-v4", is_rainy=True)) == pytest.approx(3.9546, abs=1e-4)


@pytest.mark.parametrize(("env_id", "steps"), [("FrozenLake-v1", 6), ("FrozenLake8x8-v1", 14), ("DynaMaze-v0", 14)])
def test_shortest_ways_without_slipping(env_id: str, steps: int) -> None:
    """A reward of 1 after n steps is worth γ^(n−1) at the start."""
    options = {} if env_id == "DynaMaze-v0" else {"is_slippery": False}
    model = load_model(env_id, **options)

    assert start_value(model, value_iteration(model, 0.99).v_S) == pytest.approx(0.99 ** (steps - 1), abs=1e-9)


def test_frozen_lake_without_limit_or_discount(lake: Model) -> None:
    """14/17 on the small lake; on the large one the goal can be reached for certain."""
    assert start_value(lake, value_iteration(lake, 1.0).v_S) == pytest.approx(14 / 17, abs=1e-9)
    large = load_model("FrozenLake8x8-v1")
    assert start_value(large, value_iteration(large, 1.0, tolerance=1e-10).v_S) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("env_id", "gamma", "sweeps"),
    [
        ("FrozenLake-v1", 0.99, 770),
        ("FrozenLake-v1", 0.999, 1044),
        ("FrozenLake8x8-v1", 0.99, 882),
        ("FrozenLake8x8-v1", 0.999, 1772),
        ("CliffWalking-v1", 0.99, 15),
        ("Taxi-v4", 0.99, 19),
    ],
)
def test_sweeps_of_value_iteration(env_id: str, gamma: float, sweeps: int) -> None:
    """As many as recorded to a change below 1e-13; one more or less where rounding decides the last."""
    assert value_iteration(load_model(env_id), gamma).sweeps == pytest.approx(sweeps, abs=1)


def test_the_optimum_is_what_its_own_policy_earns(lake: Model) -> None:
    """Playing backward induction's actions forwards over the state distribution gives its value."""
    plan = finite_horizon(lake, 100)
    distribution, earned = lake.start_S.copy(), 0.0
    for left in range(100, 0, -1):
        taken = np.eye(4)[plan.action_HS[left]] * distribution[:, None]
        earned += float((taken * lake.reward_SA).sum())
        distribution = np.zeros(lake.states)
        np.add.at(distribution, lake.next_SAO, taken[:, :, None] * lake.going_on_SAO)

    assert earned == pytest.approx(optimum(lake), abs=1e-12)


def test_evaluation_by_sweeps_and_by_the_linear_system_agree(lake: Model) -> None:
    """Policy evaluation of the uniform policy, two ways, to 1e-11; a known value besides."""
    v, sweeps = policy_evaluation(lake, uniform(lake), 0.99)

    assert v == pytest.approx(policy_values(lake, uniform(lake), 0.99), abs=1e-11)
    assert sweeps > 50
    assert start_value(lake, policy_values(lake, uniform(lake), 1.0)) == pytest.approx(0.0139397, abs=1e-6)


def test_random_walk_has_its_closed_form() -> None:
    """Values 1/6 … 5/6, and for the 19 states with −1 on the left −0.9 … 0.9 (Sutton & Barto Examples 6.2 and 7.1)."""
    walk = random_walk(5)
    assert policy_values(walk, uniform(walk), 1.0) == pytest.approx(np.arange(1, 6) / 6, abs=1e-12)
    long = random_walk(19, left_reward=-1.0)
    assert policy_values(long, uniform(long), 1.0) == pytest.approx(np.arange(-9, 10) / 10, abs=1e-12)


def test_moments_of_the_return() -> None:
    """A walk ends in 1 with probability v and in 0 otherwise, so its return has variance v (1 − v)."""
    walk = random_walk(5, limit=2000)
    mean, variance = return_moments(walk, uniform(walk))
    v = np.arange(1, 6) / 6

    assert mean == pytest.approx(v, abs=1e-12)
    assert variance == pytest.approx(v * (1 - v), abs=1e-12)


def test_the_best_epsilon_soft_policy_walks_away_from_the_cliff() -> None:
    """With ε = 0.1 it earns −20.71 and walks 15 steps; the shortest way under the same ε earns −50.80."""
    cliff = load_model("CliffWalking-v1", 500)
    soft = value_iteration(cliff, 1.0, epsilon=0.1)
    shortest = value_iteration(cliff, 1.0).policy_SA

    assert start_value(cliff, soft.v_S) == pytest.approx(-20.7077, abs=1e-4)
    assert expected_return(cliff, greedy(soft.q_SA, 1e-9)) == pytest.approx(-15)
    assert expected_return(cliff, epsilon_soft(shortest, 0.1)) == pytest.approx(-50.800, abs=1e-3)
    wider = value_iteration(cliff, 1.0, epsilon=0.2)
    assert expected_return(cliff, greedy(wider.q_SA, 1e-9)) == pytest.approx(-17)


def test_greedy_shares_ties() -> None:
    """Equal values get equal probabilities; a tolerance widens what counts as equal."""
    assert greedy(np.array([[1.0, 1.0, 0.0, 1.0 - 1e-12]])).tolist() == [[0.5, 0.5, 0, 0]]
    assert greedy(np.array([[1.0, 1.0, 0.0, 1.0 - 1e-12]]), 1e-9) == pytest.approx(np.array([[1, 1, 0, 1]]) / 3)


def test_what_has_no_value_is_refused(lake: Model) -> None:
    """γ = 1 for a policy that never ends, no time limit, sweeps that do not converge."""
    cliff = load_model("CliffWalking-v1")
    up = np.zeros((48, 4))
    up[:, 0] = 1
    with pytest.raises(ValueError, match="never ends an episode"):
        policy_values(cliff, up, 1.0)
    with pytest.raises(ValueError, match="no time limit"):
        optimum(cliff)
    with pytest.raises(ValueError, match="after 10 sweeps"):
        value_iteration(lake, 0.99, max_sweeps=10)
