"""Bandits: one state, A actions, and how to choose while learning what each is worth (S&B chapter 2).

    sample average   q(a) ← q(a) + [r − q(a)] / N(a)                                   S&B (2.3)
    constant step    q(a) ← q(a) + α [r − q(a)]                                        S&B (2.5)
    ε-greedy         the best action, with probability ε any                           S&B 2.2
    optimistic       the same with a high first q, which drives to try everything      S&B 2.6
    UCB              argmax_a q(a) + c √(ln t / N(a)), an untried action first         S&B (2.10)
    gradient         π = softmax(H);  H(a) ← H(a) + α (r − r̄) ([a chosen] − π(a))      S&B (2.12)

Array axes: R problems (each a bandit of its own, all played at once), A actions, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rlpath.tabular.model import Array, Flags, Ints


class BanditMethod(Protocol):
    """A method; it plays R problems at once and holds the tables of them all."""

    def start(self, problems: int, actions: int) -> None:
        """Forget everything."""
        ...

    def choose(self, rng: np.random.Generator) -> Ints:
        """An action (R,) in each problem."""
        ...

    def learn(self, a: Ints, r: Array) -> None:
        """Learn from the rewards (R,) of those actions."""
        ...


@dataclass(slots=True, eq=False)
class ActionValues:
    """ε-greedy in estimates that begin at `initial`; sample averages unless a constant step size `alpha` is given."""

    epsilon: float = 0.0
    alpha: float | None = None
    initial: float = 0.0
    q_RA: Array = field(init=False)
    n_RA: Array = field(init=False)

    def start(self, problems: int, actions: int) -> None:
        """Every estimate at its initial value."""
        self.q_RA = np.full((problems, actions), self.initial)
        self.n_RA = np.zeros((problems, actions))

    def choose(self, rng: np.random.Generator) -> Ints:
        """The best action, ties broken at random; with probability ε any."""
        return epsilon_greedy(self.q_RA, self.epsilon, rng)

    def learn(self, a: Ints, r: Array) -> None:
        """Move the estimate of the action that was taken."""
        at = (np.arange(len(a)), a)
        self.n_RA[at] += 1
        alpha = 1 / self.n_RA[at] if self.alpha is None else self.alpha
        self.q_RA[at] += alpha * (r - self.q_RA[at])


@dataclass(slots=True, eq=False)
class UpperConfidenceBound(ActionValues):
    """The best upper bound q + c √(ln t / N): an action that was seldom tried may be better than it looked."""

    c: float = 2.0

    def choose(self, rng: np.random.Generator) -> Ints:
        """The best bound; an untried action has no bound and goes first."""
        t = self.n_RA.sum(-1, keepdims=True) + 1
        bonus = self.c * np.sqrt(np.log(t) / np.maximum(self.n_RA, 1))
        return epsilon_greedy(np.where(self.n_RA == 0, np.inf, self.q_RA + bonus), 0.0, rng)


@dataclass(slots=True, eq=False)
class GradientBandit:
    """Preferences H instead of values, moved by stochastic gradient ascent on the expected reward.

    The baseline r̄ is the mean of all rewards before, or 0 without one.
    """

    alpha: float
    baseline: bool = True
    h_RA: Array = field(init=False)
    mean_R: Array = field(init=False)
    t: int = field(init=False)

    def start(self, problems: int, actions: int) -> None:
        """Every action as probable."""
        self.h_RA, self.mean_R, self.t = np.zeros((problems, actions)), np.zeros(problems), 0

    def policy(self) -> Array:
        """Action probabilities (R, A)."""
        weights = np.exp(self.h_RA - self.h_RA.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def choose(self, rng: np.random.Generator) -> Ints:
        """A draw from the policy."""
        return (self.policy().cumsum(-1) > rng.random((len(self.h_RA), 1))).argmax(-1)

    def learn(self, a: Ints, r: Array) -> None:
        """Towards actions that earned more than the baseline."""
        chosen = np.eye(self.h_RA.shape[1])[a]
        advantage = r - self.mean_R if self.baseline else r
        self.h_RA += self.alpha * advantage[:, None] * (chosen - self.policy())
        self.t += 1
        self.mean_R += (r - self.mean_R) / self.t


def epsilon_greedy(values_RA: Array, epsilon: float, rng: np.random.Generator) -> Ints:
    """The action of the highest value in each row, ties broken at random; with probability ε any action."""
    best = values_RA == values_RA.max(-1, keepdims=True)
    greedy = np.where(best, rng.random(values_RA.shape), -1.0).argmax(-1)
    if epsilon == 0:
        return greedy
    explores = rng.random(len(greedy)) < epsilon
    return np.where(explores, rng.integers(values_RA.shape[1], size=len(greedy)), greedy)


def testbed(problems: int, rng: np.random.Generator, actions: int = 10, mean: float = 0.0) -> Array:
    """The true values q* (R, A) of the book's testbed: normal with deviation 1; a reward has deviation 1 about them."""
    return rng.normal(mean, 1.0, (problems, actions))


@dataclass(frozen=True, slots=True, eq=False)
class BanditRun:
    """The reward of each step, and whether its action was the best one."""

    reward_RT: Array
    optimal_RT: Flags


DRIFT = 0.01
"""Standard deviation of a step of a true value in the nonstationary testbed (S&B, exercise 2.5)."""


def play(
    player: BanditMethod,
    true_RA: Array,
    steps: int,
    rng: np.random.Generator,
    drift: np.random.Generator | None = None,
) -> BanditRun:
    """Let a method play every problem for `steps` steps from the beginning.

    With `drift` every true value makes a step of a random walk, drawn from it, after each play.
    """
    problems, actions = true_RA.shape
    player.start(problems, actions)
    rows, best = np.arange(problems), true_RA.argmax(-1)
    reward = np.empty((problems, steps))
    optimal = np.empty((problems, steps), dtype=np.bool_)
    for t in range(steps):
        a = player.choose(rng)
        r = true_RA[rows, a] + rng.normal(size=problems)
        player.learn(a, r)
        reward[:, t], optimal[:, t] = r, a == best
        if drift is not None:
            true_RA = true_RA + DRIFT * drift.standard_normal(true_RA.shape)
            best = true_RA.argmax(-1)
    return BanditRun(reward, optimal)
