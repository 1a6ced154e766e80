"""n-step returns: by hand in the middle of an episode and at its end, and against whole returns."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.chains import Transition
from rlpath.tabular.examples import random_walk
from rlpath.tabular.learner import StepSize
from rlpath.tabular.monte_carlo import MonteCarloPrediction
from rlpath.tabular.n_step import NStepTD, Window
from rlpath.tabular.training import predict

UNIFORM = np.full((5, 2), 0.5)


def push(window: Window, s: int, r: float, end: str = "") -> list[tuple[int, float]]:
    """Push one step of a single chain whose next state is worth 100; what became complete, as (state, return)."""
    discount = 0.0 if end == "terminated" else 0.5
    x = Transition(
        np.array([s]), np.array([0]), np.array([r]), np.array([discount]), np.array([s + 1]),
        np.array([end == "truncated"]), np.array([bool(end)]),
    )  # fmt: skip
    window.push(x)
    return [(int(s_[0]), float(g[0])) for _, s_, _, g in window.complete(x, np.array([100.0]))]


def test_returns_of_two_steps_by_hand() -> None:
    """γ = 0.5: r + 0.5 r' + 0.25 · 100 in mid-episode; at an end also the last step, without or with the last value."""
    window = Window(1, 2, 0.5)
    assert push(window, 0, 1.0) == []
    assert push(window, 1, 2.0) == [(0, 1 + 1 + 25)]
    assert push(window, 2, 4.0, "terminated") == [(1, 2 + 2), (2, 4)]
    assert push(window, 0, 1.0) == []
    assert push(window, 1, 8.0, "truncated") == [(0, 1 + 4 + 25), (1, 8 + 50)]


def test_an_episode_shorter_than_n() -> None:
    """One step of a window of four: one return, and the next episode starts with an empty window."""
    window = Window(1, 4, 0.5)

    assert push(window, 3, 7.0, "terminated") == [(3, 7)]
    assert push(window, 0, 1.0) == []
    assert push(window, 1, 1.0, "terminated") == [(0, 1.5), (1, 1)]


def test_long_enough_it_is_every_visit_monte_carlo() -> None:
    """With n as long as any episode and a tiny constant α, the same values: only the order of updates differs."""
    walk = random_walk(5, limit=40)
    alpha = StepSize(1e-6)
    whole = predict(walk, MonteCarloPrediction(walk, 3, 0.9, alpha, first_visit=False), UNIFORM, range(3), 2000)
    n_step = predict(walk, NStepTD(walk, 3, 0.9, alpha, n=40), UNIFORM, range(3), 2000)

    assert n_step == pytest.approx(whole, rel=1e-3)
    assert whole.max() > 1e-5


def test_n_must_be_positive() -> None:
    """A window of no steps is refused."""
    with pytest.raises(ValueError, match="at least 1"):
        Window(1, 0, 0.9)
