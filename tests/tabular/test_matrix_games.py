"""Matrix games: exact equilibria by hand, and learners that reach them, within proven bounds, or circle."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.matrix_games import best_reply, equilibrium, exploitability, play, positive_part

RPS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
# Mixed, by hand, x = (1/4, 3/4), y = (1/2, 1/2), value 5/2.
MIXED = np.array([[4.0, 1.0], [2.0, 3.0]])


def test_equilibria_by_hand() -> None:
    """Rock, paper, scissors: uniform, worth 0; a mixed game of two actions; a saddle point."""
    found = equilibrium(RPS)
    assert found.value == pytest.approx(0) and found.x == pytest.approx([1 / 3] * 3) == found.y
    found = equilibrium(MIXED)
    assert found.value == pytest.approx(2.5)
    assert found.x == pytest.approx([0.25, 0.75]) and found.y == pytest.approx([0.5, 0.5])
    found = equilibrium(np.array([[3.0, 5.0, 4.0], [1.0, 9.0, 2.0]]))
    assert found.value == pytest.approx(3) and found.x == pytest.approx([1, 0]) and found.y == pytest.approx([1, 0, 0])


def test_nobody_gains_at_an_equilibrium() -> None:
    """Exploitability 0 of twenty random games, and positive elsewhere; both players agree on the value."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        game = rng.normal(size=(4, 6))
        found = equilibrium(game)
        assert exploitability(game, found.x, found.y) == pytest.approx(0, abs=1e-8)
        assert equilibrium(-game.T).value == pytest.approx(-found.value)
        assert exploitability(game, np.eye(4)[0], np.eye(6)[0]) > 0


def test_choices_by_hand() -> None:
    """The best reply takes the first of equals; regret matching ignores what is not regretted."""
    assert best_reply(np.array([1.0, 3.0, 3.0])).tolist() == [0, 1, 0]
    assert positive_part(np.array([2.0, -5.0, 6.0])).tolist() == [0.25, 0, 0.75]
    assert positive_part(np.array([-1.0, 0.0])).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("method", ["fictitious_play", "regret_matching", "hedge"])
def test_mean_strategies_reach_the_equilibrium(method: str) -> None:
    """After 2,000 rounds of the mixed game both players are near their exact strategies."""
    played = play(MIXED, method, 2000, step=0.05)
    found = equilibrium(MIXED)
    assert played.average_T[-1] < 0.1 and played.average_T[-1] < played.average_T[20]
    assert played.mean_x == pytest.approx(found.x, abs=0.05) and played.mean_y == pytest.approx(found.y, abs=0.05)


def test_hedge_keeps_its_bound() -> None:
    """Payoffs in 0 to 1, η = √(8 ln A / T): exploitability of the means at most 2 √(ln A / 2T), in ten games."""
    rounds, bound = 400, 2 * np.sqrt(np.log(5) / 800)
    for seed in range(10):
        game = np.random.default_rng(seed).random((5, 5))
        assert play(game, "hedge", rounds, float(np.sqrt(8 * np.log(5) / rounds))).average_T[-1] <= bound


def test_independent_gradients_circle() -> None:
    """In rock, paper, scissors their last strategies get easier to exploit, not harder."""
    played = play(RPS, "policy_gradient", 3000)
    assert played.last_T[-300:].mean() > 1.5 * played.last_T[0]
    assert played.average_T[-1] < 0.5 * played.last_T[-300:].mean()
