"""K independent episodes of one model, stepped together: one generator a seed, the same numbers alone or among many.

Every step of every chain uses one row of five uniform numbers, needed or not. So what a seed draws depends on nothing
but that seed, and its results are the same bits whether it runs alone or beside 29 others. Different methods draw the
same numbers too, which makes them comparable seed by seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np

from rlpath.core.seeding import derive
from rlpath.tabular.model import Array, Flags, Ints, Model

ACTION, MOVE, START, RESTART, COIN = range(5)
"""What each uniform number of a step is for: the next action, its outcome, the next start state, the first action of
the next episode, and the coin of Double Q-learning."""
BLOCK = 1024


@dataclass(slots=True, eq=False)
class Transition:
    """One step of K chains, in the time convention of the updates: `r_t` and `s_t` follow from `a_tm1` in `s_tm1`.

    `discount_t` is γ, or 0 where the episode terminated: a chain cut off by the time limit goes on being worth
    something, one that terminated does not. `s_t` is the state reached, never the start of the next episode.
    """

    s_tm1: Ints
    a_tm1: Ints
    r_t: Array
    discount_t: Array
    s_t: Ints
    truncated: Flags
    done: Flags
    """terminated or truncated"""
    pi_t: Array = field(default_factory=lambda: np.empty(0))
    """action probabilities (K, A) in `s_t`, for methods that look ahead"""
    a_t: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """the action chosen in `s_t`, for methods that look ahead"""
    coin: Array = field(default_factory=lambda: np.empty(0))
    """a uniform number of each chain"""


def draws(seeds: Sequence[int], purpose: str) -> Iterator[Array]:
    """Rows of uniform numbers in [0, 1), shape (5, K), without end; seed k's are the same whatever K."""
    generators = [np.random.default_rng(derive(seed, "tabular", purpose)) for seed in seeds]
    while True:
        block = np.stack([generator.random((BLOCK, 5)) for generator in generators], axis=-1)
        yield from block


def sample(pi_KA: Array, u_K: Array) -> Ints:
    """One action of each row of probabilities, by its running sum."""
    return (pi_KA.cumsum(-1) > u_K[:, None]).argmax(-1)


class Chains:
    """The states of K episodes. Raises `ValueError` for a model without a time limit: an episode might never end."""

    def __init__(self, model: Model, start_u_K: Array, gamma: float) -> None:
        if model.limit is None:
            raise ValueError(f"{model.name} has no time limit; give it one with model.within(steps)")
        self.model, self.gamma, self.limit = model, gamma, model.limit
        self.s = model.start_state(start_u_K)
        self.steps = np.zeros(len(self.s), dtype=np.int64)

    def step(self, a_tm1: Ints, move_u_K: Array, start_u_K: Array) -> Transition:
        """Act in every chain. Afterwards `self.s` is where each goes on: a start state where an episode ended."""
        s_tm1 = self.s
        s_t, r_t, terminated = self.model.outcome(s_tm1, a_tm1, move_u_K)
        self.steps = self.steps + 1
        truncated = (self.steps >= self.limit) & ~terminated
        done = terminated | truncated
        self.s = s_t
        if done.any():
            self.s = np.where(done, self.model.start_state(start_u_K), s_t)
            self.steps[done] = 0
        return Transition(s_tm1, a_tm1, r_t, np.where(terminated, 0.0, self.gamma), s_t, truncated, done)


def first_disagreement(env: gym.Env[int, int], model: Model, seed: int, steps: int) -> str | None:
    """Step `env` and the tables with the same random numbers; say where they first differ, or None.

    Toy-text environments draw one uniform number a reset and one a step, so a copy of their generator predicts every
    transition, stochastic ones included. Actions are uniformly random.
    """
    action_generator = np.random.default_rng(derive(seed, "tabular", "agreement"))
    env.reset(seed=seed)
    generator = np.random.default_rng(seed)
    generator.bit_generator.state = env.unwrapped.np_random.bit_generator.state
    done, elapsed, state = True, 0, np.zeros(1, dtype=np.int64)
    for step in range(steps):
        if done:
            seen = env.reset()[0]
            state, elapsed = model.start_state(generator.random(1)), 0
            if seen != state[0]:
                return f"step {step}: the environment starts in state {seen}, the tables in {state[0]}"
        action = int(action_generator.integers(model.actions))
        seen, reward, terminated, truncated, _ = env.step(action)
        s_t, r_t, ends = model.outcome(state, np.array([action]), generator.random(1))
        elapsed += 1
        cut = model.limit is not None and elapsed >= model.limit
        theirs, ours = (seen, reward, terminated, truncated), (int(s_t[0]), float(r_t[0]), bool(ends[0]), cut)
        if theirs != ours:
            return (
                f"step {step}, action {action} in state {state[0]}: the environment gives {theirs}, the tables {ours}"
            )
        state, done = s_t, terminated or truncated
    return None
