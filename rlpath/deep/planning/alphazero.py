"""AlphaZero (Silver et al. 2018, doi:10.1126/science.aar6404) on tic-tac-toe: a network learns from its own search.

    search    a = argmax_a Q(s, a) + c·P(s, a)·√(Σ_b N(s, b)) / (1 + N(s, a))       until a board not yet in the tree
              its value v, by the network or the rules, is added to every Q on the way, with alternating sign
    play      a ~ N(s, a) / Σ_b N(s, b), the visits after many walks; at the root P is mixed with Dirichlet noise
    learn     loss = mean (z − v)² − π·log p,   z: how the game ended, π: the visits' shares

The details that matter; a test fails without each:
    values change sign with the player     `search`     noise at the root, in self-play only     `search`
    an untried move counts as a draw       `Node`       illegal moves have no prior              `evaluate`

Beside the paper: a multilayer perceptron of two layers, Adam with weight decay, one game after the other, every move
drawn by its visits. The symmetries of the board are not used, as in the paper.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import mlp, numpy_forward
from rlpath.deep.planning.tictactoe import EMPTY, Board, moves, outcome, play

Array = np.ndarray[Any, Any]
Evaluate = Callable[[Board], tuple[Array, float]]
"""The network's opinion of a board: a prior for each square, 0 where a stone lies, and the value to the mover."""
SQUARES = 9


@dataclass(frozen=True)
class Args:
    """The settings, none of them tuned."""

    seed: int = 0
    """Fixes weights, games and minibatches."""
    iterations: int = 20
    """Rounds of self-play and learning."""
    games: int = 50
    """Games of self-play in a round."""
    simulations: int = 25
    """Walks down the tree for each move."""
    updates: int = 100
    """Gradient steps in a round."""
    batch_size: int = 128
    """Boards in a gradient step."""
    kept_rounds: int = 10
    """Rounds whose boards are learned from."""
    learning_rate: float = 3e-3
    """Adam's step size."""
    weight_decay: float = 1e-4
    """Adam's weight decay."""
    c_puct: float = 1.5
    """How much a prior counts against the values found."""
    noise: float = 0.25
    """Share of Dirichlet noise in the priors of the root."""
    concentration: float = 1.0
    """Its concentration: the larger, the more even."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""


class Node:
    """A board in the tree: for each square its prior, its visits, and the sum of the values found behind it."""

    def __init__(self, board: Board, prior: Array) -> None:
        self.board = board
        self.prior = prior
        self.visits = np.zeros(SQUARES)
        self.total = np.zeros(SQUARES)
        self.children: dict[int, Node] = {}
        self.illegal = np.array([stone != 0 for stone in board])

    def choose(self, c_puct: float) -> int:
        """The move of the largest upper bound; an untried one counts as a draw."""
        mean = self.total / np.maximum(self.visits, 1)
        bound = mean + c_puct * self.prior * math.sqrt(self.visits.sum() + 1) / (1 + self.visits)
        return int(np.where(self.illegal, -np.inf, bound).argmax())


def encode(board: Board) -> Array:
    """Two planes, the mover's stones and the other's, (18,) float32."""
    stones = np.array(board)
    return np.concatenate([stones == 1, stones == -1]).astype(np.float32)


def make_network(args: Args) -> nn.Sequential:
    """From (B, 18) to nine logits and, before its tanh, the value, (B, 10)."""
    return mlp(
        (2 * SQUARES, *args.hidden, SQUARES + 1), nn.ReLU, torch.Generator().manual_seed(derive(args.seed, "net"))
    )


def evaluate(network: nn.Sequential) -> Evaluate:
    """`network` as its search asks it."""
    forward = numpy_forward(network)

    def of(board: Board) -> tuple[Array, float]:
        out = forward(encode(board)[None])[0]
        weight = np.where(np.array(board) == 0, np.exp(out[:SQUARES] - out[:SQUARES].max()), 0.0)
        return weight / weight.sum(), math.tanh(out[SQUARES])

    return of


def search(board: Board, network: Evaluate, args: Args, rng: np.random.Generator | None = None) -> Array:
    """How often each square was tried at the root, (9,). With `rng` the root's priors are mixed with noise."""
    root = Node(board, network(board)[0])
    if rng is not None:
        legal = moves(board)
        root.prior = (1 - args.noise) * root.prior
        root.prior[legal] += args.noise * rng.dirichlet([args.concentration] * len(legal))
    for _ in range(args.simulations):
        node, path = root, []
        while True:
            move = node.choose(args.c_puct)
            path.append((node, move))
            if move not in node.children:
                break
            node = node.children[move]
        after = play(node.board, move)
        ended = outcome(after)
        if ended is None:
            prior, value = network(after)
            node.children[move] = Node(after, prior)
        else:
            value = float(ended)
        for node, move in reversed(path):
            value = -value  # what is good for one player is as bad for the other
            node.visits[move] += 1
            node.total[move] += value
    return root.visits


def self_play(network: Evaluate, args: Args, rng: np.random.Generator) -> list[tuple[Array, Array, float]]:
    """One game: for each board its encoding, the shares of the visits, and how it ended for its mover."""
    board, seen = EMPTY, []
    while (ended := outcome(board)) is None:
        share = search(board, network, args, rng)
        share /= share.sum()
        seen.append((encode(board), share.astype(np.float32)))
        board = play(board, int(rng.choice(SQUARES, p=share)))
    # The last to be asked is the one who cannot move; the signs alternate from there.
    return [(*row, float(ended) * (-1) ** (len(seen) - number)) for number, row in enumerate(seen)]


def loss_terms(network: nn.Module, obs: Tensor, share: Tensor, result: Tensor) -> tuple[Tensor, Tensor]:
    """The errors of value and policy, both scalar, from (B, 18), (B, 9) and (B,)."""
    out = network(obs)
    value_loss = (torch.tanh(out[:, SQUARES]) - result).square().mean()
    policy_loss = -(share * out[:, :SQUARES].log_softmax(-1)).sum(-1).mean()
    return value_loss, policy_loss


def train(args: Args, watch: Callable[[int, nn.Sequential], None] | None = None) -> nn.Sequential:
    """The trained network; `watch(games, network)` is called after every round."""
    network, rng = make_network(args), np.random.default_rng(derive(args.seed, "alphazero"))
    optimizer = torch.optim.Adam(network.parameters(), args.learning_rate, weight_decay=args.weight_decay, fused=True)
    asked, kept = evaluate(network), deque[list[Any]](maxlen=args.kept_rounds)
    for iteration in range(args.iterations):
        kept.append([row for _ in range(args.games) for row in self_play(asked, args, rng)])
        obs, share, result = zip(*(row for rows in kept for row in rows), strict=True)
        data = [torch.from_numpy(np.array(column, np.float32)) for column in (obs, share, result)]
        for _ in range(args.updates):
            index = torch.from_numpy(rng.integers(len(result), size=args.batch_size))
            value_loss, policy_loss = loss_terms(network, *(column[index] for column in data))
            optimizer.zero_grad()
            (value_loss + policy_loss).backward()
            optimizer.step()
        if watch is not None:
            watch((iteration + 1) * args.games, network)
    return network


def by_search(network: nn.Sequential, args: Args) -> Callable[[Board], int]:
    """The player that takes the most visited move of a search without noise."""
    asked = evaluate(network)
    return lambda board: int(search(board, asked, args).argmax())


def by_policy(network: nn.Sequential) -> Callable[[Board], int]:
    """The player that takes the network's most probable move, without any search."""
    asked = evaluate(network)
    return lambda board: int(asked(board)[0].argmax())
