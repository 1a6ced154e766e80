"""The post-training ladder on one small model: base, SFT, then rejection sampling, DPO, PPO and GRPO from that SFT.

    python recipes/ladder.py
    python recipes/ladder.py --tasks arithmetic --seeds 0 1 2
    python recipes/ladder.py --smoke

Every stage is evaluated in the same way on the same held-out problems. The stages after SFT start from the weights that
it left, have the same verifier, and sample the same number of completions under the same length limit; the tokens that
came of it are in the table. Each stage of each seed is a process with a run folder of its own: a ladder that
was stopped goes on with the same command.

Two tasks: sums of one and two digits, and generated word problems of one and two steps in GSM8K's manner, because the
packaged 135M model solves none of GSM8K's own (see grpo_gsm8k.py), so nothing could be compared on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError, run_command
from rlpath.core.files import hold_folder, read_json, write_atomic
from rlpath.core.types import ProblemSet
from rlpath.envs.demonstrations import worked_solutions
from rlpath.envs.load import problem_set
from rlpath.exhibits import ladder_page as ladder
from rlpath.posttrain.dpo import DPOSettings, run_dpo_on_problems
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import run_experiment
from rlpath.posttrain.rejection import RejectionSettings, run_rejection_sampling
from rlpath.posttrain.settings import GRPOSettings, PPOSettings
from rlpath.posttrain.sft import run_sft
from rlpath.posttrain.tuning_settings import ExaminedSettings
from rlpath.runs.run_folder import config_hash, run_path


@dataclass(frozen=True)
class LadderTask:
    """Problems, how many solutions SFT is shown and for how many steps, rollouts of PPO and GRPO, tokens an answer."""

    problems: str
    demonstrations: int
    sft_steps: int
    rollouts: int
    max_completion_length: int


TASKS = {
    "digits": LadderTask("arithmetic:add-1", demonstrations=20, sft_steps=10, rollouts=20, max_completion_length=8),
    "arithmetic": LadderTask(
        "arithmetic:add-1x2", demonstrations=64, sft_steps=30, rollouts=40, max_completion_length=24
    ),
    "word-problems": LadderTask(
        "word-problems:mixed", demonstrations=200, sft_steps=40, rollouts=24, max_completion_length=48
    ),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    preset: str = "cpu"
    """the set of defaults these settings started from"""
    model: str = "smollm2-135m-instruct"
    """a local folder, a hub id, or the packaged smollm2-135m-instruct"""
    tasks: tuple[str, ...] = ("arithmetic", "word-problems")
    """arithmetic (sums of one and two digits), word-problems, or digits (one-digit sums, 20 held out: a trial)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """training seeds; every stage is trained once with each"""
    eval_problems: int = 120
    """held-out problems, completed by every stage"""
    eval_samples: int = 4
    """sampled completions of each of them"""
    scale: float = 1.0
    """factor on all steps and rollouts, for trials and for larger machines"""
    root: Path = Path("runs")
    """folder of all runs"""

    def check(self, processes: int = 1) -> None:
        """Refuse what cannot be run; raises `InputError` naming the field."""
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise InputError(f"--tasks {' '.join(unknown) or '(none)'}: name some of {', '.join(TASKS)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise InputError("--seeds must be different numbers, none of them negative")
        if self.eval_problems < 1 or self.eval_samples < 1 or not self.scale > 0:
            raise InputError("--eval-problems and --eval-samples must be at least 1, and --scale positive")

    @property
    def seed(self) -> int:
        return self.seeds[0]

    @property
    def folder(self) -> Path:
        """Where the ladder and all its stages lie."""
        config = {name: value for name, value in asdict(self).items() if name not in ("root", "tasks", "seeds")}
        return self.root / "ladder" / config_hash(config)


PRESETS = {
    "smoke": Settings(preset="smoke", tasks=("digits",), seeds=(0,), eval_problems=20, eval_samples=8, scale=0.1),
    "cpu": Settings(),
    "gpu-24gb": Settings(preset="gpu-24gb", model="Qwen/Qwen2.5-0.5B-Instruct", eval_problems=300),
    "gpu-80gb": Settings(preset="gpu-80gb", model="Qwen/Qwen2.5-1.5B-Instruct", eval_problems=300),
}

PROMPTS, GROUP = 8, 8


@dataclass(frozen=True)
class Place:
    """One stage of one seed: the ladder's settings, the task, and the model to start from."""

    ladder: Settings
    task: str
    seed: int
    model: str

    @property
    def common(self) -> dict[str, Any]:
        """What the settings of every stage have in common."""
        return {
            "preset": self.ladder.preset,
            "model": self.model,
            "seed": self.seed,
            "root": self.ladder.folder / self.task,
            "max_completion_length": TASKS[self.task].max_completion_length,
            "eval_problems": self.ladder.eval_problems,
            "eval_samples": self.ladder.eval_samples,
            "log_to": "none",
        }

    @property
    def policy(self) -> dict[str, Any]:
        """And those of the two that learn from rollouts."""
        return {**self.common, "steps": self.rollouts, "prompts_per_step": PROMPTS, "group_size": GROUP}

    @property
    def own_samples(self) -> dict[str, Any]:
        """And those of the two that learn from samples of the model they start from."""
        return {
            **self.common,
            "steps": max(1, 3 * self.rollouts // 2),
            "batch": 16,
            "micro_batch": 16,
            "learning_rate": 1e-4,
            "prompts": self.rollouts * PROMPTS,
            "samples": GROUP,
        }

    @property
    def rollouts(self) -> int:
        """Of 8 prompts with 8 completions each; DPO's pairs are made of as many completions."""
        return self.steps(TASKS[self.task].rollouts)

    def steps(self, count: int) -> int:
        """So many steps, scaled for a trial."""
        return max(1, round(count * self.ladder.scale))

    def problems(self, split: Any, size: int | None = None) -> ProblemSet:
        return problem_set(TASKS[self.task].problems, split, size=size)

    def held_out(self) -> ProblemSet:
        return self.problems("validation", self.ladder.eval_problems)


def sft_settings(place: Place) -> ExaminedSettings:
    task = TASKS[place.task]
    return ExaminedSettings(
        **place.common,
        steps=place.steps(task.sft_steps),
        batch=16,
        micro_batch=16,
        learning_rate=3e-4,
        held_out=min(100, place.ladder.eval_problems),
    )


def dpo_settings(place: Place) -> DPOSettings:
    return DPOSettings(**place.own_samples)


def rejection_settings(place: Place) -> RejectionSettings:
    return RejectionSettings(**place.own_samples)


def ppo_settings(place: Place) -> PPOSettings:
    return PPOSettings(**place.policy, learning_rate=2e-4, mini_batch=32)


def grpo_settings(place: Place) -> GRPOSettings:
    return GRPOSettings(**place.policy, learning_rate=2e-4)


def sft(place: Place, settings: Any) -> None:
    shown = worked_solutions(place.problems("train", TASKS[place.task].demonstrations))
    run_sft("sft", settings, shown, worked_solutions(place.problems("validation", settings.held_out)), place.held_out())


def dpo(place: Place, settings: Any) -> None:
    run_dpo_on_problems("dpo", settings, place.problems("train"), place.held_out())


def rejection(place: Place, settings: Any) -> None:
    run_rejection_sampling("rejection", settings, place.problems("train"), place.held_out())


def ppo(place: Place, settings: Any) -> None:
    run_experiment("ppo", settings, place.problems("train"), place.held_out())


def grpo(place: Place, settings: Any) -> None:
    run_experiment("grpo", settings, place.problems("train"), place.held_out())


@dataclass(frozen=True)
class Stage:
    """A stage's name, the one it starts from, its settings and how it is run."""

    name: str
    start: str
    settings: Callable[[Place], Any]
    run: Callable[[Place, Any], None]


STAGES = (
    Stage("sft", ladder.BASE, sft_settings, sft),
    Stage("rejection", "sft", rejection_settings, rejection),
    Stage("dpo", "sft", dpo_settings, dpo),
    Stage("ppo", "sft", ppo_settings, ppo),
    Stage("grpo", "sft", grpo_settings, grpo),
)
BY_NAME = {stage.name: stage for stage in STAGES}


def place_of(settings: Settings, task: str, stage: Stage, seed: int) -> Place:
    """Where a stage starts: the base model, or the adapter that its start saved."""
    if stage.start == ladder.BASE:
        return Place(settings, task, seed, settings.model)
    return Place(settings, task, seed, str(run_folder(settings, task, BY_NAME[stage.start], seed) / "model"))


def run_folder(settings: Settings, task: str, stage: Stage, seed: int) -> Path:
    """The run folder of one stage of one seed."""
    config = asdict(stage.settings(place_of(settings, task, stage, seed)))
    return run_path(settings.folder / task, stage.name, config, seed)


def main() -> None:
    words = sys.argv[1:]
    if "--stage" in words:
        at = words.index("--stage")
        task, name, seed = words[at + 1 : at + 4]
        settings = read_settings(PRESETS, words[:at])
        place = place_of(settings, task, BY_NAME[name], int(seed))
        BY_NAME[name].run(place, BY_NAME[name].settings(place))
        return
    settings = read_settings(PRESETS)
    settings.check()
    climb(settings, words)


def climb(settings: Settings, words: Sequence[str]) -> None:
    """Run every stage that is not finished, each as a process, then write the table."""
    held = hold_folder(settings.folder)
    write_atomic(settings.folder / "config.json", json.dumps(asdict(settings), indent=1, default=str) + "\n")
    for task in settings.tasks:
        for seed in settings.seeds:
            for stage in STAGES:
                run_stage(settings, words, task, stage, seed)
    times = read_json(settings.folder / "times.json")
    tasks = {
        task: [
            ladder.StageRuns(
                stage.name,
                stage.start,
                tuple(run_folder(settings, task, stage, seed) for seed in settings.seeds),
                tuple(times[f"{task}/{stage.name}/{seed}"] / 60 for seed in settings.seeds),
            )
            for stage in STAGES
        ]
        for task in settings.tasks
    }
    notes = [f"{task}: {detail.demonstrations} solutions shown to SFT, problems {detail.problems}"
             for task, detail in TASKS.items() if task in settings.tasks]  # fmt: skip
    report = ladder.write_ladder(settings.folder, tasks, notes)
    print((settings.folder / "ladder.md").read_text(encoding="utf-8"))
    print(f"report: {report}")
    held.close()


def run_stage(settings: Settings, words: Sequence[str], task: str, stage: Stage, seed: int) -> None:
    """One stage in a process of its own, unless it is finished; its seconds are added to `times.json`."""
    times_file = settings.folder / "times.json"
    times = read_json(times_file) if times_file.exists() else {}
    key = f"{task}/{stage.name}/{seed}"
    if (run_folder(settings, task, stage, seed) / "finished.json").exists() and key in times:
        print(f"{key}: finished before", flush=True)
        return
    print(f"{key}: from {stage.start}", flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, __file__, *words, "--stage", task, stage.name, str(seed)], check=False)
    times[key] = times.get(key, 0.0) + time.monotonic() - began
    write_atomic(times_file, json.dumps(times, indent=1) + "\n")
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise InputError(f"{key} ended with status {done.returncode}: mend what it says above and run this again")


if __name__ == "__main__":
    run_command(main)
