"""Two agents in a zero-sum matrix game: who reaches the exact equilibrium, and who circles around it.

    python recipes/matrix_games.py
    python recipes/matrix_games.py --runs 5 --rounds 1000

Random games of five actions, payoffs uniform in 0 to 1, and rock, paper, scissors. The equilibrium is exact, by linear
programming; exploitability is what both players could still gain by best replies. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlpath.core.errors import run_command
from rlpath.core.seeding import derive
from rlpath.report.plots import Line, line_plot
from rlpath.tabular.book import COLORS, Claim, over_runs, publish, read_settings
from rlpath.tabular.matrix_games import GamePlayed, equilibrium, exploitability, play
from rlpath.tabular.model import Array

ACTIONS = 5
METHODS = ("fictitious_play", "regret_matching", "hedge", "policy_gradient")
ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 30
    """random games"""
    rounds: int = 5000
    """rounds of each"""
    seed: int = 0
    """fixes the games"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=2, rounds=50), __doc__)
    games = [
        np.random.default_rng(derive(seed, "matrix games")).random((ACTIONS, ACTIONS))
        for seed in range(settings.seed, settings.seed + settings.runs)
    ]
    # Freund & Schapire's step size for a known number of rounds.
    step = float(np.sqrt(8 * np.log(ACTIONS) / settings.rounds))
    played = {
        method: [play(game, method, settings.rounds, step if method == "hedge" else 0.1) for game in games]
        for method in METHODS
    }
    circles = play(ROCK_PAPER_SCISSORS, "policy_gradient", settings.rounds)
    claims = [*evaluate(settings, games, played), *circling(circles)]
    remarks = [
        f"{settings.runs} games of {ACTIONS} × {ACTIONS}, {settings.rounds} rounds, seed {settings.seed}.",
        f"Policy gradient with α 0.1, Hedge with η {step:.4f}; both players see expected payoffs, nothing is sampled.",
        "Two players and zero sum: what independent learners do where interests are shared is not shown here.",
    ]
    drawn = {"exploitability": draw(played), "circles": draw_circles(circles)}
    publish("matrix_games", "Zero-sum matrix games", settings, claims, drawn, remarks)


def evaluate(settings: Settings, games: list[Array], played: Mapping[str, list[GamePlayed]]) -> list[Claim]:
    """Mean strategies against the exact equilibrium, and Hedge against its proven bound."""
    exact = [equilibrium(game) for game in games]
    at_equilibrium = max(exploitability(game, e.x, e.y) for game, e in zip(games, exact, strict=True))
    bound = 2 * float(np.sqrt(np.log(ACTIONS) / (2 * settings.rounds)))
    expected = {
        "fictitious_play": "goes to 0 (Robinson 1951)",
        "regret_matching": "goes to 0, as 1 / √T",
        "hedge": f"at most {bound:.4f} (proven)",
        "policy_gradient": "no guarantee",
    }
    return [
        Claim("exact", "largest exploitability of the equilibria", "0", at_equilibrium, 0, 6),
        *(
            over_runs(
                method, "exploitability of the mean strategies", expected[method], end(runs, "average_T"), 4, least=0
            )
            for method, runs in played.items()
        ),
        *(
            over_runs(method, "exploitability of the last strategies", "", end(runs, "last_T"), 4, least=0)
            for method, runs in played.items()
        ),
    ]


def circling(played: GamePlayed) -> list[Claim]:
    """Independent policy gradients in rock, paper, scissors go away from the equilibrium, and their mean to it."""
    first, last = float(played.last_T[0]), float(played.last_T[-len(played.last_T) // 10 :].mean())
    return [
        Claim("rock, paper, scissors", "policy gradient: exploitability at first", "", first, 0, 3),
        Claim("rock, paper, scissors", "at the end, last strategies", "does not fall", last, 0, 3),
        Claim("rock, paper, scissors", "at the end, mean strategies", "", float(played.average_T[-1]), 0, 3),
    ]


def end(runs: list[GamePlayed], name: str) -> Array:
    """A measure of each run after its last round."""
    return np.array([getattr(run, name)[-1] for run in runs])


def draw(played: Mapping[str, list[GamePlayed]]) -> str:
    """Exploitability of the mean strategies over rounds, means over games, on a logarithmic axis."""
    lines = [
        Line(method.replace("_", " "), np.arange(1, len(runs[0].average_T) + 1), mean, color)
        for (method, runs), color in zip(played.items(), COLORS, strict=False)
        for mean in [np.maximum(np.mean([run.average_T for run in runs], axis=0), 1e-6)]
    ]
    return line_plot("exploitability", "Exploitability of the mean strategies", lines, xlabel="round", log=True)


def draw_circles(played: GamePlayed) -> str:
    """Exploitability of last and mean strategies in rock, paper, scissors."""
    rounds = np.arange(1, len(played.last_T) + 1)
    lines = [Line("last", rounds, played.last_T, COLORS[0]), Line("mean", rounds, played.average_T, COLORS[1])]
    return line_plot("circles", "Policy gradients in rock, paper, scissors", lines, xlabel="round")


if __name__ == "__main__":
    run_command(main)
