"""Small tasks of Sutton & Barto whose answers are known in closed form, as models."""

from __future__ import annotations

import numpy as np

from rlpath.tabular.model import Array, Model, from_transitions

LEFT, RIGHT = 0, 1


def random_walk(states: int = 5, *, left_reward: float = 0.0, limit: int = 10_000) -> Model:
    """A row of states, start in the middle; a move off the right end earns 1, off the left `left_reward` (6.2, 7.1).

    Under the uniform policy with γ = 1 and `left_reward` 0 the value of state i, from 0, is (i + 1) / (states + 1).
    """
    table = {}
    for s in range(states):
        left = (1.0, s - 1, 0.0, False) if s > 0 else (1.0, s, left_reward, True)
        right = (1.0, s + 1, 0.0, False) if s < states - 1 else (1.0, s, 1.0, True)
        table[s] = {LEFT: [left], RIGHT: [right]}
    start = np.eye(states)[states // 2]
    return from_transitions(f"random walk of {states}", table, start, limit)


def maximization_bias(actions: int = 10, *, limit: int = 100) -> Model:
    """From A one may end at once for 0, or go left to B, where every action ends for a reward of mean −0.1 (Ex. 6.7).

    The book's normal rewards of deviation 1 are −1.1 or 0.9 here, as likely: the same mean and deviation in a finite
    table. A and B have the same number of actions; in A the first half leads to B, so that exploration goes left as
    often as in the book. Going left is worth −0.1, and a maximum over noisy estimates says otherwise.
    """
    ends = [(0.5, 1, -1.1, True), (0.5, 1, 0.9, True)]
    table = {
        0: {a: [(1.0, 1, 0.0, False)] if a < actions // 2 else [(1.0, 0, 0.0, True)] for a in range(actions)},
        1: dict.fromkeys(range(actions), ends),
    }
    return from_transitions("maximization bias", table, np.array([1.0, 0.0]), limit)


def goes_left(pi_A: Array) -> Array:
    """Probability of going left in A, from action probabilities (…, A) there."""
    return pi_A[..., : pi_A.shape[-1] // 2].sum(-1)
