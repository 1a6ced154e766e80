"""Observations and rewards brought to one scale as they come, by statistics that a checkpoint keeps.

Two rules are in use, and they are not the same:
    shared    one mean and variance for all environments, as Stable-Baselines3's VecNormalize: only observations that
              are acted on count, and a return starts again at every episode's end
    per_env   one for each environment, as the wrappers of Gymnasium that CleanRL puts around it: final observations
              count too, and a truncation does not restart the return
Observations become (x − mean) / sqrt(variance + 1e-8), rewards r / sqrt(variance of the discounted return + 1e-8), both
clipped to ±10. Episodes are counted in the environment's own rewards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import numpy as np

from rlpath.deep.parts.vec import Environments, MakeEnv, Step, VectorEnv

Array = np.ndarray[Any, Any]
Normalize = Literal["none", "shared", "per_env"]
EPSILON = 1e-8
CLIP = 10.0


def make_envs(make: str | MakeEnv, num_envs: int, seed: int, normalize: Normalize, gamma: float) -> Environments:
    """`VectorEnv`, normalized unless `normalize` is none. Raises `InputError` as `VectorEnv` does."""
    envs = VectorEnv(make, num_envs, seed)
    return envs if normalize == "none" else NormalizedEnvs(envs, gamma, shared=normalize == "shared")


class Moments:
    """Running mean and variance, elementwise over `shape`, of rows merged in groups (Chan et al. 1979)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean = np.zeros(shape)
        self.variance = np.ones(shape)
        # Not zero, so that the first group can be merged; both libraries begin so.
        self.count = np.full(shape, 1e-4)

    def merge(self, mean: Array, variance: Array, count: Array | float, rows: Any = ...) -> None:
        """Add a group of `count` members with this mean and variance; with `rows`, to these entries alone."""
        before = self.count[rows]
        total = before + count
        change = mean - self.mean[rows]
        squares = self.variance[rows] * before + variance * count + np.square(change) * before * count / total
        self.mean[rows] += change * count / total
        self.variance[rows] = squares / total
        self.count[rows] = total

    def add(self, x: Array) -> None:
        """Add the rows of (N, *shape)."""
        self.merge(x.mean(0), x.var(0), len(x))

    def pooled(self) -> Moments:
        """One set of moments for all that the rows of these have seen: (N, *shape) → (*shape)."""
        together = Moments(self.mean.shape[1:])
        for mean, variance, count in zip(self.mean, self.variance, self.count, strict=True):
            together.merge(mean, variance, count)
        return together

    def normalize(self, x: Array) -> Array:
        """(x − mean) / deviation, clipped, float32."""
        return np.clip((x - self.mean) / np.sqrt(self.variance + EPSILON), -CLIP, CLIP).astype(np.float32)

    def scale(self, x: Array) -> Array:
        """x / deviation, clipped, float32."""
        return np.clip(x / np.sqrt(self.variance + EPSILON), -CLIP, CLIP).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Mean, variance and count."""
        return {"mean": self.mean.tolist(), "variance": self.variance.tolist(), "count": self.count.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from them."""
        self.mean, self.variance, self.count = (np.asarray(state[name]) for name in ("mean", "variance", "count"))


class NormalizedEnvs:
    """`envs` with normalized observations and rewards; `gamma` is the discount of the return that scales rewards."""

    def __init__(self, envs: Environments, gamma: float, *, shared: bool) -> None:
        self.envs = envs
        self.num_envs = envs.num_envs
        shape = envs.single_observation_space.shape or ()
        self.single_observation_space: gymnasium.Space[Any] = gymnasium.spaces.Box(-CLIP, CLIP, shape, np.float32)
        self.single_action_space = envs.single_action_space
        self.gamma = gamma
        self.shared = shared
        own = () if shared else (envs.num_envs,)
        self.of_obs = Moments((*own, *shape))
        self.of_return = Moments(own)
        self._return = np.zeros(envs.num_envs)
        self._observe(envs.obs)
        self.obs = self.of_obs.normalize(envs.obs)

    def step(self, actions: Array) -> Step:
        """Take `actions` in the environments; the step's observations and rewards are normalized."""
        step = self.envs.step(actions)
        if self.shared:
            self._observe(step.obs)
            final_obs = self.of_obs.normalize(step.final_obs)
        else:
            self._observe(step.final_obs)
            final_obs = self.of_obs.normalize(step.final_obs)
            if step.done.any():
                self._observe(step.obs, step.done)
        self.obs = self.of_obs.normalize(step.obs)
        return Step(self.obs, final_obs, self._reward(step), step.terminated, step.truncated, step.episodes)

    def _observe(self, obs: Array, rows: Any = ...) -> None:
        if self.shared:
            self.of_obs.add(obs)
        else:
            self.of_obs.merge(obs[rows], np.zeros_like(obs[rows]), 1, rows)

    def _reward(self, step: Step) -> Array:
        if self.shared:
            self._return = self._return * self.gamma + step.reward
            self.of_return.add(self._return)
            self._return[step.done] = 0.0
        else:
            # A step that terminates drops what went before it, not what comes after: so do Gymnasium's wrappers.
            self._return = self._return * self.gamma * (1 - step.terminated) + step.reward
            self.of_return.merge(self._return, np.zeros(self.num_envs), 1)
        return self.of_return.scale(step.reward)

    def for_evaluation(self, obs: Array) -> Array:
        """Observations of any number of environments, normalized by what training has seen in all of its own."""
        return (self.of_obs if self.shared else self.of_obs.pooled()).normalize(obs)

    def state_dict(self) -> dict[str, Any]:
        """The environments' state, the statistics and the returns so far."""
        return {
            "envs": self.envs.state_dict(),
            "of_obs": self.of_obs.state_dict(),
            "of_return": self.of_return.state_dict(),
            "return": self._return.tolist(),
            "obs": self.obs.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.envs.load_state_dict(state["envs"])
        self.of_obs.load_state_dict(state["of_obs"])
        self.of_return.load_state_dict(state["of_return"])
        self._return = np.asarray(state["return"])
        self.obs = np.asarray(state["obs"], np.float32)

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()
