"""`rlpath export RUN`: a trained policy as a folder for the Hugging Face hub, with a model card.

The folder is a run folder still, cut down to what a policy is loaded from: `load_policy(folder)` works on it, wherever
it was downloaded to. The card's head is what the hub reads: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, write_atomic
from rlpath.core.stats import interval_over_seeds
from rlpath.runs.run_folder import RunRecord, read_run

KEPT = ("finished.json", "metrics.jsonl", "evaluations", "checkpoints")


@dataclass(frozen=True)
class Export:
    """Write a trained agent as a folder for the Hugging Face hub, with a model card."""

    run_folder: tyro.conf.Positional[Path]
    """A finished run, runs/<recipe>/<hash>/seed-<k>."""
    out: Path
    """The folder to write; it must not exist."""

    def run(self) -> int:
        """Copy what a policy is loaded from, write README.md, and say how to upload it."""
        record = read_run(self.run_folder)
        final = record.evaluations.get("final", {})
        weights = list(self.run_folder.glob("checkpoints/*/state.pt"))
        if not record.finished or "returns" not in final or not weights:
            needed = "a finished run of rlpath.deep that kept its weights"
            raise InputError(
                f"{self.run_folder} is not {needed}; run its command again with a checkpoint_every above 0"
            )
        if self.out.exists():
            raise InputError(f"{self.out} exists already; choose another folder for --out")
        config = {name: value for name, value in record.config.items() if name != "root"}
        with disk_errors(self.out):
            self.out.mkdir(parents=True)
            for name in KEPT:
                source = self.run_folder / name
                (shutil.copytree if source.is_dir() else shutil.copy)(source, self.out / name)
        write_atomic(self.out / "config.json", json.dumps(config, indent=2) + "\n")
        write_atomic(self.out / "README.md", card(record, config))
        print(f"{self.out}\nhf upload USER/NAME {self.out}")
        return 0


def card(record: RunRecord, config: dict[str, Any]) -> str:
    """The model card: what the hub reads, then what the agent earns and how to use it."""
    final = record.evaluations["final"]
    algorithm, env_id, returns = str(config["algorithm"]), final["env_id"], final["returns"]
    score = f"{final['mean']:z.2f} +/- {final['sd']:z.2f}"
    # JSON is YAML too, and quotes every name.
    result = {
        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
        "dataset": {"name": env_id, "type": env_id},
        "metrics": [{"type": "mean_reward", "name": "mean_reward", "value": score, "verified": False}],
    }
    tags = [env_id, algorithm, "reinforcement-learning", "deep-reinforcement-learning", "rlpath"]
    head = {"library_name": "rlpath", "tags": tags, "model-index": [{"name": algorithm, "results": [result]}]}
    earned = f"{final['mean']:z.2f}"
    if len(returns) > 1:
        limits = interval_over_seeds(returns)
        earned += f" [{limits.low:z.2f}, {limits.high:z.2f}] (95 %, over episodes)"
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()),
            "---",
            f"# {algorithm} on {env_id}",
            "",
            f"Mean return of {len(returns)} episodes without exploration: {earned}.",
            f"One training seed ({config['seed']}), {final['steps']} environment steps; other seeds may end elsewhere.",
            "",
            "```python",
            "from huggingface_hub import snapshot_download",
            "from rlpath.deep.runner.trained import load_policy",
            "",
            'act = load_policy(snapshot_download("USER/NAME", local_dir="agent")).act',
            "act(obs, True)  # greedy actions for observations (N, …)",
            "```",
            "",
            "`config.json` holds every setting.",
            "",
        ]
    )
