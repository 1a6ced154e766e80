"""A replay buffer that draws what surprised most (Schaul et al. 2016, arXiv:1511.05952, the proportional variant).

    P(i) = p_i^α / Σ_k p_k^α,  p_i = |TD error| + ε          drawn one from each of B equal slices of the total
    w_i  = (N·P(i))^−β / max_j w_j                            what makes up for drawing unevenly

A new transition takes the highest priority seen so far, so that everything is drawn soon. The largest weight is that
of the batch, as in Dopamine; OpenAI's baselines take that of the whole buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.vec import Step

Array = np.ndarray[Any, Any]


class SumTree:
    """`capacity` numbers that are not negative, their total, and the number on which a point of the total falls.

    A complete binary tree in one array: node i has the children 2i and 2i + 1 and holds their sum, leaves last.
    """

    def __init__(self, capacity: int) -> None:
        self.leaves = 1 << (capacity - 1).bit_length()
        self.nodes = np.zeros(2 * self.leaves)

    @property
    def total(self) -> float:
        """The sum of all numbers."""
        return float(self.nodes[1])

    def __getitem__(self, index: Array) -> Array:
        return self.nodes[self.leaves + index]

    def __setitem__(self, index: Array, values: Array | float) -> None:
        node = self.leaves + index
        self.nodes[node] = values
        # Sums are taken again from the children: differences added to them would drift.
        while node[0] > 1:
            node = np.unique(node // 2)
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find(self, points: Array) -> Array:
        """For each point in [0, total) the leaf in whose share of the cumulative sum it lies, (B,) → (B,)."""
        node = np.ones(len(points), np.int64)
        rest = points.copy()
        while node[0] < self.leaves:
            node = 2 * node
            left = self.nodes[node]
            right = rest >= left
            rest -= left * right
            node += right
        return node - self.leaves


class PrioritizedReplayBuffer(ReplayBuffer):
    """A `ReplayBuffer` that knows how surprising each transition was when it was last learned from."""

    EPSILON = 1e-6

    def __init__(
        self, capacity: int, obs: int | gymnasium.Space[Any], action_size: int | None, seed: int, *, alpha: float
    ) -> None:
        super().__init__(capacity, obs, action_size, seed)
        self.alpha = alpha
        self.tree = SumTree(capacity)
        self.highest = 1.0
        """The highest p^α so far."""

    def add(self, obs: Array, action: Array, step: Step) -> Array:
        """Add transitions at the highest priority; see `ReplayBuffer.add`."""
        rows = super().add(obs, action, step)
        self.tree[rows] = self.highest
        return rows

    def draw(self, batch_size: int, beta: float) -> tuple[Transitions, Array, Tensor]:
        """`batch_size` transitions, their rows (for `set_priorities`) and weights in (0, 1], (B,)."""
        points = (np.arange(batch_size) + self.rng.random(batch_size)) * (self.tree.total / batch_size)
        # Rounding can carry a point past the last filled row.
        index = np.minimum(self.tree.find(points), len(self) - 1)
        # N and the total are the same for the whole batch and leave with its maximum.
        weight = (self.tree[index] / self.tree[index].min()) ** -beta
        return self.rows(index), index, torch.from_numpy(weight.astype(np.float32))

    def set_priorities(self, index: Array, error: Array) -> None:
        """Take the TD errors, (B,), of what `draw` gave in rows `index`."""
        priority = (np.abs(error.astype(np.float64)) + self.EPSILON) ** self.alpha
        self.tree[index] = priority
        self.highest = max(self.highest, float(priority.max()))

    def state_dict(self) -> dict[str, Any]:
        """As `ReplayBuffer.state_dict`, with the priorities."""
        leaves = torch.from_numpy(self.tree[np.arange(len(self))])
        return {**super().state_dict(), "priorities": leaves, "highest": self.highest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().load_state_dict(state)
        self.tree[np.arange(len(self))] = state["priorities"].numpy()
        self.highest = state["highest"]
