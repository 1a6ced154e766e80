"""Behavior cloning: imitate the recorded actions.

    loss = −mean log π(a|s)                              over the recorded (s, a)

It knows nothing of rewards: at best it acts as the policy that recorded, without its randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rlpath.core.seeding import derive
from rlpath.deep.offline.episodes import batches
from rlpath.deep.parts.networks import mlp, numpy_forward
from rlpath.deep.parts.off_policy import adam, descend
from rlpath.deep.parts.replay import Transitions

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class OfflineArgs:
    """What every method that learns from a fixed set is told."""

    seed: int = 0
    """Fixes weights and minibatches."""
    updates: int = 3000
    """Gradient steps."""
    batch_size: int = 256
    """Transitions in a gradient step."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    gamma: float = 0.99
    """Discount."""
    tau: float = 0.005
    """How far a target's weights move to the online ones."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of every network."""


@dataclass(frozen=True)
class Learned:
    """A policy learned from a fixed set: the network whose largest output is the action to take."""

    network: nn.Sequential
    losses: dict[str, float]

    def act(self, obs: Array) -> Array:
        """The greedy action of each row, (N, inputs) → (N,)."""
        return numpy_forward(self.network)(obs.astype(np.float32, copy=False)).argmax(-1)


def network(data: Transitions, outputs: int, args: OfflineArgs, name: str) -> nn.Sequential:
    """An MLP from the observations of `data` to `outputs` numbers, its weights fixed by the seed and `name`."""
    generator = torch.Generator().manual_seed(derive(args.seed, "offline", name))
    return mlp((data.obs.shape[1], *args.hidden, outputs), nn.ReLU, generator)


def train(data: Transitions, actions: int, args: OfflineArgs) -> Learned:
    """Clone the recorded behavior."""
    policy = network(data, actions, args, "policy")
    optimizer = adam(policy.parameters(), args.learning_rate)
    loss = torch.zeros(())
    for batch in batches(data, args.updates, args.batch_size, derive(args.seed, "batches")):
        loss = F.cross_entropy(policy(batch.obs), batch.action)
        descend(optimizer, loss)
    return Learned(policy, {"policy_loss": loss.item()})
