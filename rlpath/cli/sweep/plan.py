"""What a sweep is to run: every setting of a grid with every seed, each as one command of the recipe."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.core.seeding import seeds_flag, split
from rlpath.runs.processes import SEEDS_HERE, Job
from rlpath.runs.run_folder import ANNOUNCE, config_hash

BATCHED = "--batched"
"""The flag of a recipe that trains the seeds of a process as one batch."""
OWN = ("seed", "seeds", "root", "jobs")
"""Flags of a recipe that the sweep sets itself."""


@dataclass(frozen=True)
class SweepRun:
    """One seed of one setting. `announced` is the file in which the recipe says where its run folders are."""

    name: str
    point: str
    seed: int
    job: Job
    announced: Path
    batched: bool = False
    """whether one process can train several seeds; `job` is then without one"""

    @property
    def run(self) -> Path | None:
        """The run folder, None before the recipe has opened it."""
        lines = self.announced.read_text(encoding="utf-8").split("\n")[:-1] if self.announced.exists() else []
        own = [line for line in lines if not self.batched or Path(line).name == f"seed-{self.seed}"]
        return Path(own[-1]) if own else None

    @property
    def finished(self) -> bool:
        """Whether the run has ended as planned."""
        return self.run is not None and (self.run / "finished.json").exists()


@dataclass(frozen=True)
class SweepPlan:
    """A recipe, the settings of each point of the grid (field → value as text), flags for all, and the seeds."""

    recipe: Path
    points: tuple[dict[str, str], ...]
    extra: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def key(self) -> str:
        """Names the sweep's folder: a hash of recipe, grid and flags; not of the seeds, which may become more."""
        parts = {"recipe": self.recipe.resolve(), "points": list(self.points), "extra": list(self.extra)}
        return f"{self.recipe.stem}-{config_hash(parts)}"

    def tasks(self, root: Path, flags: set[str], threads: int = 1) -> list[SweepRun]:
        """Every point with every seed, seeds outermost, so that an early look has some of each point."""
        folder = root.resolve() / "sweeps" / self.key
        return [
            self._task(folder, root.resolve(), point, seed, flags, threads)
            for seed in self.seeds
            for point in self.points
        ]

    def _task(
        self, folder: Path, root: Path, point: Mapping[str, str], seed: int, flags: set[str], threads: int
    ) -> SweepRun:
        label = label_of(point)
        name = f"{label} seed {seed}".strip()
        stem = re.sub(r"[^\w.=-]+", "_", name)
        words = [word for field, value in point.items() for word in as_flag(field, value, flags)]
        command = (sys.executable, str(self.recipe.resolve()), *self.extra, *words)
        batched = BATCHED in command
        if batched:
            stem = re.sub(r"[^\w.=-]+", "_", f"{label} batched".strip())
        command = (*command, *(() if batched else ("--seed", str(seed))), "--root", str(root))
        announced = folder / "runs" / stem
        job = Job(name, command, folder / "logs" / f"{stem}.log", {ANNOUNCE: str(announced)}, threads)
        return SweepRun(name, label, seed, job, announced, batched)


def group(tasks: Sequence[SweepRun], workers: int) -> dict[str, list[SweepRun]]:
    """The tasks of each job that `jobs` makes, by its name: seeds of one setting together where they are batched.

    Seeds are dealt out so that there is work for every one of the `workers`.
    """
    batches: dict[str, list[SweepRun]] = {}
    for task in tasks:
        batches.setdefault(task.point if task.batched else f"single {task.name}", []).append(task)
    parts = -(-workers // len(batches)) if batches else 1
    groups: dict[str, list[SweepRun]] = {}
    for batch in batches.values():
        by_seed = {task.seed: task for task in batch}
        for seeds in split(list(by_seed), parts):
            shared = [by_seed[seed] for seed in seeds]
            several = f"{shared[0].point} seeds {seeds[0]}-{seeds[-1]}".strip()
            groups[several if len(seeds) > 1 else shared[0].name] = shared
    return groups


def job_of(name: str, tasks: Sequence[SweepRun]) -> Job:
    """One process for all `tasks`."""
    job = tasks[0].job
    if not tasks[0].batched:
        return job
    seeds = [task.seed for task in tasks]
    log = job.log.with_stem(f"{job.log.stem}-{seeds[0]}-to-{seeds[-1]}")
    environment = {**job.environment, SEEDS_HERE: "1"}
    return Job(name, (*job.command, "--seeds", seeds_flag(seeds)), log, environment, job.threads)


def label_of(point: Mapping[str, str]) -> str:
    """A point of the grid in words: `clip_coef=0.1 ent_coef=0`; empty where there is no grid."""
    return " ".join(f"{field}={value}" for field, value in point.items())


def read_grid(words: Sequence[str]) -> tuple[dict[str, str], ...]:
    """All combinations of `field=value,value,…`, one field a word; a value of several words is "64 64".

    Raises `InputError` for a word of another form, and for a field or a value named twice.
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        field, equals, values = word.partition("=")
        field = field.strip().lstrip("-").replace("-", "_")
        listed = [value.strip() for value in values.split(",")]
        if not equals or not field or not all(listed):
            raise InputError(f"--grid {word} is not field=value,value,…, for example clip_coef=0.1,0.2")
        if field in OWN:
            raise InputError(f"--grid {word}: the sweep sets --{field} itself; use --seeds, --root and --jobs")
        if field in grid or len(set(listed)) < len(listed):
            raise InputError(f"--grid {word} names a field or a value twice")
        grid[field] = listed
    return tuple(dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def recipe_flags(recipe: Path) -> set[str]:
    """The long flags that a recipe's --help speaks of, without the dashes.

    Raises `InputError` where the file is missing, has no --help, or takes no seed and root, and so cannot be swept.
    """
    if not recipe.is_file():
        near = get_close_matches(recipe.name, [path.name for path in recipe.parent.glob("*.py")], n=1)
        hint = f"; did you mean {recipe.parent / near[0]}?" if near else ""
        raise InputError(f"there is no recipe {recipe}{hint}")
    # Wide, so that no flag is broken over two lines.
    environment = {**os.environ, "COLUMNS": "400", "NO_COLOR": "1"}
    asked = [sys.executable, str(recipe), "--help"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    flags = set(re.findall(r"--([a-z][\w-]*)", done.stdout))
    if done.returncode or not {"seed", "root"} <= flags:
        why = f"exit status {done.returncode}" if done.returncode else "no --seed and --root"
        raise InputError(f"{recipe} cannot be swept: its --help gives {why}")
    return flags


def check_fields(plan: SweepPlan, flags: set[str]) -> None:
    """Raise `InputError` for a field of the grid, or a flag for all, that the recipe does not have."""
    named = {field: f"--grid {field}=…" for field in plan.points[0]}
    named |= {w[2:].partition("=")[0]: w for w in plan.extra if w.startswith("--") and len(w) > 2}
    for field, said in named.items():
        flag = field.replace("_", "-")
        if flag in OWN:
            raise InputError(f"{said}: the sweep sets --{flag} itself; give it before the --")
        if flag not in flags:
            near = get_close_matches(flag, sorted(flags), n=1)
            hint = f"did you mean {near[0].replace('-', '_')}?" if near else f"see {plan.recipe} --help"
            raise InputError(f"{said}: {plan.recipe} has no field {field}; {hint}")


def as_flag(field: str, value: str, flags: set[str]) -> list[str]:
    """A field and its value as words of the command line; a switch is --field or --no-field."""
    flag = field.replace("_", "-")
    if f"no-{flag}" not in flags:
        return [f"--{flag}", *value.split()]
    if value.lower() not in ("true", "false"):
        raise InputError(f"--grid {field}={value}: {field} is a switch, true or false")
    return [f"--{flag}" if value.lower() == "true" else f"--no-{flag}"]
