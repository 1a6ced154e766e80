"""Proximal policy optimization for continuous actions: `rlpath.deep.ppo` with another policy and another scale.

    π(a|s) = Π_i Normal(a_i; μ_i(s), σ_i)          log σ: one learned number a dimension, the same in every state
    log π  = Σ_i −½((a_i − μ_i)/σ_i)² − log σ_i − ½ log 2π          entropy = Σ_i log σ_i + ½ log 2πe

Losses, updates, switches and the table of differences between CleanRL and Stable-Baselines3 are those of
`rlpath/deep/ppo.py`. What continuous control adds, after Huang et al. 2022; each can be switched off:
    a Gaussian policy whose deviation does not depend on the state     `GaussianAgent`
    the action is clipped where the environment sees it; the loss    `collect` in ppo.py
    is of the action that was drawn
    observations and rewards are normalized and clipped to ±10       `NormalizedEnvs` in normalize.py

Where the two libraries differ here:
    what                              CleanRL                  Stable-Baselines3             here
    normalization                     every environment its    VecNormalize: one for all,    normalize
                                      own statistics           where it is asked for
    initial log σ                     0                        0 unless set                  log_std
    noise that depends on the state   no                       on request (gSDE)             no
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.deep.parts.evaluate import acting_policy
from rlpath.deep.parts.networks import MakeNetwork, endless_rows, numpy_forward
from rlpath.deep.parts.normalize import Normalize, NormalizedEnvs, make_envs
from rlpath.deep.parts.training import Result, box_size, require_space
from rlpath.deep.parts.vec import Environments, MakeEnv, Spaces
from rlpath.deep.ppo import Act, Agent, iterate
from rlpath.deep.ppo import Args as Discrete
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Args(Discrete):
    """CleanRL's defaults for continuous control, with bootstrapped truncations."""

    env_id: str = "Pendulum-v1"
    total_timesteps: int = 1_000_000
    learning_rate: float = 3e-4
    num_envs: int = 1
    num_steps: int = 2048
    num_minibatches: int = 32
    update_epochs: int = 10
    ent_coef: float = 0.0
    normalize: Normalize = "per_env"
    """Statistics that observations and rewards are normalized by: per_env (CleanRL), shared (VecNormalize), none."""
    log_std: float = 0.0
    """Logarithm of the standard deviation at the start."""


class GaussianAgent(Agent):
    """Vectors drawn from a normal distribution with mean μ(s) and one standard deviation a dimension.

    A drawn vector is stored as it is, and clipped to the action space where the environment sees it.
    """

    def __init__(
        self,
        envs: Spaces,
        hidden: Sequence[int],
        orthogonal: bool,
        seed: int,
        make_network: MakeNetwork | None = None,
        log_std: float = 0.0,
    ) -> None:
        super().__init__(envs, hidden, orthogonal, seed, make_network)
        space = require_space(envs.single_action_space, gymnasium.spaces.Box, "the action space", "use ppo")
        self.log_std = nn.Parameter(torch.full(space.shape, float(log_std)))
        self.low, self.high = space.low, space.high

    def outputs(self, envs: Spaces) -> int:
        """One mean a dimension."""
        return box_size(envs.single_action_space, "the action space")

    def logprob_and_entropy(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """See `Agent`; `action` is the unclipped one."""
        mean = self.actor(obs)
        scaled = (action - mean) * (-self.log_std).exp()
        logprob = -0.5 * scaled.square() - self.log_std - 0.5 * math.log(2 * math.pi)
        entropy = (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return logprob.sum(-1), entropy.expand(len(mean))

    def sampler(self, rng: np.random.Generator, num_envs: int, steps: int) -> Act:
        """See `Agent`."""
        mean = numpy_forward(self.actor)
        std = np.exp(self.log_std.detach().numpy())
        noise = endless_rows(lambda: rng.standard_normal((steps, num_envs, len(std)), np.float32))
        return lambda obs: mean(obs) + std * next(noise)

    def greedy_action(self, obs: Array) -> Array:
        """μ(s) of each row, (N, inputs) → (N, *action)."""
        return numpy_forward(self.actor)(obs)

    def clip_action(self, action: Array) -> Array:
        """`action` clipped to the action space."""
        return np.clip(action, self.low, self.high)


def agent_for(
    envs: Spaces,
    hidden: Sequence[int],
    orthogonal: bool,
    seed: int,
    log_std: float = 0.0,
    make_network: MakeNetwork | None = None,
) -> Agent:
    """The agent for the spaces of `envs`, its weights fixed by `seed`. Raises `InputError` for other spaces."""
    space = envs.single_action_space
    if isinstance(space, gymnasium.spaces.Box):
        return GaussianAgent(envs, hidden, orthogonal, seed, make_network, log_std)
    if not isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        raise InputError(f"the action space is {space}, and this algorithm needs Discrete, MultiDiscrete or Box")
    return Agent(envs, hidden, orthogonal, seed, make_network)


def train(
    args: Args,
    run: RunFolder | None = None,
    *,
    make_env: MakeEnv | None = None,
    make_network: MakeNetwork | None = None,
) -> Result:
    """Train `args.total_timesteps` steps, rounded down to whole rollouts; see `rlpath.deep.ppo.train`.

    `Result.act` takes the environment's own observations: it normalizes them by the statistics of the training.
    """
    args.check()
    envs = make_envs(make_env or args.env_id, args.num_envs, args.seed, args.normalize, args.gamma)
    remedy = "use ppo for discrete actions"
    require_space(envs.single_action_space, gymnasium.spaces.Box, "the action space", remedy)
    agent = agent_for(envs, args.hidden, args.orthogonal_init, args.seed, args.log_std, make_network)
    training = iterate(args, envs, agent, run)
    return training.result(agent, policy_on(envs, agent, args.seed))


def policy_on(envs: Environments, agent: Agent, seed: int) -> Callable[[Array, bool], Array]:
    """The trained policy as a function of raw observations, (N, inputs), and whether to act greedily."""
    act = acting_policy(agent, seed)
    if isinstance(envs, NormalizedEnvs):
        return lambda obs, deterministic: act(envs.for_evaluation(obs), deterministic)
    return act
