"""Commands run side by side: threads counted, output in a file, and none outlives the one that started it.

Two seeds that both ask for every core slow each other down many times over; a seed that outlives its killed parent
keeps its run folder locked. So threads are pinned before NumPy loads, and between parent and command stands a guard
(this module run as a program) that ends the command as soon as its parent is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlpath.core.files import disk_errors

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""What a process must be told before NumPy loads, for it to compute in one thread."""
SEEDS_HERE = "RLPATH_SEEDS_HERE"
"""Set in the environment of a process that is to run its seeds itself instead of starting processes for them."""
SIGNALED = 128
BAD_INPUT = 2
"""The status with which a command refuses what the user can mend, in one sentence on its last line."""
_POLL_S = 0.05
GRACE_S = 20.0
"""Seconds that a command has to save its work once its parent is gone."""


@dataclass(frozen=True)
class Job:
    """A command with a name, the file that receives all it prints, its threads, and additions to its environment."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1


def pinned(threads: int = 1) -> dict[str, str]:
    """The environment of a process that is to compute in so many threads; it counts only before NumPy loads."""
    return {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def run_jobs(
    jobs: Iterable[Job],
    workers: int,
    on_end: Callable[[Job, int], None] = lambda job, status: None,
) -> dict[str, int]:
    """Run `jobs`, at most `workers` at a time, and return each one's exit status by its name.

    A job that fails stops nobody. `on_end` is told of every job that ends.
    On Ctrl-C the jobs still running are ended. A status above 128 is 128 plus the signal that killed the job.
    """
    waiting = deque(jobs)
    running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}
    statuses: dict[str, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                running[job.name] = (job, start(job))
            for job, process in list(running.values()):
                status = process.poll()
                if status is not None:
                    stop(process)
                    del running[job.name]
                    statuses[job.name] = status
                    on_end(job, status)
            time.sleep(_POLL_S)
    finally:
        for _, process in running.values():
            stop(process)
    return statuses


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start one job under its guard, pinned to its threads."""
    with disk_errors(job.log):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "rlpath.runs.processes", *job.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **pinned(job.threads), "PYTHONUNBUFFERED": "1", **job.environment},
            )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a job that `start` started, and wait for its end."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def tail(log: Path, lines: int = 1) -> str:
    """The last lines of a log that are not empty; a frame that tyro draws around an error is left out."""
    if not log.exists():
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")
    rows = [row.strip("│ ").strip() for row in text.splitlines() if row.strip("│╭╮╰╯─ ").strip()]
    return "\n".join(rows[-lines:])


def failure(status: int, log: Path) -> str:
    """Why a job failed, in one sentence that names its log."""
    if status > SIGNALED:
        return f"killed by signal {status - SIGNALED}; its output is in {log}"
    said = tail(log)
    return f"exit status {status} ({said}); its output is in {log}" if said else f"exit status {status}; see {log}"


def guard(command: Sequence[str]) -> int:
    """Run `command` until it ends, or until standard input does: the parent is gone. Returns its status."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:

        def watch() -> None:
            sys.stdin.buffer.read()
            # Asked first, so that what was computed can be saved.
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()

        threading.Thread(target=watch, daemon=True).start()
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # Ctrl-C has reached the command too, which writes down what it has and ends by itself.
                continue


def main() -> None:
    """Program: the guard of the command in `sys.argv`. Killed by a signal it gives 128 + signal, as a shell does."""
    status = guard(sys.argv[1:])
    # Not sys.exit: the watching thread sits in a read that the interpreter would wait for.
    os._exit(status if status >= 0 else SIGNALED - status)


if __name__ == "__main__":
    main()
