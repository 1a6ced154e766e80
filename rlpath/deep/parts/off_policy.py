"""What DQN, DDPG, TD3 and SAC share: the rhythm of acting and learning, slow targets, boxed actions, the critic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from rlpath.core.errors import InputError
from rlpath.deep.parts.networks import mlp
from rlpath.deep.parts.training import Args as Common
from rlpath.deep.parts.training import box_size, require_space
from rlpath.deep.parts.vec import Environments

Array = np.ndarray[Any, Any]
LOG_EVERY = 100
"""Gradient steps between two lines of figures."""


@dataclass(frozen=True)
class OffPolicyArgs(Common):
    """The fields of every algorithm that learns from a replay buffer."""

    num_envs: int = 1
    """Environments stepped together."""
    buffer_size: int = 1_000_000
    """Transitions kept."""
    batch_size: int = 256
    """Transitions a gradient step learns from."""
    gamma: float = 0.99
    """Discount."""
    tau: float = 0.005
    """How far a target's weights move to the online ones: 1 copies them."""
    learning_starts: int = 100
    """Environment steps before the first gradient step."""
    train_frequency: int = 1
    """Steps of each environment between two rounds of gradient steps."""
    gradient_steps: int = 1
    """Gradient steps in a round."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of every network."""

    @property
    def round_steps(self) -> int:
        """Environment steps between two rounds of gradient steps, over all environments."""
        return self.num_envs * self.train_frequency

    def gradient_numbers(self, iteration: int) -> range:
        """The numbers, from 1, of the gradient steps that follow round `iteration`; none until learning starts."""
        before = (iteration - self.learning_starts // self.round_steps) * self.gradient_steps
        return range(before + 1, before + 1 + self.gradient_steps) if before >= 0 else range(0)

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense or leaves nothing to do."""
        super().check()
        self.require_positive("num_envs", "buffer_size", "batch_size", "train_frequency", "gradient_steps")
        self.require("not negative", lambda value: value >= 0, "learning_starts")
        self.require_share("gamma", "tau")
        if self.buffer_size < self.num_envs:
            raise InputError(f"buffer_size {self.buffer_size} does not hold one step of {self.num_envs} environments")
        if self.total_timesteps <= self.learning_starts:
            raise InputError(f"{self.total_timesteps} steps end before learning starts, after {self.learning_starts}")


def follow(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move the weights of `target` by `tau` of the way to those of `online`: target ← (1 − τ)·target + τ·online."""
    get_ema_multi_avg_fn(1 - tau)(list(target.parameters()), list(online.parameters()), 0)


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
    """Adam with torch's own ε, in its fused form: one call for all weights."""
    return torch.optim.Adam(parameters, learning_rate, fused=True)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down the gradient of `loss` by the weights of `optimizer` alone; other networks' are left out."""
    optimizer.zero_grad()
    loss.backward(inputs=[weight for group in optimizer.param_groups for weight in group["params"]])
    optimizer.step()


def standard_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Standard normal noise of `shape`, float32."""
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


class ActionBox:
    """A box of continuous actions, which the networks see as [−1, 1] in every direction."""

    def __init__(self, low: Array, high: Array) -> None:
        self.size = len(low)
        self.scale = ((high - low) / 2).astype(np.float32)
        self.center = ((high + low) / 2).astype(np.float32)

    @classmethod
    def of(cls, envs: Environments, remedy: str) -> ActionBox:
        """The action space of `envs`; raises `InputError` where it is not a box of vectors with finite sides."""
        box = require_space(envs.single_action_space, gymnasium.spaces.Box, "the action space", remedy)
        box_size(box, "the action space")
        if not np.issubdtype(box.dtype, np.floating):
            raise InputError(f"the action space {box} holds whole numbers, and this algorithm tries real ones")
        if not box.is_bounded():
            raise InputError(f"the action space {box} is not bounded, and actions are scaled to its bounds")
        return cls(box.low, box.high)

    def random(self, count: int, rng: np.random.Generator) -> Array:
        """`count` actions drawn uniformly from [−1, 1], (count, actions) float32."""
        return rng.uniform(-1, 1, (count, self.size)).astype(np.float32)

    def to_env(self, action: Array) -> Array:
        """Actions in [−1, 1], (N, actions) float32, in the environment's units."""
        return self.center + self.scale * action


class Critic(nn.Module):
    """Q(s, a). With `box` it sees actions in the environment's units, else as they come, in [−1, 1]."""

    scale: Tensor
    center: Tensor

    def __init__(
        self, inputs: int, actions: int, args: OffPolicyArgs, generator: torch.Generator, box: ActionBox | None = None
    ) -> None:
        super().__init__()
        self.net = mlp((inputs + actions, *args.hidden, 1), nn.ReLU, generator)
        self.in_units = box is not None
        if box is not None:
            self.register_buffer("scale", torch.from_numpy(box.scale), persistent=False)
            self.register_buffer("center", torch.from_numpy(box.center), persistent=False)

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """(B, inputs) and (B, actions) in [−1, 1] → (B,)."""
        seen = self.center + self.scale * action if self.in_units else action
        return self.net(torch.cat([obs, seen], -1)).squeeze(-1)
