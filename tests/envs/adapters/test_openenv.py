"""Environments on an OpenEnv server: a real server and client where openenv_core is installed, else its contract."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest

from rlpath.core.errors import InputError
from rlpath.envs.adapters.openenv import observed, openenv_environment, openenv_problems
from rlpath.envs.turns.by_hand import Call, play
from rlpath.envs.turns.contract import check_environment
from rlpath.envs.turns.episodes import EpisodePlayer

REAL = find_spec("openenv") is not None
SESSIONS = 12
FIELDS = {
    "direction": {"enum": ["left", "right"], "type": "string", "description": "where to go"},
    "steps": {"type": "integer", "default": 1, "description": "how many steps"},
    "metadata": {"type": "object"},
}


class Walk:
    """Walk to the goal; what both the real server and the one that stands for it play."""

    def __init__(self) -> None:
        self.at, self.goal, self.count = 0, 0, 0

    def reset(self, seed: int | None = None, width: int = 5) -> dict[str, Any]:
        self.at, self.count = 0, 0
        self.goal = random.Random(seed).randint(1, width)
        return {"observation": {"place": 0, "goal": self.goal}, "reward": None, "done": False}

    def step(self, direction: str, steps: int = 1) -> dict[str, Any]:
        if direction not in ("left", "right"):
            raise ValueError("Invalid message")
        if steps > 3:
            raise ValueError("too far")
        self.count += 1
        self.at += steps if direction == "right" else -steps
        there = self.at == self.goal
        return {"observation": {"place": self.at, "goal": self.goal}, "reward": float(there), "done": there}


class Schema(BaseHTTPRequestHandler):
    """Answers /schema as a server of OpenEnv does."""

    properties: ClassVar[dict[str, Any]] = FIELDS
    answer: ClassVar[Any] = None

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def do_GET(self) -> None:
        action = {"properties": self.properties, "required": ["direction"]}
        body = json.dumps({"action": action} if self.answer is None else self.answer).encode()
        self.send_response(200 if self.path == "/schema" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Session:
    """Stands for OpenEnv's client: a session on a server that allows `SESSIONS` of them."""

    opened = 0

    def __init__(self, base_url: str, connect_timeout_s: float) -> None:
        self.walk: Walk | None = None

    def sync(self) -> Session:
        return self

    def reset(self, **wanted: Any) -> Any:
        if self.walk is None:
            if Session.opened == SESSIONS:
                raise RuntimeError("Server error: full (code: CAPACITY_REACHED)")
            Session.opened += 1
            self.walk = Walk()
        return SimpleNamespace(**self.walk.reset(**wanted))

    def step(self, action: dict[str, Any]) -> Any:
        assert self.walk is not None
        try:
            return SimpleNamespace(**self.walk.step(**action))
        except ValueError as error:
            raise RuntimeError(f"Server error: {error} (code: EXECUTION_ERROR)") from None

    def state(self) -> dict[str, Any]:
        assert self.walk is not None
        return {"episode_id": None, "step_count": self.walk.count}

    def close(self) -> None:
        Session.opened -= self.walk is not None
        self.walk = None


def real_app() -> Any:
    """The same walk as an environment of OpenEnv."""
    from openenv.core.env_server import (  # pyright: ignore[reportMissingImports]
        Action,
        Environment,
        Observation,
        State,
        create_app,
    )
    from pydantic import Field, create_model

    move: Any = create_model(
        "Move",
        __base__=Action,
        direction=(Literal["left", "right"], Field(description="where to go")),
        steps=(int, Field(default=1, description="how many steps")),
    )
    seen: Any = create_model("Seen", __base__=Observation, place=(int, 0), goal=(int, 0))

    class Served(Environment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self.walk = Walk()

        def reset(self, seed: int | None = None, episode_id: str | None = None, width: int = 5) -> Any:
            return self.told(self.walk.reset(seed, width))

        def step(self, action: Any, timeout_s: float | None = None) -> Any:
            return self.told(self.walk.step(action.direction, action.steps))

        def told(self, found: dict[str, Any]) -> Any:
            return seen(**found.pop("observation"), **found)

        @property
        def state(self) -> Any:
            return State(step_count=self.walk.count)

    return create_app(Served, move, seen, max_concurrent_envs=SESSIONS)


@pytest.fixture(scope="module")
def plain_server() -> Iterator[str]:
    """Answers /schema alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Schema) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def server(plain_server: str) -> Iterator[str]:
    """The address of a running server; the client is the real one where it is installed."""
    if not REAL:
        yield plain_server
        return
    import time

    import uvicorn  # pyright: ignore[reportMissingImports]

    running = uvicorn.Server(uvicorn.Config(real_app(), host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=running.run, daemon=True).start()
    while not running.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    if not REAL:
        core = ModuleType("openenv.core")
        core.GenericEnvClient = Session  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "openenv", ModuleType("openenv"))
        monkeypatch.setitem(sys.modules, "openenv.core", core)


def test_an_episode_on_a_server(server: str) -> None:
    """The tool has the action's fields; what the server refuses is told to the model; rewards are summed."""
    found = openenv_problems(server, size=3, task="Walk to the goal.", reset={"width": 3})
    assert isinstance(found.environment, EpisodePlayer)
    row = found.problems[0].meta["row"]
    goal = random.Random(row["seed"]).randint(1, 3)

    right = Call("act", direction="right")
    played = play(
        found.environment.factory,
        row,
        [Call("act", direction="up"), Call("act", direction="left", steps=9), *[right] * goal],
    )

    assert played.question.startswith(f"Walk to the goal.\n\nplace: 0\ngoal: {goal}\n\n")
    assert (played.reward, played.counts) == (1.0, {"calls": goal + 2, "raised": 2})
    assert played.turns[3].text.startswith("error: Server error: ")
    assert played.turns[-1].text == f"place: {goal}\ngoal: {goal}\nThe episode is over."


def test_the_tool_is_read_off_the_schema(server: str) -> None:
    """Names, types, defaults and descriptions, so that a chat template can show it."""
    made = openenv_environment(server)
    (tool,) = (made.act,)

    assert tool.__annotations__ == {"direction": Literal["left", "right"], "steps": int, "return": str}
    assert "steps: how many steps" in (tool.__doc__ or "")
    assert check_environment(made, {"seed": 1}).startswith("place: 0")


def test_state_is_the_servers(server: str) -> None:
    """It is no tool of the model's, but there for whoever plays by hand."""
    environment = openenv_environment(server)()
    environment.reset(seed=1, width=9)
    environment.act(direction="left")  # type: ignore[call-arg]

    assert environment.state["step_count"] == 1
    environment.__del__()


def test_a_full_server_is_told(server: str) -> None:
    """With what to change, where more sessions are wanted than it allows."""
    made = openenv_environment(server)
    sessions = [made() for _ in range(SESSIONS + 1)]
    with pytest.raises(InputError, match=r"allows no more sessions: start it with a larger max_concurrent_envs"):
        for one in sessions:
            one.reset(seed=1)
    for one in sessions:
        one.__del__()


def test_what_is_no_server(plain_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there, no address, another service, an action without fields: one sentence each."""
    with pytest.raises(InputError, match=r"server at http://127.0.0.1:1 cannot be reached .*: start it first"):
        openenv_problems("http://127.0.0.1:1")
    with pytest.raises(InputError, match="'localhost:8000' is no address of an OpenEnv server: write http://host:port"):
        openenv_problems("localhost:8000")
    monkeypatch.setattr(Schema, "answer", ["something else"])
    with pytest.raises(InputError, match="is no OpenEnv server: its /schema names no action"):
        openenv_problems(plain_server)
    monkeypatch.setattr(Schema, "answer", None)
    monkeypatch.setattr(Schema, "properties", {"metadata": {}})
    with pytest.raises(InputError, match="have no fields that a model could write"):
        openenv_problems(plain_server)
    monkeypatch.setitem(sys.modules, "openenv.core", None)
    with pytest.raises(InputError, match=r"openenv_core is not installed .*: pip install 'openenv_core>=0.3,<0.4'"):
        openenv_problems(plain_server)


def test_what_is_seen_as_text() -> None:
    """One text field is shown alone, several with their names, an image not at all."""
    assert observed("x", {"text": "hello", "metadata": {}}) == "hello"
    assert observed("x", {"text": "hello", "legal": [1, 2], "none": None}) == "text: hello\nlegal: [1, 2]"
    with pytest.raises(InputError, match="the field screen of what the OpenEnv server at x shows is no text"):
        observed("x", {"screen": "data:image/png;base64,AAAA"})
