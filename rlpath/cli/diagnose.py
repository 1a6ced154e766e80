"""`rlpath diagnose RUN`: why the reward of a run does not rise, while it trains or afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.core.errors import InputError
from rlpath.posttrain.diagnosis import diagnose, steps
from rlpath.runs.run_folder import read_run


@dataclass(frozen=True)
class Diagnose:
    """Why does my reward not rise? What the record of a GRPO or PPO run shows so far, and what to change."""

    run_folder: tyro.conf.Positional[Path]
    """A run, finished or not: runs/<recipe>/<hash>/seed-<k>."""

    def run(self) -> int:
        """Print at most three sentences, the most telling first."""
        metrics = steps(read_run(self.run_folder).metrics)
        if not metrics:
            raise InputError(f"{self.run_folder} has no finished step yet: ask again after the first")
        print(f"after {len(metrics)} steps:")
        for sentence in diagnose(metrics) or ["nothing in the record stands in the reward's way"]:
            print(f"- {sentence}")
        return 0
