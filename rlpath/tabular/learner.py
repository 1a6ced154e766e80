"""What all learning methods share: tables of K seeds, visit counts and step sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlpath.tabular.chains import Transition
from rlpath.tabular.model import Array, Ints, Model


@dataclass(frozen=True, slots=True)
class StepSize:
    """α_n = α n^(−power) at the n-th update of a table entry.

    Power 0 keeps α constant; α 1 with power 1 is the sample average. Above ½ and up to 1 the conditions of stochastic
    approximation hold (S&B (2.7)); Q-learning converges faster below 1 than at 1 (Even-Dar & Mansour 2003).
    """

    alpha: float = 0.1
    power: float = 0.0

    def __call__(self, n: Array) -> Array | float:
        """Step sizes for update counts `n`, from 1."""
        return self.alpha * n**-self.power if self.power else self.alpha


class Prediction:
    """State values `v_KS` of a fixed policy, one table a seed."""

    def __init__(
        self, model: Model, seeds: int, gamma: float, step_size: StepSize = StepSize(), initial: float = 0.0
    ) -> None:  # fmt: skip
        self.model, self.gamma, self.step_size = model, gamma, step_size
        self.k = np.arange(seeds)
        self.v_KS = np.full((seeds, model.states), initial, dtype=np.float64)
        self.visits_KS = np.zeros((seeds, model.states))

    def update(self, x: Transition) -> None:
        """Learn from one step of every chain."""
        raise NotImplementedError

    def move(self, k: Ints, s: Ints, target: Array) -> None:
        """v(s) ← v(s) + α [target − v(s)] for the chains `k`."""
        self.visits_KS[k, s] += 1
        self.v_KS[k, s] += self.step_size(self.visits_KS[k, s]) * (target - self.v_KS[k, s])


class Control:
    """Action values `q_KSA` of the policy that is being improved, one table a seed."""

    looks_ahead = False
    """whether the update needs the next action, or its probabilities, chosen before the update"""

    def __init__(
        self, model: Model, seeds: int, gamma: float, step_size: StepSize = StepSize(), initial: float = 0.0
    ) -> None:  # fmt: skip
        self.model, self.gamma, self.step_size = model, gamma, step_size
        self.k = np.arange(seeds)
        self.table_KSA = np.full((seeds, model.states, model.actions), initial, dtype=np.float64)
        self.visits_KSA = np.zeros((seeds, model.states, model.actions))

    @property
    def q_KSA(self) -> Array:
        """The action values learned so far."""
        return self.table_KSA

    def values(self, s: Ints) -> Array:
        """Action values (K, A) by which to act in the present states."""
        return self.table_KSA[self.k, s]

    def visits(self, s: Ints) -> Array:
        """How often each action (K, A) was updated in the present states."""
        return self.visits_KSA[self.k, s]

    def update(self, x: Transition) -> None:
        """Learn from one step of every chain."""
        raise NotImplementedError

    def move(self, k: Ints, s: Ints, a: Ints, target: Array) -> None:
        """q(s, a) ← q(s, a) + α [target − q(s, a)] for the chains `k`."""
        self.visits_KSA[k, s, a] += 1
        alpha = self.step_size(self.visits_KSA[k, s, a])
        self.table_KSA[k, s, a] += alpha * (target - self.table_KSA[k, s, a])
