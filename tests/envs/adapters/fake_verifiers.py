"""As much of verifiers 0.4 as the adapters use, where it is not installed; the same tests run against the real one."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any, ClassVar, Generic, get_args

from pydantic import BaseModel, ConfigDict, SerializeAsAny
from typing_extensions import TypeVar


def marked(mark: str) -> Any:
    def decorator(fn: Any = None, **extra: Any) -> Any:
        def apply(fn: Any) -> Any:
            setattr(fn, mark, True)
            for name, value in extra.items():
                setattr(fn, f"_{name}", value)
            return fn

        return apply if fn is None else apply(fn)

    return decorator


reward, metric, stop, tool, intercept = (marked(one) for one in ("reward", "metric", "stop", "tool", "intercept"))


def discover_decorated(found: Any, mark: str) -> list[Any]:
    names = sorted({name for one in type(found).__mro__ for name, fn in vars(one).items() if hasattr(fn, mark)})
    return [getattr(found, name) for name in names]


def concrete(cls: type, bound: type) -> Any:
    for one in cls.__mro__:
        for base in getattr(one, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, bound):
                    return argument
    return bound


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TaskConfig(Config):
    judges: list[Any] = []


class TasksetConfig(Config):
    id: str = ""
    task: SerializeAsAny[TaskConfig] = TaskConfig()


class SubprocessConfig(Config):
    pass


class ToolsetConfig(Config):
    colocated: bool = False
    runtime: SubprocessConfig = SubprocessConfig()
    url: str | None = None


class State(BaseModel):
    pass


class TaskData(BaseModel):
    model_config = ConfigDict(frozen=True)
    idx: int | None = None
    id: str | None = None
    prompt: str | list[Any] | None = None
    system_prompt: str | None = None
    image: str | None = None

    @property
    def prompt_text(self) -> str:
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(str(one.content) for one in self.prompt or [])


class Message(BaseModel):
    role: str
    content: Any = None


class SystemMessage(Message):
    role: str = "system"


class UserMessage(Message):
    role: str = "user"


class AssistantMessage(Message):
    role: str = "assistant"
    tool_calls: list[Any] | None = None


class ToolMessage(Message):
    role: str = "tool"
    tool_call_id: str


class TextContentPart(BaseModel):
    type: str = "text"
    text: str


class ImageUrlSource(BaseModel):
    url: str


class ImageUrlContentPart(BaseModel):
    type: str = "image_url"
    image_url: ImageUrlSource


class ToolCall(BaseModel):
    id: str
    name: str
    arguments: str


class MessageNode(BaseModel):
    parent: int | None
    message: Any
    sampled: bool


class AgentConfig(Config):
    pass


class AgentInfo(BaseModel):
    config: AgentConfig


class TraceTask(BaseModel):
    type: str
    data: Any
    key: str
    hash: str


class Reward(BaseModel):
    score: float
    weight: float

    @property
    def value(self) -> float:
        return self.score * self.weight


class Trace(BaseModel):
    task: TraceTask
    agent: AgentInfo
    state: Any
    nodes: list[MessageNode] = []
    rewards: dict[str, Reward] = {}
    stop_condition: str | None = None
    ok: bool = False

    @property
    def reward(self) -> float:
        return sum(one.value for one in self.rewards.values())

    @property
    def is_truncated(self) -> bool:
        return self.stop_condition == "max_output_tokens"

    @property
    def last_reply(self) -> str:
        said = [one.message.content for one in self.nodes if one.sampled]
        return (said[-1] or "").strip() if said else ""

    @property
    def tool_messages(self) -> list[Any]:
        return [one.message for one in self.nodes if one.message.role == "tool"]

    def stop(self, condition: str) -> None:
        self.stop_condition = condition


class TaskError(Exception):
    pass


Data = TypeVar("Data", bound=TaskData, default=TaskData)
Kept = TypeVar("Kept", bound=State, default=State)
Knobs = TypeVar("Knobs", default=TaskConfig)


class Task(Generic[Data, Kept, Knobs]):
    NEEDS_CONTAINER: ClassVar[bool] = False

    def __init__(self, data: Any, config: Any = None) -> None:
        self.data = data
        self.config = config if config is not None else concrete(type(self), TaskConfig)()

    hash = key = property(lambda self: self.data.model_dump_json())

    async def setup(self, trace: Any, runtime: Any) -> None: ...

    async def finalize(self, trace: Any, runtime: Any) -> None: ...

    async def stage_verifier(self, trace: Any, runtime: Any) -> None: ...

    async def score(self, trace: Any, runtime: Any = None) -> None:
        for fn in discover_decorated(self, "reward"):
            try:
                value = await fn(trace)
            except Exception as error:
                raise TaskError(f"task {type(self).__name__} scoring: {error}") from error
            trace.rewards[fn.__name__] = Reward(score=value, weight=getattr(fn, "_weight", 1.0))

    def hooks(self, mark: str) -> list[Any]:
        return discover_decorated(self, mark)

    @classmethod
    def data_type(cls) -> Any:
        return concrete(cls, TaskData)

    @classmethod
    def toolsets(cls, config: Any) -> list[Any]:
        return []


TaskKind = TypeVar("TaskKind")
Settings = TypeVar("Settings", default=TasksetConfig)


class Taskset(Generic[TaskKind, Settings]):
    bounded = True

    def __init__(self, config: Any) -> None:
        self.config = config

    def load(self) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Any:
        for idx, task in enumerate(self.load()):
            task.data = task.data.model_copy(update={"idx": idx})
            yield task

    @classmethod
    def task_type(cls) -> Any:
        return concrete(cls, Task)

    @classmethod
    def toolsets(cls, config: Any) -> list[Any]:
        return []


class Toolset(Generic[Settings, Kept]):
    TOOL_PREFIX: ClassVar[str | None] = ""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.state = concrete(type(self), State)()

    @property
    def server_name(self) -> str:
        return "" if self.TOOL_PREFIX is None else self.TOOL_PREFIX or type(self).__name__.lower()

    async def setup(self) -> None: ...

    async def setup_task(self, task: Any) -> None: ...

    def _with_state(self, fn: Any) -> Any:
        return fn


class Env:
    pass


class SingleAgentEnv(Env):
    pass


def exported(taskset_id: str, kind: type) -> Any:
    module = importlib.import_module(taskset_id.replace("-", "_"))
    return next((one for name in module.__all__ if issubclass(one := getattr(module, name), kind)), None)


def load_taskset(config: Any) -> Any:
    return exported(config.id, Taskset)(config)


def taskset_config_type(taskset_id: str) -> Any:
    found = exported(taskset_id, Taskset)
    if found is None:
        raise TypeError(f"taskset module {taskset_id!r} exports no Taskset subclass via `__all__`")
    return concrete(found, TasksetConfig)


def environment_class(taskset_id: str) -> Any:
    return exported(taskset_id, Env) or SingleAgentEnv


def state_cls(cls: type) -> Any:
    return concrete(cls, State)


def modules() -> dict[str, ModuleType]:
    """What to put into `sys.modules`."""
    here = sys.modules[__name__]
    names = ("verifiers", "verifiers.v1", "verifiers.v1.state", "verifiers.v1.utils", "verifiers.v1.utils.decorators")
    made = {name: ModuleType(name) for name in names}
    for name in ("verifiers.v1", "verifiers.v1.state", "verifiers.v1.utils.decorators"):
        vars(made[name]).update({one: value for one, value in vars(here).items() if not one.startswith("_")})
    made["verifiers"].v1 = made["verifiers.v1"]  # type: ignore[attr-defined]
    assert inspect.ismodule(made["verifiers.v1"])
    return made
