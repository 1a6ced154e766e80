"""Exploration: how many episodes DeepSea takes with ε-greedy, with optimism and with a count bonus.

    python recipes/deep_sea.py
    python recipes/deep_sea.py --runs 5 --most 1000

The treasure of an N × N sea is found by chance in one episode of 2^N (Osband et al. 2019). ε-greedy Q-learning does
not even reach that; with a bonus for what was seldom tried the number grows slowly with N.
`--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlpath.core.errors import run_command
from rlpath.report.plots import Line, line_plot
from rlpath.tabular.book import COLORS, Claim, over_runs, publish, read_settings
from rlpath.tabular.deep_sea import CountBonus, deep_sea, episodes_to_find
from rlpath.tabular.exploration import EpsilonGreedy, Schedule
from rlpath.tabular.learner import StepSize
from rlpath.tabular.model import Array
from rlpath.tabular.td import QLearning

SIZES = {"ε-greedy": (4, 6, 8, 10), "optimistic": (4, 8, 12, 16, 20, 30), "count bonus": (4, 8, 12, 16, 20)}
EPSILON, ALPHA, BONUS = 0.1, 0.5, 0.1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 20
    """independent runs"""
    most: int = 10_000
    """episodes after which a run is given up"""
    seed: int = 0
    """the first run's seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=2, most=30), __doc__)
    found = {method: {size: find(settings, size, method) for size in sizes} for method, sizes in SIZES.items()}
    remarks = [
        f"{settings.runs} runs from seed {settings.seed}; a run that found nothing counts as {settings.most} episodes, "
        "so that its mean is too low.",
        f"α {ALPHA}, γ 1; ε {EPSILON}; optimistic: values begin at 1, greedy; count bonus: {BONUS} / √(n + 1), greedy.",
        "Tables, not networks: what bootstrapped networks would take is not measured here.",
    ]
    figure = {"episodes": draw(found)}
    publish(
        "deep_sea",
        "DeepSea: episodes until the treasure is found",
        settings,
        evaluate(settings, found),
        figure,
        remarks,
    )


def find(settings: Settings, size: int, method: str) -> Array:
    """Episodes (K,) until each run finds the treasure."""
    seeds = range(settings.seed, settings.seed + settings.runs)
    model, step_size = deep_sea(size), StepSize(ALPHA)
    epsilon = EPSILON if method == "ε-greedy" else 0.0
    if method == "count bonus":
        learner: QLearning = CountBonus(model, len(seeds), 1.0, step_size, bonus=BONUS)
    else:
        learner = QLearning(model, len(seeds), 1.0, step_size, initial=1.0 if method == "optimistic" else 0.0)
    return episodes_to_find(model, learner, EpsilonGreedy(Schedule(epsilon, epsilon, 0)), seeds, settings.most)


def evaluate(settings: Settings, found: Mapping[str, Mapping[int, Array]]) -> list[Claim]:
    """Episodes beside 2^N, of which chance needs as many on average."""
    return [
        over_runs(
            f"N = {size}",
            f"{method}: episodes ({(episodes < settings.most).sum()} of {settings.runs} found it)",
            f"2^N = {2**size:,}",
            episodes,
            0,
            least=1,
            most=settings.most,
        )
        for method, sizes in found.items()
        for size, episodes in sizes.items()
    ]


def draw(found: Mapping[str, Mapping[int, Array]]) -> str:
    """Mean episodes over N, on a logarithmic axis."""
    lines = [
        Line(method, list(sizes), [float(episodes.mean()) for episodes in sizes.values()], color)
        for (method, sizes), color in zip(found.items(), COLORS, strict=False)
    ]
    lines.append(Line("2^N", range(4, 14), [2.0**size for size in range(4, 14)], COLORS[-1], faint=True))
    return line_plot("episodes", "Episodes until the treasure is found", lines, xlabel="N", log=True)


if __name__ == "__main__":
    run_command(main)
