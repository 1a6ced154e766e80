"""A helper process for work that cannot be bounded beforehand: it is killed at its deadline, from any thread.

Regular expressions and JSON schemas can take exponential time on a text made for it, and `re` cannot be interrupted
from Python. So they run in a child process that is kept for the next call as long as it answers in time. The limit is
of processor time, so that a busy machine turns no right answer into a wrong one; wall-clock time has a limit too,
`PATIENCE` times as long.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from typing import Any

_CHILD = r"""
import importlib, json, re, signal, sys

def regex(pattern, text):
    return re.fullmatch(pattern, text) is not None

def load(task):
    function_of(task)

def function_of(task):
    if task in ("regex", "load"):
        return globals()[task]
    module, name = task.split(":")
    return getattr(importlib.import_module("rlpath.rewards.verifiers." + module), name)

sys.setrecursionlimit(5000)
print(flush=True)
for line in sys.stdin:
    seconds, task, message = line.split(" ", 2)
    function = function_of(task)
    signal.setitimer(signal.ITIMER_PROF, float(seconds))
    try:
        reply = {"value": function(*json.loads(message))}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"[:300]}
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(json.dumps(reply), flush=True)
"""

PATIENCE = 2
_START_SECONDS = 20.0


class OutOfTime(Exception):
    """The work did not end by its deadline, and was killed."""


class WorkFailed(Exception):
    """The work could not be done: the pattern does not compile, a reference leads nowhere."""


class _Child:
    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._line(time.monotonic() + _START_SECONDS)
        self.loaded = {"regex"}

    def ask(self, task: str, args: list[Any], seconds: float) -> Any:
        """The value of `task`; the time to import what it needs is not counted."""
        if task not in self.loaded:
            self._ask("load", [task], _START_SECONDS)
            self.loaded.add(task)
        return self._ask(task, args, seconds)

    def _ask(self, task: str, args: list[Any], seconds: float) -> Any:
        assert self.process.stdin and self.process.stdout
        data = f"{seconds} {task} {json.dumps(args)}\n".encode()
        writer = threading.Thread(target=self._write, args=(data,), daemon=True)
        writer.start()
        line = self._line(time.monotonic() + PATIENCE * seconds)
        writer.join()
        reply = json.loads(line)
        if "error" in reply:
            raise WorkFailed(reply["error"])
        return reply["value"]

    def _write(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # the child was killed at its deadline while it was still reading

    def _line(self, deadline: float) -> bytes:
        assert self.process.stdout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.kill()
                    raise OutOfTime
                chunk = os.read(self.process.stdout.fileno(), 65536)
                if not chunk:
                    self.kill()
                    if self.process.returncode == -signal.SIGPROF:
                        raise OutOfTime
                    raise WorkFailed("the helper process ended")
                line += chunk
        return line

    def __del__(self) -> None:
        if hasattr(self, "process"):
            self.kill()

    def kill(self) -> None:
        """End the process, and close the pipes; a forked copy of this object only closes its ends."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


_idle: list[_Child] = []
_owner = os.getpid()
_lock = threading.Lock()


def run(task: str, *args: Any, seconds: float = 1.0) -> Any:
    """The value of `task`: "regex" of a pattern and a text, or "module:function" of this package.

    Raises `OutOfTime` after `seconds` of processor time, `WorkFailed` where the task itself cannot be done.

    >>> run("regex", r"a+b", "aaab")
    True
    """
    child = _take() or _Child()
    value = child.ask(task, list(args), seconds)
    with _lock:
        _idle.append(child)
    return value


def _take() -> _Child | None:
    global _owner
    with _lock:
        if _owner != os.getpid():  # a fork shares the pipes of its parent's children and must not speak to them
            _idle.clear()
            _owner = os.getpid()
        while _idle:
            child = _idle.pop()
            if child.process.poll() is None:
                return child
    return None


@atexit.register
def close() -> None:
    """End the idle helper processes of this process."""
    with _lock:
        if _owner == os.getpid():
            while _idle:
                _idle.pop().kill()
