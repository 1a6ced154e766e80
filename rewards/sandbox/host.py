"""The host's side of a box: start one, talk to it, end it and know that nothing of it is left.

A box hears two sockets. Over its channel go frames (wire.py) to and from whatever runs inside. Over its status socket,
which is closed inside before the program starts, the supervisor reports how it ended; closing that socket kills it.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rlpath.rewards.sandbox.boot import BOOT
from rlpath.rewards.sandbox.wire import Wire, WireError

Role = Literal["functions", "program", "tests"]
GRACE = 10.0  # seconds a supervisor may take to end a killed box on a busy machine


class BoxError(Exception):
    """A box could not be set up or its supervisor was lost: nothing is known about the program."""


class RefusedError(BoxError):
    """The kernel refuses a protection; the message is its words."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one box may use.

    `seconds` bounds wall clock and CPU alike, from start-up to the last answer; a program with several texts of stdin
    has that time for each. `output_kb` bounds one answer, and all of stdout.
    """

    seconds: float = 10.0
    memory_mb: int = 1024
    scratch_mb: int = 16
    output_kb: int = 4096
    threads: int = 32
    files: int = 64


@dataclass(frozen=True, slots=True)
class Isolation:
    """What is between a box and its host: who makes the namespaces, and whether system calls are filtered."""

    namespaces: Literal["own", "bubblewrap", "none"] = "own"
    filter: bool = True


class Zygote:
    """The process that boxes are forked from; one for this process, shared by its threads."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-s", "-P", "-B", "-c", BOOT]
        command += ["main", str(Path(__file__).parent), str(theirs.fileno())]
        environment = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        with theirs:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def close(self) -> None:
        """Close the connection, and the zygote ends."""
        self.control.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def disown(self) -> None:
        """Forget the zygote in a fork of the process that started it."""
        self.control.close()
        self.process.returncode = 0  # it is the parent's to wait for


_lock = threading.Lock()
_zygote: Zygote | None = None


def _request(message: bytes, descriptors: list[int]) -> None:
    """Have the zygote fork a box; a zygote that has died is replaced once."""
    global _zygote
    for attempt in (1, 2):
        with _lock:
            if _zygote is None:
                _zygote = Zygote()
            zygote = _zygote
        try:
            socket.send_fds(zygote.control, [message], descriptors)
            return
        except OSError as error:
            if attempt == 2:
                raise BoxError(f"the process that starts sandboxes cannot be reached: {error}") from None
            with _lock:
                if _zygote is zygote:
                    _zygote = None
            zygote.close()


def close_zygote() -> None:
    """End the zygote of this process; the next box starts another."""
    global _zygote
    with _lock:
        zygote, _zygote = _zygote, None
    if zygote:
        zygote.close()


def _after_fork() -> None:
    """A forked process starts a zygote of its own, so that neither depends on when the other ends."""
    global _lock, _zygote
    _lock = threading.Lock()
    if _zygote:
        _zygote.disown()
    _zygote = None


atexit.register(close_zygote)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Box:
    """One process in its own namespaces, playing `role`; a context manager that leaves nothing behind.

    `extras` are descriptors the role needs (tests: the channel of another box; program: stdin and stdout). The box has
    its own copies afterwards. `isolation` default to whole ones, and RefusedError is raised where there are none.
    """

    def __init__(
        self,
        role: Role,
        limits: Limits,
        extras: Sequence[int] = (),
        isolation: Isolation | None = None,
    ) -> None:
        if isolation is None:
            isolation = full_isolation()
        self.deadline = time.monotonic() + limits.seconds
        self.status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel, channel = socket.socketpair()
        self.ending: int | None = None
        bubblewrap = shutil.which("bwrap") if isolation.namespaces == "bubblewrap" else None
        request = {
            "role": role,
            "limits": asdict(limits),
            "extras": len(extras),
            "bubblewrap": bubblewrap,
            **asdict(isolation),
        }
        with status, channel:
            try:
                _request(json.dumps(request).encode(), [status.fileno(), channel.fileno(), *extras])
            except BoxError:
                self._close()
                raise
        self.wire = Wire(self.channel.fileno(), self.deadline, limits.output_kb << 10)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            self._close()

    def _close(self) -> None:
        self.channel.close()
        self.status.close()

    def wait(self) -> int:
        """The exit code once the program has ended by itself, or was killed at the deadline (then -9)."""
        if self.ending is None:
            self._await_report(self.deadline)
        return self.end()

    def end(self) -> int:
        """Kill what still runs; the exit code, negative for a signal. No process of the box is left afterwards."""
        if self.ending is None:
            self.status.shutdown(socket.SHUT_WR)
            self._await_report(time.monotonic() + GRACE)
        if self.ending is None:
            raise BoxError("a sandbox could not be ended")
        return self.ending

    def _await_report(self, until: float) -> None:
        """Take in the supervisor's report if it comes; RefusedError or BoxError where the box never was."""
        self.status.settimeout(max(0.001, until - time.monotonic()))
        try:
            report = self.status.recv(1 << 12)
        except TimeoutError:
            return
        message = json.loads(report or b"{}")
        self.ending = message.get("exit", -9)
        if "refused" in message:
            raise RefusedError(message["refused"])
        if not report:
            raise BoxError("the supervisor of a sandbox was lost")


def probe(isolation: Isolation) -> None:
    """Start a box within `isolation`; RefusedError if the kernel, or bubblewrap, refuses one of them."""
    if isolation.namespaces == "bubblewrap" and not shutil.which("bwrap"):
        raise RefusedError("bubblewrap is not installed")
    with Box("functions", Limits(), isolation=isolation) as box:
        try:
            box.wire.send({"sources": ["def probe(): pass"], "prelude": ""})
            answered = box.wire.receive() is not None
        except WireError:
            answered = False
        if not answered and (code := box.end()):
            raise RefusedError(f"{isolation.namespaces} ended with status {code}")


@functools.cache
def best_isolation() -> tuple[Isolation, dict[str, str]]:
    """The best isolation this machine allows, and what they lack: "namespaces" or "seccomp" → the kernel's words.

    Found once per process, by starting boxes.
    """
    if sys.platform != "linux":
        return Isolation("none", False), {"namespaces": "this is not Linux", "seccomp": "this is not Linux"}
    refusals = []
    for namespaces in ("own", "bubblewrap"):
        try:
            probe(Isolation(namespaces))
            return Isolation(namespaces), {}
        except RefusedError as error:
            refusals.append(str(error))
        if "seccomp" in refusals[-1]:
            return Isolation(namespaces, filter=False), {"seccomp": refusals[-1]}
    missing = {"namespaces": "; ".join(refusals)}
    try:
        probe(Isolation("none"))
    except RefusedError as error:
        missing["seccomp"] = str(error)
    return Isolation("none", filter="seccomp" not in missing), missing


def missing_protections() -> dict[str, str]:
    """What a sandbox lacks on this machine, and why; empty where it is whole."""
    return best_isolation()[1]


def full_isolation() -> Isolation:
    isolation, missing = best_isolation()
    if missing:
        raise RefusedError("; ".join(missing.values()))
    return isolation
