"""Monte Carlo: returns by hand, first and every visit, and convergence within exactly computed tolerances."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.chains import Transition
from rlpath.tabular.dp import policy_values, return_moments
from rlpath.tabular.examples import random_walk
from rlpath.tabular.learner import StepSize
from rlpath.tabular.model import from_transitions, load_model
from rlpath.tabular.monte_carlo import MonteCarloControl, MonteCarloPrediction, returns_to_go, times
from rlpath.tabular.training import predict

AVERAGE = StepSize(1.0, 1.0)


def test_returns_by_hand() -> None:
    """Rewards 1, 2, 4 with γ = 0.5 return 3, 4, 4; a last state worth 8 adds 1, 2, 4."""
    assert returns_to_go(np.array([1.0, 2.0, 4.0]), 0.5).tolist() == [3, 4, 4]
    assert returns_to_go(np.array([1.0, 2.0, 4.0]), 0.5, 8.0).tolist() == [4, 6, 8]


def test_times_of_visits() -> None:
    """First visits are one group; every visit makes a group for each occurrence."""
    keys = np.array([5, 3, 5, 5, 3, 9])

    assert [sorted(group.tolist()) for group in times(keys, True)] == [[0, 1, 5]]
    assert [sorted(group.tolist()) for group in times(keys, False)] == [[0, 1, 5], [2, 4], [3]]


@pytest.mark.parametrize(("first_visit", "values"), [(True, (3.0, 4.0)), (False, (3.5, 4.0))])
def test_one_episode_by_hand(first_visit: bool, values: tuple[float, float]) -> None:
    """States 0, 1, 0 with rewards 1, 2, 4, γ = 0.5: state 0 has returns 3 and 4, state 1 has 4."""
    walk = random_walk(5)
    learner = MonteCarloPrediction(walk, 1, 0.5, AVERAGE, first_visit=first_visit)
    for s, r, s_t, end in ((0, 1.0, 1, False), (1, 2.0, 0, False), (0, 4.0, 0, True)):
        discount, no = 0.0 if end else 0.5, np.array([False])
        x = Transition(*map(np.array, ([s], [0], [r], [discount], [s_t])), truncated=no, done=np.array([end]))
        learner.update(x)

    assert learner.v_KS[0, :2].tolist() == list(values)


@pytest.mark.parametrize("first_visit", [True, False])
def test_prediction_within_the_exact_standard_error(first_visit: bool) -> None:
    """Sample averages of 10 seeds on the walk, γ = 0.9: within 4.5 exact standard errors of the exact values.

    For first visits the returns averaged are independent, so the error is √(variance / visits) with the variance from
    dynamic programming. Returns of several visits in one episode are not; there the error over seeds is used, and the
    bias of order 1 / episodes is covered by a floor of 0.01.
    """
    walk, policy = random_walk(5, limit=500), np.full((5, 2), 0.5)
    exact = policy_values(walk, policy, 0.9)
    learner = MonteCarloPrediction(walk, 10, 0.9, AVERAGE, first_visit=first_visit)
    v = predict(walk, learner, policy, range(10), 4000)
    if first_visit:
        _, variance = return_moments(walk, policy, 0.9)
        assert (np.abs(v - exact) <= 4.5 * np.sqrt(variance / learner.visits_KS)).all()
    else:
        assert (np.abs(v.mean(0) - exact) <= 0.01 + 4.5 * v.std(0, ddof=1) / np.sqrt(10)).all()
    assert np.abs(v.mean(0) - policy_values(walk, policy, 1.0)).max() > 0.1


def test_truncation_is_not_an_end() -> None:
    """A reward of 1 for ever, cut after 5 steps, is worth 10 with γ = 0.9: the cut return ends in the present value."""
    forever = from_transitions("for ever", {0: {0: [(1.0, 0, 1.0, False)]}}, np.ones(1), limit=5)
    learner = MonteCarloPrediction(forever, 1, 0.9, StepSize(0.5))

    assert predict(forever, learner, np.ones((1, 1)), [0], 1000) == pytest.approx(10, abs=1e-6)


def test_a_time_limit_is_needed() -> None:
    """Without one an episode could be kept for ever."""
    with pytest.raises(ValueError, match="no time limit"):
        MonteCarloControl(load_model("CliffWalking-v1"), 1, 0.9)
