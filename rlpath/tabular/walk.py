"""Prediction on random walks: values after every episode, batch updating, and a walk of 1,000 states in 10 groups.

    batch Monte Carlo    v(s) = mean of the returns seen from s                               S&B 6.3
    batch TD(0)          v = (I − P̂)⁻¹ r̂ of the maximum-likelihood model of what was seen     S&B 6.3
    gradient Monte Carlo w ← w + α [G_t − v̂(s_t, w)] ∇v̂(s_t, w)                               S&B (9.7)

With state aggregation v̂(s, w) is the weight of the group of s, and its gradient is 1 there.
Array axes: K runs, E episodes, S states, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from rlpath.core.seeding import derive
from rlpath.tabular.chains import ACTION, MOVE, START, Chains, draws, sample
from rlpath.tabular.learner import Prediction
from rlpath.tabular.model import Array, Ints, Model

LARGE, REACH, GROUPS = 1000, 100, 10
"""The walk of Example 9.1: states, the longest jump, and groups of 100 states each."""


def predict_by_episode(
    model: Model, learner: Prediction, policy_SA: Array, seeds: Sequence[int], episodes: int
) -> Array:
    """The values (K, E, S) of every seed after each of its episodes."""
    rows = draws(seeds, "prediction")
    chains = Chains(model, next(rows)[START], learner.gamma)
    v_KES = np.empty((len(seeds), episodes, model.states))
    ended_K = np.zeros(len(seeds), dtype=np.int64)
    while ended_K.min() < episodes:
        u = next(rows)
        x = chains.step(sample(policy_SA[chains.s], u[ACTION]), u[MOVE], u[START])
        learner.update(x)
        for k in np.flatnonzero(x.done & (ended_K < episodes)):
            v_KES[k, ended_K[k]] = learner.v_KS[k]
            ended_K[k] += 1
    return v_KES


def rms_error(v_KES: Array, true_S: Array) -> Array:
    """Root mean squared error over the states, (K, E)."""
    return np.sqrt(((v_KES - true_S) ** 2).mean(-1))


Path = tuple[list[int], float]
"""The states of one episode in order, and its only reward, earned by the last step; γ is 1."""


def walk_paths(states: int, episodes: int, seed: int) -> list[Path]:
    """Episodes of the random walk of `rlpath.tabular.examples`."""
    rng = np.random.default_rng(derive(seed, "tabular", "paths"))
    paths = []
    for _ in range(episodes):
        s, seen = states // 2, []
        while 0 <= s < states:
            seen.append(s)
            s += 1 if rng.random() < 0.5 else -1
        paths.append((seen, float(s == states)))
    return paths


def batch_monte_carlo(paths: Sequence[Path], states: int, initial: float = 0.5) -> Array:
    """What Monte Carlo learns from these episodes, shown to it again and again: the mean return, every visit; (S,)."""
    total, visits = np.zeros(states), np.zeros(states)
    for seen, reward in paths:
        np.add.at(total, seen, reward)
        np.add.at(visits, seen, 1.0)
    return np.where(visits > 0, total / np.maximum(visits, 1), initial)


def batch_td(paths: Sequence[Path], states: int, initial: float = 0.5) -> Array:
    """What TD(0) learns from these episodes, shown to it again and again: the certainty-equivalence estimate; (S,).

    That is the exact value in the model in which transitions are as frequent as they were seen.
    """
    moves, rewards, visits = np.zeros((states, states)), np.zeros(states), np.zeros(states)
    for seen, reward in paths:
        np.add.at(visits, seen, 1.0)
        for here, there in pairwise(seen):
            moves[here, there] += 1
        rewards[seen[-1]] += reward
    v = np.full(states, initial)
    known = np.flatnonzero(visits)
    p = moves[np.ix_(known, known)] / visits[known, None]
    v[known] = np.linalg.solve(np.eye(len(known)) - p, rewards[known] / visits[known])
    return v


# The walk of 1,000 states (Example 9.1): −1 at the left end, 1 at the right, jumps of up to 100 states either way.


@cache
def large_walk() -> tuple[Array, Array]:
    """Transition probabilities between the states (S, S), and the expected reward (S,) of leaving each."""
    jumps = np.concatenate([np.arange(-REACH, 0), np.arange(1, REACH + 1)])
    to = np.arange(LARGE)[:, None] + jumps
    p = np.zeros((LARGE, LARGE))
    inside = (to >= 0) & (to < LARGE)
    np.add.at(p, (np.nonzero(inside)[0], to[inside]), 1 / len(jumps))
    rewards = ((to >= LARGE).sum(-1) - (to < 0).sum(-1)) / len(jumps)
    return p, rewards.astype(np.float64)


@cache
def large_walk_values() -> tuple[Array, Array]:
    """Exact values (S,), and the share of time (S,) spent in each state from the start in state 500, S&B (9.2)."""
    p, r = large_walk()
    visits = np.linalg.solve((np.eye(LARGE) - p).T, np.eye(LARGE)[LARGE // 2 - 1])
    v = np.linalg.solve(np.eye(LARGE) - p, r)
    return v.astype(np.float64), (visits / visits.sum()).astype(np.float64)


def groups() -> Array:
    """Which of the ten groups each state belongs to, as a 0/1 matrix (S, G)."""
    return np.repeat(np.eye(GROUPS), LARGE // GROUPS, axis=0)


def aggregated_limits() -> tuple[Array, Array]:
    """Where the weights (G,) of gradient Monte Carlo and of semi-gradient TD(0) lead as α goes to 0.

    Monte Carlo: the least error, weighted by time spent. TD: the fixed point A w = b of S&B (9.11).
    """
    (p, r), (v, mu), x = large_walk(), large_walk_values(), groups()
    weighted = x.T * mu
    mc = np.linalg.solve(weighted @ x, weighted @ v)
    td = np.linalg.solve(weighted @ (x - p @ x), weighted @ r)
    return mc.astype(np.float64), td.astype(np.float64)


def value_error(w_G: Array) -> Array:
    """√VE, the root of the squared error of the values weighted by time spent, S&B (9.1); `w_G` may be (…, G)."""
    v, mu = large_walk_values()
    return np.sqrt((((np.asarray(w_G) @ groups().T) - v) ** 2) @ mu)


def gradient_monte_carlo(episodes: int, alpha: float, seeds: Sequence[int], batch: int = 5000) -> Array:
    """Weights (K, G) after so many episodes, from 0.

    γ is 1 and the only reward comes at the end, so all returns G of an episode are equal: n visits to a group move its
    weight w to G + (1 − α)ⁿ (w − G), whatever the order. Episodes can thus be drawn many at a time and learned from by
    their counts of visits, one after another.
    """
    w = np.zeros((len(seeds), GROUPS))
    for k, seed in enumerate(seeds):
        rng = np.random.default_rng(derive(seed, "tabular", "large walk"))
        for first in range(0, episodes, batch):
            for n, g in zip(*_large_episodes(min(batch, episodes - first), rng), strict=True):
                w[k] = g + (1 - alpha) ** n * (w[k] - g)
    return w


def _large_episodes(count: int, rng: np.random.Generator) -> tuple[Ints, Array]:
    """How often each of `count` episodes visits each group, (count, G), and their returns (count,)."""
    visits = np.zeros((count, GROUPS), dtype=np.int64)
    g = np.zeros(count)
    running, s = np.arange(count), np.full(count, LARGE // 2 - 1)
    while len(running):
        visits[running, s // (LARGE // GROUPS)] += 1
        jump = rng.integers(-REACH, REACH, size=len(s))
        s = s + jump + (jump >= 0)  # no jump of 0
        inside = (s >= 0) & (s < LARGE)
        g[running[~inside]] = np.where(s[~inside] < 0, -1.0, 1.0)
        running, s = running[inside], s[inside]
    return visits, g
