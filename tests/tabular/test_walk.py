"""Random walks: batch methods by hand, exact values of the large walk, and learning that ends at its known limit."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.examples import random_walk
from rlpath.tabular.learner import StepSize
from rlpath.tabular.monte_carlo import MonteCarloPrediction
from rlpath.tabular.td import TD0
from rlpath.tabular.training import predict
from rlpath.tabular.walk import (
    LARGE,
    aggregated_limits,
    batch_monte_carlo,
    batch_td,
    gradient_monte_carlo,
    groups,
    large_walk_values,
    predict_by_episode,
    rms_error,
    value_error,
    walk_paths,
)

WALK = random_walk(5)
TRUE = np.arange(1, 6) / 6
UNIFORM = np.full((5, 2), 0.5)


def test_you_are_the_predictor() -> None:
    """Example 6.4: A led to B once for 0, B earned 1 in six of its eight visits: TD says ¾ of A, Monte Carlo 0."""
    paths = [([0, 1], 0.0), *([([1], 1.0)] * 6), ([1], 0.0)]
    assert batch_td(paths, 2).tolist() == pytest.approx([0.75, 0.75])
    assert batch_monte_carlo(paths, 2).tolist() == pytest.approx([0.0, 0.75])


def test_a_state_never_seen_keeps_its_value() -> None:
    """Both batch methods leave it at the first guess."""
    paths = [([2, 1], 0.0)]
    for batch in (batch_td, batch_monte_carlo):
        assert batch(paths, 3, initial=0.3).tolist() == [0.3, 0.0, 0.0]


def test_values_after_each_episode_are_those_of_following_the_policy() -> None:
    """After the last episode of a seed they equal what `predict` has learned by then, alone or beside other seeds."""
    together = predict_by_episode(WALK, TD0(WALK, 3, 1.0, StepSize(0.1), initial=0.5), UNIFORM, range(3), 4)
    alone = predict_by_episode(WALK, TD0(WALK, 1, 1.0, StepSize(0.1), initial=0.5), UNIFORM, [2], 4)
    np.testing.assert_array_equal(together[2:], alone)
    matches = [
        predict(WALK, TD0(WALK, 1, 1.0, StepSize(0.1), initial=0.5), UNIFORM, [2], steps)[0] for steps in range(1, 80)
    ]
    assert any((v == alone[0, -1]).all() for v in matches)


def test_td_is_nearer_than_monte_carlo_in_the_batch() -> None:
    """Figure 6.2: the difference is clear over 40 runs of 30 episodes, and both errors fall."""
    errors = []
    for seed in range(40):
        paths = walk_paths(5, 30, seed)
        learned = np.array([[batch(paths[:n], 5) for n in (5, 30)] for batch in (batch_td, batch_monte_carlo)])
        errors.append(rms_error(learned, TRUE))
    (td_5, td_30), (mc_5, mc_30) = np.mean(errors, axis=0)
    assert td_30 < td_5 and mc_30 < mc_5
    assert td_5 < mc_5 - 0.03 and td_30 < mc_30 - 0.01


def test_one_pass_of_td_and_of_monte_carlo() -> None:
    """Example 6.2: before learning the error is √(1/18); after 60 episodes both are well below."""
    assert rms_error(np.full((1, 1, 5), 0.5), TRUE) == pytest.approx((1 / 18) ** 0.5)
    for learner in (
        TD0(WALK, 30, 1.0, StepSize(0.1), initial=0.5),
        MonteCarloPrediction(WALK, 30, 1.0, StepSize(0.03), initial=0.5, first_visit=False),
    ):
        errors = rms_error(predict_by_episode(WALK, learner, UNIFORM, range(30), 60), TRUE).mean(0)
        assert errors[-1] < 0.13 < errors[0]


def test_time_spent_on_the_large_walk() -> None:
    """The book: 1.37 % in the start state, about 0.17 % beside it, about 0.0147 % at the ends."""
    v, mu = large_walk_values()
    assert mu.sum() == pytest.approx(1)
    assert 100 * mu[[499, 498, 0, 999]] == pytest.approx([1.369, 0.173, 0.0147, 0.0147], abs=5e-4)
    assert np.all(np.diff(v) > 0)
    np.testing.assert_allclose(v, -v[::-1], atol=1e-9)


def test_limits_of_aggregation() -> None:
    """Monte Carlo's weights are the least-squares ones: no small change does better; TD's ends are nearer to 0."""
    mc, td = aggregated_limits()
    least = value_error(mc)
    rng = np.random.default_rng(0)
    assert all(value_error(mc + rng.normal(0, 0.01, 10)) > least for _ in range(20))
    assert value_error(td) > least and np.all(np.abs(td[[0, 9]]) < np.abs(mc[[0, 9]]))
    assert groups().shape == (LARGE, 10) and (groups().sum(0) == 100).all()


def test_gradient_monte_carlo_reaches_its_limit() -> None:
    """With a larger step size than the book's 2,000 episodes lead near the least error of 0.054, from 0.41."""
    mc, _ = aggregated_limits()
    learned = gradient_monte_carlo(2000, 5e-4, range(4))
    assert value_error(learned).mean() < 2 * value_error(mc) < 0.3 * value_error(np.zeros(10))
    assert gradient_monte_carlo(50, 1e-3, [1]).tolist() == gradient_monte_carlo(50, 1e-3, [0, 1])[1:].tolist()
    w, g, alpha = 0.2, 1.0, 0.1
    for _ in range(3):
        w += alpha * (g - w)
    assert w == pytest.approx(g + (1 - alpha) ** 3 * (0.2 - g))
