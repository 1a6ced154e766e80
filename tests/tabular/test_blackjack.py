"""Blackjack: exact tables against the book and basic strategy, and what Monte Carlo estimates of it."""

from __future__ import annotations

import numpy as np
import pytest

from rlpath.tabular.blackjack import (
    HIT,
    STICK,
    blackjack,
    exploring_starts,
    loop_episodes,
    off_policy_episodes,
    optimal_policy,
    ordinary,
    state,
    sticks_from,
    weighted,
)
from rlpath.tabular.dp import expected_return, greedy, policy_values

GAME = blackjack()
TARGET = sticks_from(20)
START = state(13, 2, True)


def test_the_value_of_the_books_state() -> None:
    """Example 5.4: −0.27726 from 10⁸ games; exactly −0.27720, well within the noise of that many."""
    assert policy_values(GAME, TARGET, 1.0)[START] == pytest.approx(-0.27726, abs=2e-4)


def test_the_optimal_policy_is_figure_5_2() -> None:
    """Hard 12 sticks against 4 to 6 alone, hard 13 to 16 against 2 to 6, soft 18 against 2 to 8."""
    best = optimal_policy(GAME)

    def sticks(total: int, usable: bool) -> list[int]:
        return [shown for shown in range(1, 11) if best[state(total, shown, usable)] == STICK]

    assert sticks(12, False) == [4, 5, 6]
    assert all(sticks(total, False) == [2, 3, 4, 5, 6] for total in (13, 14, 15, 16))
    assert all(sticks(total, False) == list(range(1, 11)) for total in range(17, 22))
    assert all(sticks(total, True) == [] for total in range(12, 18))
    assert sticks(18, True) == [2, 3, 4, 5, 6, 7, 8]
    assert sticks(19, True) == list(range(1, 11))


def test_outcomes_by_hand() -> None:
    """A hard 21 hit busts on every card; a soft 13 cannot; 21 never loses and 20 hit wins by an ace alone."""
    assert (GAME.terminal_SAO & (GAME.probability_SAO > 0))[state(21, 5, False), HIT].sum() == 10
    assert not (GAME.terminal_SAO & (GAME.probability_SAO > 0))[START, HIT].any()
    assert GAME.reward_SA[state(21, 10, False), STICK] > 0.88
    going_on = GAME.going_on_SAO[state(20, 3, False), HIT]
    assert going_on.sum() == pytest.approx(1 / 13)


def test_exploring_starts_improve_on_their_first_policy() -> None:
    """2,000 games come nearer to the optimum than sticking on 20; a seed learns the same alone."""
    q = exploring_starts(GAME, range(3), 3000)
    assert expected_return(GAME, greedy(q)).min() > expected_return(GAME, TARGET) + 0.05
    np.testing.assert_array_equal(exploring_starts(GAME, [2], 300), exploring_starts(GAME, [0, 2], 300)[1:])


def test_estimates_by_hand() -> None:
    """Ratios 0, 2, 4 with returns 1, −1, 1: ordinary 0, −1, 2/3; weighted 0, −1, 1/3."""
    played = np.array([[0.0, 2.0, 4.0]]), np.array([[1.0, -1.0, 1.0]])
    assert ordinary(*played)[0].tolist() == pytest.approx([0, -1, 2 / 3])
    assert weighted(*played)[0].tolist() == pytest.approx([0, -1, 1 / 3])


def test_a_random_players_games_tell_of_the_target() -> None:
    """Both estimates meet the exact value within 4 standard errors; the weighted one is nearer early on."""
    exact = policy_values(GAME, TARGET, 1.0)[START]
    played = off_policy_episodes(GAME, TARGET, START, 40, 2000, 0)
    assert played[0].mean() == pytest.approx(1, abs=0.05)
    for estimate in (ordinary, weighted):
        last = estimate(*played)[:, -1]
        assert abs(last.mean() - exact) < 4 * last.std(ddof=1) / 40**0.5
    early = [((estimate(*played)[:, 19] - exact) ** 2).mean() for estimate in (ordinary, weighted)]
    assert early[1] < early[0]


def test_without_a_finite_variance() -> None:
    """Example 5.5: the weighted estimate is 1 after the first success; the ordinary one varies between runs."""
    played = loop_episodes(20, 2000, 0)
    assert weighted(*played)[:, -1].tolist() == [1.0] * 20
    assert ordinary(*played)[:, -1].std() > 0.1
    assert played[1].mean() == pytest.approx(0.05 / 0.55, abs=0.006)
