"""Problems in their order of use: shuffled passes over all of them, fixed by a seed, without an end."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlpath.core.types import Problem


class ProblemStream:
    """Problem `i` of the stream follows from the seed alone, so that a resumed run needs only its place in it."""

    def __init__(self, problems: Sequence[Problem], seed: int) -> None:
        self._problems = list(problems)
        self._generator = random.Random(seed)
        self._order: list[Problem] = []

    def take(self, start: int, count: int) -> list[Problem]:
        """`count` problems from place `start` on."""
        while len(self._order) < start + count:
            self._order += self._generator.sample(self._problems, len(self._problems))
        return self._order[start : start + count]
