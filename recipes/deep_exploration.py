"""Exploration with networks: how many episodes of DeepSea bootstrapped DQN takes, beside ε-greedy and 2^N.

    python recipes/deep_exploration.py
    python recipes/deep_exploration.py --runs 3 --episodes 1000

The treasure of an N × N sea is found by chance in one episode of 2^N. `recipes/deep_sea.py` asks the same of tables.
Bootstrapped DQN has bsuite's settings, with and without random priors; nothing was tuned. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rlpath.core.errors import run_command
from rlpath.deep import dqn
from rlpath.deep.exploration import bootstrapped
from rlpath.deep.exploration.bootstrapped import BootstrappedArgs
from rlpath.deep.exploration.deep_sea import DeepSea
from rlpath.tabular.book import Claim, over_runs, publish, read_settings

HEAD = ("size", "episodes until the treasure", "by chance", "ours [95 %]", "seeds")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 5
    """training seeds"""
    episodes: int = 300
    """episodes of a run; one that found nothing counts as many"""
    sizes: tuple[int, ...] = (6, 8, 10)
    """N, the side of the sea"""
    seed: int = 0
    """the first training seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=2, episodes=4, sizes=(3,)), __doc__)
    torch.set_num_threads(1)
    claims = []
    for size in settings.sizes:
        for method, earn in methods(settings, size).items():
            seeds = range(settings.seed, settings.seed + settings.runs)
            claims += evaluate(settings, size, method, [earn(seed) for seed in seeds])
            print(f"N = {size}: {method}", flush=True)
    remarks = [
        f"{settings.runs} seeds from {settings.seed}, {settings.episodes} episodes each; a run that found nothing "
        f"counts as {settings.episodes}, so that its mean is too low.",
        "Kept: the share of the last tenth of the episodes that end at the treasure.",
    ]
    publish("deep_exploration", "DeepSea with networks", settings, claims, {}, remarks, head=HEAD)


def methods(settings: Settings, size: int) -> Mapping[str, Callable[[int], list[float]]]:
    """The methods, by name: from a seed to the return of every episode."""

    def ensemble(seed: int, prior_scale: float) -> list[float]:
        args = BootstrappedArgs(seed=seed, episodes=settings.episodes, prior_scale=prior_scale)
        return bootstrapped.train(args, lambda: DeepSea(size))[1]

    def greedy(seed: int) -> list[float]:
        steps = settings.episodes * size
        args = dqn.Args(
            seed=seed, total_timesteps=steps, learning_starts=min(128, steps // 2), train_frequency=1, end_e=0.1,
            hidden=(50, 50), learning_rate=1e-3, target_frequency=4, checkpoint_every=0,
        )  # fmt: skip
        return [episode.return_ for episode in dqn.train(args, make_env=lambda: DeepSea(size)).episodes]

    return {
        "DQN, ε-greedy": greedy,
        "bootstrapped DQN": lambda seed: ensemble(seed, BootstrappedArgs.prior_scale),
        "bootstrapped DQN without priors": lambda seed: ensemble(seed, 0.0),
    }


def evaluate(settings: Settings, size: int, method: str, earned: list[list[float]]) -> list[Claim]:
    """The first episode with the treasure beside 2^N, and how often it is found in the end."""
    hits = np.array([np.array(returns[: settings.episodes]) > 0.5 for returns in earned])
    first = np.where(hits.any(-1), hits.argmax(-1) + 1, settings.episodes)
    last = hits[:, -max(1, settings.episodes // 10) :].mean(-1)
    count = f"{method} ({hits.any(-1).sum()} of {settings.runs} found it)"
    most = settings.episodes
    return [
        over_runs(f"N = {size}", count, f"2^N = {2**size:,}", first, 0, least=1, most=most),
        over_runs(f"N = {size}", f"{method}: kept", "", last, least=0, most=1),
    ]


if __name__ == "__main__":
    run_command(main)
