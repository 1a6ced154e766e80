"""DeepSea (Osband et al. 2020, arXiv:1908.03568) as an environment of Gymnasium: N × N, one-hot, N steps.

The agent begins at the top left and sinks a row each step, to the left (0) or to the right (1). Right costs 0.01 / N;
the treasure, worth 1, lies at the bottom right and is reached only by N steps to the right.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

Array = np.ndarray[Any, Any]
COST, TREASURE = 0.01, 1.0


class DeepSea(gymnasium.Env[Array, Any]):
    """One grid of `size` × `size`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.observation_space = gymnasium.spaces.Box(0, 1, (size * size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._row = self._column = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """To the top left."""
        super().reset(seed=seed)
        self._row = self._column = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Sink one row; the observation of the end is that of the last row."""
        right = int(action) == 1
        reward = -COST / self.size if right else 0.0
        found = right and self._row == self._column == self.size - 1
        self._column = min(max(self._column + (1 if right else -1), 0), self.size - 1)
        ended = self._row == self.size - 1
        self._row = min(self._row + 1, self.size - 1)
        return self._observe(), reward + TREASURE * found, ended, False, {}

    def _observe(self) -> Array:
        seen = np.zeros(self.size * self.size, np.float32)
        seen[self._row * self.size + self._column] = 1.0
        return seen
