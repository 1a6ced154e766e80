"""Maximization bias: Q-learning and Double Q-learning on Example 6.7 of Sutton & Barto, figure 6.5 beside ours.

    python recipes/maximization_bias.py
    python recipes/maximization_bias.py --runs 200

Going left leads to ten actions that lose 0.1 on average, with a deviation of 1. A maximum over noisy estimates takes
the luckiest for the best, so that Q-learning goes left; Double Q-learning reads the value from a second table. The
rewards are −1.1 or 0.9 here, normal in the book, of the same mean and deviation. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlpath.core.errors import run_command
from rlpath.report.plots import GRAY, Line, line_plot
from rlpath.tabular.book import COLORS, Claim, curve, over_runs, publish, read_settings
from rlpath.tabular.examples import maximization_bias
from rlpath.tabular.exploration import EpsilonGreedy, Schedule
from rlpath.tabular.learner import Control, StepSize
from rlpath.tabular.model import Array
from rlpath.tabular.td import DoubleQLearning, QLearning
from rlpath.tabular.training import experience

ACTIONS, ALPHA, EPSILON = 10, 0.1, 0.1
"""The book's α and ε, with γ = 1."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 1000
    """independent runs; the book has 10,000"""
    episodes: int = 300
    """episodes of each"""
    seed: int = 0
    """the first run's seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=20, episodes=30), __doc__)
    left: dict[str, Array] = {}
    value: dict[str, Array] = {}
    for name, method in (("Q-learning", QLearning), ("Double Q-learning", DoubleQLearning)):
        left[name], value[name] = train(settings, method)
    remarks = [
        f"{settings.runs} runs of {settings.episodes} episodes from seed {settings.seed}; α {ALPHA}, ε {EPSILON}."
    ]
    claims = evaluate(left, value)
    publish("maximization_bias", "Maximization bias", settings, claims, {"figure-6.5": figure(left)}, remarks)


def train(settings: Settings, method: type[Control]) -> tuple[Array, Array]:
    """Whether each run went left in each episode, (K, E), and its largest value in B after every episode, (K, E)."""
    model = maximization_bias(ACTIONS)
    seeds = range(settings.seed, settings.seed + settings.runs)
    learner = method(model, len(seeds), 1.0, StepSize(ALPHA))
    behavior = EpsilonGreedy(Schedule(EPSILON, EPSILON, 0))
    left, value = np.zeros((2, len(seeds), settings.episodes))
    ended = np.zeros(len(seeds), dtype=np.int64)
    went_left = np.zeros(len(seeds))
    # At most two steps an episode.
    for x in experience(model, learner, behavior, seeds, 2 * settings.episodes):
        in_a = x.s_tm1 == 0
        went_left[in_a] = x.a_tm1[in_a] < ACTIONS // 2
        k = np.flatnonzero(x.done & (ended < settings.episodes))
        left[k, ended[k]] = went_left[k]
        value[k, ended[k]] = learner.q_KSA[k, 1].max(-1)
        ended[x.done] += 1
    return left, value


def evaluate(left: Mapping[str, Array], value: Mapping[str, Array]) -> list[Claim]:
    """Figure 6.5, and the cause: what the best action in B is thought to be worth."""
    single, double = left["Q-learning"], left["Double Q-learning"]
    last = slice(-max(1, single.shape[1] // 10), None)
    early = slice(0, single.shape[1] // 3)
    difference = single[:, early].mean(-1) - double[:, early].mean(-1)
    return [
        Claim("6.5", "% left of an optimal policy, ε / 2", "5", 100 * EPSILON / 2, 0, 1),
        over_runs(
            "6.5", "Q-learning: % left, last tenth", "about 5 above the optimum", 100 * single[:, last].mean(-1), 1
        ),
        over_runs(
            "6.5", "Double Q-learning: % left, last tenth", "near the optimum", 100 * double[:, last].mean(-1), 1
        ),
        over_runs("6.5", "Q − Double Q, % left in the first third", "above 0", 100 * difference, 1),
        over_runs("6.5", "Q-learning: largest value in B, all −0.1", "above −0.1", value["Q-learning"][:, -1], 3),
    ]


def figure(left: Mapping[str, Array]) -> str:
    """Share of runs that go left, over episodes."""
    episodes = np.arange(1, left["Q-learning"].shape[1] + 1)
    lines = [curve(name, episodes, went, color) for (name, went), color in zip(left.items(), COLORS, strict=False)]
    lines.append(Line("optimal", episodes, np.full(len(episodes), EPSILON / 2), GRAY, faint=True))
    return line_plot("figure-6.5", "Figure 6.5: share that goes left", lines, xlabel="episode", percent=True)


if __name__ == "__main__":
    run_command(main)
