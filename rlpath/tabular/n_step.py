"""n-step methods: between one step of temporal differences and the whole return of Monte Carlo (S&B chapter 7).

    n-step TD      v(s_τ)      += α [r_{τ+1} + γ r_{τ+2} + … + γ^(n−1) r_{τ+n} + γ^n v(s_{τ+n}) − v(s_τ)]     S&B (7.2)
    n-step SARSA   q(s_τ, a_τ) += α [r_{τ+1} + … + γ^(n−1) r_{τ+n} + γ^n q(s_{τ+n}, a_{τ+n}) − q(s_τ, a_τ)]   S&B (7.5)

Where the episode ends before n steps have passed the sum ends there: without a last term if it terminated, with the
value of the last state if the time limit cut it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rlpath.tabular.chains import Transition
from rlpath.tabular.learner import Control, Prediction
from rlpath.tabular.model import Array, Ints


class Window:
    """The last n steps of every chain's episode, oldest first, and the returns that have become complete."""

    def __init__(self, seeds: int, n: int, gamma: float) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self.n, self.gamma = n, gamma
        self.s_Kn = np.zeros((seeds, n), dtype=np.int64)
        self.a_Kn = np.zeros((seeds, n), dtype=np.int64)
        self.r_Kn = np.zeros((seeds, n))
        self.length_K = np.zeros(seeds, dtype=np.int64)

    def push(self, x: Transition) -> None:
        """Add a step; the oldest falls out."""
        for window, latest in ((self.s_Kn, x.s_tm1), (self.a_Kn, x.a_tm1), (self.r_Kn, x.r_t)):
            window[:, :-1] = window[:, 1:]
            window[:, -1] = latest
        self.length_K = np.minimum(self.length_K + 1, self.n)

    def complete(self, x: Transition, value_t: Array) -> Iterator[tuple[Ints, Ints, Ints, Array]]:
        """Chains, states, actions and n-step returns that step `x` completes, oldest first.

        `value_t` is what s_t is worth. In the middle of an episode that is the step n back; at its end, every step
        still in the window.
        """
        returns = [x.r_t + x.discount_t * value_t]
        for i in range(self.n - 2, -1, -1):
            returns.append(self.r_Kn[:, i] + self.gamma * returns[-1])
        last = self.n if x.done.any() else 1
        for i in range(last):
            in_window = i >= self.n - self.length_K
            (k,) = np.nonzero(in_window & (x.done | (i == 0)))
            if len(k):
                yield k, self.s_Kn[k, i], self.a_Kn[k, i], returns[self.n - 1 - i][k]
        self.length_K[x.done] = 0


class NStepTD(Prediction):
    """TD with n rewards before the guess; n = 1 is TD(0)."""

    def __init__(self, *args: Any, n: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.window = Window(len(self.k), n, self.gamma)

    def update(self, x: Transition) -> None:
        """Move the state n steps back, and at an end all that are left."""
        self.window.push(x)
        for k, s, _, target in self.window.complete(x, self.v_KS[self.k, x.s_t]):
            self.move(k, s, target)


class NStepSarsa(Control):
    """SARSA with n rewards before the guess; n = 1 is SARSA."""

    looks_ahead = True

    def __init__(self, *args: Any, n: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.window = Window(len(self.k), n, self.gamma)

    def update(self, x: Transition) -> None:
        """Move the pair n steps back, and at an end all that are left."""
        self.window.push(x)
        for k, s, a, target in self.window.complete(x, self.table_KSA[self.k, x.s_t, x.a_t]):
            self.move(k, s, a, target)
