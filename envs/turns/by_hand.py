"""An environment by hand: a person, or a scripted policy, takes the model's place.

>>> from rlpath.envs.calculator import Calculator
>>> row = {"question": "What is 3 + 4?", "gold": "7"}
>>> played = play(Calculator, row, [Call("calculate", expression="3 + 4"), Call("answer", number="7")])
>>> [turn.text for turn in played.turns][1], played.reward
('7', 1.0)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlpath.core.types import EpisodeTurn
from rlpath.envs.turns.calls import Caller, Limits
from rlpath.envs.turns.contract import Factory, Row, ask, check_environment, make_environment, reward_of, rewards_itself
from rlpath.models.tool_chat import ToolCall, broken


class Call:
    """A call as a policy makes it: `Call("guess", number=50)`."""

    def __init__(self, tool: str, /, **arguments: Any) -> None:
        self.tool, self.arguments = tool, arguments

    def __repr__(self) -> str:
        return f"{self.tool}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


Move = Call | str | None
"""A call, text without one (which ends the episode), or None to end it."""
Policy = Callable[[str, list[str]], Move]
"""The next move, given the question and the tools' answers so far."""


@dataclass(frozen=True, slots=True)
class Played:
    """An episode by hand: its turns in order, its reward (None where there is none), and its counts of calls."""

    question: str
    turns: tuple[EpisodeTurn, ...]
    reward: float | None
    counts: Mapping[str, int]


def play(
    factory: Factory, row: Row, policy: Policy | Iterable[Move] | None = None, limits: Limits | None = None
) -> Played:
    """One episode. Without a `policy` the moves are typed: `tool {"argument": value}`, or an empty line to end.

    A policy is a function of the question and the answers so far, or just the moves one after the other. Raises
    `InputError` for an environment that breaks the contract.
    """
    check_environment(factory, row, judged=True)
    environment = make_environment(factory)
    question, limits = ask(environment, row), limits or Limits()
    caller = Caller(environment, limits)
    choose = _typed(caller, question) if policy is None else policy if callable(policy) else _one_by_one(policy)
    turns: list[EpisodeTurn] = []
    answers: list[str] = []
    for _ in range(limits.turns):
        move = choose(question, answers)
        if move is None:
            break
        turns.append(EpisodeTurn("assistant", str(move)))
        if isinstance(move, str):
            break
        answers.append(caller.answer(move if isinstance(move, ToolCall) else ToolCall(move.tool, move.arguments)))
        turns.append(EpisodeTurn("tool", answers[-1]))
        if policy is None:
            print(answers[-1])
        if caller.done:
            break
    reward = reward_of(environment, f"{type(environment).__name__} by hand") if rewards_itself(environment) else None
    if policy is None:
        print(f"reward: {reward}")
    return Played(question, tuple(turns), reward, dict(caller.counts))


def _one_by_one(moves: Iterable[Move]) -> Policy:
    left = iter(moves)
    return lambda question, answers: next(left, None)


def _typed(caller: Caller, question: str) -> Policy:
    print(f"{question}\n\ntools: {', '.join(caller.tools)}")

    def ask_person(question: str, answers: list[str]) -> Any:
        line = input('tool {"argument": value}> ').strip()
        tool, _, text = line.partition(" ")
        if not tool:
            return None
        try:
            arguments = json.loads(text or "{}")
        except ValueError:
            return broken("the arguments are not JSON")
        return Call(tool, **arguments) if isinstance(arguments, dict) else broken("the arguments are no object")

    return ask_person
