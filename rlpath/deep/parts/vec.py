"""Several copies of an environment stepped together, with one unambiguous rule for the end of an episode.

Gymnasium has three rules ("autoreset modes"), and an algorithm written for one learns wrong transitions under another.
Here there is one, SAME_STEP: the step that ends an episode also resets it. `Step.obs` is what to act on next (the new
episode's first observation where one has ended) and `Step.final_obs` is where the action led, so nothing has to be
fished out of an info dictionary: a truncated state bootstraps from `final_obs`, a replay buffer stores `final_obs`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from rlpath.core.errors import InputError
from rlpath.deep.parts.suites import suite_of

Array = np.ndarray[Any, Any]
ENDLESS = 100_000
"""Steps without the end of an episode after which an algorithm that needs whole ones gives up."""
MakeEnv = Callable[[], "gymnasium.Env[Any, Any]"]
"""Makes one copy of an environment, wrapped as the user likes."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished training episode: its undiscounted return and its length in steps."""

    return_: float
    length: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of N environments gave. Arrays have N rows.

    obs: what to act on next, float or integer, (N, *observation)
    final_obs: where the action led, before any reset; equal to `obs` where the episode goes on
    reward: (N,) float32
    terminated: (N,) bool, the task has ended: the value of `final_obs` is zero
    truncated: (N,) bool, only the clock ran out: the value of `final_obs` is that of any other state
    episodes: those that ended in this step, in the order of the environments
    """

    obs: Array
    final_obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    episodes: list[Episode]

    @property
    def done(self) -> Array:
        """Whether the episode ended, for either reason, (N,) bool."""
        return self.terminated | self.truncated


class Spaces(Protocol):
    """What one copy of an environment shows, and what it takes."""

    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]


class Environments(Spaces, Protocol):
    """What the algorithms need of a vector environment."""

    num_envs: int
    obs: Array

    def step(self, actions: Array) -> Step:
        """Take one action in each environment."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on with the same bits."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        ...

    def close(self) -> None:
        """Free what the environments hold."""
        ...


def make_env(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """The registered environment `env_id`; raises `InputError` with the nearest names where there is none.

    `my_module:MyEnv-v0` imports `my_module` first, which registers it; it may lie in the current folder. Environments
    of `suites.py` come in the wrappers given there. `options` go to the environment: render_mode, and its own.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        _import(module, env_id)
    suite = suite_of(name)
    if name not in gymnasium.registry:
        known = [other for other in gymnasium.registry if ("/" in other) == ("/" in name)]
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "see gymnasium.pprint_registry()"
        raise InputError(f"there is no environment {env_id!r}; {hint}")
    try:
        env = gymnasium.make(name, disable_env_checker=True, **(suite.options if suite else {}), **options)
        return suite.wrap(env) if suite else env
    except gymnasium.error.Error as why:
        raise InputError(f"environment {env_id} cannot be made: {why}") from None


def _import(module: str, env_id: str) -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as why:
        raise InputError(f"environment {env_id}: {why}; run from the folder that holds it, or install it") from None


EVALUATION_SEED = 10_000
"""The final evaluation's first reset seed, the one after it the next episode's, and so on."""
TRAINING_SEEDS, MOST_COPIES = 1_000_000, 4096


def reset_seed(seed: int, copy: int) -> int:
    """The number that copy `copy` of a run's `seed` is first reset with, and no other run's copy nor an evaluation.

    Copy 0 takes the seed itself where it lies below the evaluation's, which begin at 10,000; every other copy has a
    number of its own above them. (seed + copy would give seeds k and k + 1 all start states but one in common, and
    intervals over seeds assume independence.)
    """
    if copy == 0 and seed < EVALUATION_SEED:
        return seed
    return TRAINING_SEEDS + seed * MOST_COPIES + copy


def reset_seeds(seed: int, num_envs: int) -> list[int]:
    """`reset_seed` of every copy. Raises `InputError` for a number of copies below 1 or above 4,096."""
    if not 1 <= num_envs <= MOST_COPIES:
        limit = "at least 1" if num_envs < 1 else f"at most {MOST_COPIES}"
        raise InputError(f"num_envs must be {limit}, got {num_envs}")
    return [reset_seed(seed, copy) for copy in range(num_envs)]


class VectorEnv:
    """N copies of an environment in this process, first reset with `reset_seed`; the first `obs` is there at once.

    `make` is an environment's id or a function that makes one. Observations keep their space's type, except that
    float64 becomes float32. Rewards are float32; returns are summed in float64.

    A copy's state is the state of its generator at its last reset and the actions since: any deterministic
    environment is restored by playing them again, Box2D's worlds too, which cannot be pickled.
    """

    def __init__(self, make: str | MakeEnv, num_envs: int, seed: int) -> None:
        seeds = reset_seeds(seed, num_envs)
        build = (lambda: make_env(make)) if isinstance(make, str) else make
        self._build = build
        self.envs = [build() for _ in range(num_envs)]
        self.num_envs = num_envs
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        if self.single_observation_space.shape is None:
            remedy = "wrap the environment with gymnasium.wrappers.FlattenObservation"
            raise InputError(f"{self._name()} observes {self.single_observation_space}, which is no array; {remedy}")
        self.obs = self._empty()
        self._starts: list[Any] = [*seeds]
        self._actions: list[list[Any]] = [[] for _ in range(num_envs)]
        self._returns = np.zeros(num_envs)
        for i, env in enumerate(self.envs):
            self.obs[i] = env.reset(seed=seeds[i])[0]

    def step(self, actions: Array) -> Step:
        """Take `actions`, (N,) integers or (N, *action) floats; an episode that ends is reset in the same step."""
        # Actions are copied: what is kept for a replay must be what the environment saw.
        actions = actions.astype(self.single_action_space.dtype, casting="same_kind")
        # A row of its own for every step: the caller may keep it.
        obs = self._empty()
        final_obs = obs
        reward = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, bool)
        truncated = np.zeros(self.num_envs, bool)
        episodes: list[Episode] = []
        # Python numbers where actions are integers: environments compare and index with them.
        for i, action in enumerate(actions.tolist() if actions.ndim == 1 else actions):
            row, gained, ended, cut, _ = self.envs[i].step(action)
            obs[i] = row
            reward[i], terminated[i], truncated[i] = gained, ended, cut
            self._actions[i].append(action)
            self._returns[i] += float(gained)
            if ended or cut:
                if final_obs is obs:
                    final_obs = obs.copy()
                final_obs[i] = row
                episodes.append(Episode(float(self._returns[i]), len(self._actions[i])))
                obs[i] = self._restart(i)
            elif final_obs is not obs:
                final_obs[i] = row
        self.obs = obs
        return Step(obs, final_obs, reward, terminated, truncated, episodes)

    def _restart(self, i: int) -> Array:
        env = self.envs[i]
        self._starts[i] = env.unwrapped.np_random.bit_generator.state
        self._actions[i] = []
        self._returns[i] = 0.0
        return env.reset()[0]

    def _empty(self) -> Array:
        space = self.single_observation_space
        dtype = np.float32 if space.dtype == np.float64 else space.dtype
        return np.empty((self.num_envs, *(space.shape or ())), dtype)

    def state_dict(self) -> dict[str, Any]:
        """Per copy: the start of its episode (a seed or a generator's state) and the actions since."""
        actions = [[_plain(action) for action in history] for history in self._actions]
        reached = {"obs": self.obs.tolist(), "returns": self._returns.tolist()}
        return {"starts": list(self._starts), "actions": actions, **reached}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play every copy's episode again; raises `InputError` where that leads elsewhere than it did."""
        if len(state["starts"]) != self.num_envs:
            raise InputError(f"the saved run has {len(state['starts'])} environments, this one {self.num_envs}")
        for i, (start, actions) in enumerate(zip(state["starts"], state["actions"], strict=True)):
            self._replay(i, start, actions)
        same = np.array_equal(self.obs, np.asarray(state["obs"], self.obs.dtype), equal_nan=True)
        if not same or self._returns.tolist() != state["returns"]:
            remedy = "its runs cannot be resumed, set checkpoint_every to 0"
            raise InputError(f"{self._name()} does not repeat itself from its generator's state: {remedy}")

    def check_repeatable(self) -> None:
        """Raise `InputError` where an episode cannot be played again from its generator's state, on fresh copies."""
        first, second = self._build(), self._build()
        remedy = "its runs cannot be resumed, set checkpoint_every to 0"
        first.reset(seed=0)
        state = first.unwrapped.np_random.bit_generator.state
        try:
            json.dumps(state)
        except TypeError:
            raise InputError(f"{self._name()} has a generator whose state cannot be saved: {remedy}") from None
        second.unwrapped.np_random.bit_generator.state = state
        first.action_space.seed(0)
        rows = [(first.reset()[0], second.reset()[0])]
        for _ in range(3):
            action = first.action_space.sample()
            one, other = first.step(action), second.step(action)
            rows.append((one[0], other[0]))
            if one[2] or one[3] or other[2] or other[3]:
                break
        if not all(np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True) for one, other in rows):
            raise InputError(f"{self._name()} does not repeat itself from its generator's state: {remedy}")
        first.close()
        second.close()

    def _name(self) -> str:
        spec = self.envs[0].spec
        return spec.id if spec else type(self.envs[0].unwrapped).__name__

    def _replay(self, i: int, start: Any, actions: list[Any]) -> None:
        env = self.envs[i]
        if isinstance(start, int):
            row = env.reset(seed=start)[0]
        else:
            env.unwrapped.np_random.bit_generator.state = start
            row = env.reset()[0]
        self._starts[i], self._actions[i], self._returns[i] = start, [], 0.0
        for saved in actions:
            action = np.asarray(saved, self.single_action_space.dtype) if isinstance(saved, list) else saved
            row, gained, *_ = env.step(action)
            self._actions[i].append(action)
            self._returns[i] += float(gained)
        self.obs[i] = row

    def close(self) -> None:
        """Close every copy."""
        for env in self.envs:
            env.close()


def _plain(action: Any) -> Any:
    return action.tolist() if isinstance(action, np.ndarray) else action


def _narrow(obs: Array) -> Array:
    return obs.astype(np.float32) if obs.dtype == np.float64 else obs.copy()


class GymnasiumVectorEnv:
    """A vector environment of Gymnasium's or of another package, under the rule of this module.

    Raises `InputError` unless it declares SAME_STEP: under NEXT_STEP (Gymnasium's default) every episode's end is
    followed by a row whose action is ignored, which these algorithms would learn from.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv[Any, Any, Any], seed: int) -> None:
        mode = envs.metadata.get("autoreset_mode")
        if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value):
            remedy = "make it with vector_kwargs={'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP}"
            raise InputError(f"the vector environment resets by {mode}, not by SAME_STEP; {remedy}")
        self.envs = envs
        self.num_envs = envs.num_envs
        self.single_observation_space = envs.single_observation_space
        self.single_action_space = envs.single_action_space
        seeds: Any = reset_seeds(seed, envs.num_envs)  # Gymnasium takes a list, and declares one number
        self.obs = _narrow(envs.reset(seed=seeds)[0])
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, int)

    def step(self, actions: Array) -> Step:
        """Take `actions`; see `VectorEnv.step`."""
        wide, reward, terminated, truncated, info = self.envs.step(actions)
        obs = _narrow(wide)
        done = terminated | truncated
        final_obs = obs
        if done.any():
            final_obs = obs.copy()
            for i in np.flatnonzero(done):
                final_obs[i] = info["final_obs"][i]
        self._returns += reward
        self._lengths += 1
        ended = [Episode(float(self._returns[i]), int(self._lengths[i])) for i in np.flatnonzero(done)]
        self._returns[done], self._lengths[done] = 0.0, 0
        self.obs = obs
        return Step(obs, final_obs, reward.astype(np.float32), terminated, truncated, ended)

    def state_dict(self) -> dict[str, Any]:
        """Raises `InputError`: a foreign vector environment's state cannot be read."""
        raise InputError("a foreign vector environment cannot be saved; run it without checkpoints")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises `InputError`, as `state_dict` does."""
        self.state_dict()

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()


def refuse_endless(steps: int) -> None:
    """Raise `InputError` where no episode has ended for `ENDLESS` steps."""
    if steps >= ENDLESS:
        remedy = "give the environment a time limit with gymnasium.wrappers.TimeLimit"
        raise InputError(f"no episode has ended in {steps} steps, and this algorithm learns from whole ones; {remedy}")
