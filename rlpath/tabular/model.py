"""An environment as tables: what each action leads to, with which probability, for which reward, and where it ends.

Gymnasium's toy-text environments and `rlpath.envs.gridworlds` publish their transitions as `P[state][action]`, a list
of (probability, next state, reward, terminated). Here that becomes arrays, for dynamic programming and for simulating
many seeds at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rlpath.core.errors import InputError
from rlpath.envs import gridworlds

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Transitions = Mapping[int, Mapping[int, Sequence[tuple[float, int, float, bool]]]]


@dataclass(frozen=True, eq=False)
class Model:
    """The transition tables of one environment.

    Every action in every state has O outcomes; where the environment lists fewer, the rest have probability 0.
    """

    name: str
    probability_SAO: Array
    next_SAO: Ints
    reward_SAO: Array
    terminal_SAO: Flags
    """whether the outcome ends the episode: nothing is earned after it, whatever the next state"""
    start_S: Array
    """probability of starting in each state"""
    limit: int | None = None
    """steps after which an episode is cut off (truncated), None where it may go on for ever"""

    @property
    def states(self) -> int:
        """Number of states S."""
        return self.probability_SAO.shape[0]

    @property
    def actions(self) -> int:
        """Number of actions A."""
        return self.probability_SAO.shape[1]

    @cached_property
    def reward_SA(self) -> Array:
        """Expected reward of each action."""
        return (self.probability_SAO * self.reward_SAO).sum(-1)

    @cached_property
    def going_on_SAO(self) -> Array:
        """Probability of each outcome that does not end the episode, 0 for one that does."""
        return np.where(self.terminal_SAO, 0.0, self.probability_SAO)

    @cached_property
    def cumulative_SAO(self) -> Array:
        """Running sums of the outcome probabilities, for drawing outcomes."""
        return self.probability_SAO.cumsum(-1)

    @cached_property
    def cumulative_start_S(self) -> Array:
        """Running sums of the start probabilities."""
        return self.start_S.cumsum()

    def action_values(self, v_S: Array, gamma: float) -> Array:
        """q(s, a) = r(s, a) + γ Σ p(s' | s, a) v(s'), the expected update of S&B (4.6); `v_S` may be (…, S)."""
        return self.reward_SA + gamma * (self.going_on_SAO * v_S[..., self.next_SAO]).sum(-1)

    def start_state(self, u: Array) -> Ints:
        """Start states for uniform numbers `u` in [0, 1), drawn as Gymnasium's toy-text environments do."""
        return (self.cumulative_start_S > u[..., None]).argmax(-1)

    def outcome(self, s: Ints, a: Ints, u: Array) -> tuple[Ints, Array, Flags]:
        """Next state, reward and whether the episode terminates, for uniform numbers `u` in [0, 1).

        The first outcome whose running sum exceeds `u`, as in Gymnasium: equal uniforms give equal trajectories.
        """
        o = (self.cumulative_SAO[s, a] > u[..., None]).argmax(-1)
        return self.next_SAO[s, a, o], self.reward_SAO[s, a, o], self.terminal_SAO[s, a, o]

    @property
    def sha256(self) -> str:
        """Hash of the tables: the identity of the task in a manifest."""
        tables = (self.probability_SAO, self.next_SAO, self.reward_SAO, self.terminal_SAO, self.start_S)
        digest = hashlib.sha256(str((self.probability_SAO.shape, self.limit)).encode())
        for table in tables:
            digest.update(np.ascontiguousarray(table).tobytes())
        return digest.hexdigest()

    def within(self, limit: int) -> Model:
        """The same tables under another time limit."""
        return replace(self, limit=limit)


def from_transitions(name: str, transitions: Transitions, start_S: Array, limit: int | None = None) -> Model:
    """The model of a `P` table. Raises `InputError` where the probabilities of an action do not add up to 1."""
    states, actions = len(transitions), len(transitions[0])
    outcomes = max(len(transitions[s][a]) for s in range(states) for a in range(actions))
    shape = (states, actions, outcomes)
    probability, reward = np.zeros(shape), np.zeros(shape)
    following, terminal = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.bool_)
    for s in range(states):
        for a in range(actions):
            listed = transitions[s][a]
            total = sum(row[0] for row in listed)
            if abs(total - 1) > 1e-9 or min(row[0] for row in listed) < 0:
                raise InputError(f"{name}: the probabilities of action {a} in state {s} add up to {total:g}, not 1")
            for o, (p, s_t, r_t, terminated) in enumerate(listed):
                probability[s, a, o], following[s, a, o] = p, s_t
                reward[s, a, o], terminal[s, a, o] = r_t, terminated
    return Model(name, probability, following, reward, terminal, np.array(start_S, dtype=np.float64), limit)


def from_env(env: gym.Env[Any, Any], limit: int | None = None) -> Model:
    """The model of an environment that publishes `P` and `initial_state_distrib`; `limit` replaces its time limit.

    Raises `InputError` for an environment without them, or one whose table leaves something out.
    """
    name = env.spec.id if env.spec else type(env.unwrapped).__name__
    table = env.unwrapped
    if not (hasattr(table, "P") and hasattr(table, "initial_state_distrib")):
        raise InputError(
            f"{name} publishes no table of transitions, which tabular methods need; choose one of {', '.join(known())}"
        )
    if getattr(table, "fickle_passenger", False):
        raise InputError(f"{name}: fickle_passenger changes the destination outside the table; leave it off")
    own = env.spec.max_episode_steps if env.spec else None
    return from_transitions(name, table.P, table.initial_state_distrib, limit or own)  # pyright: ignore[reportAttributeAccessIssue]


def make(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """`gymnasium.make`, with our grid worlds registered. Raises `InputError` naming the nearest ids."""
    gridworlds.register()
    if env_id not in gym.registry:
        near = get_close_matches(env_id, known(), n=3, cutoff=0.4) or known()
        raise InputError(f"there is no environment {env_id!r}; the nearest are {', '.join(near)}")
    try:
        return gym.make(env_id, **options)
    except ImportError as error:
        raise InputError(f"{env_id} needs a package that is not installed: {error}") from error
    except TypeError as error:
        raise InputError(f"{env_id} does not take these options: {error}") from error


def load_model(env_id: str, limit: int | None = None, **options: Any) -> Model:
    """The model of a registered environment; `options` go to its constructor. Raises `InputError` as `make` does."""
    env = make(env_id, **options)
    try:
        return from_env(env, limit)
    finally:
        env.close()


def known() -> list[str]:
    """Ids of the registered environments that publish their table: toy text but Blackjack, and our grid worlds."""
    gridworlds.register()
    homes = ("gymnasium.envs.toy_text.", "rlpath.envs.gridworlds:")
    specs = [spec for spec in gym.registry.values() if str(spec.entry_point).startswith(homes)]
    return sorted(spec.id for spec in specs if "blackjack" not in str(spec.entry_point))
