"""One protocol for every policy, ours or another library's: so many episodes, each from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from rlpath.core.seeding import derive
from rlpath.deep.parts.vec import EVALUATION_SEED, MakeEnv, make_env

Array = np.ndarray[Any, Any]
LONGEST = 10_000
"""Steps after which an episode is ended where its environment has no time limit."""


def evaluate_policy(
    act: Callable[[Array], Array], env: str | MakeEnv, *, episodes: int = 100, seed: int = EVALUATION_SEED
) -> Array:
    """Undiscounted returns of `episodes` episodes, (episodes,) float64; episode i starts from `seed` + i.

    `act` maps (N, *observation) to N actions. Every episode counts once and whole: environments are not reset when
    they end, so that short episodes are not over-represented. `env` is an id or a function that makes one; where
    there is no time limit, an episode is ended after `LONGEST` steps.
    """
    envs = [make_env(env) if isinstance(env, str) else env() for _ in range(episodes)]
    rows = [np.asarray(env.reset(seed=seed + i)[0]) for i, env in enumerate(envs)]
    returns = np.zeros(episodes)
    running = list(range(episodes))
    spec = envs[0].spec
    limited = spec is not None and spec.max_episode_steps is not None
    taken = 0
    while running and (limited or taken < LONGEST):
        taken += 1
        obs = np.stack([rows[i] for i in running])
        actions = act(obs.astype(np.float32) if obs.dtype == np.float64 else obs)
        ended = set()
        for i, action in zip(running, actions.tolist() if actions.ndim == 1 else actions, strict=True):
            rows[i], reward, terminated, truncated, _ = envs[i].step(action)
            returns[i] += float(reward)
            if terminated or truncated:
                ended.add(i)
        running = [i for i in running if i not in ended]
    for each in envs:
        each.close()
    return returns


class StochasticAgent(Protocol):
    """What draws its actions, or takes the greedy one."""

    def sampler(self, rng: np.random.Generator, num_envs: int, steps: int) -> Callable[[Array], Array]:
        """A function from observations, (N, inputs), to drawn actions."""
        ...

    def greedy_action(self, obs: Array) -> Array:
        """The action of each row without exploration."""
        ...

    def clip_action(self, action: Array) -> Array:
        """`action` as the environment may see it."""
        ...


def acting_policy(agent: StochasticAgent, seed: int) -> Callable[[Array, bool], Array]:
    """The trained policy as a function of (N, inputs) and whether to act greedily."""
    rng = np.random.default_rng(derive(seed, "act"))

    def act(obs: Array, deterministic: bool) -> Array:
        obs = obs.astype(np.float32, copy=False)
        action = agent.greedy_action(obs) if deterministic else agent.sampler(rng, len(obs), 1)(obs)
        return agent.clip_action(action)

    return act
