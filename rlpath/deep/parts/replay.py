"""What was lived through, kept for learning: a ring of the last transitions, drawn from uniformly.

A transition holds where its action led (`Step.final_obs`, never the next episode's first observation) and whether the
task ended there (`terminated`, never `done`): where only the clock ran out, the value of what follows still counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor

from rlpath.core.errors import InputError
from rlpath.deep.parts.vec import Step

Array = np.ndarray[Any, Any]


class Transitions(NamedTuple):
    """B transitions. `action` is (B,) int64 or (B, actions) float32; `terminated` is 1.0 or 0.0."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    final_obs: Tensor
    terminated: Tensor


class ReplayBuffer:
    """The last `capacity` transitions; the oldest make way for the newest.

    `obs` is the length of an observation or its space: whole bytes (an image) are kept as bytes and drawn as float32.
    `action_size` is the length of an action, or None where actions are numbers of a discrete space. Draws come from
    a generator of the buffer's own. Memory is taken as the ring fills.
    """

    def __init__(self, capacity: int, obs: int | gymnasium.Space[Any], action_size: int | None, seed: int) -> None:
        if capacity < 1:
            raise InputError(f"buffer_size must be at least 1, got {capacity}")
        discrete = action_size is None
        shape = (obs,) if isinstance(obs, int) else obs.shape or ()
        kind = np.uint8 if not isinstance(obs, int) and obs.dtype == np.uint8 else np.float32
        self.capacity = capacity
        self.columns: tuple[Array, ...] = (
            np.zeros((capacity, *shape), kind),
            np.zeros(capacity, np.int64) if discrete else np.zeros((capacity, action_size), np.float32),
            np.zeros(capacity, np.float32),
            np.zeros((capacity, *shape), kind),
            np.zeros(capacity, np.float32),
        )
        self.added = 0
        """Transitions ever added."""
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, obs: Array, action: Array, step: Step) -> Array:
        """Add one transition of each environment: `action` taken at `obs` gave `step`. Returns the rows written to."""
        rows = (self.added + np.arange(len(obs))) % self.capacity
        new = (obs, action, step.reward, step.final_obs, step.terminated)
        for column, values in zip(self.columns, new, strict=True):
            column[rows] = values
        self.added += len(obs)
        return rows

    def rows(self, index: Array) -> Transitions:
        """The transitions in rows `index`, (B,)."""
        drawn = (torch.from_numpy(column[index]) for column in self.columns)
        return Transitions(*(rows.float() if rows.dtype == torch.uint8 else rows for rows in drawn))

    def sample(self, batch_size: int) -> Transitions:
        """`batch_size` transitions, each drawn uniformly and independently (the same one may come twice)."""
        return self.rows(self.rng.integers(len(self), size=batch_size))

    def state_dict(self) -> dict[str, Any]:
        """The filled rows, how many were ever added, and the generator."""
        columns = [torch.from_numpy(column[: len(self)].copy()) for column in self.columns]
        return {"columns": columns, "added": self.added, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raises `InputError` where it was saved from a buffer of another capacity."""
        filled = len(state["columns"][0])
        if filled != min(state["added"], self.capacity):
            raise InputError(f"the saved replay buffer holds {filled} transitions, this one at most {self.capacity}")
        for column, saved in zip(self.columns, state["columns"], strict=True):
            column[:filled] = saved.numpy()
        self.added = state["added"]
        self.rng.bit_generator.state = state["rng"]
