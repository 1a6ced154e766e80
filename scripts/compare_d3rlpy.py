"""d3rlpy's behavior cloning and discrete CQL on the files that recipes/offline.py recorded.

    python recipes/offline.py
    python scripts/compare_d3rlpy.py runs/offline/HASH --runs 5

Networks, step size, batch, discount, α and the number of gradient steps are those of the recipe. d3rlpy's CQL renews
its target at once every so many steps, here 200, where ours follows by 0.005 a step; its TD loss is Huber's. It has no
IQL for discrete actions. d3rlpy is in none of the extras, since it brings the old `gym`: pip install d3rlpy
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.core.stats import t_interval
from rlpath.deep.offline.cql import CQLArgs
from rlpath.deep.offline.episodes import RecordedEpisode, read_minari
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.report.tables import text_table

ENV = "CartPole-v1"
SETS = ("random", "mixed", "expert")
ALGORITHMS = {"behavior cloning": "DiscreteBCConfig", "CQL, α = 1": "DiscreteCQLConfig"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One comparison."""

    folder: tyro.conf.Positional[Path]
    """What recipes/offline.py wrote: runs/offline/HASH."""
    runs: int = 5
    """training seeds"""
    eval_episodes: int = 20
    """episodes a learned policy is evaluated with"""
    updates: int = 2000
    """gradient steps"""


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    try:
        d3rlpy = importlib.import_module("d3rlpy")
    except ImportError:
        raise InputError("d3rlpy is not installed: pip install d3rlpy") from None
    if not (settings.folder / "results.json").is_file():
        raise InputError(f"{settings.folder} is no finished experiment of recipes/offline.py")
    torch.set_num_threads(1)
    rows = []
    for name in SETS:
        data = dataset(d3rlpy, read_minari(settings.folder / "data" / f"cartpole/{name}-v0"))
        for method, config in ALGORITHMS.items():
            earned = [train(d3rlpy, config, data, seed, settings) for seed in range(settings.runs)]
            found = t_interval(earned)
            limits = f"[{max(found.low, 1):.1f}, {min(found.high, 500):.1f}]"
            rows.append((name, method, f"{found.estimate:.1f} {limits}", str(settings.runs)))
    print(text_table(("data", "d3rlpy's method", "return [95 %]", "seeds"), rows))


def dataset(d3rlpy: Any, episodes: list[RecordedEpisode]) -> Any:
    """The episodes as d3rlpy holds them."""
    return importlib.import_module("d3rlpy.dataset").MDPDataset(
        observations=np.concatenate([episode.obs[:-1] for episode in episodes]),
        actions=np.concatenate([episode.action for episode in episodes]),
        rewards=np.concatenate([episode.reward for episode in episodes]),
        terminals=np.concatenate([episode.terminated for episode in episodes]).astype(np.float32),
        timeouts=np.concatenate([episode.truncated for episode in episodes]).astype(np.float32),
    )


def train(d3rlpy: Any, config: str, data: Any, seed: int, settings: Settings) -> float:
    """Mean return of what d3rlpy learns from `data`."""
    d3rlpy.seed(seed)
    args = CQLArgs()
    common: dict[str, Any] = {
        "learning_rate": args.learning_rate,
        "batch_size": args.batch_size,
        "gamma": args.gamma,
        "encoder_factory": d3rlpy.models.encoders.VectorEncoderFactory(list(args.hidden)),
    }
    if "CQL" in config:
        common |= {"alpha": args.alpha, "target_update_interval": round(1 / args.tau)}
    algorithm = getattr(d3rlpy.algos, config)(**common).create(device="cpu:0")
    algorithm.fit(
        data, n_steps=settings.updates, n_steps_per_epoch=settings.updates, show_progress=False,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )  # fmt: skip
    earned = evaluate_policy(algorithm.predict, ENV, episodes=settings.eval_episodes)
    return float(earned.mean())


if __name__ == "__main__":
    run_command(main)
