"""Training: the optimum is reached, the same seed gives the same bits, alone or among thirty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rlpath.tabular.dp import expected_return, greedy
from rlpath.tabular.exploration import EpsilonGreedy, Exploration, Schedule, Softmax, UpperConfidence
from rlpath.tabular.learner import StepSize
from rlpath.tabular.model import Model, load_model
from rlpath.tabular.settings import METHODS
from rlpath.tabular.stationary import best_stationary
from rlpath.tabular.training import TrainedTables, control

DECAYING = EpsilonGreedy(Schedule(1.0, 0.05, 800))


@pytest.fixture(scope="module")
def lake() -> Model:
    return load_model("FrozenLake-v1")


def train(
    model: Model, method: str, seeds: Sequence[int], steps: int = 1000, explore: Exploration = DECAYING
) -> TrainedTables:
    options = {"n": 4} if method == "n_step_sarsa" else {}
    learner = METHODS[method](model, len(seeds), 0.95, StepSize(1.0, 0.6), **options)
    return control(model, learner, explore, seeds, steps, checkpoints=4)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_the_same_bits_alone_and_among_thirty(lake: Model, method: str) -> None:
    """Values, curves and episodes of seed 17 by itself equal those of seed 17 among 30; other seeds differ."""
    alone, among = train(lake, method, [17]), train(lake, method, range(30))

    assert (alone.q_KSA[0] == among.q_KSA[17]).all()
    assert alone.greedy_return_KC[0].tolist() == pytest.approx(among.greedy_return_KC[17].tolist(), abs=1e-15)
    assert np.array_equal(alone.online_return_KC[0], among.online_return_KC[17], equal_nan=True)
    assert alone.episodes_K[0] == among.episodes_K[17] > 20
    assert len({seed.tobytes() for seed in among.q_KSA}) > 20


@pytest.mark.parametrize("explore", [Softmax(Schedule(1.0, 0.1, 500)), UpperConfidence(1.0)])
def test_other_exploration_is_as_reproducible(lake: Model, explore: Exploration) -> None:
    """Exponentials, logarithms and roots give the same bits for one row and for thirty."""
    alone = train(lake, "q_learning", [17], explore=explore)
    among = train(lake, "q_learning", range(30), explore=explore)

    assert (alone.q_KSA[0] == among.q_KSA[17]).all()


def test_twice_the_same(lake: Model) -> None:
    """The same call gives the same bits."""
    one, two = (train(lake, "double_q_learning", range(3)) for _ in range(2))

    assert (one.q_KSA == two.q_KSA).all() and (one.greedy_return_KC == two.greedy_return_KC).all()


@pytest.mark.parametrize("method", ["q_learning", "expected_sarsa", "double_q_learning", "sarsa", "n_step_sarsa"])
def test_the_maze_is_solved_by_every_seed(method: str) -> None:
    """Every seed's greedy policy reaches the goal for certain, in at most 19 steps where 14 are the fewest.

    Double Q-learning, whose tables share the experience, gets twice as much of it.
    """
    maze = load_model("DynaMaze-v0", 400)
    options = {"n": 4} if method == "n_step_sarsa" else {}
    learner = METHODS[method](maze, 5, 0.95, StepSize(1.0, 0.5), **options)
    steps = 20_000 if method == "double_q_learning" else 10_000
    training = control(maze, learner, EpsilonGreedy(Schedule(1.0, 0.1, steps * 4 // 5)), range(5), steps)

    assert training.greedy_return_KC[:, -1] == pytest.approx(1)
    discounted = expected_return(maze, greedy(training.q_KSA), 0.95)
    assert (discounted >= 0.95**18).all()


def test_monte_carlo_solves_the_maze() -> None:
    """Slower without bootstrapping: four of five seeds, first visits and every visit alike."""
    maze = load_model("DynaMaze-v0", 400)
    for method in ("monte_carlo", "monte_carlo_every_visit"):
        learner = METHODS[method](maze, 5, 0.95, StepSize(1.0, 0.5))
        training = control(maze, learner, EpsilonGreedy(Schedule(1.0, 0.1, 10_000)), range(5), 12_000)
        assert (training.greedy_return_KC[:, -1] > 0.999).sum() >= 4


def test_q_learning_reaches_the_best_stationary_policy_of_frozen_lake(lake: Model) -> None:
    """Ten seeds of 40,000 steps: no seed above 0.74016, the most a table can express, and the mean above 0.72."""
    learner = METHODS["q_learning"](lake, 10, 0.99, StepSize(1.0, 0.5))
    training = control(lake, learner, EpsilonGreedy(Schedule(1.0, 0.1, 40_000)), range(10), 40_000)
    final = training.greedy_return_KC[:, -1]

    assert final.max() <= best_stationary(lake).value + 1e-9
    assert final.mean() > 0.72


def test_sarsa_walks_safely_and_q_learning_along_the_edge() -> None:
    """Sutton & Barto Example 6.6, ε = 0.1: Q-learning's greedy policy earns exactly −13 and SARSA's less, yet SARSA
    earns more while it learns, by more than 15 on the mean of ten seeds."""
    cliff = load_model("CliffWalking-v1", 500)
    explore = EpsilonGreedy(Schedule(0.1, 0.1, 0))
    sarsa, q_learning = (
        control(cliff, METHODS[name](cliff, 10, 1.0, StepSize(1.0, 0.5)), explore, range(10), 20_000, checkpoints=2)
        for name in ("sarsa", "q_learning")
    )

    assert (q_learning.greedy_return_KC[:, -1] == -13).all()
    assert (sarsa.greedy_return_KC[:, -1] <= -15).all()
    assert sarsa.online_return_KC[:, -1].mean() > q_learning.online_return_KC[:, -1].mean() + 15


def test_returns_while_learning_are_those_of_episodes_that_ended() -> None:
    """On a cliff cut after 10 steps every episode returns −10 or less, and 100 steps hold 10 episodes."""
    cliff = load_model("CliffWalking-v1", 10)
    training = train(cliff, "q_learning", range(3), steps=100)

    assert training.episodes_K.tolist() == [10, 10, 10]
    assert training.steps_C.tolist() == [25, 50, 75, 100]
    assert (training.online_return_KC <= -10).all()
    short = train(load_model("CliffWalking-v1", 60), "q_learning", range(3), steps=100)
    assert np.isnan(short.online_return_KC[:, 0]).all()


def test_checkpoints_divide_steps(lake: Model) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="cannot be divided"):
        train(lake, "sarsa", [0], steps=101)
