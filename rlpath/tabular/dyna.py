"""Dyna: learn a model of the tables while acting, and go on learning from what it remembers (S&B chapter 8).

    Dyna-Q    after every step n planning steps: Q-learning on a remembered transition     S&B 8.2
    Dyna-Q+   the same with reward r + κ √τ, τ the steps since the pair was last tried     S&B 8.3

The model is a table of what each action led to when it was last tried, right where the environment is deterministic.
Dyna-Q+ also plans with actions never tried in states it has visited: as if they led nowhere, for a reward of 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlpath.core.seeding import derive
from rlpath.tabular.chains import Transition
from rlpath.tabular.model import Array, Ints, Model
from rlpath.tabular.td import QLearning

BLOCK = 256


class DynaQ(QLearning):
    """Q-learning with `planning` remembered steps after each real one, and a bonus of κ √τ with `kappa` above 0."""

    def __init__(
        self,
        model: Model,
        seeds: Sequence[int],
        gamma: float,
        *args: Any,
        planning: int,
        kappa: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(model, len(seeds), gamma, *args, **options)
        self.planning, self.kappa = planning, kappa
        self.draws = _planning_draws(seeds, planning)
        shape = (len(seeds), model.states * model.actions)
        # What each state-action pair did last; pairs lie in one axis, s · A + a.
        self.next_KP = np.tile(np.arange(shape[1]) // model.actions, (len(seeds), 1))
        self.reward_KP = np.zeros(shape)
        self.going_on_KP = np.ones(shape)
        self.tried_at_KP = np.zeros(shape)
        # The pairs that may be planned with, in the order in which they became known.
        self.known_KP = np.zeros(shape, dtype=np.int64)
        self.is_known_KP = np.zeros(shape, dtype=np.bool_)
        self.count_K = np.zeros(len(seeds), dtype=np.int64)
        self.steps = 0

    def update(self, x: Transition) -> None:
        """Learn from the step, remember it, and plan."""
        super().update(x)
        self.steps += 1
        at = (self.k, x.s_tm1 * self.model.actions + x.a_tm1)
        self.next_KP[at], self.reward_KP[at] = x.s_t, x.r_t
        self.going_on_KP[at], self.tried_at_KP[at] = x.discount_t > 0, self.steps
        if self.kappa:
            for action in range(self.model.actions):
                self._know(x.s_tm1 * self.model.actions + action)
        else:
            self._know(at[1])
        for u_K in next(self.draws):
            self._plan(u_K)

    def _know(self, pair_K: Ints) -> None:
        new = np.flatnonzero(~self.is_known_KP[self.k, pair_K])
        self.known_KP[new, self.count_K[new]] = pair_K[new]
        self.is_known_KP[new, pair_K[new]] = True
        self.count_K[new] += 1

    def _plan(self, u_K: Array) -> None:
        """Q-learning on one remembered pair of each seed, drawn by a uniform number."""
        k, actions = self.k, self.model.actions
        pair = self.known_KP[k, (u_K * self.count_K).astype(np.int64)]
        s, a = np.divmod(pair, actions)
        bonus = self.kappa * np.sqrt(self.steps - self.tried_at_KP[k, pair])
        after = self.going_on_KP[k, pair] * self.table_KSA[k, self.next_KP[k, pair]].max(-1)
        self.move(k, s, a, self.reward_KP[k, pair] + bonus + self.gamma * after)


def _planning_draws(seeds: Sequence[int], planning: int) -> Iterator[Array]:
    """For every step `planning` rows of one uniform number a seed, (planning, K); a seed's are its own."""
    generators = [np.random.default_rng(derive(seed, "tabular", "planning")) for seed in seeds]
    while True:
        yield from np.stack([generator.random((BLOCK, planning)) for generator in generators], axis=-1)
