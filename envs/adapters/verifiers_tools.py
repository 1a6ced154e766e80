"""A taskset of verifiers with tools as an environment: its tool servers' methods are called here, in this process.

The model's last word is the tool `final_answer`, since an environment does not see what is written beside calls; the
rewards read a trace of the calls, the tools' answers and that last word.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.adapters.stepping import source_of
from rlpath.envs.adapters.verifiers_tasks import (
    EventLoop,
    opening,
    question_of,
    score,
    trace_of,
    verifiers_package,
)
from rlpath.envs.splits import Side
from rlpath.envs.turns.problems import environment_problems


@cache
def event_loop() -> EventLoop:
    """The loop of all tools of this process."""
    return EventLoop()


def finished_here(value: Any) -> Any:
    """What an async tool returns in the end; anything else as it is."""
    return event_loop().wait(value) if inspect.isawaitable(value) else value


class TasksetEnvironment:
    """One task of a taskset; subclasses have its tools. A row is `{"task": the task's data}`."""

    taskset_id: ClassVar[str]
    taskset: ClassVar[Any]

    def __init__(self) -> None:
        self.done = False

    def reset(self, task: Mapping[str, Any], **row: Any) -> str:
        """Begin a task with tool servers of its own; its question."""
        kind = type(self.taskset).task_type()
        self.task = kind(kind.data_type().model_validate(dict(task)), self.taskset.config.task)
        self.said = opening(self.task)
        self.done = False
        self.servers = servers_of(self.taskset_id, self.taskset)
        for server in self.servers:
            finished_here(server.setup())
            if server not in shared_servers(self.taskset):
                finished_here(server.setup_task(self.task.data))
        self.tools = {name: tool for server in self.servers for name, tool in tools_by_name(server).items()}
        return question_of(self.taskset_id, self.task)

    def _state(self) -> Any:
        """The state that the servers left, None where none keeps any."""
        states = [server.state for server in self.servers if type(server.state) is not verifiers_package().State]
        return states[0] if states else None

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if self.done:
            raise ValueError("the episode is over")
        vf = verifiers_package()
        call = vf.ToolCall(id=f"call-{len(self.said)}", name=name, arguments=json.dumps(dict(arguments)))
        try:
            value = finished_here(self.tools[name](**checked(self.tools[name], arguments)))
            told = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        except Exception as error:
            self._said(call, f"error: {error}")
            raise
        self._said(call, told)
        self.done = self._stopped()
        return told

    def _said(self, call: Any, answer: str) -> None:
        vf = verifiers_package()
        self.said.append(vf.AssistantMessage(content="", tool_calls=[call]))
        self.said.append(vf.ToolMessage(tool_call_id=call.id, content=answer, name=call.name))

    def _stopped(self) -> bool:
        """Whether one of the task's stop conditions holds."""
        hooks = self.task.hooks("stop")
        if not hooks:
            return False
        trace = trace_of(self.task, self.said, state=self._state())
        return any(bool(finished_here(hook(trace))) for hook in hooks)

    def final_answer(self, text: str) -> str:
        """Give your final answer, which ends the task.

        Args:
            text: the answer, in the form that the task asks for
        """
        if self.done:
            raise ValueError("the episode is over")
        self.said.append(verifiers_package().AssistantMessage(content=text))
        self.done = True
        return "The answer was taken."

    def get_reward(self) -> float:
        """The weighted sum of the task's rewards."""
        return score(self.task, self.said, state=self._state()).total


@cache
def shared_servers(taskset: Any) -> tuple[Any, ...]:
    """The servers that all tasks share, made once."""
    return tuple(taskset.toolsets(taskset.config))


def servers_of(taskset_id: str, taskset: Any) -> list[Any]:
    """Tool servers of one task. Raises `InputError` for those that cannot run in this process."""
    vf, shared = verifiers_package(), shared_servers(taskset)
    own = type(taskset).task_type().toolsets(taskset.config.task)
    for server in (*shared, *own):
        settings = server.config
        remote = not isinstance(getattr(settings, "runtime", None), vf.SubprocessConfig)
        if getattr(settings, "url", None) or getattr(settings, "colocated", False) or remote:
            raise InputError(f"tool server {server.server_name!r} of taskset {taskset_id!r} runs elsewhere, not here")
    keeping = [server for server in (*shared, *own) if type(server.state) is not vf.State]
    if len(keeping) > 1 or any(server in shared for server in keeping):
        raise InputError(f"the tool servers of taskset {taskset_id!r} share their state: only one of a task's own may")
    return [*shared, *own]


def tools_by_name(server: Any) -> dict[str, Any]:
    """A server's tools under the names that a model sees."""
    from verifiers.v1.utils.decorators import discover_decorated  # pyright: ignore[reportMissingImports]

    before = f"{server.server_name}_" if server.server_name else ""
    found = discover_decorated(server, "tool")
    return {before + (getattr(tool, "tool_name", None) or tool.__name__): tool for tool in found}


def checked(tool: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the tool's types have them: a server of verifiers reads them with pydantic as well."""
    from pydantic import TypeAdapter

    hints = typing.get_type_hints(tool)
    return {name: TypeAdapter(hints.get(name, Any)).validate_python(value) for name, value in arguments.items()}


def method_of(name: str, tool: Any) -> Any:
    """A method that calls the tool: its name, types and docstring, in which every argument is described."""

    def method(self: TasksetEnvironment, **arguments: Any) -> str:
        return self._call(name, arguments)

    hints = {one: hint for one, hint in typing.get_type_hints(tool).items() if one != "return"}
    parameters = list(inspect.signature(tool).parameters.values())
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = described(inspect.getdoc(tool) or "", [one.name for one in parameters])
    method.__annotations__ = {**hints, "return": str}
    typed = [one.replace(annotation=hints.get(one.name, one.annotation)) for one in parameters]
    method.__signature__ = inspect.Signature([this, *typed], return_annotation=str)  # type: ignore[attr-defined]
    return method


def described(text: str, arguments: Sequence[str]) -> str:
    """The docstring with a line for every argument that has none."""
    missing = [name for name in arguments if not re.search(rf"^\s*{re.escape(name)}\s*(\([^)]*\))?:\s*\S", text, re.M)]
    if not text.strip() or not missing:
        return text
    lines = "".join(f"\n    {name}: {name.replace('_', ' ')}" for name in missing)
    if (found := re.search(r"^Args:\s*$", text, re.M)) is not None:
        return text[: found.end()] + lines + text[found.end() :]
    return f"{text.rstrip()}\n\nArgs:{lines}"


def environment_of(taskset_id: str, taskset: Any) -> type[TasksetEnvironment]:
    """The class of a taskset's environments, with its tools as methods. Raises `InputError` as `servers_of` does."""
    for hook in type(taskset).task_type()(None, taskset.config.task).hooks("stop"):
        if list(inspect.signature(hook).parameters) != ["trace"]:
            raise InputError(f"the stop condition {hook.__name__} of taskset {taskset_id!r} reads more than a trace")
    tools: dict[str, Any] = {}
    for server in servers_of(taskset_id, taskset):
        for name, tool in tools_by_name(server).items():
            if name in tools or hasattr(TasksetEnvironment, name):
                raise InputError(f"taskset {taskset_id!r} has a second tool called {name}: rename one")
            tools[name] = method_of(name, tool)
    name = "".join(word.capitalize() for word in re.split(r"\W|_", taskset_id)) or "Tasks"
    return type(name, (TasksetEnvironment,), {"taskset_id": taskset_id, "taskset": taskset, **tools})


def tool_problems(taskset_id: str, taskset: Any, tasks: Sequence[Any], split: Side) -> ProblemSet:
    """The tasks as problems of an environment with the taskset's tools."""
    rows = [
        {"id": str(task.data.id or task.data.idx), "task": task.data.model_dump(mode="json", exclude_defaults=True)}
        for task in tasks
    ]
    source = source_of("verifiers")
    made = environment_of(taskset_id, taskset)
    return environment_problems(f"verifiers:{taskset_id}", made, rows, split=split, source=source)
