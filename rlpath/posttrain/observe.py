"""What a run writes down while it trains: metrics in our words, complete checkpoints, progress, a clean stop."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate.utils import gather_object, wait_for_everyone
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlpath.evals.report.run_report import write_report
from rlpath.runs.run_folder import RunFolder

# TRL's names on the left, ours on the right; names with a slash that the trainer notes itself pass unchanged.
RENAMED = {
    "reward": "reward",
    "reward_std": "reward_std",
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "kl": "kl",
    "num_tokens": "tokens",
    "frac_reward_zero_std": "groups/no_signal",
    "completions/mean_length": "length/mean",
    "clip_ratio/region_mean": "clip_ratio",
    "step_time": "seconds/step",
    "rewards/accuracies": "pairs/accuracy",
    "rewards/margins": "pairs/margin",
    "rewards/chosen": "pairs/chosen",
    "rewards/rejected": "pairs/rejected",
    "accuracy": "pairs/accuracy",
    "margin": "pairs/margin",
}
WATCHED = ("reward", "loss")
"""A log line with one of these is a step's; the first that is there is shown while training."""
PASSED = ("status/", "length/", "logprob_gap/", "correction/", "seconds/")


def our_metrics(logs: dict[str, Any]) -> dict[str, float]:
    """TRL's log line in our words; what has no value this step is left out."""
    ours = {RENAMED.get(name, name): logs[name] for name in logs if name in RENAMED or name.startswith(PASSED)}
    return {name: float(value) for name, value in ours.items() if value is not None and math.isfinite(float(value))}


def watched(metrics: Mapping[str, float]) -> str | None:
    """The metric to show of a step, or None where the line is not a step's."""
    return next((name for name in WATCHED if name in metrics), None)


class Recorder(TrainerCallback):
    """Writes metrics, and at a checkpoint its mark and the report so far; `run` is None on all but the main process."""

    def __init__(self, run: RunFolder | None) -> None:
        self.run = run

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        metrics = our_metrics(logs or {})
        if self.run is not None and watched(metrics):
            self.run.log_metrics(state.global_step, metrics)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # Every process writes its random state into the checkpoint: without them all it is not complete.
        wait_for_everyone()
        if self.run is not None:
            self.run.mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", keep=2)
            write_report(self.run.path)


class ProgressLine(TrainerCallback):
    """A bar with reward, seconds a step and time left; a line a step where the output is no terminal."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            disable=not sys.stderr.isatty(),
        )

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.start(state.max_steps, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        metrics = our_metrics(logs or {})
        if watched(metrics):
            self.show(state.global_step, metrics)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.end()

    def start(self, steps: int, done: int) -> None:
        """Before the first step, with the number of all steps and of those already done."""
        self.steps = steps
        self.task = self.bar.add_task("training", total=steps, completed=done, facts="")
        self.bar.start()

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """After `step`, with its metrics in our words."""
        name = watched(metrics) or "step"
        facts = f"{name} {metrics.get(name, step):.2f}, {metrics.get('seconds/step', 0):.1f} s a step"
        self.bar.update(self.task, completed=step, facts=facts)
        if self.bar.disable:
            left = (self.steps - step) * metrics.get("seconds/step", 0)
            print(f"step {step}/{self.steps}: {facts}, about {left:.0f} s left", flush=True)

    def end(self) -> None:
        """After the last step."""
        self.bar.stop()


class StopOnInterrupt(TrainerCallback):
    """The first Ctrl-C ends training after the current step, with a checkpoint; the second ends it at once."""

    def __init__(self) -> None:
        self.asked = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.start()

    def start(self) -> None:
        """Take Ctrl-C over."""
        self.previous = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nstopping after this step; Ctrl-C again to stop at once", file=sys.stderr, flush=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.agreed():
            control.should_save = True
            control.should_training_stop = True

    def agreed(self) -> bool:
        """Whether any process was asked to stop; every process must call it."""
        # A signal may reach one process of several: they stop together or wait for each other for ever.
        self.asked = any(gather_object([self.asked]))
        return self.asked

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.end()

    def end(self) -> None:
        """Give Ctrl-C back."""
        signal.signal(signal.SIGINT, self.previous)
