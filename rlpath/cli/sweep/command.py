"""`rlpath sweep RECIPE --seeds 0-49 --grid clip_coef=0.1,0.2 -- FLAGS`: run it all, then one row for each setting."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from rlpath.cli.sweep import results
from rlpath.cli.sweep.plan import SweepPlan, SweepRun, check_fields, group, job_of, read_grid, recipe_flags
from rlpath.cli.sweep.ray_backend import run_on_ray
from rlpath.cli.sweep.search import FIRST_SEED, read_fields, search
from rlpath.core.errors import InputError
from rlpath.core.files import Busy, disk_errors, lock, write_atomic
from rlpath.core.seeding import parse_seeds
from rlpath.core.stats import Interval
from rlpath.runs.hardware import cores
from rlpath.runs.processes import Job, failure, run_jobs


@dataclass(frozen=True)
class Sweep:
    """Run a recipe over seeds and a grid of settings; what is finished is not run again. Flags for all come after --"""

    recipe: tyro.conf.Positional[Path]
    """A recipe of this project, or any file that takes --seed and --root and leaves an rlpath run folder."""
    extra: tyro.conf.Positional[tuple[str, ...]] = ()
    """After --: flags for every run, for example -- --env-id Acrobot-v1."""
    seeds: str = "5"
    """A number (5), a range (0-49) or a list (1,2,5)."""
    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """field=value,value,…; may be given again for another field. A value of several words: "hidden=64 64,256 256"."""
    jobs: int = 0
    """Runs at a time; 0 is as many as there are cores for their threads."""
    threads: int = 1
    """Threads of each run; recipes of language models want all cores: --threads 8 --jobs 1."""
    root: Path = Path("runs")
    """Where run folders go, and the sweep's own under sweeps/."""
    backend: Literal["local", "ray"] = "local"
    """Processes on this machine, or tasks on a Ray cluster."""
    ray_address: str = "auto"
    """The cluster: auto (the one this machine belongs to), local (one just for this sweep), or ray://host:port."""
    gpus: float = 0.0
    """GPUs of each run, for Ray to keep free."""

    search: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Search instead of a grid, by Optuna: field=low..high, field=low..high:log or field=value,value,…"""
    trials: int = 20
    """Settings that the search tries."""
    search_seeds: int = 3
    """Seeds of each trial, from 1000 on; --seeds are those of the setting that is chosen."""

    def run(self) -> int:
        """Run what is missing, print the table, write sweep.json; 1 where a run failed."""
        if self.threads < 1 or self.jobs < 0 or self.gpus < 0:
            raise InputError("--threads is at least 1, --jobs and --gpus at least 0")
        seeds = tuple(parse_seeds(self.seeds))
        flags = recipe_flags(self.recipe)
        points = self._searched(flags, seeds) if self.search else read_grid(self.grid)
        return self._conclude(*self._sweep(SweepPlan(self.recipe, points, self.extra, seeds), flags))

    def _searched(self, flags: set[str], seeds: tuple[int, ...]) -> tuple[dict[str, str], ...]:
        """The setting that does best on the search's own seeds."""
        if self.grid or self.trials < 1 or self.search_seeds < 1:
            raise InputError("--search takes no --grid, and --trials and --search-seeds of at least 1")
        own = tuple(range(FIRST_SEED, FIRST_SEED + self.search_seeds))
        if shared := sorted(set(own) & set(seeds)):
            raise InputError(f"--seeds {self.seeds}: seed {shared[0]} is one of the search's; report on others")

        def score(point: Mapping[str, str]) -> float | None:
            (found,), _ = self._sweep(SweepPlan(self.recipe, (dict(point),), self.extra, own), flags)
            value = next(iter(found.means.values()), None)
            return value.estimate if isinstance(value, Interval) else value

        chosen = search(read_fields(self.search), self.trials, score)
        label = results.label_of(chosen)
        print(f"\nchosen on seeds {own[0]} to {own[-1]}: {label}; now seeds {self.seeds}", flush=True)
        return (chosen,)

    def _sweep(self, plan: SweepPlan, flags: set[str]) -> tuple[list[results.PointResult], Path]:
        """Run what is missing of a plan; its results, which are kept in the folder, the second of the pair."""
        check_fields(plan, flags)
        tasks = plan.tasks(self.root, flags, self.threads)
        folder = self.root / "sweeps" / plan.key
        with disk_errors(folder):
            (folder / "runs").mkdir(parents=True, exist_ok=True)
        try:
            held = lock(folder / ".lock")
        except Busy as holder:
            raise InputError(f"the sweep in {folder} is being run by process {holder}; wait for it") from None
        with held:
            write_atomic(folder / "plan.json", json.dumps(self._described(plan), indent=1) + "\n")
            why = self._run_missing(tasks)
            found = results.gather(plan.points, tasks, why)
            results.save(found, folder / "sweep.json")
        return found, folder

    def _described(self, plan: SweepPlan) -> dict[str, object]:
        return {
            "recipe": str(plan.recipe),
            "flags": list(plan.extra),
            "points": list(plan.points),
            "seeds": list(plan.seeds),
        }

    def _run_missing(self, tasks: Sequence[SweepRun]) -> dict[str, str]:
        """Run the unfinished tasks; why each that failed did, by name."""
        missing = [task for task in tasks if not task.finished]
        workers = self.jobs or max(1, cores() // self.threads)
        groups = group(missing, workers)
        print(f"{len(tasks)} runs, {len(tasks) - len(missing)} finished before", flush=True)
        done: list[str] = []
        why: dict[str, str] = {}

        def ended(job: Job, status: int) -> None:
            for task in groups[job.name]:
                done.append(task.name)
                if not task.finished or (status and not task.batched):
                    why[task.name] = failure(status, job.log)
                outcome = f"failed: {why[task.name]}" if task.name in why else "finished"
                print(f"[{len(done)}/{len(missing)}] {task.name} {outcome}", flush=True)

        jobs = [job_of(name, tasks) for name, tasks in groups.items()]
        if jobs and self.backend == "ray":
            run_on_ray(jobs, self.ray_address, self.jobs or cores(), self.gpus, ended)
        else:
            run_jobs(jobs, workers, ended)
        return why

    def _conclude(self, found: Sequence[results.PointResult], folder: Path) -> int:
        print(f"\n{results.table(found)}\n\nevery seed and interval: {folder / 'sweep.json'}")
        for result in found:
            if result.folder is not None and len(found) > 1:
                print(f"  {results.label_of(result.grid)}: {result.folder}")
            for note in result.notes:
                print(f"  {note}")
        failed = [f"{results.label_of(r.grid)} seed {seed}".strip() for r in found for seed in r.failed]
        if failed:
            print(f"no mean where a seed is missing: {', '.join(failed)} failed; the same command runs only these")
        return int(bool(failed))
