"""The environments of several seeds stepped as one, for algorithms that train all seeds in one process.

Every array of `vec.Step` has the seeds in front, (K, N, …). Seed s has exactly the environments that
`vec.VectorEnv(env_id, num_envs, s)` would give it: same resets, same steps, bit for bit, whoever its neighbors are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rlpath.deep.batched.cartpole import CartPoles, is_cartpole
from rlpath.deep.parts.training import Stateful
from rlpath.deep.parts.vec import Spaces, Step, VectorEnv, make_env

Array = np.ndarray[Any, Any]


class SeedEnvs(Spaces, Protocol):
    """N copies of an environment for each of K seeds."""

    @property
    def obs(self) -> Array:
        """What to act on next, (K, N, *observation)."""
        ...

    @property
    def parts(self) -> Sequence[Stateful]:
        """The copies of each seed, as its checkpoint holds them."""
        ...

    def step(self, actions: Array) -> Step:
        """Take `actions`, (K, N); `Step.episodes` are in the order of `Step.done.ravel()`."""
        ...

    def close(self) -> None:
        """Free what the environments hold."""
        ...


class LoopedEnvs:
    """Any environment: each seed's `VectorEnv`, one after another."""

    def __init__(self, env_id: str, num_envs: int, seeds: Sequence[int]) -> None:
        self.parts = [VectorEnv(env_id, num_envs, seed) for seed in seeds]
        self.single_observation_space = self.parts[0].single_observation_space
        self.single_action_space = self.parts[0].single_action_space

    @property
    def obs(self) -> Array:
        """What to act on next, (K, N, *observation)."""
        return np.stack([envs.obs for envs in self.parts])

    def step(self, actions: Array) -> Step:
        """Take `actions`, (K, N); see `SeedEnvs.step`."""
        steps = [envs.step(row) for envs, row in zip(self.parts, actions, strict=True)]
        obs, final_obs, reward, terminated, truncated = (
            np.stack([getattr(step, name) for step in steps])
            for name in ("obs", "final_obs", "reward", "terminated", "truncated")
        )
        episodes = [episode for step in steps for episode in step.episodes]
        return Step(obs, final_obs, reward, terminated, truncated, episodes)

    def close(self) -> None:
        """Close every copy."""
        for envs in self.parts:
            envs.close()


def make_seed_envs(env_id: str, num_envs: int, seeds: Sequence[int]) -> SeedEnvs:
    """`num_envs` copies of `env_id` for each seed: CartPole as arrays, anything else in a loop.

    Raises `InputError` where there is no such environment.
    """
    make_env(env_id).close()
    return CartPoles(env_id, num_envs, seeds) if is_cartpole(env_id) else LoopedEnvs(env_id, num_envs, seeds)
