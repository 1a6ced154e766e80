"""Monte Carlo: learn from the return of whole episodes (S&B chapter 5).

    G_t = r_{t+1} + γ G_{t+1};   v(s_t) += α [G_t − v(s_t)],   q(s_t, a_t) += α [G_t − q(s_t, a_t)]     S&B 5.1, 5.4

First-visit methods use a state's (or pair's) first return in each episode, every-visit methods all of them. With α = 1
and power 1 the values are the sample averages of the book. An episode cut off by the time limit has no return of its
own: it ends in γ^… times the present value of the state where it was cut, so that states are not taught the limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlpath.tabular.chains import Transition
from rlpath.tabular.learner import Control, Prediction
from rlpath.tabular.model import Array, Ints, Model


def returns_to_go(r: Array, gamma: float, after: float = 0.0) -> Array:
    """G_t of every step of an episode with rewards `r`; `after` is what its last state is worth."""
    g = np.empty(len(r))
    for t in range(len(r) - 1, -1, -1):
        after = r[t] + gamma * after
        g[t] = after
    return g


def times(keys: Ints, first_visit: bool) -> list[Ints]:
    """The times to learn from, in groups without a repeated key, so that each group is one array update.

    First visits are one group: where each value of `keys` occurs for the first time. Every visit makes the second
    occurrences a second group, and so on.
    """
    if first_visit:
        return [np.unique(keys, return_index=True)[1]]
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    occurrence = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))
    return [order[occurrence == nth] for nth in range(occurrence.max() + 1)]


class Episodes:
    """The unfinished episode of every chain."""

    def __init__(self, seeds: int, model: Model) -> None:
        if model.limit is None:
            raise ValueError(f"{model.name} has no time limit; give it one with model.within(steps)")
        self.s_KT = np.zeros((seeds, model.limit), dtype=np.int64)
        self.a_KT = np.zeros((seeds, model.limit), dtype=np.int64)
        self.r_KT = np.zeros((seeds, model.limit))
        self.length_K = np.zeros(seeds, dtype=np.int64)
        self.k = np.arange(seeds)

    def push(self, x: Transition) -> None:
        """Add a step to every episode."""
        at = (self.k, self.length_K)
        self.s_KT[at], self.a_KT[at], self.r_KT[at] = x.s_tm1, x.a_tm1, x.r_t
        self.length_K = self.length_K + 1

    def take(self, k: int) -> tuple[Ints, Ints, Array]:
        """States, actions and rewards of chain k's episode, which ends here."""
        length, self.length_K[k] = int(self.length_K[k]), 0
        return self.s_KT[k, :length], self.a_KT[k, :length], self.r_KT[k, :length]


class MonteCarloPrediction(Prediction):
    """State values as averages of returns."""

    def __init__(self, *args: Any, first_visit: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.first_visit = first_visit
        self.episodes = Episodes(len(self.k), self.model)

    def update(self, x: Transition) -> None:
        """Keep the step; at the end of an episode learn from all of it."""
        self.episodes.push(x)
        for k in np.flatnonzero(x.done):
            s, _, r = self.episodes.take(k)
            after = float(self.v_KS[k, x.s_t[k]]) if x.truncated[k] else 0.0
            g = returns_to_go(r, self.gamma, after)
            for t in times(s, self.first_visit):
                self.move(k, s[t], g[t])


class MonteCarloControl(Control):
    """Action values as averages of returns, of a policy that is improved after every episode (S&B 5.4, on-policy)."""

    looks_ahead = True

    def __init__(self, *args: Any, first_visit: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.first_visit = first_visit
        self.episodes = Episodes(len(self.k), self.model)

    def update(self, x: Transition) -> None:
        """Keep the step; at the end of an episode learn from all of it."""
        self.episodes.push(x)
        for k in np.flatnonzero(x.done):
            s, a, r = self.episodes.take(k)
            after = float(x.pi_t[k] @ self.table_KSA[k, x.s_t[k]]) if x.truncated[k] else 0.0
            g = returns_to_go(r, self.gamma, after)
            for t in times(s * self.model.actions + a, self.first_visit):
                self.move(k, s[t], a[t], g[t])
