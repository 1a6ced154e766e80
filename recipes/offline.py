"""Learning from recorded episodes alone: behavior cloning, DQN, CQL and IQL on three data sets of CartPole.

    python recipes/offline.py
    python recipes/offline.py --runs 3 --updates 1000

A PPO agent is trained; then three data sets are recorded and kept in Minari's format: by chance (random), by the agent
with a share of random actions that is drawn for each episode (mixed), and by the agent (expert). Every method
learns from the files alone and is then evaluated in the environment. DQN is CQL without its conservative term.
Settings are the papers' and were not tuned. Needs the extra `envs`; `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlpath.core.errors import run_command
from rlpath.deep import ppo
from rlpath.deep.offline import cloning, cql, iql
from rlpath.deep.offline.cloning import Learned, OfflineArgs
from rlpath.deep.offline.episodes import (
    Behavior,
    RecordedEpisode,
    read_minari,
    record,
    returns,
    transitions,
    write_minari,
)
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.deep.parts.replay import Transitions
from rlpath.runs.run_folder import config_hash
from rlpath.tabular.book import Claim, over_runs, publish, read_settings
from rlpath.tabular.model import Array

ENV, ACTIONS, BEST = "CartPole-v1", 2, 500.0
SETS = ("random", "mixed", "expert")
EXPERT_SEED, RECORDING_SEED = 500, 100_000
HEAD = ("data", "method", "behavior", "return [95 %]", "seeds")
EXPERT = ppo.Args(
    num_envs=8, num_steps=32, num_minibatches=1, update_epochs=20, gamma=0.98, gae_lambda=0.8, ent_coef=0.0,
    learning_rate=1e-3, clip_vloss=False, seed=EXPERT_SEED, checkpoint_every=0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 5
    """training seeds of every method"""
    steps: int = 10_000
    """environment steps in a data set, at least"""
    updates: int = 2000
    """gradient steps of every method"""
    expert_steps: int = 100_000
    """environment steps that the recording agent is trained for"""
    eval_episodes: int = 20
    """episodes a learned policy is evaluated with"""
    seed: int = 0
    """the first training seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    smallest = Settings(runs=2, steps=100, updates=20, expert_steps=512, eval_episodes=2)
    settings = read_settings(Settings, smallest, __doc__)
    torch.set_num_threads(1)
    config = {name: value for name, value in vars(settings).items() if name != "root"}
    paths = record_all(settings, settings.root / "offline" / config_hash(config) / "data")
    claims = []
    for name, path in paths.items():
        episodes = read_minari(path)
        claims += compare(settings, name, episodes)
        print(f"{name}: {len(episodes)} episodes", flush=True)
    remarks = [
        f"Data sets of {settings.steps} steps or a little more; behavior is the mean return of their episodes.",
        f"{settings.updates} gradient steps from {settings.runs} seeds, each evaluated with {settings.eval_episodes} "
        f"episodes without exploration; the data are the same for all seeds. {BEST:.0f} is the most there is.",
        "The intervals hold for these data: another recording would move all rows of a set together.",
    ]
    publish("offline", "Learning from recorded episodes", settings, claims, {}, remarks, head=HEAD)


def record_all(settings: Settings, folder: Path) -> Mapping[str, Path]:
    """Train the agent, record the three data sets, and write them."""
    agent = ppo.train(replace(EXPERT, total_timesteps=settings.expert_steps))

    def mixture(random_share: Callable[[int], float]) -> Callable[[int], Behavior]:
        def behavior(episode: int) -> Behavior:
            share = random_share(episode)

            def act(obs: Array, rng: np.random.Generator) -> int:
                at_random = rng.random() < share
                return int(rng.integers(ACTIONS)) if at_random else int(agent.act(obs[None], False)[0])

            return act

        return behavior

    shares: dict[str, Callable[[int], float]] = {
        "random": lambda episode: 1.0,
        "mixed": lambda episode: float(np.random.default_rng([RECORDING_SEED, episode]).random()),
        "expert": lambda episode: 0.0,
    }
    paths = {}
    for number, name in enumerate(SETS):
        episodes = record(ENV, mixture(shares[name]), settings.steps, RECORDING_SEED * (number + 1))
        paths[name] = write_minari(folder, f"cartpole/{name}-v0", ENV, episodes, "PPO")
    return paths


def methods(settings: Settings, seed: int) -> Mapping[str, Callable[[Transitions], Learned]]:
    """The methods, by name, for one seed."""
    common: dict[str, Any] = {"seed": seed, "updates": settings.updates}
    return {
        "behavior cloning": lambda data: cloning.train(data, ACTIONS, OfflineArgs(**common)),
        "DQN (CQL, α = 0)": lambda data: cql.train(data, ACTIONS, cql.CQLArgs(**common, alpha=0.0)),
        "CQL, α = 1": lambda data: cql.train(data, ACTIONS, cql.CQLArgs(**common)),
        "IQL, τ = 0.7, β = 3": lambda data: iql.train(data, ACTIONS, iql.IQLArgs(**common)),
    }


def compare(settings: Settings, name: str, episodes: list[RecordedEpisode]) -> list[Claim]:
    """Mean return of every method over seeds, beside that of the recorded episodes."""
    data, recorded = transitions(episodes), f"{returns(episodes).mean():.1f}"
    found: dict[str, list[float]] = {}
    for seed in range(settings.seed, settings.seed + settings.runs):
        for method, train in methods(settings, seed).items():
            earned = evaluate_policy(train(data).act, ENV, episodes=settings.eval_episodes)
            found.setdefault(method, []).append(float(earned.mean()))
    return [
        over_runs(name, method, recorded, np.array(values), 1, least=1, most=BEST) for method, values in found.items()
    ]


if __name__ == "__main__":
    run_command(main)
