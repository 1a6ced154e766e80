"""Twin delayed DDPG (Fujimoto et al. 2018, arXiv:1802.09477): DDPG with three corrections of its overestimation.

    a'       = clip(μ'(s') + clip(σ·ε, −c, c), −1, 1)                     ε ~ N(0, 1): smoothed targets
    y        = r + γ·(1 − terminated)·min_i Q'_i(s', a')                   the smaller of two critics
    critics  = Σ_i mean (Q_i(s, a) − y)²
    actor    = −mean Q_1(s, μ(s)),  and all targets follow                 every `policy_delay`-th step: delayed

The details that matter; a test fails without each:
    the smaller of two critics    `td_target`    target critics and target actor     `td_target`
    clipped noise in the target   `td_target`    timeouts bootstrap, ends do not     `td_target`
    the actor waits               `update`       targets move with the actor alone   `update`

Where the two references differ, both are a flag; the defaults are Stable-Baselines3's:
                           Stable-Baselines3                   CleanRL
    `noisy_start`          yes: random actions get noise too   no
    `scale_actions`        yes: the critics see [−1, 1]        no: the environment's units
    `learning_rate`        1e-3                                3e-4
Without a flag: the actor moves at gradient steps 2, 4, …, as in Stable-Baselines3; CleanRL counts environment steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.ddpg import Actor, Optimizers, explore, policy
from rlpath.deep.ddpg import Args as DDPGArgs
from rlpath.deep.parts.networks import numpy_forward
from rlpath.deep.parts.off_policy import LOG_EVERY, ActionBox, Critic, adam, descend, follow, standard_normal
from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.training import Result, Training, box_size
from rlpath.deep.parts.vec import MakeEnv, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Args(DDPGArgs):
    """Stable-Baselines3's defaults, with CleanRL's exploration."""

    policy_delay: int = 2
    """Gradient steps of the critics for one of the actor and of the targets."""
    policy_noise: float = 0.2
    """σ, the standard deviation of the noise on the target's actions, in units of [−1, 1]."""
    noise_clip: float = 0.5
    """c, the largest such noise."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense or leaves nothing to do."""
        super().check()
        self.require("not negative", lambda value: value >= 0, "policy_noise", "noise_clip")


class Agent(nn.Module):
    """Actor and two critics, and their targets, equal at first."""

    def __init__(self, inputs: int, box: ActionBox, args: Args, generator: torch.Generator) -> None:
        super().__init__()
        seen = None if args.scale_actions else box
        self.actor = Actor(inputs, box.size, args, generator)
        self.critics = nn.ModuleList(Critic(inputs, box.size, args, generator, seen) for _ in range(2))
        self.actor_target = Actor(inputs, box.size, args, generator)
        self.critic_targets = nn.ModuleList(Critic(inputs, box.size, args, generator, seen) for _ in range(2))
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.critic_targets.load_state_dict(self.critics.state_dict())


@torch.no_grad()
def td_target(agent: Agent, batch: Transitions, noise: Tensor, args: Args) -> Tensor:
    """y, (B,), from standard normal `noise`, (B, actions)."""
    smoothing = (args.policy_noise * noise).clamp(-args.noise_clip, args.noise_clip)
    action = (agent.actor_target(batch.final_obs) + smoothing).clamp(-1, 1)
    first, second = (target(batch.final_obs, action) for target in agent.critic_targets)
    return batch.reward + args.gamma * (1 - batch.terminated) * torch.min(first, second)


def update(
    agent: Agent, optimizers: Optimizers, batch: Transitions, number: int, noise: Tensor, args: Args
) -> dict[str, Tensor]:
    """Gradient step `number`, counted from 1; its figures."""
    target = td_target(agent, batch, noise, args)
    q = torch.stack([critic(batch.obs, batch.action) for critic in agent.critics])
    q_loss = (q - target).square().mean(-1).sum()
    descend(optimizers.critic_optimizer, q_loss)
    figures = {"losses/qf_loss": q_loss, "losses/qf_values": q.mean()}
    if number % args.policy_delay == 0:
        actor_loss = -agent.critics[0](batch.obs, agent.actor(batch.obs)).mean()
        descend(optimizers.actor_optimizer, actor_loss)
        follow(agent.actor_target, agent.actor, args.tau)
        follow(agent.critic_targets, agent.critics, args.tau)
        figures["losses/actor_loss"] = actor_loss
    return figures


def train(args: Args, run: RunFolder | None = None, *, make_env: MakeEnv | None = None) -> Result:
    """Train `args.total_timesteps` steps, rounded up to whole rounds of `num_envs` × `train_frequency`.

    With `run`, episodes, figures and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. `make_env` makes the environment, wrapped as you like, in place of `args.env_id`.
    Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = VectorEnv(make_env or args.env_id, args.num_envs, args.seed)
    box = ActionBox.of(envs, "use dqn or ppo for discrete actions")
    inputs = box_size(envs.single_observation_space, "the observation space")
    agent = Agent(inputs, box, args, torch.Generator().manual_seed(derive(args.seed, "weights")))
    actor, critics = agent.actor.parameters(), agent.critics.parameters()
    optimizers = Optimizers(adam(actor, args.learning_rate), adam(critics, args.learning_rate))
    buffer = ReplayBuffer(args.buffer_size, inputs, box.size, derive(args.seed, "replay"))
    rng = np.random.default_rng(derive(args.seed, "td3"))
    training = Training(args, run, agent=agent, envs=envs, buffer=buffer, rng=rng, **optimizers._asdict())
    forward = numpy_forward(agent.actor.net)
    for iteration in training.iterations():
        for _ in range(args.train_frequency):
            obs = envs.obs
            if training.step < args.learning_starts:
                action = box.random(len(obs), rng)
                action = explore(action, args.exploration_noise, rng) if args.noisy_start else action
            else:
                action = explore(np.tanh(forward(obs)), args.exploration_noise, rng)
            step = envs.step(box.to_env(action))
            training.advance(args.num_envs, step.episodes)
            buffer.add(obs, action, step)
        for number in args.gradient_numbers(iteration):
            noise = standard_normal((args.batch_size, box.size), rng)
            figures = update(agent, optimizers, buffer.sample(args.batch_size), number, noise, args)
            if number % LOG_EVERY == 0:
                training.log({name: value.item() for name, value in figures.items()})
    envs.close()
    return training.result(agent, policy(agent.actor, box, args))
