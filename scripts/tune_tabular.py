"""Choose the settings of `recipes/tabular.py`: a small grid for every method, on seeds that are not reported.

    python scripts/tune_tabular.py --env-id FrozenLake-v1

Prints the exact return of the greedy policy, mean over seeds 1000 to 1009, for every cell of the grid, and the best
cell of each method; the return while learning breaks ties. The recipe reports seeds from 0.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.tabular.settings import METHODS, TabularSettings
from rlpath.tabular.training import control

Grid = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]
CONSTANT = {"alpha": 0.5, "alpha_power": 0.0}
ROOT = {"alpha": 1.0, "alpha_power": 0.5}
FASTER = {"alpha": 1.0, "alpha_power": 0.6}
TENTH = {"explore_start": 0.1, "explore_end": 0.1}
TO_NONE = {"explore_start": 1.0, "explore_end": 0.01}
TO_THIRD = {"explore_start": 1.0, "explore_end": 0.3}
GRIDS: dict[str, Grid] = {
    "FrozenLake-v1": ({"steps": 100_000, "gamma": 0.99}, [ROOT, FASTER], [TO_NONE, TO_THIRD]),
    "FrozenLake8x8-v1": ({"steps": 400_000, "gamma": 0.999}, [ROOT, FASTER], [TO_NONE, TO_THIRD]),
    "CliffWalking-v1": ({"steps": 50_000, "gamma": 1.0}, [ROOT, CONSTANT], [TENTH]),
    "Taxi-v4": ({"steps": 200_000, "gamma": 0.99}, [ROOT, CONSTANT], [TENTH, TO_NONE]),
}
"""What is fixed, step sizes, and exploration; CliffWalking's ε is the book's, part of the example."""


@dataclass(frozen=True, kw_only=True)
class Tune:
    env_id: str = "FrozenLake-v1"
    """one of the environments with a grid"""
    algorithm: str = "all"
    """one method, or all"""
    seeds: int = 10
    """how many"""
    first_seed: int = 1000
    """the lowest; keep them apart from the seeds that are reported"""

    def run(self) -> None:
        """Print the grid and the choices."""
        if self.env_id not in GRIDS:
            raise InputError(f"there is no grid for {self.env_id!r}; choose one of {', '.join(GRIDS)}")
        base = TabularSettings(env_id=self.env_id, seeds=self.seeds, first_seed=self.first_seed)
        for method in replace(base, algorithm=self.algorithm).methods() if self.algorithm != "all" else METHODS:
            scores = [(*self.score(base.resolve(method, cell)), cell) for cell in self.cells()]
            best = max(scores, key=lambda row: row[:2])
            for greedy, online, cell in scores:
                mark = "*" if cell is best[2] else " "
                print(f"{mark} {method:24} greedy {greedy:9.4f}  online {online:9.3f}  {cell}", flush=True)

    def cells(self) -> list[dict[str, Any]]:
        """Every combination of the environment's grid."""
        fixed, step_sizes, explorations = GRIDS[self.env_id]
        return [{**fixed, **size, **explore} for size, explore in itertools.product(step_sizes, explorations)]

    def score(self, settings: TabularSettings) -> tuple[float, float]:
        """Mean final greedy return, exact, and mean online return of the last tenth of training."""
        model = settings.model()
        seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
        assert settings.steps is not None
        learner, behavior = settings.learner(model, len(seeds)), settings.behavior()
        training = control(model, learner, behavior, seeds, settings.steps, checkpoints=10)
        return float(training.greedy_return_KC[:, -1].mean()), float(np.nanmean(training.online_return_KC[:, -1]))


if __name__ == "__main__":
    run_command(lambda: tyro.cli(Tune).run())
