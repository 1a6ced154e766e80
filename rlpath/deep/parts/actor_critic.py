"""What PPO, A2C and REINFORCE share: a policy and a value network, acting with them, and advantages.

An agent acts in NumPy on its own weights (see `networks.py`) and is differentiated in torch. Discrete actions are
 drawn from a categorical distribution, vectors from a normal one whose standard deviations do not depend on the
state; a drawn vector is stored as it is and clipped to the action space only where the environment sees it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import mlp, numpy_forward, sample_categorical
from rlpath.deep.parts.returns import gae
from rlpath.deep.parts.training import Training, box_size
from rlpath.deep.parts.vec import Environments, Spaces

Array = np.ndarray[Any, Any]
Act = Callable[[Array], Array]


class ActorCritic(nn.Module, ABC):
    """Policy and value network, separate, with tanh between the layers.

    With `orthogonal`, weights are orthogonal with gain √2, the value's last layer with gain 1 and the policy's with
    0.01, so that all actions begin equally likely; without, torch's own initialisation.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: tuple[int, ...], orthogonal: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        gain = 2**0.5 if orthogonal else None
        self.critic = mlp((inputs, *hidden, 1), nn.Tanh, generator, gain=gain, last_gain=1.0)
        self.actor = mlp((inputs, *hidden, outputs), nn.Tanh, generator, gain=gain, last_gain=0.01)

    def value(self, obs: Tensor) -> Tensor:
        """V(s), (…, inputs) → (…,)."""
        return self.critic(obs).squeeze(-1)

    def policy_parameters(self) -> list[nn.Parameter]:
        """All weights but the value network's."""
        return [weight for name, weight in self.named_parameters() if not name.startswith("critic.")]

    @abstractmethod
    def logprob_and_entropy(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a|s) and the entropy of π(·|s), both (B,), for (B, inputs) and (B, *action)."""

    @abstractmethod
    def sampler(self, rng: np.random.Generator, num_envs: int, steps: int) -> Act:
        """A function from (N, inputs) to N drawn actions; random numbers are drawn for `steps` calls at once."""

    @abstractmethod
    def likeliest(self, obs: Array) -> Array:
        """The likeliest action of each row, (N, inputs) → (N, *action)."""

    def bounded(self, action: Array) -> Array:
        """`action` as the environment may see it."""
        return action


class CategoricalAgent(ActorCritic):
    """Actions 0 … A−1, drawn from softmax(logits)."""

    def logprob_and_entropy(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """See `ActorCritic`."""
        logprobs = self.actor(obs).log_softmax(-1)
        chosen = logprobs.gather(-1, action[:, None]).squeeze(-1)
        return chosen, -(logprobs.exp() * logprobs).sum(-1)

    def sampler(self, rng: np.random.Generator, num_envs: int, steps: int) -> Act:
        """See `ActorCritic`."""
        logits = numpy_forward(self.actor)
        uniform = _rows(lambda: rng.random((steps, num_envs), np.float32))
        return lambda obs: sample_categorical(logits(obs), next(uniform))

    def likeliest(self, obs: Array) -> Array:
        """See `ActorCritic`."""
        return numpy_forward(self.actor)(obs).argmax(-1)


class GaussianAgent(ActorCritic):
    """Vectors of `space`, drawn from a normal distribution with mean μ(s) and one standard deviation a dimension."""

    def __init__(
        self,
        inputs: int,
        space: gymnasium.spaces.Box,
        hidden: tuple[int, ...],
        orthogonal: bool,
        generator: torch.Generator,
        log_std: float = 0.0,
    ) -> None:
        super().__init__(inputs, box_size(space, "the action space"), hidden, orthogonal, generator)
        self.log_std = nn.Parameter(torch.full(space.shape, float(log_std)))
        self.low, self.high = space.low, space.high

    def logprob_and_entropy(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """See `ActorCritic`; `action` is the unclipped one."""
        mean = self.actor(obs)
        scaled = (action - mean) * (-self.log_std).exp()
        logprob = -0.5 * scaled.square() - self.log_std - 0.5 * math.log(2 * math.pi)
        entropy = (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return logprob.sum(-1), entropy.expand(len(mean))

    def sampler(self, rng: np.random.Generator, num_envs: int, steps: int) -> Act:
        """See `ActorCritic`."""
        mean = numpy_forward(self.actor)
        std = np.exp(self.log_std.detach().numpy())
        noise = _rows(lambda: rng.standard_normal((steps, num_envs, len(std)), np.float32))
        return lambda obs: mean(obs) + std * next(noise)

    def likeliest(self, obs: Array) -> Array:
        """See `ActorCritic`."""
        return numpy_forward(self.actor)(obs)

    def bounded(self, action: Array) -> Array:
        """`action` clipped to the action space."""
        return np.clip(action, self.low, self.high)


def _rows(draw: Callable[[], Array]) -> Iterator[Array]:
    """Endless rows of blocks: as many calls of the generator as steps would cost more than the policy."""
    while True:
        yield from draw()


def agent_for(envs: Spaces, hidden: tuple[int, ...], orthogonal: bool, seed: int, log_std: float = 0.0) -> ActorCritic:
    """The agent for the spaces of `envs`, its weights fixed by `seed`. Raises `InputError` for other spaces."""
    inputs = box_size(envs.single_observation_space, "the observation space")
    generator = torch.Generator().manual_seed(derive(seed, "weights"))
    space = envs.single_action_space
    if isinstance(space, gymnasium.spaces.Box):
        return GaussianAgent(inputs, space, hidden, orthogonal, generator, log_std)
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise InputError(f"the action space is {space}, and this algorithm needs Discrete or Box")
    if space.start != 0:
        raise InputError(f"the action space {space} does not start at 0; wrap the environment with TransformAction")
    return CategoricalAgent(inputs, int(space.n), hidden, orthogonal, generator)


class Rollout(NamedTuple):
    """What T steps of every environment gave, time first: (T, N, …). `action` is what was drawn, unclipped."""

    obs: Array
    final_obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array

    @property
    def done(self) -> Array:
        """Whether the episode ended, for either reason, (T, N) bool."""
        return self.terminated | self.truncated


class Batch(NamedTuple):
    """Rows for the update, (B, …): a flattened rollout, or a minibatch of it."""

    obs: Tensor
    action: Tensor
    logprob: Tensor
    advantage: Tensor
    return_: Tensor
    value: Tensor

    def rows(self, index: Tensor) -> Batch:
        """The rows `index`."""
        return Batch(*(column[index] for column in self))


def collect(
    envs: Environments,
    agent: ActorCritic,
    rng: np.random.Generator,
    training: Training,
    *,
    steps: int,
    episodes: int | None = None,
) -> Rollout:
    """Act with the current policy: `steps` steps of every environment, or until `episodes` have ended."""
    draw = agent.sampler(rng, envs.num_envs, steps)
    taken, ended = [], 0
    while len(taken) < steps if episodes is None else ended < episodes:
        obs = envs.obs.astype(np.float32, copy=False)
        action = draw(obs)
        step = envs.step(agent.bounded(action))
        training.advance(envs.num_envs, step.episodes)
        ended += len(step.episodes)
        final_obs = step.final_obs.astype(np.float32, copy=False)
        taken.append((obs, final_obs, action, step.reward, step.terminated, step.truncated))
    return Rollout(*(np.stack(column) for column in zip(*taken, strict=True)))


@torch.no_grad()
def values_along(agent: ActorCritic, rollout: Rollout, bootstrap_truncated: bool) -> tuple[Array, Array]:
    """V of every step's state and of where the step led, both (T, N).

    The second is zero where the step terminated, and where it was truncated unless `bootstrap_truncated`.
    """
    value_t = agent.value(torch.from_numpy(rollout.obs)).numpy()
    value_tp1 = np.concatenate([value_t[1:], np.zeros_like(value_t[:1])])
    # Where an episode was cut, and after the last step, the next row is not where the action led.
    led_elsewhere = rollout.truncated.copy()
    led_elsewhere[-1] = True
    value_tp1[led_elsewhere] = agent.value(torch.from_numpy(rollout.final_obs[led_elsewhere])).numpy()
    value_tp1[rollout.terminated if bootstrap_truncated else rollout.done] = 0.0
    return value_t, value_tp1


@torch.no_grad()
def make_batch(agent: ActorCritic, rollout: Rollout, gamma: float, gae_lambda: float, bootstrap: bool) -> Batch:
    """Log probabilities, values, GAE and returns (advantage + value) of a rollout, flattened in time-major order."""
    value_t, value_tp1 = values_along(agent, rollout, bootstrap)
    advantage = gae(rollout.reward, value_t, value_tp1, rollout.done, gamma, gae_lambda)
    obs, action = (torch.from_numpy(column).flatten(0, 1) for column in (rollout.obs, rollout.action))
    logprob, _ = agent.logprob_and_entropy(obs, action)
    columns = [torch.from_numpy(column).flatten() for column in (advantage, advantage + value_t, value_t)]
    return Batch(obs, action, logprob, *columns)


def standardised(advantage: Tensor) -> Tensor:
    """(A − mean) / (standard deviation + 1e-8), the deviation unbiased, over the rows given."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def explained_variance(value: Tensor, return_: Tensor) -> float:
    """1 − Var(G − V) / Var(G): 1 is a perfect critic, 0 one that predicts the mean; 0 where returns do not vary."""
    variance = return_.var(correction=0).item()
    return 1 - (return_ - value).var(correction=0).item() / variance if variance else 0.0


def policy(agent: ActorCritic, seed: int) -> Callable[[Array, bool], Array]:
    """The trained policy as a function of (N, inputs) and whether to take the likeliest action."""
    rng = np.random.default_rng(derive(seed, "act"))

    def act(obs: Array, deterministic: bool) -> Array:
        obs = obs.astype(np.float32, copy=False)
        action = agent.likeliest(obs) if deterministic else agent.sampler(rng, len(obs), 1)(obs)
        return agent.bounded(action)

    return act
