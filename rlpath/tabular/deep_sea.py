"""DeepSea (Osband et al. 2019, bsuite): a treasure that is found only by going right N times in a row.

The agent begins at the top left of an N × N grid and sinks a row each step, to the left or to the right. Right costs
0.01 / N; the treasure, worth 1, lies at the bottom right. Chance finds it in one episode of 2^N, and what is learned
on the way (right costs something) makes that worse. An agent that seeks what it has not tried needs far fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlpath.tabular.chains import Transition
from rlpath.tabular.exploration import Exploration
from rlpath.tabular.learner import Control
from rlpath.tabular.model import Array, Ints, Model, from_transitions
from rlpath.tabular.td import QLearning
from rlpath.tabular.training import experience

LEFT, RIGHT = 0, 1
COST, TREASURE = 0.01, 1.0


def deep_sea(size: int) -> Model:
    """The grid's tables; state row · N + column. The best return is 1 − 0.01."""
    table = {}
    for row in range(size):
        for column in range(size):
            table[row * size + column] = {action: [_move(size, row, column, action)] for action in (LEFT, RIGHT)}
    return from_transitions(f"deep sea of {size}", table, np.eye(size * size)[0], size)


def _move(size: int, row: int, column: int, action: int) -> tuple[float, int, float, bool]:
    reward = -COST / size if action == RIGHT else 0.0
    after = min(max(column + (1 if action == RIGHT else -1), 0), size - 1)
    if row < size - 1:
        return (1.0, (row + 1) * size + after, reward, False)
    found = action == RIGHT and column == size - 1
    return (1.0, row * size + column, reward + TREASURE * found, True)


class CountBonus(QLearning):
    """Q-learning that acts by, and looks ahead to, max_a q(s, a) + β / √(n(s, a) + 1).

    What was never tried has a bonus of β, as has the way there: the bonus is part of the value that is carried back
    (Rashid et al. 2020).
    """

    def __init__(self, *args: Any, bonus: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.bonus = bonus

    def values(self, s: Ints) -> Array:
        """Action values (K, A) with their bonus."""
        return self.table_KSA[self.k, s] + self.bonus / np.sqrt(self.visits_KSA[self.k, s] + 1)

    def update(self, x: Transition) -> None:
        """Move towards the reward and the best next value, bonus included."""
        self.move(self.k, x.s_tm1, x.a_tm1, x.r_t + x.discount_t * self.values(x.s_t).max(-1))


def episodes_to_find(
    model: Model, learner: Control, exploration: Exploration, seeds: Sequence[int], most: int
) -> Array:
    """The episode (K,), from 1, in which each seed first finds the treasure; `most` where it has not by then."""
    assert model.limit is not None
    found = np.full(len(seeds), float(most))
    for step, x in enumerate(experience(model, learner, exploration, seeds, most * model.limit)):
        now = (x.r_t > TREASURE / 2) & (found == most)
        found[now] = step // model.limit + 1
        if (found < most).all():
            break
    return found
