"""Bandits: single updates by hand, the order of methods on a small testbed, and what is exactly known of it."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular import bandits
from rlpath.tabular.bandits import (
    ActionValues,
    BanditMethod,
    BanditRun,
    GradientBandit,
    UpperConfidenceBound,
    epsilon_greedy,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def played(player: BanditMethod, problems: int = 400, steps: int = 300, mean: float = 0.0) -> BanditRun:
    return bandits.play(player, bandits.testbed(problems, rng(), mean=mean), steps, rng(1))


def end(values_RT: np.ndarray) -> float:
    return float(values_RT[:, -50:].mean())


def test_estimates_by_hand() -> None:
    """Rewards 1, 3 of one action: mean 2 from any start; α = 0.5 from 4: 2.5, then 2.75."""
    for player, value in ((ActionValues(initial=4.0), 2.0), (ActionValues(alpha=0.5, initial=4.0), 2.75)):
        player.start(1, 3)
        for reward in (1.0, 3.0):
            player.learn(np.array([1]), np.array([reward]))
        assert player.q_RA.tolist() == [[4.0, value, 4.0]]


def test_upper_bounds_by_hand() -> None:
    """Untried first; then q + c √(ln t / N): after 3 tries of action 0 and 1 of action 1 the latter."""
    player = UpperConfidenceBound(c=2.0)
    player.start(1, 3)
    for a, reward in ((0, 1.0), (0, 1.0), (0, 1.0), (1, 0.5)):
        player.learn(np.array([a]), np.array([reward]))
    assert player.choose(rng()).tolist() == [2]
    player.learn(np.array([2]), np.array([-9.0]))
    t = np.log(6)
    assert 0.5 + 2 * np.sqrt(t) > 1 + 2 * np.sqrt(t / 3) > -9 + 2 * np.sqrt(t)
    assert player.choose(rng()).tolist() == [1]


def test_preferences_by_hand() -> None:
    """π = (¼, ¼, ¼, ¼), reward 2, α = 0.4: baseline 0 at first, so + 0.6 for the action and − 0.2 for the others."""
    player = GradientBandit(0.4)
    player.start(1, 4)
    player.learn(np.array([2]), np.array([2.0]))
    np.testing.assert_allclose(player.h_RA, [[-0.2, -0.2, 0.6, -0.2]])
    assert player.mean_R.tolist() == [2.0]
    player.learn(np.array([0]), np.array([2.0]))  # as much as the baseline: nothing to learn
    np.testing.assert_allclose(player.h_RA, [[-0.2, -0.2, 0.6, -0.2]])


def test_ties_are_broken_at_random_and_exploration_is_uniform() -> None:
    """Two best of three share evenly; with ε = 0.3 each action has its 0.1 more."""
    values = np.tile([1.0, 0.0, 1.0], (30_000, 1))
    share = np.bincount(epsilon_greedy(values, 0.0, rng()), minlength=3) / 30_000
    assert share == pytest.approx([0.5, 0.0, 0.5], abs=0.01)
    share = np.bincount(epsilon_greedy(values, 0.3, rng()), minlength=3) / 30_000
    assert share == pytest.approx([0.45, 0.1, 0.45], abs=0.01)


def test_the_testbed() -> None:
    """The best of ten is worth 1.54 on average; a reward has deviation 1 about its true value."""
    true = bandits.testbed(20_000, rng())
    assert true.max(-1).mean() == pytest.approx(1.5388, abs=0.015)
    given = bandits.play(ActionValues(), np.zeros((5000, 2)), 2, rng())
    assert given.reward_RT.std() == pytest.approx(1, abs=0.03)


def test_methods_are_ordered_as_in_the_book() -> None:
    """Greedy earns about 1, ε-greedy more, UCB most; a baseline helps the gradient bandit."""
    greedy, epsilon = played(ActionValues()), played(ActionValues(0.1))
    ucb = played(UpperConfidenceBound(c=1.0))
    assert end(greedy.reward_RT) == pytest.approx(1, abs=0.12)
    assert end(greedy.reward_RT) < end(epsilon.reward_RT) - 0.15 < end(ucb.reward_RT) - 0.2
    assert end(ucb.reward_RT) < 1.6
    assert end(epsilon.optimal_RT) < 0.91
    with_baseline, without = (played(GradientBandit(0.1, b), mean=4.0) for b in (True, False))
    assert end(with_baseline.optimal_RT) > end(without.optimal_RT) + 0.2


def test_a_seed_fixes_everything() -> None:
    """The same draws give the same rewards, others give others; a player can be used again."""
    player = UpperConfidenceBound(c=2.0)
    true = bandits.testbed(5, rng())
    first, second, other = (bandits.play(player, true, 20, rng(seed)).reward_RT.tolist() for seed in (3, 3, 4))
    assert first == second != other


def test_a_constant_step_follows_values_that_walk() -> None:
    """Exercise 2.5: sample averages fall behind; the walk is the same for both, and has the book's deviation."""
    steps, still = 3000, np.zeros((60, 10))
    averages, constant = (
        bandits.play(player, still, steps, rng(), drift=rng(7))
        for player in (ActionValues(0.1), ActionValues(0.1, alpha=0.1))
    )
    assert constant.optimal_RT[:, -1000:].mean() > averages.optimal_RT[:, -1000:].mean() + 0.1
    assert not still.any()
    ends = bandits.DRIFT * rng(7).standard_normal((100, 5000)).sum(0)
    assert ends.std() == pytest.approx(0.1, rel=0.05)
