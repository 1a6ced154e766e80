"""What a language environment is, and one sentence for each way a class can fail to be one.

The contract is that of TRL's `GRPOTrainer(environment_factory=…)`, so that one class serves both: a constructor without
arguments, `reset(**row)` that returns the question (or None where the row has a `prompt`), public methods as tools, and
`get_reward()`, sync or async. Beyond it, an attribute `done` that is true ends an episode at once.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import math
import re
import textwrap
import types
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rlpath.core.errors import InputError

Factory = Callable[[], Any]
"""Makes an environment: a class, or a function without arguments."""
Row = Mapping[str, Any]
PLAIN = (str, int, float, bool, type(None))


def make_environment(factory: Factory) -> Any:
    """A new environment. Raises `InputError` where its constructor wants arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise InputError(
            f"environment {name_of(factory)} cannot be made without arguments ({error}): give what differs between "
            "episodes to reset, and the rest with functools.partial"
        ) from None
    except ValueError:  # a class of C without a signature
        pass
    return factory()


def name_of(factory: Factory) -> str:
    """What an environment is called in messages and tables."""
    return getattr(factory, "__name__", None) or name_of_class(factory)


def name_of_class(factory: Any) -> str:
    """The name of a partial's function, or of the class of whatever makes environments."""
    return getattr(getattr(factory, "func", None), "__name__", type(factory).__name__)


def tools_of(environment: Any) -> dict[str, Callable[..., Any]]:
    """The tools of an environment by name: its public methods but `reset` and `get_reward`, in TRL's order."""
    members = inspect.getmembers(type(environment), predicate=inspect.isfunction)
    names = [name for name, _ in members if not name.startswith("_") and name not in ("reset", "get_reward")]
    return {name: getattr(environment, name) for name in names}


def rewards_itself(environment: Any) -> bool:
    """Whether the environment has a reward of its own."""
    return callable(getattr(type(environment), "get_reward", None))


def check_environment(factory: Factory, row: Row, *, judged: bool = False) -> str:
    """Try an environment on one row before anything is sampled; the question it asks.

    `judged` says that a verifier reads the last turn, so that `get_reward` may be missing. Raises `InputError` with one
    sentence for the first thing that is wrong.
    """
    environment = make_environment(factory)
    name = type(environment).__name__
    tools = tools_of(environment)
    _check_names(type(environment), tools)
    for tool in tools.values():
        _check_tool(name, tool)
    question = ask(environment, row)
    if rewards_itself(environment):
        reward_of(environment, f"{name} before the first turn")
    elif not judged:
        raise InputError(f"environment {name} has no get_reward and no verifier was given: add one of the two")
    return question


def ask(environment: Any, row: Row) -> str:
    """The question of an episode: the row's `prompt`, if it has one, followed by what `reset` returns.

    Raises `InputError` where `reset` is missing or async, does not take the row's fields, or where there is no text.
    """
    name = type(environment).__name__
    reset = getattr(environment, "reset", None)
    if not callable(reset):
        raise InputError(f"environment {name} has no method reset: it takes a row's fields and returns the question")
    if inspect.iscoroutinefunction(reset):
        raise InputError(f"reset of environment {name} is async: make it an ordinary method, as TRL calls it")
    try:
        inspect.signature(reset).bind(**row)
    except TypeError as error:
        raise InputError(
            f"reset of environment {name} does not take the fields of its rows ({error}): add **row"
        ) from None
    try:
        told: object = reset(**row)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"reset of environment {name} raised {type(error).__name__}: {error}") from error
    given = _prompt(row, name)
    if told is not None and not isinstance(told, str):
        raise InputError(f"reset of environment {name} returned {type(told).__name__}, not text or None")
    question = given + (told or "")
    if not question.strip():
        raise InputError(
            f"reset of environment {name} returned no text, and its row has no prompt: return the question"
        )
    return question


def _prompt(row: Row, name: str) -> str:
    prompt = row.get("prompt", "")
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and len(prompt) == 1 and prompt[0].get("role") == "user":
        return str(prompt[0]["content"])
    raise InputError(f"the prompt of a row of environment {name} is neither text nor one user message")


def reward_of(environment: Any, when: str) -> float | None:
    """The environment's reward, None where it gives none. Raises `InputError` where that is no finite number."""
    try:
        value = finished(environment.get_reward())
    except Exception as error:
        raise InputError(f"get_reward of environment {when} raised {type(error).__name__}: {error}") from error
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, str) or not math.isfinite(number):
        raise InputError(f"get_reward of environment {when} gave {value!r}: return a finite number, or None for none")
    return number


def finished(value: Any) -> Any:
    """What an async method returns in the end; anything else as it is."""
    if not inspect.isawaitable(value):
        return value
    # In a thread of its own: a notebook has an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _awaited(value)).result()


async def _awaited(value: Any) -> Any:
    return await value


def _check_names(environment: type, tools: Mapping[str, Callable[..., Any]]) -> None:
    """Two tools of one name: one method written twice, or two whose functions are called the same."""
    called = Counter(tool.__name__ for tool in tools.values())
    twice = [name for name, count in called.items() if count > 1] + _written_twice(inspect.unwrap(environment))
    if twice:
        raise InputError(f"environment {environment.__name__} has two tools called {twice[0]}: rename one")


@functools.lru_cache(maxsize=256)
def _written_twice(environment: type) -> list[str]:
    try:
        source = textwrap.dedent(inspect.getsource(environment))
    except (OSError, TypeError):  # made in a prompt or by a program: there is no source to read
        return []
    (found,) = ast.parse(source).body[:1]
    body = found.body if isinstance(found, ast.ClassDef) else []
    methods = (ast.FunctionDef, ast.AsyncFunctionDef)
    # A decorated method, as a property's setter, may have the name of another.
    names = Counter(item.name for item in body if isinstance(item, methods) and not item.decorator_list)
    return [name for name, count in names.items() if count > 1]


def _check_tool(environment: str, tool: Callable[..., Any]) -> None:
    place = f"tool {tool.__name__} of environment {environment}"
    text = inspect.getdoc(tool)
    if not text or not text.strip():
        raise InputError(f"{place} has no docstring: say what it does, which is all that the model knows of it")
    hints = typing.get_type_hints(tool)
    for name, parameter in inspect.signature(tool).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise InputError(f"{place} takes {parameter}: give it arguments with names")
        if name not in hints:
            raise InputError(f"{place} has no type for its argument {name}: write {name}: str, or what it is")
        if not _is_json(hints[name]):
            raise InputError(f"{place} wants {name} as {hints[name]}: no model can write that; take text or numbers")
        if not re.search(rf"^\s*{re.escape(name)}\s*(\([^)]*\))?:\s*\S", text, re.MULTILINE):
            raise InputError(
                f'{place} does not describe its argument {name}: add "{name}: …" under Args: in its docstring'
            )


def _is_json(hint: Any) -> bool:
    """Whether a value of this type can be written as JSON."""
    if hint in PLAIN or hint in (list, dict, Any):
        return True
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return all(isinstance(value, PLAIN) for value in inside)
    if origin in (list, dict, tuple, typing.Union, types.UnionType):
        return all(_is_json(one) for one in inside)
    return False
