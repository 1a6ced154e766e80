"""AlphaZero on tic-tac-toe beside the exact solution: can the learned player be beaten by any opponent at all?

    python recipes/alphazero.py
    python recipes/alphazero.py --runs 3 --simulations 50

The learned player is fixed, so that what it earns is computed over all games: against every possible opponent (a draw
is the most there is), against one that draws among perfect moves, and against one that draws among all moves. With and
without search, and before training. Nothing was tuned. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rlpath.core.errors import run_command
from rlpath.deep.planning.alphazero import Args, by_policy, by_search, make_network, train
from rlpath.deep.planning.tictactoe import EMPTY, Board, Player, against, best_moves, most_wins, moves, play, undecided
from rlpath.report.plots import line_plot
from rlpath.tabular.book import COLORS, Claim, curve, over_runs, publish, read_settings
from rlpath.tabular.model import Array

HEAD = ("player", "figure", "exact", "ours [95 %]", "seeds")
Figures = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 5
    """training seeds"""
    iterations: int = 20
    """rounds of self-play and learning"""
    games: int = 50
    """games of self-play in a round"""
    simulations: int = 25
    """walks down the tree for each move, in self-play and afterwards"""
    seed: int = 0
    """the first training seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=2, iterations=2, games=2, simulations=4), __doc__)
    torch.set_num_threads(1)
    measured: dict[str, list[Figures]] = {"search, untrained": [], "policy alone": [], "search": []}
    courses = []
    for seed in range(settings.seed, settings.seed + settings.runs):
        args = Args(seed=seed, iterations=settings.iterations, games=settings.games, simulations=settings.simulations)
        course: list[float] = []

        def watch(games: int, network: nn.Sequential, course: list[float] = course) -> None:
            course.append(share_of_best(by_policy(network)))

        network = train(args, watch)
        courses.append(course)
        measured["search, untrained"].append(measure(by_search(make_network(args), args)))
        measured["policy alone"].append(measure(by_policy(network)))
        measured["search"].append(measure(by_search(network, args)))
        print(f"seed {seed} is trained", flush=True)
    remarks = [
        f"{settings.runs} seeds of {settings.iterations} × {settings.games} games of self-play; players are compared "
        "over all games, so that the intervals are over training seeds alone.",
        "Unbeaten: 1 where no opponent whatever can win, the mean of a player that begins and one that replies.",
    ]
    figure = {"best-moves": draw(settings, np.array(courses))}
    publish("alphazero", "AlphaZero on tic-tac-toe", settings, evaluate(measured), figure, remarks, head=HEAD)


def measure(player: Player) -> Figures:
    """What a fixed player earns, beginning and replying."""
    sides = (True, False)
    first, second = (against(player, "random", side)[1] for side in sides)
    return {
        "unbeaten by any opponent": float(np.mean([against(player, "any", side)[-1] == 0 for side in sides])),
        "draws with a perfect opponent": float(np.mean([against(player, "perfect", side)[0] for side in sides])),
        "wins over a random one, beginning": first,
        "wins over a random one, replying": second,
        "boards with a perfect move": share_of_best(player),
    }


def share_of_best(player: Player) -> float:
    """The share of all boards, those where every move is as good left out, on which a perfect move is chosen."""
    return float(np.mean([player(board) in best for board, best in perfect_moves().items()]))


@cache
def perfect_moves() -> Mapping[Board, list[int]]:
    """The perfect moves of each board on which not every move is one."""
    found = {board: best_moves(board) for board in undecided()}
    return {board: best for board, best in found.items() if len(best) < len(moves(board))}


def evaluate(measured: Mapping[str, list[Figures]]) -> list[Claim]:
    """Every figure of every player, beside the most that is possible."""
    replying = float(np.mean([most_wins(play(EMPTY, square)) for square in moves(EMPTY)]))
    exact = {
        "wins over a random one, beginning": f"{most_wins():.4f} at most",
        "wins over a random one, replying": f"{replying:.4f} at most",
    }
    return [
        over_runs(name, figure, exact.get(figure, "1"), np.array([row[figure] for row in rows]), 3, least=0, most=1)
        for name, rows in measured.items()
        for figure in rows[0]
    ]


def draw(settings: Settings, courses: Array) -> str:
    """The share of boards with a perfect move, without search, over the games played."""
    games = settings.games * np.arange(1, courses.shape[1] + 1)
    line = curve("policy alone", games, courses, COLORS[0])
    title = "Boards on which the network's own move is perfect"
    return line_plot("best-moves", title, [line], xlabel="games of self-play", percent=True)


if __name__ == "__main__":
    run_command(main)
