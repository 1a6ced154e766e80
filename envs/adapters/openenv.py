"""Environments that an OpenEnv server (openenv_core) plays, over its client: reset, step and state.

The server is asked for the schema of its actions, and the tool `act` has one argument for each of an action's fields.
Each episode has a session of its own on the server, which must allow as many sessions as episodes are played together.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.adapters.stepping import StepOutcome, SteppedEnvironment, seeded_problems, source_of
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import EpisodeLimits

TYPES: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}
SECONDS = 20.0
"""How long a server may take to accept a connection."""
TOO_LONG = 20_000
"""Characters of a field of an observation from which on it is taken for an image or the like."""


def client_class() -> Any:
    """OpenEnv's client for any server. Raises `InputError` where openenv_core is not installed."""
    try:
        return importlib.import_module("openenv.core").GenericEnvClient
    except (ImportError, AttributeError) as error:
        raise InputError(f"openenv_core is not installed ({error}): pip install 'openenv_core>=0.3,<0.4'") from None


def action_schema(server: str) -> dict[str, Any]:
    """The server's JSON schema of an action. Raises `InputError` where it is not reached, or is no OpenEnv server."""
    address = server.replace("ws://", "http://").replace("wss://", "https://").rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InputError(f"{server!r} is no address of an OpenEnv server: write http://host:port")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({})) if _is_here(address) else None
    try:
        with (opener.open if opener else urllib.request.urlopen)(f"{address}/schema", timeout=SECONDS) as answer:
            schema = json.load(answer)["action"]
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"the OpenEnv server at {server} cannot be reached ({reason}): start it first") from None
    except (KeyError, TypeError):
        raise InputError(f"what answers at {server} is no OpenEnv server: its /schema names no action") from None
    return schema


def _is_here(address: str) -> bool:
    return address.startswith(("http://127.0.0.1", "http://localhost"))


def signature_of(server: str, schema: Mapping[str, Any]) -> tuple[inspect.Signature, str]:
    """The signature of `act` and the lines that describe its arguments.

    Raises `InputError` where an action has no fields, or is one of several kinds.
    """
    fields = {name: field for name, field in schema.get("properties", {}).items() if name != "metadata"}
    if not fields:
        raise InputError(f"the actions of the OpenEnv server at {server} have no fields that a model could write")
    needed = set(schema.get("required", ()))
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    lines: list[str] = []
    for name in sorted(fields, key=lambda one: one not in needed):
        field = fields[name]
        default = inspect.Parameter.empty if name in needed else field.get("default")
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(name, kind, annotation=_type(field), default=default))
        lines.append(f"    {name}: {' '.join(str(field.get('description') or name.replace('_', ' ')).split())}")
    return inspect.Signature(parameters, return_annotation=str), "\n".join(lines)


def _type(field: Mapping[str, Any]) -> Any:
    if "enum" in field:
        return Literal[tuple(field["enum"])]
    if "anyOf" in field:
        found = [_type(one) for one in field["anyOf"] if one.get("type") != "null"]
        return found[0] | None if len(found) == 1 else Any
    return TYPES.get(str(field.get("type")), Any)


class OpenEnvEnvironment(SteppedEnvironment):
    """A session on a server; subclasses have its address and its tool `act`. A row is what the server's reset takes."""

    server: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._client: Any = None

    def _start(self, row: Mapping[str, Any]) -> str:
        if self._client is None:
            self._client = client_class()(base_url=self.server, connect_timeout_s=SECONDS).sync()
        wanted = {name: value for name, value in row.items() if name not in ("id", "task", "prompt")}
        result = self._told(lambda: self._client.reset(**wanted))
        task = f"{row['task']}\n\n" if row.get("task") else ""
        return f"{task}{observed(self.server, result.observation)}\n\nGo on with the tool act, one action a call."

    def _step(self, action: Any) -> StepOutcome:
        result = self._told(lambda: self._client.step(action))
        return StepOutcome(observed(self.server, result.observation), float(result.reward or 0.0), bool(result.done))

    def _told(self, ask: Any) -> Any:
        """What the server answers. Raises `InputError` where it is gone or full, ValueError where it refuses."""
        try:
            return ask()
        except ConnectionError as error:
            raise InputError(
                f"the OpenEnv server at {self.server} cannot be reached ({error}): start it first"
            ) from None
        except Exception as error:
            # A full server says so and hangs up; whether its word is still read depends on who is faster.
            closed = type(error).__name__.startswith("ConnectionClosed")
            if closed or "CAPACITY_REACHED" in str(error):
                raise InputError(
                    f"the OpenEnv server at {self.server} allows no more sessions: start it with a larger "
                    "max_concurrent_envs, at least the episodes that are played together"
                ) from None
            if not isinstance(error, RuntimeError):
                raise
            raise ValueError(str(error)) from None

    @property
    def state(self) -> dict[str, Any]:
        """What the server tells of the session's state: episode_id, step_count and the environment's own fields."""
        return dict(self._told(self._client.state))

    def __del__(self) -> None:
        client = getattr(self, "_client", None)
        if client is not None and not sys.is_finalizing():
            # Elsewhere: closing waits for the server, in the middle of whatever Python was doing just now.
            threading.Thread(target=client.close, daemon=True).start()


def observed(server: str, observation: Mapping[str, Any]) -> str:
    """An observation's fields as text: the text alone where there is one field, else a line for each.

    Raises `InputError` for a field that is too long to be text, such as an image.
    """
    fields = {name: value for name, value in observation.items() if name != "metadata" and value is not None}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    for name, text in texts.items():
        if len(text) > TOO_LONG or text.startswith("data:image"):
            raise InputError(f"the field {name} of what the OpenEnv server at {server} shows is no text: an image?")
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"{name}: {text}" for name, text in texts.items())


def openenv_environment(server: str) -> type[OpenEnvEnvironment]:
    """The class of environments that a running server plays.

    Raises `InputError` where openenv_core is missing, the server is not reached, or its actions cannot be written.
    """
    client_class()
    signature, lines = signature_of(server, action_schema(server))

    def act(self: OpenEnvEnvironment, **arguments: Any) -> str:
        return self._after(arguments)

    act.__doc__ = f"Take one action and see what follows.\n\nArgs:\n{lines}"
    act.__signature__ = signature  # type: ignore[attr-defined]
    hints = {name: one.annotation for name, one in signature.parameters.items() if name != "self"}
    act.__annotations__ = {**hints, "return": str}
    return type("OpenEnv", (OpenEnvEnvironment,), {"server": server, "act": act})


def openenv_problems(
    server: str,
    split: Side = "train",
    *,
    task: str | None = None,
    size: int = 200,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    reset: Mapping[str, Any] | None = None,
    limits: EpisodeLimits | None = None,
) -> ProblemSet:
    """Episodes on a running OpenEnv server, one a seed; `reset` has more fields for its reset, `task` says what to do.

    Raises `InputError` as `openenv_environment` does.
    """
    shared = {**(reset or {}), **({"task": task} if task else {})}
    made = openenv_environment(server)
    return seeded_problems(
        f"openenv:{server}",
        made,
        shared,
        split,
        size=size,
        seed=seed,
        held_out_fraction=held_out_fraction,
        limits=limits or EpisodeLimits(turns=30),
        source=source_of("openenv_core"),
    )
