"""Planning with a learned model: Dyna-Q and Dyna-Q+ on the mazes of Sutton & Barto, chapter 8.

    python recipes/dyna.py
    python recipes/dyna.py --runs 10 --episodes 20

Figure 8.2: steps an episode takes with 0, 5 and 50 planning steps after each real one. Figures 8.4 and 8.5: the maze
changes while the agent learns; Dyna-Q+ gets a bonus for trying again what it has not tried for long. The book gives no
settings for these two; ours stand in the code. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rlpath.core.errors import run_command
from rlpath.report.plots import line_plot
from rlpath.tabular.book import COLORS, Claim, curve, over_runs, publish, read_settings
from rlpath.tabular.dp import policy_values
from rlpath.tabular.dyna import DynaQ
from rlpath.tabular.exploration import EpsilonGreedy, Schedule
from rlpath.tabular.learner import StepSize
from rlpath.tabular.model import Array, load_model
from rlpath.tabular.training import experience

PLANNING = (0, 5, 50)
GAMMA, ALPHA, EPSILON = 0.95, 0.1, 0.1
"""Of figure 8.2, by the book."""
KAPPA, CHANGING_PLANNING, CHANGING_ALPHA = 1e-4, 10, 0.5
"""Of figures 8.4 and 8.5, ours; κ was chosen among 1e-4, 3e-4 and 1e-3 on seeds 1000 to 1009."""
OPTIMUM = 14
"""Steps of the shortest way through the maze of figure 8.2."""
OPEN = (".........",) * 2
BLOCKED_RIGHT = ("........G", *OPEN, ".########", *OPEN[:1], "...S.....")
BLOCKED_LEFT = ("........G", *OPEN, "########.", *OPEN[:1], "...S.....")
BOTH_OPEN = ("........G", *OPEN, ".#######.", *OPEN[:1], "...S.....")
CHANGING: dict[str, tuple[tuple[str, ...], tuple[str, ...], int, int]] = {
    "8.4": (BLOCKED_LEFT, BLOCKED_RIGHT, 1000, 3000),
    "8.5": (BLOCKED_RIGHT, BOTH_OPEN, 3000, 6000),
}
"""The maze before and after, the step at which it changes, and the steps in all."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 30
    """independent runs, as in the book"""
    episodes: int = 50
    """episodes of the maze of figure 8.2"""
    seed: int = 0
    """the first run's seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=2, episodes=3), __doc__)
    seeds = range(settings.seed, settings.seed + settings.runs)
    lengths = {n: steps_per_episode(seeds, n, settings.episodes) for n in PLANNING}
    print("the fixed maze is done", flush=True)
    rewards = {
        figure: {name: cumulative_reward(seeds, figure, kappa) for name, kappa in (("Dyna-Q", 0.0), ("Dyna-Q+", KAPPA))}
        for figure in CHANGING
    }
    remarks = [
        f"{settings.runs} runs from seed {settings.seed}. γ {GAMMA}, ε {EPSILON}; in figure 8.2 α {ALPHA}: the book's.",
        f"Figures 8.4 and 8.5, settings of our own: α {CHANGING_ALPHA}, {CHANGING_PLANNING} planning steps, κ {KAPPA}.",
        "“Settled”: the first episode of five in a row that take at most 1.5 times the shortest way on average.",
    ]
    claims = [*fixed_claims(lengths), *changing_claims(rewards)]
    publish("dyna", "Dyna-Q and Dyna-Q+ on mazes", settings, claims, figures(lengths, rewards), remarks)


def steps_per_episode(seeds: range, planning: int, episodes: int) -> Array:
    """Figure 8.2: the length (K, E) of each run's episodes."""
    maze = load_model("DynaMaze-v0").within(1_000_000)
    learner = DynaQ(maze, seeds, GAMMA, StepSize(ALPHA), planning=planning)
    lengths = np.zeros((len(seeds), episodes))
    ended, running = np.zeros(len(seeds), dtype=np.int64), np.zeros(len(seeds))
    steps = experience(maze, learner, EpsilonGreedy(Schedule(EPSILON, EPSILON, 0)), seeds, 10_000_000)
    while ended.min() < episodes:
        x = next(steps)
        running += 1
        for k in np.flatnonzero(x.done):
            if ended[k] < episodes:
                lengths[k, ended[k]] = running[k]
            ended[k] += 1
            running[k] = 0
    return lengths


def random_steps() -> float:
    """The expected length of a first episode: before the first reward every action is as good, so that chance rules."""
    maze = load_model("DynaMaze-v0")
    a_step = replace(maze, reward_SAO=np.ones_like(maze.reward_SAO))
    return float(maze.start_S @ policy_values(a_step, np.full((maze.states, maze.actions), 1 / maze.actions), 1.0))


def cumulative_reward(seeds: range, figure: str, kappa: float) -> Array:
    """Figures 8.4 and 8.5: the reward (K, T) earned up to each step of a maze that changes once."""
    before, after, at, total = CHANGING[figure]
    first, second = (
        load_model("TextGrid-v0", total, rows=rows, step_reward=0.0, goal_reward=1.0) for rows in (before, after)
    )
    learner = DynaQ(first, seeds, GAMMA, StepSize(CHANGING_ALPHA), planning=CHANGING_PLANNING, kappa=kappa)
    behavior = EpsilonGreedy(Schedule(EPSILON, EPSILON, 0))
    rewards = [x.r_t for x in experience(first, learner, behavior, seeds, total, {at: second})]
    return np.stack(rewards, axis=-1).cumsum(-1)


def settled(lengths_KE: Array) -> Array:
    """The first episode (K,), from 1, of five that take at most 1.5 × the optimum on average; the last if none is."""
    width = min(5, lengths_KE.shape[1])
    means = np.lib.stride_tricks.sliding_window_view(lengths_KE, width, axis=1).mean(-1)
    fast = means <= 1.5 * OPTIMUM
    return np.where(fast.any(-1), fast.argmax(-1) + 1, lengths_KE.shape[1]).astype(np.float64)


def fixed_claims(lengths: Mapping[int, Array]) -> list[Claim]:
    """Figure 8.2: the first episode is chance; with planning a few episodes do what takes Q-learning many."""
    book = {0: "about 25 episodes", 5: "about 5", 50: "about 3"}
    first = [
        Claim("8.2", "steps of a first episode, expected", "", random_steps(), 0, 0),
        over_runs("8.2", "steps of the first episode, n = 0", "about 1700", lengths[0][:, 0], 0),
        over_runs("8.2", "steps of the last episode, n = 50", "14 is the shortest", lengths[50][:, -1], 1),
    ]
    return first + [over_runs("8.2", f"n = {n}: settled at episode", book[n], settled(lengths[n]), 1) for n in PLANNING]


def changing_claims(rewards: Mapping[str, Mapping[str, Array]]) -> list[Claim]:
    """Figures 8.4 and 8.5: Dyna-Q+ earns more before the change and after it."""
    claims = []
    for figure, curves in rewards.items():
        _, _, at, _ = CHANGING[figure]
        plain, bonus = curves["Dyna-Q"], curves["Dyna-Q+"]
        gained = (bonus[:, -1] - bonus[:, at - 1]) - (plain[:, -1] - plain[:, at - 1])
        claims += [
            over_runs(
                figure, "Dyna-Q+ − Dyna-Q, reward before the change", "above 0", bonus[:, at - 1] - plain[:, at - 1], 1
            ),
            over_runs(figure, "Dyna-Q+ − Dyna-Q, reward after the change", "above 0", gained, 1),
            over_runs(figure, "Dyna-Q, reward in all", "", plain[:, -1], 1),
            over_runs(figure, "Dyna-Q+, reward in all", "", bonus[:, -1], 1),
        ]
    return claims


def figures(lengths: Mapping[int, Array], rewards: Mapping[str, Mapping[str, Array]]) -> dict[str, str]:
    """Steps per episode from the second on, and cumulative rewards."""
    fixed = [
        curve(f"n = {n}", np.arange(2, values.shape[1] + 1), values[:, 1:], color)
        for (n, values), color in zip(lengths.items(), COLORS, strict=False)
    ]
    drawn = {"figure-8.2": line_plot("figure-8.2", "Figure 8.2: steps per episode", fixed, xlabel="episode")}
    for figure, curves in rewards.items():
        lines = [
            curve(name, np.arange(1, values.shape[1] + 1), values, color)
            for (name, values), color in zip(curves.items(), COLORS, strict=False)
        ]
        drawn[f"figure-{figure}"] = line_plot(f"figure-{figure}", f"Figure {figure}: cumulative reward", lines)
    return drawn


if __name__ == "__main__":
    run_command(main)
