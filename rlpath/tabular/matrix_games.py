"""Two players, one matrix: exact equilibria of zero-sum games, and what learning against each other makes of them.

The row player receives x' M y, the column player its negative; M is (A, B), mixed strategies are x (A,) and y (B,).

    exploitability        max_a (M y)_a − min_b (x' M)_b, 0 at an equilibrium alone
    fictitious play       the best reply to the other's actions so far            Brown 1951
    regret matching       x ∝ the positive part of the regrets                    Hart & Mas-Colell 2000
    Hedge                 x ∝ exp(η · what each action has earned)                 Freund & Schapire 1999
    policy gradient       x = softmax(H), H ← H + α x (M y − x' M y)               each player on its own

Of the first three the average of the strategies played converges to an equilibrium, not the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from rlpath.tabular.model import Array


@dataclass(frozen=True, slots=True, eq=False)
class Equilibrium:
    """An exact equilibrium of a zero-sum game, and what it is worth to the row player."""

    x: Array
    y: Array
    value: float


def equilibrium(payoff_AB: Array) -> Equilibrium:
    """By linear programming (von Neumann's minimax theorem): the row player's best guarantee, and the column's."""
    x, value = _guarantee(payoff_AB)
    y, _ = _guarantee(-payoff_AB.T)
    return Equilibrium(x, y, value)


def _guarantee(payoff_AB: Array) -> tuple[Array, float]:
    """The strategy whose least payoff over the columns is highest, and that payoff."""
    rows, columns = payoff_AB.shape
    # Variables: the strategy and its guarantee v; v − x' M_b ≤ 0 for every column b.
    constraints = np.hstack([-payoff_AB.T, np.ones((columns, 1))])
    found = linprog(
        np.r_[np.zeros(rows), -1.0],
        A_ub=constraints,
        b_ub=np.zeros(columns),
        A_eq=np.r_[np.ones(rows), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
    )
    strategy = np.maximum(found.x[:-1], 0.0)
    return strategy / strategy.sum(), float(found.x[-1])


def exploitability(payoff_AB: Array, x: Array, y: Array) -> float:
    """What both players together could gain by best replies; at least 0."""
    return float((payoff_AB @ y).max() - (x @ payoff_AB).min())


def best_reply(earned_A: Array) -> Array:
    """The action that would have earned most, the first of equals."""
    return np.eye(len(earned_A))[earned_A.argmax()]


def positive_part(regret_A: Array) -> Array:
    """Probabilities in proportion to positive regrets; uniform where there are none."""
    positive = np.maximum(regret_A, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(positive), 1 / len(positive))


def softmax(h_A: Array) -> Array:
    """Probabilities in proportion to exp(h)."""
    weights = np.exp(h_A - h_A.max())
    return weights / weights.sum()


@dataclass(frozen=True, slots=True, eq=False)
class GamePlayed:
    """Both players' mean strategies and last ones, and the exploitability of both kinds of pair after each round."""

    mean_x: Array
    mean_y: Array
    average_T: Array
    last_T: Array


def play(payoff_AB: Array, method: str, rounds: int, step: float = 0.1) -> GamePlayed:
    """Let two players of the same `method` meet: fictitious_play, regret_matching, hedge or policy_gradient.

    Both see the expected payoff of each of their actions. `step` is Hedge's η and the gradient's α. The first
    strategies are uniform, but that fictitious play begins with the first action.
    """
    scores = [np.zeros(size) for size in payoff_AB.shape]
    if method == "policy_gradient":  # from the uniform strategy some games would never leave it
        scores = [0.1 * np.arange(size) for size in payoff_AB.shape]
    total_x, total_y = (np.zeros(size) for size in payoff_AB.shape)
    average, last = np.empty((2, rounds))
    choose = {"fictitious_play": best_reply, "regret_matching": positive_part}.get(method, softmax)
    for t in range(rounds):
        x, y = (choose(step * score if method == "hedge" else score) for score in scores)
        total_x, total_y = total_x + x, total_y + y
        for i, (own, earns) in enumerate(((x, payoff_AB @ y), (y, -(x @ payoff_AB)))):
            if method == "policy_gradient":
                scores[i] = scores[i] + step * own * (earns - own @ earns)
            else:
                scores[i] = scores[i] + earns - (own @ earns if method == "regret_matching" else 0.0)
        average[t] = exploitability(payoff_AB, total_x / (t + 1), total_y / (t + 1))
        last[t] = exploitability(payoff_AB, x, y)
    return GamePlayed(total_x / rounds, total_y / rounds, average, last)
