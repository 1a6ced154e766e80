"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971): Q-learning for continuous actions.

    y      = r + γ·(1 − terminated)·Q'(s', μ'(s'))          Q', μ': slow copies of critic and actor
    critic = mean (Q(s, a) − y)²
    actor  = −mean Q(s, μ(s))                               down which only μ moves
    Q', μ' ← (1 − τ)·Q' + τ·Q, (1 − τ)·μ' + τ·μ

The details that matter; a test fails without each:
    target critic and target actor    `td_target`    noise on the actions tried      `explore`
    timeouts bootstrap, ends do not   `td_target`    random actions before learning  `train`
    targets follow slowly             `update`       actions scaled to [−1, 1]       `ActionBox`

Where the two references differ, both are a flag; the defaults are Stable-Baselines3's, whose DDPG is its TD3 with one
critic, no delay and no noise in the target:
                           Stable-Baselines3                   CleanRL
    `policy_delay`         1                                   2: actor and targets move every second step
    `noisy_start`          yes: random actions get noise too   no
    `scale_actions`        yes: the critic sees [−1, 1]        no: the environment's units
    `learning_rate`        1e-3                                3e-4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import mlp, numpy_forward
from rlpath.deep.parts.off_policy import LOG_EVERY, ActionBox, Critic, OffPolicyArgs, adam, descend, follow
from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.training import Result, Training, box_size
from rlpath.deep.parts.vec import MakeEnv, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Args(OffPolicyArgs):
    """Stable-Baselines3's defaults, with CleanRL's exploration."""

    env_id: str = "Pendulum-v1"
    total_timesteps: int = 20_000
    hidden: tuple[int, ...] = (400, 300)
    learning_rate: float = 1e-3
    """Adam's step size, for actor and critic."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on the actions tried, in units of [−1, 1]."""
    noisy_start: bool = True
    """Put noise on the random actions before learning, too."""
    policy_delay: int = 1
    """Gradient steps of the critic for one of the actor and of the targets."""
    scale_actions: bool = True
    """The critic sees actions in [−1, 1], not in the environment's units."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense or leaves nothing to do."""
        super().check()
        self.require_positive("learning_rate", "policy_delay")
        self.require("not negative", lambda value: value >= 0, "exploration_noise")


class Actor(nn.Module):
    """μ(s) in [−1, 1]."""

    def __init__(self, inputs: int, actions: int, args: OffPolicyArgs, generator: torch.Generator) -> None:
        super().__init__()
        self.net = mlp((inputs, *args.hidden, actions), nn.ReLU, generator)

    def forward(self, obs: Tensor) -> Tensor:
        """(B, inputs) → (B, actions)."""
        return self.net(obs).tanh()


class Agent(nn.Module):
    """Actor and critic, and their targets, equal at first."""

    def __init__(self, inputs: int, box: ActionBox, args: Args, generator: torch.Generator) -> None:
        super().__init__()
        seen = None if args.scale_actions else box
        self.actor = Actor(inputs, box.size, args, generator)
        self.critic = Critic(inputs, box.size, args, generator, seen)
        self.actor_target = Actor(inputs, box.size, args, generator)
        self.critic_target = Critic(inputs, box.size, args, generator, seen)
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.critic_target.load_state_dict(self.critic.state_dict())


class Optimizers(NamedTuple):
    """One for each loss."""

    actor_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer


@torch.no_grad()
def td_target(agent: Agent, batch: Transitions, args: Args) -> Tensor:
    """y, (B,)."""
    value = agent.critic_target(batch.final_obs, agent.actor_target(batch.final_obs))
    return batch.reward + args.gamma * (1 - batch.terminated) * value


def update(agent: Agent, optimizers: Optimizers, batch: Transitions, number: int, args: Args) -> dict[str, Tensor]:
    """Gradient step `number`, counted from 1; its figures."""
    target = td_target(agent, batch, args)
    q = agent.critic(batch.obs, batch.action)
    q_loss = (q - target).square().mean()
    descend(optimizers.critic_optimizer, q_loss)
    figures = {"losses/qf_loss": q_loss, "losses/qf_values": q.mean()}
    if number % args.policy_delay == 0:
        actor_loss = -agent.critic(batch.obs, agent.actor(batch.obs)).mean()
        descend(optimizers.actor_optimizer, actor_loss)
        follow(agent.actor_target, agent.actor, args.tau)
        follow(agent.critic_target, agent.critic, args.tau)
        figures["losses/actor_loss"] = actor_loss
    return figures


def explore(action: Array, noise: float, rng: np.random.Generator) -> Array:
    """`action`, (N, actions) in [−1, 1], with normal noise of deviation `noise`, cut back to [−1, 1]."""
    return np.clip(action + np.float32(noise) * rng.standard_normal(action.shape, np.float32), -1, 1)


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
    actor, critic = agent.actor.parameters(), agent.critic.parameters()
    optimizers = Optimizers(adam(actor, args.learning_rate), adam(critic, args.learning_rate))
    buffer = ReplayBuffer(args.buffer_size, inputs, box.size, derive(args.seed, "replay"))
    rng = np.random.default_rng(derive(args.seed, "ddpg"))
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
            figures = update(agent, optimizers, buffer.sample(args.batch_size), number, args)
            if number % LOG_EVERY == 0:
                training.log({name: value.item() for name, value in figures.items()})
    envs.close()
    return training.result(agent, policy(agent.actor, box, args))


def policy(actor: Actor, box: ActionBox, args: Args) -> Callable[[Array, bool], Array]:
    """The trained policy, (N, inputs) → actions in the environment's units; with exploration noise, or without."""
    forward = numpy_forward(actor.net)
    rng = np.random.default_rng(derive(args.seed, "act"))

    def act(obs: Array, deterministic: bool) -> Array:
        action = np.tanh(forward(obs))
        return box.to_env(action if deterministic else explore(action, args.exploration_noise, rng))

    return act
