"""Record what PPO earns on CartPole in 20 000 steps, over 50 seeds: the learning test takes its threshold from these.

python scripts/calibrate_learning.py    # a few minutes on one core; writes tests/deep/calibration/ppo_cartpole.json

A threshold set by eye has an unknown rate of false alarms. The learning test fails where the mean of eight seeds
lies below a prediction limit computed from these: one time in a thousand where libraries or hardware round differently
and so draw other runs, and never where they give the recorded bits, since its seeds are fixed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from rlpath.core.errors import run_command
from rlpath.core.files import write_atomic
from rlpath.deep.ppo import Args, train
from rlpath.runs.provenance import manifest

RECORD = Path(__file__).resolve().parents[1] / "tests" / "deep" / "calibration" / "ppo_cartpole.json"
COMMAND = "python scripts/calibrate_learning.py"
# The RL Zoo's settings for CartPole with half its epochs: a fifth of its steps show that it learns.
TRAINING: dict[str, Any] = {
    "env_id": "CartPole-v1",
    "total_timesteps": 20_480,
    "num_envs": 8,
    "num_steps": 32,
    "num_minibatches": 1,
    "update_epochs": 10,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "ent_coef": 0.0,
    "learning_rate": 1e-3,
    "clip_vloss": False,
    "vf_coef": 1.0,
}


@dataclass(frozen=True)
class Settings:
    """One calibration."""

    seeds: int = 50
    """Seeds 0, 1, …"""
    out: Path = RECORD
    """Where the record goes."""


def main() -> None:
    """Train every seed and write down the mean return of its last 100 episodes."""
    settings = tyro.cli(Settings)
    torch.set_num_threads(1)
    scores: list[float] = []
    for seed in range(settings.seeds):
        scores.append(round(train(Args(**TRAINING, seed=seed, checkpoint_every=0)).last(100), 2))
        print(f"seed {seed}: {scores[-1]}", flush=True)
    installed = manifest([COMMAND], {})["packages"]
    record = {
        "command": COMMAND,
        "score": "mean return of the last 100 training episodes",
        "training": TRAINING,
        "packages": {name: installed[name] for name in ("torch", "numpy", "gymnasium")},
        "scores": scores,
    }
    write_atomic(settings.out, json.dumps(record, indent=1) + "\n")
    print(settings.out)


if __name__ == "__main__":
    run_command(main)
