"""The command `rlpath prereg`: `new` writes a plan before the run, `check` judges a result by it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, write_atomic
from rlpath.envs.load import NAMES
from rlpath.evals.compare.prereg_check import check_prereg, read_result
from rlpath.evals.measure.scores import WORDS
from rlpath.evals.suite.own_tasks import find_task
from rlpath.runs.prereg import parse_prereg, prereg_text, read_prereg


@dataclass(frozen=True)
class New:
    """Write a preregistration; put it beside the recipe, and its hash and time go into the manifest of every run."""

    hypothesis: str
    """What is expected, in a sentence."""
    models: tuple[str, ...]
    """What is compared with the baseline: recipes or models."""
    baseline: str
    """What they are compared with."""
    tasks: tuple[str, ...]
    """Where: tasks as `rlpath eval` takes them, or problem sets as recipes do."""
    n: int
    """Problems a task; `rlpath power` says how many are needed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    metric: str = "pass@1"
    """The one metric that decides: greedy, pass@K, maj@K, or a score of reinforcement learning such as final."""
    out: Path = Path("prereg.toml")
    """The file to write; one that exists is never overwritten."""

    def run(self) -> int:
        """Write and print the path. Raises InputError for a task or metric that no command knows."""
        for task in self.tasks:
            _check_task(task)
        _check_metric(self.metric)
        text = prereg_text(
            self.hypothesis,
            models=self.models,
            baseline=self.baseline,
            tasks=self.tasks,
            metric=self.metric,
            n=self.n,
            seeds=self.seeds,
        )
        parse_prereg(text, str(self.out))
        if self.out.exists():
            raise InputError(f"{self.out} exists: a plan is not overwritten, name another file with --out")
        with disk_errors(self.out):
            self.out.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.out, text)
        print(f"{self.out}: edit its rules now; once a run has begun, every change shows")
        return 0


_COUNTED = re.compile(r"(pass|maj)@[1-9]\d*")


def _check_task(name: str) -> None:
    """A plan that names a task wrongly can never be checked."""
    family, _, level = name.partition(":")
    if name in NAMES or (family in ("word-problems", "reasoning-gym") and level):
        return
    try:
        find_task(name)
    except InputError as error:
        raise InputError(f"--tasks: {error}; or a problem set: {', '.join(NAMES)}") from None


def _check_metric(name: str) -> None:
    if name not in WORDS and not _COUNTED.fullmatch(name):
        raise InputError(f"--metric {name!r} is none of pass@K, maj@K, {', '.join(WORDS)}")


@dataclass(frozen=True)
class Check:
    """Say of each rule met, not met or changed after the fact, and which analyses were not declared."""

    prereg: tyro.conf.Positional[Path]
    """The preregistration, a TOML file."""
    result: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, one a training seed; or one JSON file with manifest and analyses."""

    def run(self) -> int:
        """Print; the exit status is 0 whatever became of the rules."""
        print("\n".join(check_prereg(read_prereg(self.prereg), read_result(self.result)).lines()))
        return 0


@dataclass(frozen=True)
class Prereg:
    """Write down a plan before the run, or judge a result by it."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[New, tyro.conf.subcommand("new")] | Annotated[Check, tyro.conf.subcommand("check")]
    ]

    def run(self) -> int:
        """Run the action."""
        return self.action.run()
