"""A taskset of the package verifiers (0.4): what it asks, and the trace that its rewards read.

A taskset without tools becomes a problem set whose verifier is the taskset's rewards, one with tools an environment
(`verifiers_tools`). Rewards get a trace as verifiers builds it: the question, the model's turns, the tools' answers.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import math
import os
import random
import threading
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet, Status, Verdict, Verifier
from rlpath.envs.adapters.stepping import source_of
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.envs.turns.calls import Late, within

SECONDS = 60.0
"""What the rewards of one completion may take."""
T = TypeVar("T")


def verifiers_package() -> Any:
    """The module `verifiers.v1`. Raises `InputError` where it is not installed, or older."""
    try:
        return importlib.import_module("verifiers.v1")
    except ImportError as error:
        raise InputError(
            f"verifiers 0.4 is not installed ({error}): pip install 'verifiers>=0.4,<0.5', in an environment of its "
            "own where other packages do not let it"
        ) from None


def load_taskset(taskset_id: str, config: Mapping[str, Any]) -> Any:
    """The taskset. Raises `InputError` where it is unknown, refuses its configuration, or cannot be played here."""
    vf = verifiers_package()
    try:
        made = vf.taskset_config_type(taskset_id).model_validate({**config, "id": taskset_id})
        taskset = vf.load_taskset(made)
        single = vf.environment_class(taskset_id) is vf.SingleAgentEnv
    except ModuleNotFoundError as error:
        raise InputError(f"verifiers finds no taskset {taskset_id!r}: install its package ({_line(error)})") from None
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"{taskset_id!r} is no taskset of verifiers: {_line(error)}") from None
    except ValueError as error:
        raise InputError(f"taskset {taskset_id!r} refuses the configuration {dict(config)}: {_line(error)}") from None
    if str(getattr(made, "split", "")).startswith("test"):
        raise InputError(f"taskset {taskset_id!r} is set to its test split: that is opened by an evaluation alone")
    if not single:
        raise InputError(f"taskset {taskset_id!r} comes with an environment of several agents: only one can be played")
    _check_task(vf, taskset_id, taskset)
    return taskset


def _check_task(vf: Any, taskset_id: str, taskset: Any) -> None:
    """Refuse what needs a box, a judge without its key, or a hand in the model's requests."""
    kind, config = type(taskset).task_type(), taskset.config.task
    hooks = ("setup", "finalize", "stage_verifier")
    if kind.NEEDS_CONTAINER or any(getattr(kind, hook) is not getattr(vf.Task, hook) for hook in hooks):
        raise InputError(f"the tasks of {taskset_id!r} prepare or need a container: they cannot be played here")
    for judge in config.judges:
        if not os.environ.get(judge.api_key_var):
            raise InputError(
                f"taskset {taskset_id!r} is scored by the judge {judge.id!r} with the model {judge.model}: set its key "
                f"in {judge.api_key_var}, or leave the judge out"
            )
    if decorated(kind, "intercept"):
        raise InputError(
            f"the tasks of {taskset_id!r} rewrite the model's requests or answers: that is not carried over"
        )


def decorated(kind: type, mark: str) -> list[Any]:
    """The functions of a class that verifiers' decorator marked."""
    found = {name: fn for one in reversed(kind.__mro__) for name, fn in vars(one).items()}
    return [fn for fn in found.values() if callable(fn) and getattr(fn, mark, False)]


def tasks_of(taskset_id: str, taskset: Any, split: Side, size: int | None, seed: int, fraction: float) -> list[Any]:
    """Tasks of one side in an order fixed by `seed`; a hash of its question decides a task's side.

    An endless taskset gives its first `size` of the side. Raises `InputError` where there are fewer than asked for.
    """
    check_split(split, fraction)
    found: dict[str, Any] = {}
    want = (size or 200) if not taskset.bounded else None
    for task in taskset if want is None else itertools.islice(taskset, 100 * want):
        question = question_of(taskset_id, task)
        if side_of(f"verifiers:{taskset_id}/{question}", fraction) == split:
            found.setdefault(question, task)
        if want is not None and len(found) == want:
            break
    tasks = list(found.values())
    random.Random(f"{seed}/{split}").shuffle(tasks)
    if not tasks or len(tasks) < (size or 1):
        raise InputError(f"taskset {taskset_id!r} has {len(tasks)} {split} tasks: size {size or 1} is too large")
    return tasks[:size]


def question_of(taskset_id: str, task: Any) -> str:
    """The system prompt, if there is one, and the user's turn. Raises `InputError` for images, or several turns."""
    data = task.data
    if data.image is not None:
        raise InputError(
            f"task {data.idx} of {taskset_id!r} wants the container image {data.image}: it cannot be played"
        )
    messages = [] if isinstance(data.prompt, str) else list(data.prompt or [])
    if any(not isinstance(one.content, str) and any(part.type != "text" for part in one.content) for one in messages):
        raise InputError(f"task {data.idx} of {taskset_id!r} shows an image: only text can be played")
    if [one.role for one in messages if one.role != "system"] not in ([], ["user"]):
        raise InputError(f"task {data.idx} of {taskset_id!r} begins with a conversation: only one user turn is asked")
    question = "\n\n".join(part for part in (data.system_prompt, data.prompt_text) if part)
    if not question.strip():
        raise InputError(
            f"task {data.idx} of {taskset_id!r} has no prompt: a user would open it, and there is none here"
        )
    return question


@dataclass(frozen=True)
class Scored:
    """The sum of a trace's weighted rewards, and what each gave."""

    total: float
    parts: str


def score(task: Any, messages: Sequence[Any], *, truncated: bool = False, state: Any = None) -> Scored:
    """The task's rewards for a conversation. Raises whatever they raise, or TimeoutError."""
    trace = trace_of(task, messages, truncated=truncated, state=state)
    try:
        within(SECONDS, lambda: asyncio.run(task.score(trace)))
    except Late:
        raise TimeoutError(f"the rewards took longer than {SECONDS:g} seconds") from None
    given = {name: reward for name, reward in trace.rewards.items() if reward is not None}
    parts = ", ".join(f"{name} {one.score:g}" + f" × {one.weight:g}" * (one.weight != 1) for name, one in given.items())
    return Scored(float(trace.reward), parts or "no reward")


def trace_of(task: Any, messages: Sequence[Any], *, truncated: bool = False, state: Any = None) -> Any:
    """The conversation as verifiers records it; the model's own turns count as sampled."""
    vf = verifiers_package()
    from verifiers.v1.state import state_cls  # pyright: ignore[reportMissingImports]

    known = vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
    trace = vf.Trace(
        task=known,
        agent=vf.AgentInfo(config=vf.AgentConfig()),
        state=state_cls(type(task))() if state is None else state,
    )
    for at, message in enumerate(messages):
        parent = at - 1 if at else None
        trace.nodes.append(vf.MessageNode(parent=parent, message=message, sampled=message.role == "assistant"))
    trace.stop("max_output_tokens" if truncated else "agent_completed")
    trace.ok = True
    return trace


def opening(task: Any) -> list[Any]:
    """The messages before the model's first turn."""
    vf, data = verifiers_package(), task.data
    prompt = [vf.UserMessage(content=data.prompt)] if isinstance(data.prompt, str) else list(data.prompt or [])
    return [*([vf.SystemMessage(content=data.system_prompt)] if data.system_prompt else []), *prompt]


@dataclass(frozen=True)
class TasksetVerifier(Verifier):
    """Judges a completion by its task's rewards: their weighted sum is the score, and 1 or more is correct.

    `question` must be the prompt of a problem of this set.
    """

    taskset: str
    tasks: Mapping[str, Any] = field(repr=False)
    needs_gold: ClassVar = False

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        """Raises ValueError where `question` is no prompt of this set."""
        task = self.tasks.get(question or "")
        if task is None:
            raise ValueError(f"the verifier of {self.taskset} needs the prompt of one of its problems as `question`")
        reply = verifiers_package().AssistantMessage(content=completion)
        try:
            found = score(task, [*opening(task), reply], truncated=truncated)
        except Exception as error:  # noqa: BLE001 - a reward of others may raise anything on what a model wrote
            return Verdict.of(Status.ERROR, reason=_line(error))
        if not math.isfinite(found.total):
            return Verdict.of(Status.ERROR, reason=f"the rewards sum to {found.total}")
        missed = Status.TRUNCATED if truncated else Status.WRONG
        return Verdict(Status.CORRECT if found.total >= 1 else missed, found.total, reason=found.parts)


def verifiers_problems(
    taskset_id: str,
    split: Side = "train",
    *,
    size: int | None = None,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    config: Mapping[str, Any] | None = None,
) -> ProblemSet:
    """The tasks of an installed taskset; `config` goes to the taskset's own configuration.

    With tools the set has an environment. Raises `InputError` for what cannot be played (containers, images, several
    agents, a judge without its key), and where the rewards fail on an empty answer.
    """
    taskset = load_taskset(taskset_id, config or {})
    tasks = tasks_of(taskset_id, taskset, split, size, seed, held_out_fraction)
    if type(tasks[0]).toolsets(tasks[0].config) or taskset.toolsets(taskset.config):
        from rlpath.envs.adapters.verifiers_tools import tool_problems

        return tool_problems(taskset_id, taskset, tasks, split)
    verifier = TasksetVerifier(taskset_id, {question_of(taskset_id, task): task for task in tasks})
    problems = tuple(_problem(question, task) for question, task in verifier.tasks.items())
    tried = verifier("", "", question=problems[0].prompt)
    if tried.status is Status.ERROR:
        raise InputError(
            f"the rewards of taskset {taskset_id!r} fail on an empty answer ({tried.reason}): if they ask a judge "
            "model, its endpoint and key must be set"
        )
    source = source_of("verifiers")
    return ProblemSet(f"verifiers:{taskset_id}", split, problems, verifier, source)


def _problem(question: str, task: Any) -> Problem:
    # What decides a verdict is the task's data: it stands for the gold answer in the set's hash.
    return Problem(str(task.data.id or f"{task.data.idx}"), question, task.data.model_dump_json(exclude_defaults=True))


class EventLoop:
    """One event loop in a thread of its own: what an async tool keeps open between calls stays usable."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def wait(self, value: Awaitable[T]) -> T:
        """What an awaitable returns or raises."""

        async def awaited() -> T:
            return await value

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()


def _line(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
