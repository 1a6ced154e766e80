"""Starts recipes as processes of their own, fast: torch and TRL are imported once, each recipe runs in a fork.

Reads a job a line (JSON) and answers with the exit status. A job may name a point at which the process kills itself,
so that a test of what survives hits the same place every time.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import rlpath.evals.measure.evaluation
import rlpath.models.hf_sampler
import rlpath.posttrain.experiment
import rlpath.posttrain.on_policy
from rlpath.posttrain import own_samples
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.runs.run_folder import RunFolder


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def in_evaluation(name: str | None, number: signal.Signals) -> None:
    """After the first chunk of an evaluation is written, of that name or of any."""
    write = rlpath.evals.measure.evaluation._append

    def append(path: Path, rows: Any) -> None:
        write(path, rows)
        if name in (None, path.stem):
            send(number)

    rlpath.evals.measure.evaluation._append = append


def in_step(method: str, step: int, number: signal.Signals) -> None:
    """On entering a method of the trainer while `step` (from 1) is being made, or just after it was."""
    right = getattr(OnPolicyTrainer, method)

    def stopping(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.step == step - (method != "save"):
            send(number)
        return right(self, *args, **kwargs)

    setattr(OnPolicyTrainer, method, stopping)


def half_a_checkpoint(step: int) -> None:
    """With a checkpoint's file half written."""
    right = torch.save

    def half(state: Any, path: Path) -> None:
        right(state, path)
        if path.parent.name == f"checkpoint-{step}":
            os.truncate(path, path.stat().st_size // 2)
            send(signal.SIGKILL)

    torch.save = half


def in_metrics(step: int) -> None:
    """With the line of a step half written."""
    right = RunFolder.log_metrics

    def half(self: RunFolder, at: int, metrics: Any) -> None:
        if at == step:
            with (self.path / "metrics.jsonl").open("a") as file:
                file.write('{"step": 3, "rew')
            send(signal.SIGKILL)
        right(self, at, metrics)

    RunFolder.log_metrics = half  # type: ignore[method-assign]


def before_marking(step: int) -> None:
    """With a checkpoint written but not yet marked complete."""
    right = RunFolder.mark_complete

    def kill(self: RunFolder, checkpoint: Path, **kwargs: Any) -> None:
        if checkpoint.name == f"checkpoint-{step}":
            send(signal.SIGKILL)
        right(self, checkpoint, **kwargs)

    RunFolder.mark_complete = kill  # type: ignore[method-assign]


def in_own_samples(call: int) -> None:
    """Before a chunk of training problems is sampled."""
    right = own_samples.complete_and_verify
    calls = iter(range(1, call + 1))

    def stopping(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            send(signal.SIGKILL)
        return right(*args, **kwargs)

    own_samples.complete_and_verify = stopping


POINTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "suite": lambda: in_evaluation(None, signal.SIGKILL),
    "evaluation before": lambda: in_evaluation("before", signal.SIGKILL),
    "own samples": lambda: in_own_samples(2),
    "generation": lambda: in_step("sample", 3, signal.SIGKILL),
    "verification": lambda: in_step("verify", 3, signal.SIGKILL),
    "advantages": lambda: in_step("prepare", 3, signal.SIGKILL),
    "update": lambda: in_step("update", 2, signal.SIGKILL),
    "optimizer": lambda: in_step("_clip", 3, signal.SIGKILL),
    "half a metrics line": lambda: in_metrics(3),
    "checkpoint": lambda: in_step("save", 3, signal.SIGKILL),
    "half a checkpoint": lambda: half_a_checkpoint(3),
    "unmarked checkpoint": lambda: before_marking(3),
    "evaluation after": lambda: in_evaluation("after", signal.SIGKILL),
    "Ctrl-C in training": lambda: in_step("verify", 2, signal.SIGINT),
    "Ctrl-C in evaluation": lambda: in_evaluation("before", signal.SIGINT),
}


def run(job: dict[str, Any]) -> int:
    """In the fork: streams to files, the recipe's arguments, and the point where it ends."""
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ.update(job["env"])
    sys.argv = job["argv"]
    POINTS[job["at"]]()
    try:
        runpy.run_path(job["argv"][0], run_name="__main__")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001  (what Python itself would print before it ends)
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    # A shell's background jobs ignore Ctrl-C, and so would everything started from one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What is imported is never garbage: no fork need look through it.
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = run(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, waited = os.waitpid(child, 0)
        print(f"STATUS {os.waitstatus_to_exitcode(waited)}", flush=True)


if __name__ == "__main__":
    main()
