"""CartPole as arrays: the copies of several seeds in one step, with the bits of Gymnasium's own.

Gymnasium's vector CartPole cannot stand in for copies of its scalar one: it draws every reset from a single generator
and resets by NEXT_STEP. Here each copy keeps its generator, seeded as `vec.VectorEnv` seeds it, and an episode that
ends is reset in the same step. The arithmetic is Gymnasium's, operation by operation in float64 (Barto, Sutton and
Anderson 1983), and its constants are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.utils.seeding import np_random

from rlpath.core.errors import InputError
from rlpath.deep.parts.vec import Episode, Step, make_env, reset_seeds

Array = np.ndarray[Any, Any]


def is_cartpole(env_id: str) -> bool:
    """Whether the registered `env_id` is Gymnasium's CartPole with nothing changed but its time limit."""
    spec = gymnasium.spec(env_id.rpartition(":")[2])
    own = f"{CartPoleEnv.__module__}:{CartPoleEnv.__qualname__}"
    changed = spec.kwargs or spec.additional_wrappers or spec.max_episode_steps is None
    return spec.entry_point == own and not changed


class CartPoles:
    """N CartPoles for each of K seeds; each draws its resets from the generator that `reset_seed` seeds.

    `obs` is (K, N, 4) float32. Rewards are 1 a step, so an episode's return is its length.
    """

    def __init__(self, env_id: str, num_envs: int, seeds: Sequence[int]) -> None:
        env = make_env(env_id)
        assert isinstance(env.unwrapped, CartPoleEnv) and env.spec is not None and env.spec.max_episode_steps
        self.constants = env.unwrapped
        self.limit = env.spec.max_episode_steps
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.shape = (len(seeds), num_envs)
        self.generators = [np_random(own)[0] for seed in seeds for own in reset_seeds(seed, num_envs)]
        # x, its velocity, the pole's angle, its velocity, each (K·N,) float64.
        self.state = np.stack([self._start(i) for i in range(len(self.generators))], axis=1)
        self.length = np.zeros(len(self.generators), np.int64)
        self.parts = [_Part(self, slice(k * num_envs, (k + 1) * num_envs)) for k in range(len(seeds))]
        self.obs = self._observe()

    def step(self, actions: Array) -> Step:
        """Push every cart left (0) or right (1), (K, N) integers; an episode that ends is reset in the same step."""
        self._move(actions.ravel())
        self.length += 1
        terminated = self._fallen()
        truncated = self.length >= self.limit
        final_obs = obs = self._observe()
        episodes = []
        if (done := terminated | truncated).any():
            for i in np.flatnonzero(done).tolist():
                length = int(self.length[i])
                episodes.append(Episode(float(length), length))
                self.state[:, i] = self._start(i)
                self.length[i] = 0
            obs = self._observe()
        self.obs = obs
        reward = np.ones(self.shape, np.float32)
        return Step(obs, final_obs, reward, terminated.reshape(self.shape), truncated.reshape(self.shape), episodes)

    def _move(self, actions: Array) -> None:
        """One Euler step of the equations of motion, each operation in Gymnasium's order."""
        c = self.constants
        _, x_dot, theta, theta_dot = self.state
        force = np.where(actions == 1, c.force_mag, -c.force_mag)
        costheta, sintheta = np.cos(theta), np.sin(theta)
        temp = (force + c.polemass_length * np.square(theta_dot) * sintheta) / c.total_mass
        thetaacc = (c.gravity * sintheta - costheta * temp) / (
            c.length * (4.0 / 3.0 - c.masspole * np.square(costheta) / c.total_mass)
        )
        xacc = temp - c.polemass_length * thetaacc * costheta / c.total_mass
        rate = np.empty_like(self.state)
        rate[0], rate[1], rate[2], rate[3] = x_dot, xacc, theta_dot, thetaacc
        self.state += c.tau * rate

    def _fallen(self) -> Array:
        c = self.constants
        x, _, theta, _ = self.state
        return (np.abs(x) > c.x_threshold) | (np.abs(theta) > c.theta_threshold_radians)

    def _start(self, i: int) -> Array:
        """A new episode of copy i, (4,)."""
        return self.generators[i].uniform(low=-0.05, high=0.05, size=(4,))

    def _observe(self) -> Array:
        return self.state.T.astype(np.float32, order="C").reshape(*self.shape, 4)

    def close(self) -> None:
        """Nothing is held."""


class _Part:
    """The copies of one seed, as its checkpoint holds them."""

    def __init__(self, envs: CartPoles, copies: slice) -> None:
        self.envs = envs
        self.copies = copies

    def state_dict(self) -> dict[str, Any]:
        """State, length of the episode so far and generator of each copy."""
        return {
            "state": self.envs.state[:, self.copies].tolist(),
            "length": self.envs.length[self.copies].tolist(),
            "generators": [generator.bit_generator.state for generator in self.envs.generators[self.copies]],
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from it."""
        generators = self.envs.generators[self.copies]
        if len(state["generators"]) != len(generators):
            raise InputError(f"the saved run has {len(state['generators'])} environments, this one {len(generators)}")
        self.envs.state[:, self.copies] = state["state"]
        self.envs.length[self.copies] = state["length"]
        for generator, saved in zip(generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
        self.envs.obs = self.envs._observe()
