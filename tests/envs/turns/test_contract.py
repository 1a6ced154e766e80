"""One clear sentence for each way in which a class is no environment, before anything is sampled."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.envs.turns.contract import ask, check_environment, tools_of
from rlpath.envs.turns.problems import environment_problems
from tests.envs.turns.scripted import Counting

ROW = {"words": "a b"}


def with_tool(tool: Any, name: str = "tool") -> type:
    return type("Made", (Counting,), {name: tool})


def no_docstring(self: Any, number: int) -> str:
    return str(number)


def no_type(self: Any, number) -> str:
    """Do.

    Args:
        number: to do
    """
    return str(number)


def no_description(self: Any, number: int) -> str:
    """Do something with a number."""
    return str(number)


def no_json(self: Any, number: complex) -> str:
    """Do.

    Args:
        number: to do
    """
    return str(number)


def no_names(self: Any, *numbers: int) -> str:
    """Do.

    Args:
        numbers: to do
    """
    return str(numbers)


def say(self: Any) -> str:
    """Say another thing."""
    return ""


class Twice(Counting):
    def go(self) -> str:
        """Go."""
        return "gone"

    def go(self) -> str:  # type: ignore[no-redef] # noqa: F811
        """Go again."""
        return "gone"


class Wants(Counting):
    def __init__(self, size: int) -> None:
        super().__init__()


class NoReset:
    def get_reward(self) -> float:
        return 0.0


class Silent(Counting):
    def reset(self, words: str, **row: Any) -> None:  # type: ignore[override]
        return None


class Number(Counting):
    def reset(self, words: str, **row: Any) -> int:  # type: ignore[override]
        return 3


class Later(Counting):
    async def reset(self, words: str, **row: Any) -> str:  # type: ignore[override]
        return words


class Narrow(Counting):
    def reset(self, sentence: str) -> str:  # type: ignore[override]
        return sentence


class Raising(Counting):
    def reset(self, words: str, **row: Any) -> str:
        raise KeyError("words")


class NoReward:
    def reset(self, words: str) -> str:
        return words


def rewarding(value: Any) -> type:
    return type("Rewarding", (Counting,), {"get_reward": lambda self: value})


def raising(self: Any) -> float:
    raise RuntimeError("not yet")


BAD: dict[str, tuple[Any, str]] = {
    "arguments": (Wants, "environment Wants cannot be made without arguments"),
    "no reset": (NoReset, "environment NoReset has no method reset"),
    "async reset": (Later, "reset of environment Later is async"),
    "other fields": (Narrow, "reset of environment Narrow does not take the fields of its rows"),
    "reset raises": (Raising, "reset of environment Raising raised KeyError: 'words'"),
    "no text": (Silent, "reset of environment Silent returned no text, and its row has no prompt"),
    "no string": (Number, "reset of environment Number returned int, not text or None"),
    "no docstring": (with_tool(no_docstring), "tool no_docstring of environment Made has no docstring"),
    "no type": (with_tool(no_type), "tool no_type of environment Made has no type for its argument number"),
    "no description": (with_tool(no_description), "does not describe its argument number"),
    "no JSON": (with_tool(no_json), "wants number as <class 'complex'>: no model can write that"),
    "no names": (with_tool(no_names), r"takes \*numbers"),
    "one name": (with_tool(say, "speak"), "environment Made has two tools called say: rename one"),
    "written twice": (Twice, "environment Twice has two tools called go: rename one"),
    "no reward": (NoReward, "environment NoReward has no get_reward and no verifier was given"),
    "text": (rewarding("1.0"), "Rewarding before the first turn gave '1.0': return a finite number"),
    "nothing readable": (rewarding([1]), r"gave \[1\]"),
    "NaN": (rewarding(math.nan), "gave nan"),
    "infinite": (rewarding(math.inf), "gave inf"),
    "reward raises": (type("Early", (Counting,), {"get_reward": raising}), "raised RuntimeError: not yet"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_environment(name: str) -> None:
    """The sentence names the class, the method or the argument, and nothing was sampled."""
    factory, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence) as refused:
        environment_problems("bad", factory, [ROW])

    assert "\n" not in str(refused.value)


def test_what_is_one() -> None:
    """A class, a function and a partial; a reward that is async, an integer or None; the tools in TRL's order."""

    class Waiting(Counting):
        async def get_reward(self) -> int:  # type: ignore[override]
            return 1

    class Undecided(Counting):
        def get_reward(self) -> None:  # type: ignore[override]
            return None

    for factory in (Counting, lambda: Counting(), functools.partial(Counting), Waiting, Undecided):
        assert check_environment(factory, ROW) == "How many words are in: a b?"
    assert list(tools_of(Counting())) == ["fail", "flood", "forge", "hang", "later", "leave", "say"]


def test_a_question_may_stand_in_the_row() -> None:
    """As in TRL: what reset returns is appended to the row's prompt, text or one user message; None appends nothing."""
    rows: list[dict[str, Any]] = [
        {"words": "a", "prompt": "Count. "},
        {"words": "a", "prompt": [{"role": "user", "content": "Count. "}]},
    ]

    assert [ask(Counting(), row) for row in rows] == ["Count. How many words are in: a?"] * 2
    assert ask(Silent(), rows[0]) == "Count. "


def test_rows_are_problems() -> None:
    """Ids, the row as what decides an episode, and a hash that knows the row; a verifier wants the row's gold."""
    made = environment_problems("counting", Counting, [ROW, {"words": "c", "id": "second"}])
    other = environment_problems("counting", Counting, [ROW, {"words": "c", "id": "second", "hidden": 1}])

    assert [problem.id for problem in made.problems] == ["counting-0", "second"]
    assert made.problems[0].meta["row"] == ROW
    assert made.sha256 != other.sha256
    for rows, sentence in (([], "was given no rows"), ([{**ROW, "id": "x"}] * 2, "two rows of same have one id")):
        with pytest.raises(InputError, match=sentence):
            environment_problems("same", Counting, rows)
    with pytest.raises(InputError, match="row same-0 cannot be written as JSON"):
        environment_problems("same", Counting, [{**ROW, "thing": object()}])
