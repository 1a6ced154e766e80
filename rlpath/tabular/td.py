"""Temporal differences: learn a guess from a guess, after every step (S&B chapters 6, 7 and 12).

Names follow the time of each quantity: a_tm1 is taken in s_tm1; r_t and s_t follow. discount_t is γ, and 0 where the
episode terminated there. Each class is one update rule; `k` indexes the seeds.

    TD(0)               v(s_tm1) += α [r_t + γ_t v(s_t) − v(s_tm1)]                        S&B (6.2)
    TD(λ)               v(s) += α δ_t z(s),  z ← γ λ z, then z(s_tm1) += 1                 S&B 12.2
    SARSA               target r_t + γ_t q(s_t, a_t)                                       S&B (6.7)
    Expected SARSA      target r_t + γ_t Σ_a π(a | s_t) q(s_t, a)                          S&B (6.9)
    Q-learning          target r_t + γ_t max_a q(s_t, a)                                   S&B (6.8)
    Double Q-learning   target r_t + γ_t q₂(s_t, argmax_a q₁(s_t, a)) for q₁, or reversed  S&B (6.10)
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from rlpath.tabular.chains import Transition
from rlpath.tabular.learner import Control, Prediction
from rlpath.tabular.model import Array, Ints


class TD0(Prediction):
    """v(s_tm1) += α [r_t + γ_t v(s_t) − v(s_tm1)]."""

    def update(self, x: Transition) -> None:
        """Move the value of the state that was left."""
        self.move(self.k, x.s_tm1, x.r_t + x.discount_t * self.v_KS[self.k, x.s_t])


class TDLambda(Prediction):
    """δ_t = r_t + γ_t v(s_t) − v(s_tm1) moves every state in proportion to its eligibility z, which fades by γ λ.

    A visit adds 1 to its state's trace ("accumulating") or sets it to 1 ("replacing").
    """

    def __init__(self, *args: Any, lam: float, traces: Literal["accumulating", "replacing"], **options: Any) -> None:
        super().__init__(*args, **options)
        self.lam, self.traces = lam, traces
        self.z_KS = np.zeros_like(self.v_KS)

    def update(self, x: Transition) -> None:
        """Move all eligible states; the end of an episode clears its traces."""
        k = self.k
        delta_t = x.r_t + x.discount_t * self.v_KS[k, x.s_t] - self.v_KS[k, x.s_tm1]
        self.z_KS *= self.gamma * self.lam
        self.z_KS[k, x.s_tm1] = 1 if self.traces == "replacing" else self.z_KS[k, x.s_tm1] + 1
        self.visits_KS[k, x.s_tm1] += 1
        alpha = self.step_size(np.maximum(self.visits_KS, 1))
        self.v_KS += alpha * delta_t[:, None] * self.z_KS
        self.z_KS[x.done] = 0


class Sarsa(Control):
    """q(s_tm1, a_tm1) += α [r_t + γ_t q(s_t, a_t) − q(s_tm1, a_tm1)]: learns the policy it follows."""

    looks_ahead = True

    def update(self, x: Transition) -> None:
        """Move towards the value of the action that will be taken next."""
        self.move(self.k, x.s_tm1, x.a_tm1, x.r_t + x.discount_t * self.table_KSA[self.k, x.s_t, x.a_t])


class ExpectedSarsa(Control):
    """q(s_tm1, a_tm1) += α [r_t + γ_t Σ_a π(a | s_t) q(s_t, a) − q(s_tm1, a_tm1)]."""

    looks_ahead = True

    def update(self, x: Transition) -> None:
        """Move towards the mean over the actions that may be taken next."""
        v_t = (x.pi_t * self.table_KSA[self.k, x.s_t]).sum(-1)
        self.move(self.k, x.s_tm1, x.a_tm1, x.r_t + x.discount_t * v_t)


class QLearning(Control):
    """q(s_tm1, a_tm1) += α [r_t + γ_t max_a q(s_t, a) − q(s_tm1, a_tm1)]: learns the greedy policy whatever it does."""

    def update(self, x: Transition) -> None:
        """Move towards the value of the best next action."""
        self.move(self.k, x.s_tm1, x.a_tm1, x.r_t + x.discount_t * self.table_KSA[self.k, x.s_t].max(-1))


class DoubleQLearning(Control):
    """A coin picks which of two tables learns; it chooses the next action, the other says what that is worth.

    A single maximum is biased upwards by noise: the luckiest estimate wins. Here the estimate that is read was not the
    one that was chosen by. Behavior follows the mean of both.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tables_2KSA = np.stack([self.table_KSA, self.table_KSA])
        self.updates_2KSA = np.zeros_like(self.tables_2KSA)

    @property
    def q_KSA(self) -> Array:
        """The mean of both tables."""
        return self.tables_2KSA.mean(0)

    def values(self, s: Ints) -> Array:
        """The mean of both tables in the present states."""
        return self.tables_2KSA[:, self.k, s].mean(0)

    def update(self, x: Transition) -> None:
        """Move one table of each seed, by its coin."""
        k, q = self.k, self.tables_2KSA
        one = (x.coin < 0.5).astype(np.int64)
        other = 1 - one
        best = q[one, k, x.s_t].argmax(-1)
        target = x.r_t + x.discount_t * q[other, k, x.s_t, best]
        self.visits_KSA[k, x.s_tm1, x.a_tm1] += 1
        entry = (one, k, x.s_tm1, x.a_tm1)
        self.updates_2KSA[entry] += 1
        q[entry] += self.step_size(self.updates_2KSA[entry]) * (target - q[entry])
