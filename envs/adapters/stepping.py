"""What Gymnasium, gem and OpenEnv share: an environment that is reset with a seed and then stepped with actions.

`SteppedEnvironment` gives it this project's contract: `reset(**row)` returns the question with the first observation,
the tool `act` takes a step and returns what is seen next, and the reward of the episode is the sum of all steps'.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from threading import RLock
from typing import Any

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.envs.turns.calls import EpisodeLimits
from rlpath.envs.turns.contract import Factory
from rlpath.envs.turns.problems import environment_problems


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step gave: what is seen next as text, the step's reward, and whether the episode is over."""

    seen: str
    reward: float
    over: bool


class SteppedEnvironment:
    """One tool, `act`; the reward is the episode's undiscounted return. `done` ends the episode.

    A subclass starts an episode in `_start` and steps it in `_step`; what these raise, the run or the model is told.
    """

    def __init__(self) -> None:
        self.done = False
        self.earned = 0.0

    def _start(self, row: Mapping[str, Any]) -> str:
        """Begin the row's episode; the question with the first observation."""
        raise NotImplementedError

    def _step(self, action: str) -> StepOutcome:
        """Take an action. Raises ValueError for one that is none: it costs nothing, and the model is told."""
        raise NotImplementedError

    def reset(self, **row: Any) -> str:
        """Begin an episode of the row; the question with the first observation."""
        self.done, self.earned = False, 0.0
        return self._start(row)

    def act(self, action: str) -> str:
        """Take one action and see what follows.

        Args:
            action: the action to take
        """
        return self._after(action)

    def _after(self, action: Any) -> str:
        if self.done:
            raise ValueError("the episode is over")
        step = self._step(action)
        if not math.isfinite(step.reward):
            raise InputError(f"{type(self).__name__} gave a step the reward {step.reward}: it must be finite")
        self.earned, self.done = self.earned + step.reward, step.over
        return f"{step.seen}\nThe episode is over." if step.over else step.seen

    def get_reward(self) -> float:
        """The sum of the rewards of all steps."""
        return self.earned


class OwnDraws:
    """The global generators of `random` and NumPy as one environment sees them.

    For environments that draw from global generators: what one draws then follows from its row alone, whichever others
    play beside it, and the draws of whoever plays them are left as they were.
    """

    _lock = RLock()  # there is one pair of global generators

    def __init__(self) -> None:
        self.state: tuple[Any, Any] | None = None

    @contextmanager
    def here(self) -> Iterator[None]:
        """Draw as this environment within the block; one environment at a time."""
        with self._lock:
            before = random.getstate(), np.random.get_state()
            if self.state is not None:
                _draw_from(self.state)
            try:
                yield
            finally:
                self.state = random.getstate(), np.random.get_state()
                _draw_from(before)


def _draw_from(state: tuple[Any, Any]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])


def source_of(package: str) -> str:
    """A package with its version, by its name alone where it was not installed as one."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def seeds_of(name: str, split: Side, size: int, seed: int, held_out_fraction: float) -> list[int]:
    """`size` seeds of one side, the first ones from `seed` million on: a hash of name and seed decides the side."""
    check_split(split, held_out_fraction)
    if size < 1 or not 0 <= seed < 1000:
        raise InputError(f"size {size} must be at least 1 and seed {seed} within 0 and 999")
    found: list[int] = []
    candidate = seed * 1_000_000
    while len(found) < size:
        if side_of(f"{name}/{candidate}", held_out_fraction) == split:
            found.append(candidate)
        candidate += 1
    return found


def seeded_problems(
    name: str,
    factory: Factory,
    shared: Mapping[str, Any],
    split: Side = "train",
    *,
    size: int = 200,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    limits: EpisodeLimits | None = None,
    source: str = "procedural",
) -> ProblemSet:
    """One problem a seed; each row has the fields of `shared` and its own `seed`.

    Raises `InputError` for what the environment or the arguments are refused for.
    """
    seeds = seeds_of(name, split, size, seed, held_out_fraction)
    rows = [{"id": f"{name}-{one}", **shared, "seed": one} for one in seeds]
    return environment_problems(name, factory, rows, split=split, limits=limits, source=source)
