"""Environments of other packages, known by the beginning of their names and brought into the form of `vec.py`.

    MinAtar/Breakout-v1       channels first, 0 or 1; every episode is drawn from Gymnasium's generator
    MiniGrid-DoorKey-5x5-v0   the agent's view, one-hot, channels first; the mission's words are left out
    ALE/Pong-v5               after Machado et al. 2018 (arXiv:1709.06009): sticky actions, no signal at the loss of a
                              life; four frames a step, gray, 84 × 84, the last four stacked

MuJoCo's environments are vectors and registered by Gymnasium: HalfCheetah-v5 needs no more than its package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random

from rlpath.core.errors import InputError

Array = np.ndarray[Any, Any]
Env = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class Suite:
    """A package: what must be imported, the wrappers around an environment, and the arguments it is made with."""

    package: str
    wrap: Callable[[Env], Env]
    options: dict[str, Any]
    register: Callable[[Any], None] = lambda package: None


class Reseeded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Resets with a seed always, drawn from `np_random` where none is given.

    For environments with a generator of their own: an episode then follows from the state of Gymnasium's generator,
    so that a run can be saved in its middle.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See `gymnasium.Env.reset`."""
        env = self.env.unwrapped
        seed = int(env.np_random.integers(2**31)) if seed is None else seed
        if (game := getattr(env, "game", None)) is not None:
            game.last_action = 0  # MinAtar repeats the last action now and then, even the last of another episode
        first = self.env.reset(seed=seed, options=options)
        env.np_random = np_random(seed)[0]
        return first


class ChannelsFirst(gymnasium.ObservationWrapper[Any, Any, Any]):
    """(height, width, channels) of 0 and 1 as (channels, height, width) uint8."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        height, width, channels = env.observation_space.shape or (0, 0, 0)
        self.observation_space = gymnasium.spaces.Box(0, 1, (channels, height, width), np.uint8)

    def observation(self, observation: Any) -> Array:
        """The image turned."""
        return np.ascontiguousarray(np.moveaxis(observation, -1, 0), dtype=np.uint8)


def _minigrid(env: Env) -> Env:
    wrappers: Any = importlib.import_module("minigrid.wrappers")
    return ChannelsFirst(wrappers.ImgObsWrapper(wrappers.OneHotPartialObsWrapper(env)))


def _atari(env: Env) -> Env:
    frames = gymnasium.wrappers.AtariPreprocessing(Reseeded(env), noop_max=0)
    return gymnasium.wrappers.FrameStackObservation(frames, 4)


SUITES = {
    "MinAtar/": Suite(
        "minatar.gym", lambda env: ChannelsFirst(Reseeded(env)), {}, lambda package: package.register_envs()
    ),
    "MiniGrid-": Suite("minigrid", _minigrid, {}),
    "ALE/": Suite("ale_py", _atari, {"frameskip": 1, "repeat_action_probability": 0.25}, gymnasium.register_envs),
}


def suite_of(env_id: str) -> Suite | None:
    """The suite of `env_id`, its environments registered; None for any other environment.

    Raises `InputError` where its package is not installed.
    """
    start = next((start for start in SUITES if env_id.startswith(start)), None)
    if start is None:
        return None
    suite = SUITES[start]
    try:
        package = importlib.import_module(suite.package)
    except ModuleNotFoundError as why:
        raise InputError(f"{env_id} needs {why.name}: pip install 'rlpath[envs]'") from None
    if not any(name.startswith(start) for name in gymnasium.registry):
        suite.register(package)
    return suite
