"""Tools are run within limits: whatever a model writes and a tool does, the model gets an answer and the run goes on.

A call that raises, hangs or floods is answered as such and counted. A thread cannot be killed: one that hangs is left
behind, and its environment takes no further call. A tool that runs what a model wrote belongs into the sandbox.
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rlpath.core.errors import InputError
from rlpath.envs.turns.contract import finished, tools_of
from rlpath.models.tool_chat import ToolCall


@dataclass(frozen=True, slots=True)
class Limits:
    """What one episode may use.

    turns: of the model; a call in the last one is still run
    answer_tokens: of one tool's answer, which is cut there
    seconds: of one call; calls: in one turn, further ones are not run
    """

    turns: int = 8
    answer_tokens: int = 256
    seconds: float = 20.0
    calls: int = 8

    def __post_init__(self) -> None:
        if min(self.turns, self.answer_tokens, self.calls) < 1 or not self.seconds > 0:
            raise InputError(f"the limits of an episode must be positive: {self}")


@dataclass
class Caller:
    """Runs calls on one environment, one after the other, and counts what became of them."""

    environment: Any
    limits: Limits
    counts: Counter[str] = field(default_factory=Counter)
    hung: bool = False

    def __post_init__(self) -> None:
        self.tools = tools_of(self.environment)

    @property
    def done(self) -> bool:
        """Whether the environment says that the episode is over."""
        return bool(getattr(self.environment, "done", False))

    def answer(self, call: ToolCall) -> str:
        """What the model is told of a call."""
        self.counts["calls"] += 1
        if call.fault:
            return self._error("malformed", f"the call could not be read: {call.fault}")
        if self.hung:
            return self._error("refused", "the environment does not answer any more")
        if call.name not in self.tools:
            return self._error("refused", f"there is no tool {call.name}; there are {', '.join(self.tools)}")
        tool = self.tools[call.name]
        try:
            inspect.signature(tool).bind(**call.arguments)
        except TypeError as error:
            return self._error("refused", f"{call.name}: {error}")
        try:
            return str(within(self.limits.seconds, lambda: finished(tool(**call.arguments))))
        except (Late, TimeoutError):
            self.hung = True
            return self._error("hung", f"{call.name} gave no answer within {self.limits.seconds:g} seconds")
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the model is told
            return self._error("raised", str(error) or type(error).__name__)

    def too_many(self) -> str:
        """What the model is told of a call beyond those of one turn."""
        self.counts["calls"] += 1
        return self._error("refused", f"not run: at most {self.limits.calls} calls in a turn")

    def _error(self, kind: str, why: str) -> str:
        self.counts[kind] += 1
        return f"error: {why}"


class Late(Exception):
    """A call took too long."""


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns or raises. Raises `Late` where that takes longer; the call itself goes on in its thread."""
    outcome: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:  # noqa: BLE001 - SystemExit of a tool must not be lost either
            outcome.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise Late
    returned, value = outcome[0]
    if returned:
        return value
    raise value if isinstance(value, Exception) else RuntimeError(f"{type(value).__name__}: {value}")
