"""AlphaZero: the exact game, the search on boards with one answer, and that self-play learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.deep.planning import alphazero, tictactoe
from rlpath.deep.planning.alphazero import Args, by_policy, by_search, evaluate, make_network, search
from rlpath.deep.planning.tictactoe import EMPTY, against, best_moves, minimax, most_wins, moves, play, undecided

ARGS = Args(simulations=40)
WIN = (1, 1, 0, -1, -1, 0, 0, 0, 0)
"""The mover wins on square 2; otherwise the other does on square 5."""
LOSS = (1, 0, 0, -1, -1, 0, 0, 0, 1)
"""The mover must block square 5."""


def flat(board: tictactoe.Board) -> Any:
    """A network that knows nothing."""
    legal = np.array(board) == 0
    return legal / legal.sum(), 0.0


def test_the_game_is_a_draw_and_has_as_many_boards_as_it_should() -> None:
    """4,520 boards on which somebody is to move; every first move keeps the draw."""
    assert minimax(EMPTY) == 0 and len(best_moves(EMPTY)) == 9
    assert len(undecided()) == 4520
    assert minimax(WIN) == 1 and best_moves(WIN) == [2]
    assert minimax(play(EMPTY, 4)) == 0 and best_moves(play(EMPTY, 4)) == [0, 2, 6, 8]


def test_a_perfect_player_is_unbeaten_and_the_first_square_is_not() -> None:
    """Against any, a perfect and a random opponent; the most wins over a random one are known."""
    perfect = lambda board: best_moves(board)[0]  # noqa: E731
    careless = lambda board: moves(board)[0]  # noqa: E731

    for first in (True, False):
        assert against(perfect, "any", first) == {1: 0.0, 0: 1.0, -1: 0.0}
        assert against(perfect, "perfect", first)[0] == 1
        assert against(careless, "any", first)[-1] == 1
        chances = against(perfect, "random", first)
        assert chances[-1] == 0 and sum(chances.values()) == pytest.approx(1)
    assert against(perfect, "random", True)[1] <= most_wins() == pytest.approx(0.9948, abs=1e-4)


def test_search_finds_the_win_and_the_block_without_knowledge() -> None:
    """Values change sign with the player; a win is found at once, a loss one move later."""
    assert search(WIN, flat, ARGS).argmax() == 2
    assert search(LOSS, flat, ARGS).argmax() == 5
    visits = search(WIN, flat, ARGS)
    assert visits.sum() == 40 and not visits[np.array(WIN) != 0].any()


def test_an_untried_move_counts_as_a_draw() -> None:
    """It is tried before a move that lost, and after one that won, though their priors are equal."""
    for value, expected in ((-1.0, 1), (1.0, 0)):
        node = alphazero.Node(EMPTY, np.full(9, 1 / 9))
        node.visits[0], node.total[0] = 4, 4 * value
        assert node.choose(0.5) == expected


def test_noise_reaches_the_root_in_self_play_alone() -> None:
    """A prior of zero is tried with noise, never without; without a generator a search repeats itself."""
    sure = lambda board: (np.eye(9)[moves(board)[0]], 0.0)  # noqa: E731

    assert np.count_nonzero(search(EMPTY, sure, ARGS)) == 1
    assert np.count_nonzero(search(EMPTY, sure, ARGS, np.random.default_rng(0))) > 1
    assert np.array_equal(search(EMPTY, flat, ARGS), search(EMPTY, flat, ARGS))


def test_the_network_gives_no_prior_to_a_stone() -> None:
    """Priors are shares of the empty squares; the value lies between −1 and 1."""
    prior, value = evaluate(make_network(ARGS))(WIN)

    assert prior.sum() == pytest.approx(1) and not prior[np.array(WIN) != 0].any()
    assert -1 < value < 1


def test_results_alternate_backwards_from_the_end() -> None:
    """The last to move has won, or nobody has; shares of visits sum to one."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        rows = alphazero.self_play(flat, replace(ARGS, simulations=8), rng)
        results = [result for _, _, result in rows]
        assert results[-1] in (0, 1)
        assert results == [results[-1] * (-1) ** (len(rows) - 1 - i) for i in range(len(rows))]
        assert all(share.sum() == pytest.approx(1) for _, share, _ in rows)


def test_losses_by_hand() -> None:
    """A network of zeros: the value is off by 1, the policy costs log 9."""
    network = make_network(ARGS)
    for weight in network.parameters():
        torch.nn.init.zeros_(weight)
    share = torch.eye(9)[:2]
    value, policy = alphazero.loss_terms(network, torch.zeros(2, 18), share, torch.tensor([1.0, -1.0]))

    assert value.item() == pytest.approx(1) and policy.item() == pytest.approx(np.log(9))


def test_a_little_self_play_teaches_something_and_a_seed_fixes_it() -> None:
    """After 24 games the untrained network's own moves lose more often to a random opponent than the trained ones."""
    args = Args(iterations=3, games=8, simulations=12, updates=40, batch_size=64, hidden=(32,))
    one, same = (alphazero.train(args) for _ in range(2))

    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    before, after = (
        np.mean([against(by_policy(network), "random", first)[1] for first in (True, False)])
        for network in (make_network(args), one)
    )
    assert after > before
    assert by_search(one, args)(WIN) == 2
