"""DQN, DDPG, TD3 and SAC are Stable-Baselines3's: same weights, batches and noise give the same next weights.

Single updates are compared in float64, where only rounding may differ, and a short run from its first step in float32:
it also compares when learning starts, how often it happens, when targets move, what is stored of an episode's end and
that a timeout bootstraps. Every switch that departs from Stable-Baselines3 must break the equality.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from rlpath.deep import ddpg, dqn, sac, td3
from rlpath.deep.off_policy import ActionBox, adam
from rlpath.deep.replay import ReplayBuffer, Transitions
from rlpath.seeding import derive

pytest.importorskip("stable_baselines3")
import stable_baselines3 as sb3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

Array = np.ndarray[Any, Any]
PENDULUM, CARTPOLE = "ShortPendulum-v0", "ShortCartPole-v0"
gymnasium.register(PENDULUM, "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=15)
gymnasium.register(CARTPOLE, "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=12)
SMALL: dict[str, Any] = {"hidden": (16, 12), "batch_size": 32, "buffer_size": 50, "learning_starts": 20}
PACE = {"train_frequency": 3, "gradient_steps": 2, "total_timesteps": 61}
ARGS: dict[str, Any] = {
    "dqn": dqn.Args(
        **SMALL,
        **PACE,
        env_id=CARTPOLE,
        huber=True,
        max_grad_norm=0.5,
        target_first=True,
        random_start=True,
        target_frequency=10,
        tau=0.7,
    ),
    "ddpg": ddpg.Args(**SMALL, **PACE, env_id=PENDULUM, tau=0.1),
    "td3": td3.Args(**SMALL, **PACE, env_id=PENDULUM, tau=0.1),
    "sac": sac.Args(**SMALL, **PACE, env_id=PENDULUM, tau=0.1, alpha=0.5),
}
ALGORITHMS = list(ARGS)


class Theirs:
    """Stable-Baselines3's model for our arguments."""

    def __init__(self, args: Any) -> None:
        names = {"batch_size": "batch_size", "buffer_size": "buffer_size", "learning_starts": "learning_starts"}
        names |= {"gamma": "gamma", "tau": "tau", "train_freq": "train_frequency", "gradient_steps": "gradient_steps"}
        settings: dict[str, Any] = {name: getattr(args, field) for name, field in names.items()}
        settings |= {"policy_kwargs": {"net_arch": list(args.hidden)}, "device": "cpu", "seed": args.seed}
        self.kind = type(args).__module__.rsplit(".", 1)[1]
        if isinstance(args, dqn.Args):
            settings |= {"max_grad_norm": args.max_grad_norm, "target_update_interval": args.target_frequency}
        elif isinstance(args, td3.Args):
            settings |= {"target_policy_noise": args.policy_noise, "target_noise_clip": args.noise_clip}
            settings |= {"policy_delay": args.policy_delay}
        elif isinstance(args, sac.Args):
            settings["ent_coef"] = f"auto_{args.alpha}" if args.autotune else args.alpha
        settings["learning_rate"] = args.q_lr if isinstance(args, sac.Args) else args.learning_rate
        self.model: Any = getattr(sb3, self.kind.upper())("MlpPolicy", args.env_id, **settings)
        self.model.set_logger(Logger(None, []))
        self.gradients: list[list[Tensor]] = []
        for optimizer in self.optimizers():
            record(optimizer, self.gradients, self.joined)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """In the order of ours."""
        if self.kind == "dqn":
            return [self.model.policy.optimizer]
        own = [self.model.ent_coef_optimizer] if self.kind == "sac" and self.model.ent_coef_optimizer else []
        return [self.model.actor.optimizer, self.model.critic.optimizer, *own]

    def weights(self) -> list[Tensor]:
        """In the order of ours."""
        model = self.model
        if self.kind == "dqn":
            return [*model.q_net.parameters(), *model.q_net_target.parameters()]
        if self.kind == "sac":
            log_alpha = model.ent_coef_tensor.log() if model.log_ent_coef is None else model.log_ent_coef[0]
            critics = [*model.critic.parameters(), *model.critic_target.parameters()]
            return [log_alpha, *self.joined([*model.actor.parameters()]), *critics]
        online = [*model.actor.parameters(), *model.critic.parameters()]
        return [*online, *model.actor_target.parameters(), *model.critic_target.parameters()]

    def joined(self, tensors: list[Tensor]) -> list[Tensor]:
        """Weights or gradients of one optimiser; μ and log σ, two layers of SAC's actor there, as the one of ours."""
        if self.kind == "sac" and len(tensors) == 8:
            *body, mean_w, mean_b, std_w, std_b = tensors
            return [*body, torch.cat([mean_w, std_w]), torch.cat([mean_b, std_b])]
        return [tensor[0] if tensor.shape == (1,) and len(tensors) == 1 else tensor for tensor in tensors]

    def to(self, dtype: torch.dtype) -> None:
        """Compute in `dtype`."""
        self.model.policy.to(dtype)
        if self.kind == "sac" and self.model.log_ent_coef is not None:
            self.model.log_ent_coef.data = self.model.log_ent_coef.data.to(dtype)

    def stir(self) -> None:
        """Move every weight, so that targets differ from what they follow."""
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for weight in self.weights()[1 if self.kind == "sac" else 0 :]:
                weight += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
'''
