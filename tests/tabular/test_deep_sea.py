"""DeepSea: its best return, what chance needs, and how much sooner optimism and a count bonus find the treasure."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.deep_sea import RIGHT, CountBonus, deep_sea, episodes_to_find
from rlpath.tabular.dp import expected_return, optimum
from rlpath.tabular.exploration import EpsilonGreedy, Schedule
from rlpath.tabular.learner import StepSize
from rlpath.tabular.td import QLearning


def chance(epsilon: float) -> EpsilonGreedy:
    return EpsilonGreedy(Schedule(epsilon, epsilon, 0))


def test_the_treasure_is_worth_the_way() -> None:
    """Always right earns 1 − 0.01, the optimum; chance earns it once in 2^N."""
    sea = deep_sea(5)
    right = np.eye(2)[np.full(25, RIGHT)]
    assert optimum(sea) == pytest.approx(0.99) == expected_return(sea, right)
    uniform = expected_return(sea, np.full((25, 2), 0.5))
    assert uniform == pytest.approx(2**-5 - 0.5 * 0.01)


def test_chance_needs_two_to_the_n() -> None:
    """A random policy finds it after 2^4 = 16 episodes on average."""
    sea = deep_sea(4)
    found = episodes_to_find(sea, QLearning(sea, 300, 1.0), chance(1.0), range(300), 400)
    assert found.mean() == pytest.approx(16, abs=3)


def test_optimism_needs_about_n_squared() -> None:
    """On a sea of 10 at most 100 episodes, where chance takes 1,024; the count bonus finds a sea of 6."""
    sea = deep_sea(10)
    learner = QLearning(sea, 5, 1.0, StepSize(0.5), initial=1.0)
    assert episodes_to_find(sea, learner, chance(0.0), range(5), 500).max() <= 100
    small = deep_sea(6)
    counting = CountBonus(small, 5, 1.0, StepSize(0.5), bonus=0.1)
    assert episodes_to_find(small, counting, chance(0.0), range(5), 600).max() < 600


def test_the_bonus_is_beta_over_the_root_of_the_count() -> None:
    """Untried β, after three tries β / 2; the table itself holds rewards and carried bonuses."""
    learner = CountBonus(deep_sea(3), 1, 1.0, bonus=0.4)
    learner.visits_KSA[0, 0, RIGHT] = 3
    assert learner.values(np.array([0]))[0].tolist() == pytest.approx([0.4, 0.2])
