"""How to act while learning: ε-greedy, decaying ε, softmax and upper confidence bounds (S&B 2.2, 2.7, 2.8).

Each gives action probabilities π(a | s) from action values, so that one uniform number draws the action and Expected
SARSA can take its expectation. Ties are shared: with equal values every action is as likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rlpath.tabular.dp import epsilon_soft, greedy
from rlpath.tabular.model import Array


@dataclass(frozen=True, slots=True)
class Schedule:
    """A number that moves linearly from `start` to `end` over `steps` steps and stays; 0 steps is `end` at once."""

    start: float
    end: float
    steps: int

    def __call__(self, step: int) -> float:
        """The number at a step, counted from 0."""
        if step >= self.steps:
            return self.end
        return self.start + step / self.steps * (self.end - self.start)


class Exploration(Protocol):
    """A behavior policy."""

    def probabilities(self, q_KA: Array, visits_KA: Array, step: int) -> Array:
        """π (K, A) from the action values and visit counts of the K present states, at a step of training."""
        ...


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """π(a) = ε / A + (1 − ε) [a is best]; ε follows a schedule (a constant one has start = end)."""

    epsilon: Schedule

    def probabilities(self, q_KA: Array, visits_KA: Array, step: int) -> Array:
        """π (K, A); visits play no part."""
        return epsilon_soft(greedy(q_KA), self.epsilon(step))


@dataclass(frozen=True, slots=True)
class Softmax:
    """π(a) ∝ exp(q(a) / τ), the temperature τ > 0 on a schedule (S&B (2.11) with values as preferences)."""

    temperature: Schedule

    def probabilities(self, q_KA: Array, visits_KA: Array, step: int) -> Array:
        """π (K, A); visits play no part."""
        weights = np.exp((q_KA - q_KA.max(-1, keepdims=True)) / self.temperature(step))
        return weights / weights.sum(-1, keepdims=True)


@dataclass(frozen=True, slots=True)
class UpperConfidence:
    """π is greedy in q(a) + c √(ln N(s) / N(s, a)), an untried action first (S&B (2.10), counted state by state)."""

    c: float

    def probabilities(self, q_KA: Array, visits_KA: Array, step: int) -> Array:
        """π (K, A); untried actions share all of it."""
        total = np.maximum(visits_KA.sum(-1, keepdims=True), 1)
        bonus = self.c * np.sqrt(np.log(total) / np.maximum(visits_KA, 1))
        return greedy(np.where(visits_KA == 0, np.inf, q_KA + bonus))
