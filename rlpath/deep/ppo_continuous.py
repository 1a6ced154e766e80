"""Proximal policy optimisation for continuous actions: `rlpath.deep.ppo` with another policy and another scale.

    π(a|s) = Π_i Normal(a_i; μ_i(s), σ_i)          log σ: one learnt number a dimension, the same in every state
    log π  = Σ_i −½((a_i − μ_i)/σ_i)² − log σ_i − ½ log 2π          entropy = Σ_i log σ_i + ½ log 2πe

Losses, updates, switches and the table of differences between CleanRL and Stable-Baselines3 are those of
`rlpath/deep/ppo.py`. What continuous control adds, after Huang et al. 2022; each can be switched off:
    a normal policy whose deviation does not depend on the state     `GaussianAgent` in actor_critic.py
    the action is clipped where the environment sees it; the loss    `collect` in actor_critic.py
    is of the action that was drawn
    observations and rewards are normalised and clipped to ±10       `Normalised` in normalise.py

Where the two libraries differ here:
    what                              CleanRL                  Stable-Baselines3             here
    normalisation                     every environment its    VecNormalize: one for all,    normalize
                                      own statistics           where it is asked for
    initial log σ                     0                        0 unless set                  log_std
    noise that depends on the state   no                       on request (gSDE)             no
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from rlpath.deep.parts.actor_critic import ActorCritic, agent_for, policy
from rlpath.deep.parts.normalize import Normalised, Normalize, make_envs
from rlpath.deep.parts.training import Result, require_space
from rlpath.deep.parts.vec import Environments
from rlpath.deep.ppo import Args as Discrete
from rlpath.deep.ppo import iterate
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
    """Statistics that observations and rewards are normalised by: per_env (CleanRL), shared (VecNormalize), none."""
    log_std: float = 0.0
    """Logarithm of the standard deviation at the start."""


def train(args: Args, run: RunFolder | None = None) -> Result:
    """Train `args.total_timesteps` steps, rounded down to whole rollouts; see `rlpath.deep.ppo.train`.

    `Result.act` takes the environment's own observations: it normalises them by the statistics of the training.
    """
    args.check()
    envs = make_envs(args.env_id, args.num_envs, args.seed, args.normalize, args.gamma)
    remedy = "use ppo for discrete actions"
    require_space(envs.single_action_space, gymnasium.spaces.Box, "the action space", remedy)
    agent = agent_for(envs, args.hidden, args.orthogonal_init, args.seed, args.log_std)
    training = iterate(args, envs, agent, run)
    return training.result(agent, policy_on(envs, agent, args.seed))


def policy_on(envs: Environments, agent: ActorCritic, seed: int) -> Callable[[Array, bool], Array]:
    """The trained policy as a function of raw observations, (N, inputs), and whether to take the likeliest action."""
    act = policy(agent, seed)
    if isinstance(envs, Normalised):
        return lambda obs, deterministic: act(envs.for_evaluation(obs), deterministic)
    return act
