"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905): two critics, a stochastic actor, a learned temperature.

    a, log π  = tanh(μ(s) + σ(s)·ε),  log N(u; μ, σ) − Σ log(1 − a² + 1e-6)       ε ~ N(0, 1), u the argument of tanh
    y         = r + γ·(1 − terminated)·(min_i Q'_i(s', a') − α·log π(a'|s'))      a' from the current actor
    critics   = ½ Σ_i mean (Q_i(s, a) − y)²
    actor     = mean α·log π(a|s) − min_i Q_i(s, a)
    α         = −log α · mean (log π(a|s) + target entropy)                       target entropy −(action size)
    Q'_i      ← (1 − τ)·Q'_i + τ·Q_i                                              after every step

The details that matter; a test fails without each:
    the smaller of two critics     `soft_target`    entropy in the target           `soft_target`
    the density of tanh            `sample`         entropy in the actor's loss     `actor_loss`
    timeouts bootstrap             `soft_target`    targets follow slowly           `update`
    the temperature is learned      `update`         random actions before learning  `train`

Where the two references differ, both are a flag; the defaults are Stable-Baselines3's:
                           Stable-Baselines3                   CleanRL
    `halve_critic_loss`    yes, as above                       no: Σ_i of the whole squared errors
    `temperature_first`    yes: α moves before the critics,    no: α moves after the actor, from a sample of the new
                           from the sample that the actor      actor; the target takes the α before
                           then learns from
    `tanh_log_std`         no: log σ is cut to [−20, 2]        yes: log σ = −5 + 3.5·(tanh(·) + 1), within [−5, 2]
    `scale_actions`        yes: critics and entropy see        no: the environment's units, so that the same target
                           actions in [−1, 1]                  entropy means another one
    `policy_frequency`     1                                   2
    `catch_up`             no                                  yes: the actor then makes as many steps as it waited
    `policy_lr`, `q_lr`    one for all, 3e-4                   3e-4 and 1e-3, α with the critics
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import mlp, numpy_forward
from rlpath.deep.parts.off_policy import (
    LOG_EVERY,
    ActionBox,
    Critic,
    OffPolicyArgs,
    adam,
    descend,
    follow,
    standard_normal,
)
from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.training import Result, Training, box_size
from rlpath.deep.parts.vec import MakeEnv, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
LOG_STD = (-20.0, 2.0)
LOG_STD_TANH = (-5.0, 2.0)


@dataclass(frozen=True)
class Args(OffPolicyArgs):
    """Stable-Baselines3's defaults."""

    env_id: str = "Pendulum-v1"
    total_timesteps: int = 20_000
    policy_lr: float = 3e-4
    """Adam's step size for the actor."""
    q_lr: float = 3e-4
    """Adam's step size for the critics and the temperature."""
    autotune: bool = True
    """Learn the temperature."""
    alpha: float = 1.0
    """The temperature, where it starts or where it stays."""
    target_entropy: float | None = None
    """The entropy that the temperature holds the policy to; minus the size of an action unless told."""
    policy_frequency: int = 1
    """Gradient steps of the critics for one of the actor."""
    catch_up: bool = False
    """Let the actor make `policy_frequency` steps at once when its turn comes."""
    temperature_first: bool = True
    """Move the temperature before the critics, not after the actor."""
    halve_critic_loss: bool = True
    """Half the squared error, not the whole."""
    tanh_log_std: bool = False
    """Squash log σ into its bounds by a tanh; otherwise it is cut."""
    scale_actions: bool = True
    """Critics and entropy see actions in [−1, 1], not in the environment's units."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense or leaves nothing to do."""
        super().check()
        self.require_positive("policy_lr", "q_lr", "alpha", "policy_frequency")


class Agent(nn.Module):
    """Actor (μ and log σ side by side), two critics, their targets, and the logarithm of the temperature."""

    scale: Tensor

    def __init__(self, inputs: int, box: ActionBox, args: Args, generator: torch.Generator) -> None:
        super().__init__()
        self.actor = mlp((inputs, *args.hidden, 2 * box.size), nn.ReLU, generator)
        seen = None if args.scale_actions else box
        self.critics = nn.ModuleList(Critic(inputs, box.size, args, generator, seen) for _ in range(2))
        self.targets = nn.ModuleList(Critic(inputs, box.size, args, generator, seen) for _ in range(2))
        self.targets.load_state_dict(self.critics.state_dict())
        self.log_alpha = nn.Parameter(torch.tensor(math.log(args.alpha)))
        self.target_entropy = -float(box.size) if args.target_entropy is None else args.target_entropy
        self.tanh_log_std = args.tanh_log_std
        scale = np.ones_like(box.scale) if args.scale_actions else box.scale
        self.register_buffer("scale", torch.from_numpy(scale), persistent=False)

    def sample(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions in [−1, 1], (B, actions), made of standard normal `noise`, and their log densities, (B,)."""
        mean, free = self.actor(obs).chunk(2, -1)
        log_std = squash(free.tanh()) if self.tanh_log_std else free.clamp(*LOG_STD)
        action = torch.tanh(mean + log_std.exp() * noise)
        # The normal density at u = μ + σε needs only ε and σ.
        normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        return action, (normal - torch.log(self.scale * (1 - action.square()) + 1e-6)).sum(-1)

    def smaller(self, critics: nn.ModuleList, obs: Tensor, action: Tensor) -> Tensor:
        """The smaller of the two values of (s, a), (B,)."""
        return torch.min(critics[0](obs, action), critics[1](obs, action))


class Optimizers(NamedTuple):
    """One for each loss."""

    actor_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    alpha_optimizer: torch.optim.Optimizer


def squash(tanh: Any) -> Any:
    """log σ within `LOG_STD_TANH`, from a number in [−1, 1]."""
    low, high = LOG_STD_TANH
    return low + 0.5 * (high - low) * (tanh + 1)


@torch.no_grad()
def soft_target(agent: Agent, batch: Transitions, alpha: Tensor, noise: Tensor, args: Args) -> Tensor:
    """y, (B,)."""
    action, logprob = agent.sample(batch.final_obs, noise)
    value = agent.smaller(agent.targets, batch.final_obs, action) - alpha * logprob
    return batch.reward + args.gamma * (1 - batch.terminated) * value


def critic_loss(agent: Agent, batch: Transitions, target: Tensor, args: Args) -> tuple[Tensor, Tensor]:
    """The squared errors of both critics, summed, and the mean of their values."""
    q = torch.stack([critic(batch.obs, batch.action) for critic in agent.critics])
    weight = 0.5 if args.halve_critic_loss else 1.0
    return weight * (q - target).square().mean(-1).sum(), q.mean()


def actor_loss(agent: Agent, obs: Tensor, alpha: Tensor, sampled: tuple[Tensor, Tensor]) -> Tensor:
    """What the actor descends, from actions it sampled at `obs` and their log densities."""
    action, logprob = sampled
    return (alpha * logprob - agent.smaller(agent.critics, obs, action)).mean()


def alpha_loss(agent: Agent, logprob: Tensor) -> Tensor:
    """What the temperature descends: it rises where the policy's entropy is below the target."""
    return -agent.log_alpha * (logprob.detach() + agent.target_entropy).mean()


def update(
    agent: Agent, optimizers: Optimizers, batch: Transitions, number: int, rng: np.random.Generator, args: Args
) -> dict[str, Tensor]:
    """Gradient step `number`, counted from 1; its figures."""

    def sample() -> tuple[Tensor, Tensor]:
        return agent.sample(batch.obs, standard_normal(tuple(batch.action.shape), rng))

    alpha = agent.log_alpha.detach().exp()
    sampled = None
    if args.temperature_first:
        sampled = sample()
        temper(agent, optimizers, sampled[1], args)
    target = soft_target(agent, batch, alpha, standard_normal(tuple(batch.action.shape), rng), args)
    q_loss, q_value = critic_loss(agent, batch, target, args)
    descend(optimizers.critic_optimizer, q_loss)
    figures = {"losses/qf_loss": q_loss, "losses/qf_values": q_value, "losses/alpha": alpha}
    if number % args.policy_frequency == 0:
        for _ in range(args.policy_frequency if args.catch_up else 1):
            loss = actor_loss(agent, batch.obs, alpha, sampled or sample())
            descend(optimizers.actor_optimizer, loss)
            figures["losses/actor_loss"] = loss
            sampled = None
            if not args.temperature_first:
                with torch.no_grad():
                    logprob = sample()[1]
                temper(agent, optimizers, logprob, args)
                alpha = agent.log_alpha.detach().exp()
    follow(agent.targets, agent.critics, args.tau)
    return figures


def temper(agent: Agent, optimizers: Optimizers, logprob: Tensor, args: Args) -> None:
    """One step of the temperature, where it is learned."""
    if args.autotune:
        descend(optimizers.alpha_optimizer, alpha_loss(agent, logprob))


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
    optimizers = Optimizers(
        adam(agent.actor.parameters(), args.policy_lr),
        adam(agent.critics.parameters(), args.q_lr),
        adam([agent.log_alpha], args.q_lr),
    )
    buffer = ReplayBuffer(args.buffer_size, inputs, box.size, derive(args.seed, "replay"))
    rng = np.random.default_rng(derive(args.seed, "sac"))
    training = Training(args, run, agent=agent, envs=envs, buffer=buffer, rng=rng, **optimizers._asdict())
    act = actor(agent, box.size, rng)
    for iteration in training.iterations():
        for _ in range(args.train_frequency):
            obs = envs.obs
            warming_up = training.step < args.learning_starts
            action = box.random(len(obs), rng) if warming_up else act(obs, False)
            step = envs.step(box.to_env(action))
            training.advance(args.num_envs, step.episodes)
            buffer.add(obs, action, step)
        for number in args.gradient_numbers(iteration):
            figures = update(agent, optimizers, buffer.sample(args.batch_size), number, rng, args)
            if number % LOG_EVERY == 0:
                training.log({name: value.item() for name, value in figures.items()})
    envs.close()
    trained = actor(agent, box.size, np.random.default_rng(derive(args.seed, "act")))
    return training.result(agent, lambda obs, deterministic: box.to_env(trained(obs, deterministic)))


def actor(agent: Agent, actions: int, rng: np.random.Generator) -> Callable[[Array, bool], Array]:
    """The current policy as a function of (N, inputs) and whether to take the mode, in [−1, 1], (N, actions)."""
    forward = numpy_forward(agent.actor)

    def act(obs: Array, deterministic: bool) -> Array:
        mean, free = np.split(forward(obs), 2, -1)
        if deterministic:
            return np.tanh(mean)
        log_std = squash(np.tanh(free)) if agent.tanh_log_std else np.clip(free, *LOG_STD)
        return np.tanh(mean + np.exp(log_std) * rng.standard_normal(mean.shape, np.float32))

    return act
