"""Dynamic programming: exact values and optimal policies from the tables (S&B chapter 4).

    policy evaluation    v(s) ← Σ_a π(a|s) Σ p(s', r | s, a) [r + γ v(s')]           S&B (4.5)
    policy iteration     evaluate; π(s) ← argmax_a q(s, a); until π stays            S&B 4.3
    value iteration      v(s) ← max_a Σ p(s', r | s, a) [r + γ v(s')]                S&B (4.10)
    finite horizon       the same with v_k, the value of k steps to go: the best policy of a time-limited task
                         depends on the time that is left

Every learning method of this package is tested against these. A policy is an array (S, A) of action probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rlpath.tabular.model import Array, Flags, Ints, Model

TOLERANCE = 1e-13
MAX_SWEEPS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Values, action values and a greedy policy, with the number of sweeps (or of improvements) it took."""

    v_S: Array
    q_SA: Array
    policy_SA: Array
    sweeps: int


@dataclass(frozen=True, slots=True, eq=False)
class FiniteHorizon:
    """The optimum of an episode of at most H steps: `v_HS[k]` and `action_HS[k]` are for k steps to go (row 0 is 0)."""

    v_HS: Array
    action_HS: Ints


def greedy(q_SA: Array, tolerance: float = 0.0) -> Array:
    """The greedy policy, as probabilities (…, S, A): actions within `tolerance` of the best share its probability."""
    best = q_SA >= q_SA.max(-1, keepdims=True) - tolerance
    return best / best.sum(-1, keepdims=True)


def epsilon_soft(policy_SA: Array, epsilon: float) -> Array:
    """The policy that follows `policy_SA` but takes a uniformly random action with probability `epsilon`."""
    return (1 - epsilon) * policy_SA + epsilon / policy_SA.shape[-1]


# Infinite horizon, discounted by γ


def value_iteration(
    model: Model, gamma: float, *, tolerance: float = TOLERANCE, max_sweeps: int = MAX_SWEEPS, epsilon: float = 0.0
) -> Solution:
    """Optimal values by synchronous sweeps from v = 0, until no value changes by `tolerance` or more.

    With `epsilon` the optimum among ε-soft policies (S&B 5.4), which SARSA with a constant ε learns. Raises
    `ValueError` where the sweeps do not converge (γ = 1 and an optimum that is infinite).
    """

    def sweep(v: Array) -> Array:
        q = model.action_values(v, gamma)
        return (1 - epsilon) * q.max(-1) + epsilon * q.mean(-1)

    v, sweeps = _sweep_until_still(model, sweep, tolerance, max_sweeps)
    q = model.action_values(v, gamma)
    return Solution(v, q, epsilon_soft(greedy(q, 1e-9), epsilon), sweeps)


def policy_evaluation(
    model: Model, policy_SA: Array, gamma: float, *, tolerance: float = TOLERANCE, max_sweeps: int = MAX_SWEEPS
) -> tuple[Array, int]:
    """Values of a policy by synchronous sweeps from v = 0 (S&B 4.1), and the number of sweeps."""

    def sweep(v: Array) -> Array:
        return (policy_SA * model.action_values(v, gamma)).sum(-1)

    return _sweep_until_still(model, sweep, tolerance, max_sweeps)


def _sweep_until_still(
    model: Model, sweep: Callable[[Array], Array], tolerance: float, max_sweeps: int
) -> tuple[Array, int]:
    v = np.zeros(model.states)
    for sweeps in range(1, max_sweeps + 1):
        v, before = sweep(v), v
        if np.abs(v - before).max() < tolerance:
            return v, sweeps
    raise ValueError(f"{model.name}: values still change by {tolerance:g} or more after {max_sweeps} sweeps")


def policy_values(model: Model, policy_SA: Array, gamma: float) -> Array:
    """Values of a policy from the linear system v = r_π + γ P_π v (S&B (4.4) solved at once).

    Raises `ValueError` where γ = 1 and the policy may never end an episode: its values are then not defined by the
    system.
    """
    if gamma == 1 and not (ends := _can_end(model, policy_SA)).all():
        state = int(np.flatnonzero(~ends)[0])
        raise ValueError(f"{model.name}: from state {state} the policy never ends an episode; use a gamma below 1")
    rewards_S, moves_SS = _chain(model, policy_SA)
    return np.asarray(np.linalg.solve(np.eye(model.states) - gamma * moves_SS, rewards_S), dtype=np.float64)


def policy_iteration(model: Model, gamma: float, *, max_improvements: int = 1000) -> Solution:
    """Evaluate and improve until no action is better by more than rounding (S&B 4.3), from the uniform policy."""
    policy = np.full((model.states, model.actions), 1 / model.actions)
    for improvement in range(1, max_improvements + 1):
        v = policy_values(model, policy, gamma)
        q = model.action_values(v, gamma)
        better = q.max(-1) > v + 1e-10
        if not better.any():
            return Solution(v, q, policy, improvement)
        policy = policy.copy()
        policy[better] = np.eye(model.actions)[q[better].argmax(-1)]
    raise ValueError(f"{model.name}: the policy still changes after {max_improvements} improvements")


def _chain(model: Model, policy_SA: Array) -> tuple[Array, Array]:
    """Expected rewards r_π (S,) and moves between states P_π (S, S) under a policy; ends are left out of P_π."""
    rewards = (policy_SA * model.reward_SA).sum(-1)
    moves = np.zeros((model.states, model.states))
    weights = policy_SA[:, :, None] * model.going_on_SAO
    np.add.at(moves, (np.arange(model.states)[:, None, None], model.next_SAO), weights)
    return rewards, moves


def _can_end(model: Model, policy_SA: Array) -> Flags:
    """States from which the policy reaches an end with positive probability."""
    taken_SAO = (policy_SA[:, :, None] * model.probability_SAO) > 0
    ends_S: Flags = np.zeros(model.states, dtype=np.bool_)
    for _ in range(model.states):
        ends_S = np.asarray((taken_SAO & (model.terminal_SAO | ends_S[model.next_SAO])).any((1, 2)))
    return ends_S


# Inside a time limit


def finite_horizon(model: Model, horizon: int, gamma: float = 1.0) -> FiniteHorizon:
    """The optimum of `horizon` steps by backward induction; its policy may depend on the steps that are left."""
    values, actions = [np.zeros(model.states)], [np.zeros(model.states, dtype=np.int64)]
    for _ in range(horizon):
        q = model.action_values(values[-1], gamma)
        values.append(q.max(-1))
        actions.append(q.argmax(-1))
    return FiniteHorizon(np.array(values), np.array(actions))


def optimum(model: Model) -> float:
    """The highest expected undiscounted return inside the model's time limit, from its start distribution."""
    return float(model.start_S @ finite_horizon(model, time_limit(model)).v_HS[-1])


def expected_return(model: Model, policy_SA: Array, gamma: float = 1.0) -> Array:
    """Exact expected return of policies (…, S, A) inside the time limit, from the start distribution: shape (…)."""
    steps = time_limit(model)
    weights = policy_SA[..., None] * model.going_on_SAO
    rewards = (policy_SA * model.reward_SA).sum(-1)
    shape = (*rewards.shape, model.actions * model.probability_SAO.shape[-1])
    weights, following = gamma * weights.reshape(shape), model.next_SAO.reshape(model.states, -1)
    v = np.zeros_like(rewards)
    for _ in range(steps):
        v = rewards + (weights * v[..., following]).sum(-1)
    return v @ model.start_S


def return_moments(model: Model, policy_SA: Array, gamma: float = 1.0) -> tuple[Array, Array]:
    """Mean and variance (S,) of a policy's return inside the time limit, from each state.

    E[G²] obeys E[(r + γ G')²] = E[r² + 2 γ r v(s') + γ² E[G'²]] (Sobel 1982).
    """
    weights = policy_SA[:, :, None] * model.probability_SAO
    going_on = policy_SA[:, :, None] * model.going_on_SAO
    mean, square = np.zeros(model.states), np.zeros(model.states)
    for _ in range(time_limit(model)):
        then = 2 * gamma * model.reward_SAO * mean[model.next_SAO] + gamma**2 * square[model.next_SAO]
        square = (weights * model.reward_SAO**2 + going_on * then).sum((1, 2))
        mean = (weights * model.reward_SAO + gamma * going_on * mean[model.next_SAO]).sum((1, 2))
    return mean, np.maximum(square - mean**2, 0.0)


def time_limit(model: Model) -> int:
    """The model's time limit. Raises `ValueError` where it has none."""
    if model.limit is None:
        raise ValueError(f"{model.name} has no time limit; give it one with model.within(steps)")
    return model.limit
