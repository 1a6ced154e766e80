"""What a recipe of deep RL does on the command line: one seed, or many side by side, from flags to a table.

Every field of the algorithm's `Args` is a flag. A seed trains in a process of one thread, is evaluated by one protocol
and leaves a run folder; a seed that is finished is not run again. Where a seed fails the others go on, but no mean is
taken over the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, make_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from rlpath.deep.evaluate import evaluate_policy
from rlpath.deep.training import Args, Result
from rlpath.deep.vec import make_env
from rlpath.errors import InputError
from rlpath.processes import ONE_THREAD, Job, failure, run_jobs
from rlpath.provenance import manifest
from rlpath.runs import RunFolder, read_run, run_path
from rlpath.seeding import parse_seeds

EVALUATION_SEED = 10_000
Train = Callable[[Any, RunFolder | None], Result]


@dataclass(frozen=True)
class Options:
    """The run, whatever the algorithm."""

    seeds: str | None = None
    """Several seeds, each a process of its own: a number (10), a range (0-9) or a list (1,2,5)."""
    jobs: int = 0
    """Seeds at a time; 0 is one a core."""
    root: Path = Path("runs")
    """Where run folders go."""
    eval_episodes: int = 100
    """Episodes of the final evaluation, actions without noise."""


def run_recipe(
    name: str, train: Train, presets: Mapping[str, Args], argv: Sequence[str] | None = None, batched: Any = None
) -> int:
    """Read the command line, run the seeds it asks for, and return the exit status: 1 where a seed failed.

    The first of `presets` is the default. Raises `InputError` for what the user can mend.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args, options = read_flags(presets, words)
    seeds = parse_seeds(options.seeds) if options.seeds is not None else [args.seed]
    if options.seeds is not None and any(word.split("=")[0] == "--seed" for word in words):
        raise InputError("--seed and --seeds were both given; leave one out")
    check(args, options)
    if len(seeds) == 1 and os.environ.get("OMP_NUM_THREADS") == "1":
        run_seed(name, train, replace(args, seed=seeds[0]), options)
        return 0
    command = (sys.executable, sys.argv[0], *words)
    if len(seeds) == 1:
        # NumPy has already been told how many threads to use: a process that has not gives the same bits everywhere.
        return subprocess.call([*command, "--seeds", f"{seeds[0]}-{seeds[0]}"], env={**os.environ, **ONE_THREAD})
    return run_seeds(name, args, options, seeds, command)


def read_flags(presets: Mapping[str, Args], words: Sequence[str]) -> tuple[Any, Options]:
    """The algorithm's arguments and the run's options: a preset by `--preset NAME` or `--smoke`, then single flags.

    Raises `InputError` for an unknown preset.
    """
    words = list(words)
    name = next(iter(presets))
    if "--smoke" in words:
        words.remove("--smoke")
        name = "smoke"
    if "--preset" in words:
        at = words.index("--preset")
        name = words[at + 1] if at + 1 < len(words) else ""
        del words[at : at + 2]
    if name not in presets:
        raise InputError(f"--preset {name} is not one of {', '.join(presets)}")
    preset = presets[name]
    fields = [("args", tyro.conf.OmitArgPrefixes[type(preset)]), ("options", tyro.conf.OmitArgPrefixes[Options])]
    flags = make_dataclass("Flags", fields)
    description = f"Presets (--preset NAME): {', '.join(presets)}; --smoke is the smallest."
    read = tyro.cli(flags, default=flags(preset, Options()), args=words, description=description)
    return read.args, read.options


def check(args: Any, options: Options) -> None:
    """Raise `InputError` for what no seed could be run with, before any process is started."""
    if options.eval_episodes < 1:
        raise InputError(f"--eval-episodes is {options.eval_episodes}; at least 1 is needed")
    make_env(args.env_id).close()
    if hasattr(args, "check"):
        args.check()


def config_of(name: str, args: Any, options: Options) -> dict[str, Any]:
    """The resolved configuration that names the run folder."""
    return {"algorithm": name, **asdict(args), "eval_episodes": options.eval_episodes, "root": str(options.root)}


# One seed


def run_seed(name: str, train: Train, args: Any, options: Options) -> Path:
    """Train and evaluate one seed in this process, in its run folder; a finished run is left as it is."""
    config = config_of(name, args, options)
    with RunFolder.open(options.root, name, config, args.seed) as run:
        if run.finished:
            print(f"{sentence(run.path)}; it was finished before: {run.path}", flush=True)
            return run.path
        run.write_manifest(manifest(sys.argv, config))
        print(f"run folder {run.path}", flush=True)
        torch.set_num_threads(1)
        finish(run, train(args, run), options)
        print(sentence(run.path), flush=True)
        return run.path


def finish(run: RunFolder, result: Result, options: Options) -> None:
    """Evaluate a trained policy and write down what the run gave."""
    returns = evaluate_policy(
        lambda obs: result.act(obs, True), result.args.env_id, episodes=options.eval_episodes, seed=EVALUATION_SEED
    )
    last = result.last(100)
    final = {
        "env_id": result.args.env_id,
        "episodes": options.eval_episodes,
        "first_seed": EVALUATION_SEED,
        "deterministic": True,
        "mean": float(returns.mean()),
        "sd": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "returns": returns.tolist(),
        "last_100": last if np.isfinite(last) else None,
        "steps": result.steps,
        "training_episodes": len(result.episodes),
        "digest": result.digest,
        "history": result.history,
    }
    run.write_json("evaluations/final.json", final)
    run.mark_finished()


def sentence(path: Path) -> str:
    """What a finished run gave, in one line."""
    final = read_run(path).evaluations["final"]
    last = "none finished" if final["last_100"] is None else f"{final['last_100']:.1f}"
    return (
        f"{path.name}: {final['env_id']}, {final['steps']} steps, final evaluation {final['mean']:.1f} "
        f"(sd {final['sd']:.1f} over {final['episodes']} episodes), last 100 training episodes {last}"
    )


# Several seeds


def run_seeds(name: str, args: Any, options: Options, seeds: Sequence[int], command: Sequence[str]) -> int:
    """Run every seed that is not finished, each in a process of one thread, and return the exit status."""
    config = config_of(name, args, options)
    paths = {f"seed {seed}": run_path(options.root, name, config, seed) for seed in seeds}
    logs = {job: path.with_name(f"{path.name}.log") for job, path in paths.items()}
    jobs = [
        Job(job, (*command, "--seeds", f"{seed}-{seed}"), logs[job])
        for seed, job in zip(seeds, paths, strict=True)
        if not (paths[job] / "finished.json").exists()
    ]

    def told(job: Job, status: int) -> None:
        print(sentence(paths[job.name]) if status == 0 else f"{job.name}: {failure(status, job.log)}", flush=True)

    statuses = run_jobs(jobs, options.jobs or len(os.sched_getaffinity(0)), told)
    failed = [job for job, status in statuses.items() if status]
    if failed:
        print(f"no mean: {', '.join(failed)} failed, see above; the same command runs only what is missing")
        return 1
    return 0
