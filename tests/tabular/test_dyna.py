"""Dyna: what it remembers, what planning does with it, and that it finds the way in fewer steps."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.dyna import DynaQ
from rlpath.tabular.exploration import EpsilonGreedy, Schedule
from rlpath.tabular.learner import StepSize
from rlpath.tabular.model import from_transitions, load_model
from rlpath.tabular.td import QLearning
from rlpath.tabular.training import experience

MAZE = load_model("DynaMaze-v0").within(100_000)
GREEDY = EpsilonGreedy(Schedule(0.1, 0.1, 0))
# 0 → 1 → end for 1; action 1 stays where it is.
CORRIDOR = from_transitions(
    "corridor",
    {
        0: {0: [(1.0, 1, 0.0, False)], 1: [(1.0, 0, 0.0, False)]},
        1: {0: [(1.0, 1, 1.0, True)], 1: [(1.0, 1, 0.0, False)]},
    },
    np.array([1.0, 0.0]),
    100,
)  # fmt: skip


def test_without_planning_it_is_q_learning() -> None:
    """The same draws, the same table, bit for bit."""
    dyna = DynaQ(MAZE, range(3), 0.95, StepSize(0.1), planning=0)
    plain = QLearning(MAZE, 3, 0.95, StepSize(0.1))
    for learner in (dyna, plain):
        for _ in experience(MAZE, learner, GREEDY, range(3), 500):
            pass
    np.testing.assert_array_equal(dyna.q_KSA, plain.q_KSA)


def test_a_seed_learns_the_same_alone_and_beside_others() -> None:
    """Planning draws are the seed's own."""
    tables = []
    for seeds in ([5], [4, 5]):
        learner = DynaQ(MAZE, seeds, 0.95, StepSize(0.1), planning=5, kappa=1e-3)
        for _ in experience(MAZE, learner, GREEDY, seeds, 400):
            pass
        tables.append(learner.q_KSA[-1])
    np.testing.assert_array_equal(*tables)


def test_planning_carries_a_reward_back_without_a_further_step() -> None:
    """Once the end was reached the value of the first state follows by planning: γ, with α = 1."""
    learner = DynaQ(CORRIDOR, [0], 0.9, StepSize(1.0), planning=30)
    always = EpsilonGreedy(Schedule(1.0, 1.0, 0))
    for x in experience(CORRIDOR, learner, always, [0], 200):
        if x.r_t[0] > 0:
            break
    assert learner.q_KSA[0, 1, 0] == pytest.approx(1.0)
    assert learner.q_KSA[0, 0, 0] == pytest.approx(0.9)


def test_the_bonus_is_kappa_root_tau() -> None:
    """Planned alone on a pair last tried 16 steps ago, κ = 0.1, it is worth 0.4 more; untried pairs lead nowhere."""
    learner = DynaQ(CORRIDOR, [0], 0.0, StepSize(1.0), planning=1, kappa=0.1)
    learner.known_KP[0, 0], learner.count_K[0] = 1, 1  # (state 0, action 1)
    learner.steps = 16
    learner._plan(np.zeros(1))
    assert learner.q_KSA[0, 0].tolist() == pytest.approx([0.0, 0.4])
    assert learner.next_KP[0].tolist() == [0, 0, 1, 1]


def test_planning_shortens_the_second_episode() -> None:
    """Figure 8.2: after one success 20 planning steps find the way at once; Q-learning is still lost."""
    lengths = {}
    for planning in (0, 20):
        learner = DynaQ(MAZE, range(3), 0.95, StepSize(0.1), planning=planning)
        ended, second = np.zeros(3, dtype=np.int64), np.zeros(3)
        for x in experience(MAZE, learner, GREEDY, range(3), 100_000):
            second += ended == 1
            ended += x.done
            if ended.min() >= 2:
                break
        lengths[planning] = second.mean()
    assert lengths[20] < 150 < lengths[0]


def test_the_maze_may_change_while_it_is_learned() -> None:
    """After step 10 the corridor pays 5 instead of 1."""
    richer = from_transitions(
        "richer",
        {s: {a: [(1.0, int(CORRIDOR.next_SAO[s, a, 0]), 5.0 * (s == 1 and a == 0), s == 1 and a == 0)] for a in (0, 1)}
         for s in (0, 1)},
        np.array([1.0, 0.0]), 100,
    )  # fmt: skip
    learner = DynaQ(CORRIDOR, [0], 0.9, StepSize(1.0), planning=1)
    always = EpsilonGreedy(Schedule(1.0, 1.0, 0))
    rewards = [float(x.r_t[0]) for x in experience(CORRIDOR, learner, always, [0], 60, {10: richer})]
    assert set(rewards[:10]) <= {0.0, 1.0} and set(rewards[10:]) == {0.0, 5.0}
