"""Exploration: probabilities by hand, schedules, ties."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlpath.tabular.exploration import EpsilonGreedy, Schedule, Softmax, UpperConfidence

Q = np.array([[1.0, 3.0, 3.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
NONE = np.zeros((2, 4))


def test_schedule_is_linear_then_constant() -> None:
    """1 to 0.2 over 100 steps; over 0 steps the end at once."""
    schedule = Schedule(1.0, 0.2, 100)

    assert [schedule(step) for step in (0, 25, 50, 100, 1000)] == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])
    assert Schedule(1.0, 0.2, 0)(0) == 0.2


def test_epsilon_greedy_by_hand() -> None:
    """ε = 0.4 over four actions: 0.1 each, and 0.6 on the best, shared by a tie; decayed to 0 it is greedy."""
    decaying = EpsilonGreedy(Schedule(0.4, 0.0, 10))

    expected = [[0.1, 0.4, 0.4, 0.1], [0.1, 0.1, 0.1, 0.7]]
    assert decaying.probabilities(Q, NONE, 0) == pytest.approx(np.array(expected))
    assert decaying.probabilities(Q, NONE, 10).tolist() == [[0, 0.5, 0.5, 0], [0, 0, 0, 1]]


def test_softmax_by_hand() -> None:
    """Temperature 2: odds e^(difference / 2); a huge value does not overflow."""
    pi = Softmax(Schedule(2.0, 2.0, 0)).probabilities(Q, NONE, 5)

    assert pi.sum(-1) == pytest.approx(1)
    assert pi[0, 1] / pi[0, 0] == pytest.approx(math.e)
    assert pi[1, 3] == pytest.approx(math.e / (math.e + 3))
    assert Softmax(Schedule(1, 1, 0)).probabilities(np.array([[1e6, 0.0]]), NONE[:1, :2], 0).tolist() == [[1, 0]]


def test_upper_confidence_by_hand() -> None:
    """Untried actions first; then q + c √(ln N / n): 10 visits of a better action lose to 1 of a worse for c = 1."""
    assert UpperConfidence(1.0).probabilities(Q, np.array([[5, 5, 0, 5], [0, 0, 0, 1]]), 0).tolist() == [
        [0, 0, 1, 0],
        [1 / 3, 1 / 3, 1 / 3, 0],
    ]
    q, visits = np.array([[1.0, 0.0]]), np.array([[10.0, 1.0]])
    bonus = [math.sqrt(math.log(11) / 10), math.sqrt(math.log(11))]
    assert 1 + bonus[0] < bonus[1]
    assert UpperConfidence(1.0).probabilities(q, visits, 0).tolist() == [[0, 1]]
    assert UpperConfidence(0.5).probabilities(q, visits, 0).tolist() == [[1, 0]]
