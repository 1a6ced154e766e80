"""A policy drawn as arrows on its map, for environments that are grids."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from rlpath.tabular.model import Array

ARROWS = {"FrozenLakeEnv": "←↓→↑", "CliffWalkingEnv": "↑→↓←"}
"""Directions of the actions of Gymnasium's grids, in their order; ours say it themselves (`arrows`)."""


def draw_policy(env: gym.Env[Any, Any], q_SA: Array) -> str | None:
    """The first best action in every cell, letters where an episode ends or nobody stands; None where there is no grid.

    `·` marks a cell whose actions are all worth the same: nothing was learned there.
    """
    grid = env.unwrapped
    arrows = getattr(grid, "arrows", None) or ARROWS.get(type(grid).__name__)
    letters = _letters(grid)
    if arrows is None or letters is None:
        return None
    lines = []
    for row, line in enumerate(letters):
        cells = [
            letter if letter in "GH#C" else _arrow(q_SA[row * len(line) + column], arrows)
            for column, letter in enumerate(line)
        ]
        lines.append(" ".join(cells))
    return "\n".join(lines)


def _arrow(q_A: Array, arrows: str) -> str:
    return "·" if np.ptp(q_A) == 0 else arrows[int(q_A.argmax())]


def _letters(grid: Any) -> list[str] | None:
    """The map: G goal, H hole, C cliff, # wall, anything else a cell to stand in."""
    if hasattr(grid, "rows"):
        return list(grid.rows)
    if hasattr(grid, "desc") and type(grid).__name__ == "FrozenLakeEnv":
        return ["".join(cell.decode() for cell in row) for row in grid.desc]
    if type(grid).__name__ == "CliffWalkingEnv":
        height, width = grid.shape
        return ["." * width] * (height - 1) + ["S" + "C" * (width - 2) + "G"]
    return None
