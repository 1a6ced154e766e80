"""The zygote: one small process with Python loaded, which forks a supervisor for every box asked for.

It hears requests on a sequenced-packet socket, each with the file descriptors of one box, so threads may share it, and
it leaves when its host has closed the socket. It never sees a program, an argument or an expected value: those travel
over the box's own descriptors, so no box can inherit another's.

A supervisor stays outside its box. It kills the box when its host closes the connection, or at the deadline if the host
cannot, and reports the exit status only when every process of the box is dead.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import platform
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from rlpath.rewards.sandbox import confine, guest, run_tests, seccomp
from rlpath.rewards.sandbox.wire import Wire

STATUS, CHANNEL, EXTRAS = 3, 4, 5  # descriptor numbers inside a box; STATUS is closed before the program runs
PRELOADED = """
    array bisect cmath collections copy dataclasses datetime decimal enum fractions functools hashlib heapq io
    itertools json math operator queue random re statistics string sys threading time traceback types typing
"""
ROLES = {"functions": guest.serve_functions, "program": guest.run_program, "tests": run_tests.serve}


def main(descriptor: int) -> None:
    """Serve until the socket ends."""
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes ended supervisors
    for name in PRELOADED.split():
        importlib.import_module(name)
    seccomp.assemble(platform.machine(), 1, True)  # ready for every box
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not data:
            return
        if os.fork() == 0:
            control.close()
            supervise(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def supervise(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Build the box, fork its process, wait for its end or for the host to close the connection, report, exit."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status, inside = socket.socket(fileno=descriptors[0]), descriptors[1:]
    confine.die_with_parent()
    if request["namespaces"] == "own":
        try:
            confine.enter_namespaces(request["limits"]["scratch_mb"])
        except confine.Refused as refusal:
            report(status, refused=str(refusal))
            os._exit(1)
        confine.die_with_parent()  # forgotten by the kernel when the credentials changed
    child = os.fork()
    if child == 0:
        inhabit(request, status, inside)
    for descriptor in inside:
        os.close(descriptor)
    report(status, exit=await_end(child, status, request["limits"]["seconds"]))
    os._exit(0)


def await_end(child: int, status: socket.socket, seconds: float) -> int:
    """The exit code of `child` (minus the signal that ended it), killed when the host hangs up or time is over."""
    process = os.pidfd_open(child)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(status, select.POLLIN)
    events = poll.poll((seconds + 1) * 1000)  # the host's own clock comes first
    if process not in [descriptor for descriptor, _ in events]:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def report(status: socket.socket, **message: Any) -> None:
    """Tell the host; it may be gone already."""
    try:
        status.send(json.dumps(message).encode())
    except OSError:
        return


def inhabit(request: dict[str, Any], status: socket.socket, inside: list[int]) -> NoReturn:
    """Become the box's process, here or in the namespaces that bubblewrap makes."""
    confine.die_with_parent()
    settle([status.detach(), *inside], inheritable=bool(request["bubblewrap"]))
    if request["namespaces"] == "bubblewrap":
        os.execv(request["bubblewrap"], confine.bubblewrap_command(request))
    play(request)


def play(request: dict[str, Any]) -> NoReturn:
    """Lock this process down and play its role. What runs from here on may be hostile."""
    status = socket.socket(fileno=STATUS)
    try:
        confine.lock_down(request["limits"], request["filter"], may_write=request["namespaces"] != "none")
    except confine.Refused as refusal:
        report(status, refused=str(refusal))
        os._exit(1)
    status.close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "rlpath"]:
        del sys.modules[name]
    socket.socketpair = guest.pipe_pair  # type: ignore[assignment] - for event loops
    sys.argv = ["program"]
    os.environ.clear()
    os.environ.update(HOME="/tmp", TMPDIR="/tmp", LANG="C.UTF-8", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    deadline = time.monotonic() + request["limits"]["seconds"] + 1
    extras = [EXTRAS + number for number in range(request["extras"])]
    ROLES[request["role"]](Wire(CHANNEL, deadline), extras)
    os._exit(0)


def settle(descriptors: list[int], inheritable: bool) -> None:
    """Move `descriptors` to 3, 4, … and close everything above, the zygote's own socket among them."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64) for descriptor in descriptors]
    for number, descriptor in enumerate(high, start=STATUS):
        os.dup2(descriptor, number, inheritable)
    os.closerange(STATUS + len(high), 1 << 16)
