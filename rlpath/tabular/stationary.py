"""The best policy that does not watch the clock, for a task that has one.

Inside a time limit the optimum may change with the steps that are left; the greedy policy of a table of action values
cannot. Finding the deterministic policy that is best when it must be the same at every step is a search: local, then
by branch and bound, where fixing the actions of some states and leaving the others free to depend on time gives the
bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlpath.tabular.dp import expected_return, optimum, time_limit, value_iteration
from rlpath.tabular.model import Array, Flags, Model

GAMMAS = (0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)
MARGIN = 1e-9
"""differences of returns up to this are rounding"""


@dataclass(frozen=True, slots=True, eq=False)
class Stationary:
    """The best deterministic time-independent policy found, and its exact expected return."""

    policy_SA: Array
    value: float
    is_proven: bool
    """no other deterministic time-independent policy does better"""
    is_optimal: bool
    """no policy whatever does better, time-dependent ones included"""


def best_stationary(model: Model, *, searched: int = 1000, bounds: int = 400) -> Stationary:
    """Search from the greedy policies of a few discounts.

    One state's action is changed at a time as long as the return rises, in models of at most `searched` state-action
    pairs; then at most `bounds` bounds are computed to prove that nothing better is left, or to find it.
    """
    highest = optimum(model)
    starts = np.array([np.eye(model.actions)[value_iteration(model, gamma).q_SA.argmax(-1)] for gamma in GAMMAS])
    values = expected_return(model, starts)
    policy, value = starts[values.argmax()], float(values.max())
    if value < highest - MARGIN and model.states * model.actions <= searched:
        policy, value = _climb(model, policy, value)
    is_optimal = value >= highest - MARGIN
    if is_optimal:
        return Stationary(policy, value, is_proven=True, is_optimal=True)
    policy, value, is_proven = _branch_and_bound(model, policy, value, bounds)
    return Stationary(policy, value, is_proven, is_optimal=False)


def _climb(model: Model, policy_SA: Array, value: float) -> tuple[Array, float]:
    """Change one state's action at a time, always the best change, until none raises the return."""
    while True:
        changed = _single_changes(policy_SA)
        returns = np.concatenate([expected_return(model, part) for part in np.array_split(changed, 8)])
        if returns.max() <= value + 1e-12:
            return policy_SA, value
        policy_SA, value = changed[returns.argmax()], float(returns.max())


def _single_changes(policy_SA: Array) -> Array:
    """Every deterministic policy that differs from this one in at most one state: (S · A, S, A)."""
    states, actions = policy_SA.shape
    changed = np.repeat(policy_SA[None], states * actions, axis=0)
    state, action = np.divmod(np.arange(states * actions), actions)
    changed[np.arange(states * actions), state] = np.eye(actions)[action]
    return changed


def _branch_and_bound(model: Model, policy_SA: Array, value: float, bounds: int) -> tuple[Array, float, bool]:
    """Fix one state's action after another, the most visited first; drop what cannot beat `value`.

    Returns the best policy, its value, and whether nothing was left to look at.
    """
    order = np.argsort(-_visits(model, policy_SA), kind="stable")
    waiting: list[tuple[int, Flags]] = [(0, np.ones((model.states, model.actions), dtype=np.bool_))]
    while waiting and bounds > 0:
        depth, allowed = waiting.pop()
        choices = np.repeat(allowed[None], model.actions, axis=0)
        choices[:, order[depth]] = np.eye(model.actions, dtype=np.bool_)
        limits = _bounds(model, choices)
        bounds -= model.actions
        for index in np.argsort(limits):
            if limits[index] <= value + MARGIN:
                continue
            if depth + 1 == model.states:
                policy_SA, value = choices[index].astype(np.float64), float(limits[index])
            else:
                waiting.append((depth + 1, choices[index]))
    return policy_SA, value, not waiting


def _bounds(model: Model, allowed_NSA: Flags) -> Array:
    """The time-dependent optimum (N,) when only the allowed actions may be taken."""
    v = np.zeros(allowed_NSA.shape[:2])
    for _ in range(time_limit(model)):
        v = np.where(allowed_NSA, model.action_values(v, 1.0), -np.inf).max(-1)
    return v @ model.start_S


def _visits(model: Model, policy_SA: Array) -> Array:
    """Expected number of steps (S,) that begin in each state during an episode under a policy."""
    present, total = model.start_S.copy(), np.zeros(model.states)
    weights = policy_SA[:, :, None] * model.going_on_SAO
    for _ in range(time_limit(model)):
        total += present
        moved = np.zeros(model.states)
        np.add.at(moved, model.next_SAO, present[:, None, None] * weights)
        present = moved
    return total
