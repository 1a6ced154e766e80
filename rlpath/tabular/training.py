"""The loops: K seeds of one method on one model, with exact values of what they have learned along the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlpath.tabular.chains import ACTION, COIN, MOVE, RESTART, START, Chains, Transition, draws, sample
from rlpath.tabular.dp import expected_return, greedy
from rlpath.tabular.exploration import Exploration
from rlpath.tabular.learner import Control, Prediction
from rlpath.tabular.model import Array, Ints, Model


@dataclass(frozen=True, slots=True, eq=False)
class TrainedTables:
    """What K seeds learned, with C checkpoints at even distances, the last one at the end of training."""

    seeds: tuple[int, ...]
    q_KSA: Array
    steps_C: Ints
    greedy_return_KC: Array
    """exact expected undiscounted return of the greedy policy inside the time limit"""
    online_return_KC: Array
    """mean undiscounted return of the episodes that ended since the checkpoint before, exploration included; NaN where
    none ended"""
    episodes_K: Ints
    """episodes that ended, cut-off ones included"""


def experience(
    model: Model,
    learner: Control,
    exploration: Exploration,
    seeds: Sequence[int],
    steps: int,
    changes: Mapping[int, Model] | None = None,
) -> Iterator[Transition]:
    """Let every seed act, learn and go on for `steps` steps, and yield each step after it was learned from.

    `changes` are tables of the same shape that take the place of `model` before a step, counted from 0.
    """
    rows = draws(seeds, "control")
    first = next(rows)
    chains = Chains(model, first[START], learner.gamma)

    def policy(s: Ints, step: int) -> Array:
        return exploration.probabilities(learner.values(s), learner.visits(s), step)

    a_tm1 = sample(policy(chains.s, 0), first[RESTART])
    for step in range(steps):
        u = next(rows)
        if changes and step in changes:
            chains.model = changes[step]
        x = chains.step(a_tm1, u[MOVE], u[START])
        x.coin = u[COIN]
        if learner.looks_ahead:
            x.pi_t = policy(x.s_t, step + 1)
            x.a_t = sample(x.pi_t, u[ACTION])
            learner.update(x)
            a_tm1 = x.a_t
            if x.done.any():
                a_tm1 = np.where(x.done, sample(policy(chains.s, step + 1), u[RESTART]), x.a_t)
        else:
            learner.update(x)
            a_tm1 = sample(policy(chains.s, step + 1), u[ACTION])
        yield x


def control(
    model: Model,
    learner: Control,
    exploration: Exploration,
    seeds: Sequence[int],
    steps: int,
    checkpoints: int = 1,
) -> TrainedTables:
    """Train `learner` on every seed for `steps` steps. Raises `ValueError` where checkpoints do not divide steps."""
    if steps < 1 or checkpoints < 1 or steps % checkpoints:
        raise ValueError(f"{steps} steps cannot be divided by {checkpoints} checkpoints")
    every = steps // checkpoints
    running, total, ended = np.zeros((3, len(seeds)))
    episodes = np.zeros(len(seeds), dtype=np.int64)
    greedy_returns, online_returns = [], []
    for step, x in enumerate(experience(model, learner, exploration, seeds, steps), start=1):
        running += x.r_t
        if x.done.any():
            total[x.done] += running[x.done]
            ended += x.done
            running[x.done] = 0.0
        if step % every == 0:
            greedy_returns.append(expected_return(model, greedy(learner.q_KSA)))
            online_returns.append(np.where(ended > 0, total / np.maximum(ended, 1), np.nan))
            episodes += ended.astype(np.int64)
            total[:], ended[:] = 0.0, 0.0
    return TrainedTables(
        tuple(seeds),
        learner.q_KSA.copy(),
        np.arange(1, checkpoints + 1) * every,
        np.stack(greedy_returns, axis=-1),
        np.stack(online_returns, axis=-1),
        episodes,
    )


def predict(model: Model, learner: Prediction, policy_SA: Array, seeds: Sequence[int], steps: int) -> Array:
    """Let every seed follow the fixed policy for `steps` steps, and return the values (K, S) learned."""
    rows = draws(seeds, "prediction")
    chains = Chains(model, next(rows)[START], learner.gamma)
    for _ in range(steps):
        u = next(rows)
        learner.update(chains.step(sample(policy_SA[chains.s], u[ACTION]), u[MOVE], u[START]))
    return learner.v_KS
