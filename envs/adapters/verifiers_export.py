"""Our problem sets and environments as a taskset of verifiers (0.4), which its `vf-eval` and trainers then take.

    # my_sums.py, importable where vf-eval runs
    from rlpath.envs.adapters.verifiers_export import taskset

    Sums = taskset("arithmetic:add-2", size=100)
    __all__ = ["Sums"]

    vf-eval my-sums --env.agent.harness.id null -m MODEL

An environment's tools are served by `python -m rlpath.envs.adapters.verifiers_export`, one process an episode. The
reward and the end of an episode come back through the state that verifiers keeps for it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.adapters.verifiers_tasks import verifiers_package
from rlpath.envs.load import problem_set
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import Caller
from rlpath.envs.turns.contract import ask, make_environment, reward_of, rewards_itself, tools_of
from rlpath.envs.turns.episodes import EpisodePlayer
from rlpath.models.tool_chat import ToolCall

vf = verifiers_package()


class ExportedToolsConfig(vf.ToolsetConfig):
    """Which problems are served."""

    problems: str = ""
    """a name that `problem_set` takes, or module:attribute of a ProblemSet"""
    split: str = "validation"
    size: int | None = None
    seed: int = 0


class ExportedTaskConfig(vf.TaskConfig):
    """The problems again: a task's tools are made from its configuration alone."""

    tools: ExportedToolsConfig = ExportedToolsConfig()


class ExportedData(vf.TaskData):
    """One of our problems."""

    gold: str = ""
    row: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it


class ExportedState(vf.State):
    """What an episode's tool server tells the taskset: the reward so far, and whether it is over."""

    reward: float | None = None
    done: bool = False


class ExportedTools(vf.Toolset[ExportedToolsConfig, ExportedState]):
    """The tools of one episode of an environment, under their own names."""

    TOOL_PREFIX = None

    async def setup_task(self, task: ExportedData) -> None:
        """Begin the task's episode."""
        player = player_of(problems_of(self.config))
        self.caller = Caller(make_environment(player.factory), player.limits)
        ask(self.caller.environment, task.row)

    def register(self, mcp: Any) -> None:
        """Offer the environment's tools."""
        for name, tool in tools_of(self.caller.environment).items():
            mcp.add_tool(self._with_state(self._serving(name, tool)), name=name, description=inspect.getdoc(tool))

    def _serving(self, name: str, tool: Any) -> Any:
        """A function with the tool's own signature; its call is run within the environment's limits."""

        def serve(**arguments: Any) -> str:
            answer = self.caller.answer(ToolCall(name, arguments))
            self.state.done = self.caller.done
            if rewards_itself(self.caller.environment) and not self.caller.hung:
                self.state.reward = reward_of(self.caller.environment, f"served to verifiers, after {name}")
            return answer

        hints = typing.get_type_hints(tool)
        parameters = inspect.signature(tool).parameters.values()
        typed = [one.replace(annotation=hints.get(one.name, one.annotation)) for one in parameters]
        serve.__name__, serve.__annotations__ = name, {**hints, "return": str}
        serve.__signature__ = inspect.Signature(typed, return_annotation=str)  # type: ignore[attr-defined]
        return serve


class ExportedTask(vf.Task[ExportedData, ExportedState, ExportedTaskConfig]):
    """One of our problems, with our verdict for a reward."""

    @classmethod
    def toolsets(cls, config: ExportedTaskConfig) -> list[Any]:
        """The environment's tools; none where a question is answered at once."""
        return [] if problems_of(config.tools).environment is None else [ExportedTools(config.tools)]

    @vf.reward
    async def reward(self, trace: vf.Trace) -> float:  # pyright: ignore[reportInvalidTypeForm]
        """The score of our verdict. Raises ValueError where nothing was decided: such a trace is none to learn from."""
        problems = problems_of(self.config.tools)
        if problems.environment is not None and rewards_itself(make_environment(player_of(problems).factory)):
            return self._earned(trace, player_of(problems))
        found = problems.verifier(
            trace.last_reply, self.data.gold, question=self.data.prompt, truncated=trace.is_truncated
        )
        if found.score is None:
            raise ValueError(f"the verdict is {found.status}: {found.reason}")
        return found.score

    def _earned(self, trace: Any, player: EpisodePlayer) -> float:
        if trace.state.reward is not None:
            return trace.state.reward
        environment = make_environment(player.factory)  # no tool was called: what an untouched episode earns
        ask(environment, self.data.row)
        earned = reward_of(environment, "that was served to verifiers")
        if earned is None:
            raise ValueError("the environment gave no reward")
        return earned

    @vf.stop
    async def is_over(self, trace: vf.Trace) -> bool:  # pyright: ignore[reportInvalidTypeForm]
        """Whether the environment ended the episode."""
        return trace.state.done


@cache
def _problems(name: str, split: Side, size: int | None, seed: int) -> ProblemSet:
    module, _, attribute = name.partition(":")
    if attribute and "." not in attribute:
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError):
            found = None
        if isinstance(found, ProblemSet):
            return found
    return problem_set(name, split, size=size, seed=seed)


def problems_of(config: ExportedToolsConfig) -> ProblemSet:
    """The problems that a configuration names. Raises `InputError` as `problem_set` does."""
    return _problems(config.problems, config.split, config.size, config.seed)


def player_of(problems: ProblemSet) -> EpisodePlayer:
    """The environment of a set. Raises `InputError` where it is not one of this project's."""
    if not isinstance(problems.environment, EpisodePlayer):
        raise InputError(f"{problems.name} has no environment that can be served")
    return problems.environment


def taskset(problems: str, split: Side = "validation", *, size: int | None = None, seed: int = 0) -> Any:
    """A class of verifiers' for one of our problem sets, to be listed in a module's `__all__`.

    `problems` is a name as recipes take it (`arithmetic:add-2`, `number-guessing:15`), or `module:attribute` of a
    `ProblemSet`. Raises `InputError` for an unknown name.
    """
    tools = ExportedToolsConfig(problems=problems, split=split, size=size, seed=seed)
    problems_of(tools)

    class ExportedConfig(vf.TasksetConfig):
        task: ExportedTaskConfig = ExportedTaskConfig(tools=tools)

    class Exported(vf.Taskset[ExportedTask, ExportedConfig]):
        def load(self) -> Iterator[ExportedTask]:
            for problem in problems_of(self.config.task.tools).problems:
                data = ExportedData(
                    id=problem.id, prompt=problem.prompt, gold=problem.gold, row=dict(problem.meta.get("row", {}))
                )
                yield ExportedTask(data, self.config.task)

    return Exported


if __name__ == "__main__":
    ExportedTools.run()
