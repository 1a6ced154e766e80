"""An environment in a process of its own plays the same, and is killed where it hangs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.envs.calculator import Calculator
from rlpath.envs.turns.by_hand import Call, play
from rlpath.envs.turns.contract import check_environment
from rlpath.envs.turns.isolated import Remote, isolated

ROW = {"question": "What is 3 + 4?", "gold": "7"}
MOVES = [Call("calculate", expression="3 +"), Call("calculate", expression="3 + 4"), Call("answer", number="7")]


class Powers(Calculator):
    """A calculator without a bound: some powers hold the interpreter's lock for hours."""

    def power(self, base: int, exponent: int) -> str:
        """Raise a number to a power.

        Args:
            base: the number
            exponent: the power
        """
        return str((base**exponent) % 10)


def test_it_plays_the_same_and_can_be_killed() -> None:
    """Turns, reward and counts of an episode; a call that no thread could stop is ended, and the next reset starts."""
    Safe = isolated(Powers, seconds=1.0)

    assert check_environment(Safe, ROW) == check_environment(Powers, ROW)
    assert play(Safe, ROW, MOVES) == play(Powers, ROW, MOVES)
    environment: Any = Safe()
    environment.reset(**ROW)
    assert environment.power(2, 10) == "4"
    with pytest.raises(TimeoutError, match="power gave no answer within 1 seconds"):
        environment.power(9, 9**10)
    with pytest.raises(RuntimeError, match="process was ended"):
        environment.calculate("1 + 1")
    assert environment.reset(**ROW).startswith("What is 3 + 4?")
    assert environment.calculate("1 + 1") == "2"
    assert isinstance(environment, Remote)


def test_what_cannot_be_sent_is_refused() -> None:
    """A class inside a function and a lambda: one sentence with the remedy, and no process."""

    class Local(Calculator):
        pass

    for factory in (Local, lambda: Calculator()):
        with pytest.raises(InputError, match=re.escape("cannot be sent to a process of its own")):
            isolated(factory)
