"""Was the set read in its published order? A test with a p-value that holds whatever the model is.

A model that never saw the set has no reason to find its items more probable in the published order than in any other
(Oren et al., arXiv 2310.17623). Items are cut into shards of neighbors; in each, the log-likelihood of the published
order is compared with shuffled orders; a one-sided t-test over the shards decides. A set that was shuffled before
training, as fine-tuning data are, passes this test: silence is no proof.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rlpath.core.seeding import derive
from rlpath.core.stats import t_cdf

LogLikelihood = Callable[[Sequence[Sequence[int]]], list[float]]
"""From sequences of token ids to the log-likelihood (nats) of each."""


@dataclass(frozen=True, slots=True)
class Exchangeability:
    """The outcome: p-value, t, and for each shard the published order's advantage over the mean shuffled one (nats)."""

    p: float
    t: float
    advantages: tuple[float, ...]


def exchangeability(
    items: Sequence[Sequence[int]],
    log_likelihood: LogLikelihood,
    *,
    shards: int = 10,
    permutations: int = 20,
    seed: int = 0,
) -> Exchangeability:
    """Test items (token ids, in their published order), cut into `shards` runs of neighbors.

    A shard should fit the model's context whole. Raises ValueError for fewer than two shards or two items a shard.
    """
    size = len(items) // max(1, shards)
    if shards < 2 or size < 2 or permutations < 1:
        raise ValueError(f"{len(items)} items make no {shards} shards of two or more: give more items or fewer shards")
    generator = random.Random(derive(seed, "exchangeability"))
    advantages = []
    for shard in range(shards):
        run = list(items[shard * size : (shard + 1) * size])
        orders = [run, *(_shuffled(run, generator) for _ in range(permutations))]
        scores = log_likelihood([[token for item in order for token in item] for order in orders])
        advantages.append(scores[0] - float(np.mean(scores[1:])))
    t = _t(np.array(advantages))
    return Exchangeability(1 - t_cdf(t, shards - 1), t, tuple(advantages))


def _shuffled(run: Sequence[Sequence[int]], generator: random.Random) -> list[Sequence[int]]:
    """Another order than the published one."""
    while True:
        order = generator.sample(range(len(run)), len(run))
        if order != sorted(order):
            return [run[index] for index in order]


def _t(values: np.ndarray) -> float:
    deviation = float(values.std(ddof=1))
    if deviation == 0:
        return 0.0 if values.mean() == 0 else float(np.sign(values.mean())) * 1e9
    return float(values.mean()) / (deviation / len(values) ** 0.5)
