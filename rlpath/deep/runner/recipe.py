"""What a recipe of deep RL does on the command line: one seed, or many side by side, from flags to a report.

Every field of the algorithm's `Args` is a flag. A seed trains in a process of one thread, is evaluated by one protocol
and leaves a run folder; a seed that is finished is not run again. Where a seed fails the others go on, but no mean is
taken over the rest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, make_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from rlpath.core.errors import InputError
from rlpath.core.seeding import parse_seeds
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.deep.parts.training import Args, Result
from rlpath.deep.parts.vec import EVALUATION_SEED, make_env
from rlpath.deep.runner.many_seeds import run_seeds
from rlpath.deep.runner.report import sentence, write_report
from rlpath.deep.runner.track import Tracker, tracked
from rlpath.runs.processes import SEEDS_HERE
from rlpath.runs.progress import Progress
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import RunFolder, read_run, run_path
from rlpath.runs.seed_sets import ask

Train = Callable[[Any, RunFolder | None], Result]
TrainBatched = Callable[[Any, Sequence[int], Sequence[RunFolder]], Sequence[Result]]


@dataclass(frozen=True)
class Options:
    """The run, whatever the algorithm."""

    seeds: str | None = None
    """Several seeds, each a process of its own: a number (10), a range (0-9) or a list (1,2,5)."""
    jobs: int = 0
    """Processes at a time; 0 is one a core."""
    root: Path = Path("runs")
    """Where run folders go."""
    eval_episodes: int = 100
    """Episodes of the final evaluation, actions without exploration."""
    log_to: Tracker = "none"
    """A tracker to which every logged figure goes too; the run's own files are written anyway."""


@dataclass(frozen=True)
class BatchedOptions(Options):
    """The run, where the algorithm can also train several seeds as one batch."""

    batched: bool = False
    """Train the seeds of a process as one batch: faster, the same algorithm, not the same bits."""


def run_recipe(
    name: str,
    train: Train,
    presets: Mapping[str, Args],
    argv: Sequence[str] | None = None,
    batched: TrainBatched | None = None,
) -> int:
    """Read the command line, run the seeds it asks for, and return the exit status: 1 where a seed failed.

    The first of `presets` is the default. With `argv` a single seed runs in this process. `batched` trains several
    seeds in one process and gives a result for each, in their order; it is used with --batched. Raises `InputError`
    for what the user can mend.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args, options = read_flags(name, presets, words, Options if batched is None else BatchedOptions)
    seeds = parse_seeds(options.seeds) if options.seeds is not None else [args.seed]
    if options.seeds is not None and any(word.split("=")[0] == "--seed" for word in words):
        raise InputError("--seed and --seeds were both given; leave one out")
    check(args, options)
    as_batch = batched is not None and getattr(options, "batched", False)
    if SEEDS_HERE in os.environ or len(seeds) == 1:
        if as_batch and batched is not None:
            run_batch(name, batched, args, options, seeds)
        else:
            run_one(name, train, replace(args, seed=seeds[0]), options)
        return 0
    command = (sys.executable, sys.argv[0], *words)
    paths = {seed: run_path(options.root, name, config_of(name, args, options), seed) for seed in seeds}
    return run_seeds(paths, command, {SEEDS_HERE: "1"}, options.jobs, args.total_timesteps, as_batch)


# Flags


def read_flags(
    name: str, presets: Mapping[str, Args], words: Sequence[str], kind: type[Options] = Options
) -> tuple[Any, Options]:
    """The algorithm's arguments and the run's options: a starting point, then single flags.

    The starting point is `--preset NAME`, `--smoke` (the smallest), or `--resume FOLDER`: the configuration of an
    earlier run of this recipe, which no flag may change. Raises `InputError` for an unknown preset and a folder that
    does not fit.
    """
    words = list(words)
    preset = "smoke" if "--smoke" in words else next(iter(presets))
    words = [word for word in words if word != "--smoke"]
    preset, folder = _take(words, "--preset") or preset, _take(words, "--resume")
    if preset not in presets:
        near = get_close_matches(preset, presets, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"--preset {preset} is not one of {', '.join(presets)}{hint}")
    default, options = presets[preset], kind()
    if folder is not None:
        default, options = _resumed(name, type(default), Path(folder), options)
    flags = make_dataclass(
        "Flags",
        [("args", tyro.conf.OmitArgPrefixes[type(default)]), ("options", tyro.conf.OmitArgPrefixes[kind])],
    )
    description = (
        f"Presets: {', '.join(presets)} (--preset NAME, or --smoke). --resume FOLDER goes on with the run in a folder."
    )
    read = tyro.cli(flags, default=flags(default, options), args=words, description=description)
    if folder is not None and (changed := _changed(default, read.args) + _changed(options, read.options)):
        raise InputError(f"--resume {folder} goes on with that run as it is; leave out {', '.join(changed)}")
    return read.args, read.options


def _take(words: list[str], flag: str) -> str | None:
    """Remove `flag` and the word after it from `words`, and return that word."""
    words[:] = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{flag}=") else [word])]
    if flag not in words:
        return None
    at = words.index(flag)
    if at + 1 == len(words):
        raise InputError(f"{flag} needs a value after it")
    value = words[at + 1]
    del words[at : at + 2]
    return value


def _resumed(name: str, kind: type[Args], folder: Path, options: Options) -> tuple[Args, Options]:
    config: dict[str, Any] = dict(read_run(folder).config)
    if config.get("algorithm") != name:
        raise InputError(f"{folder} is a run of {config.get('algorithm', 'another recipe')}, not of {name}")
    known = {field.name for field in fields(kind)}
    ours: dict[str, Any] = {field: config.pop(field) for field in list(config) if field in known}
    ours |= {field: tuple(value) for field, value in ours.items() if isinstance(value, list)}
    args = kind(**ours)
    # seed-<k> lies in the hash, in the recipe, in the root.
    chosen = {"root": folder.resolve().parents[2], "eval_episodes": config["eval_episodes"]}
    options = replace(options, **chosen, **({"batched": True} if config.get("batched") else {}))
    if run_path(options.root, name, config_of(name, args, options), args.seed) != folder.resolve():
        raise InputError(f"{folder}/config.json does not fit its folder: it was edited, or made by another version")
    return args, options


def _changed(before: Any, after: Any) -> list[str]:
    names = [field.name for field in fields(before) if getattr(before, field.name) != getattr(after, field.name)]
    return [f"--{name.replace('_', '-')}" for name in names]


def check(args: Any, options: Options) -> None:
    """Raise `InputError` for what no seed could be run with, before any process is started."""
    if options.eval_episodes < 1:
        raise InputError(f"--eval-episodes is {options.eval_episodes}; at least 1 is needed")
    if options.jobs < 0:
        raise InputError(f"--jobs is {options.jobs}; give a number of processes, or 0 for one a core")
    make_env(args.env_id).close()
    if hasattr(args, "check"):
        args.check()


def config_of(name: str, args: Any, options: Options) -> dict[str, Any]:
    """The resolved configuration: what names the run folder and is written into it."""
    batched = {"batched": True} if getattr(options, "batched", False) else {}
    return {"algorithm": name, **asdict(args), "eval_episodes": options.eval_episodes, **batched, "root": options.root}


# Seeds in this process


def run_one(name: str, train: Train, args: Any, options: Options) -> None:
    """Train and evaluate one seed in its run folder; a finished run is left as it is."""
    run_batch(
        name, lambda args, seeds, runs: [train(replace(args, seed=seeds[0]), runs[0])], args, options, [args.seed]
    )


def run_batch(name: str, train: TrainBatched, args: Any, options: Options, seeds: Sequence[int]) -> None:
    """Train and evaluate, all at once, those of the seeds that are not finished, each in its run folder."""
    config = config_of(name, args, options)
    torch.set_num_threads(1)
    with ExitStack() as stack:
        open_runs = []
        for seed in seeds:
            run = stack.enter_context(RunFolder.open(options.root, name, config, seed))
            ask(run.path.parent, [seed])
            if run.finished:
                print(f"{sentence(run.path)}; it was finished before: {run.path / 'report.html'}", flush=True)
            else:
                run.write_manifest(manifest(sys.argv, {**config, "seed": seed}))
                print(f"run folder {run.path}", flush=True)
                open_runs.append((seed, run))
        if not open_runs:
            return
        unfinished, runs = zip(*open_runs, strict=True)
        for seed, run in open_runs:
            stack.enter_context(tracked(run, {**config, "seed": seed}, options.log_to))
        with Progress({run.path.name: run.path for run in runs}, args.total_timesteps):
            try:
                results = train(args, unfinished, runs)
            except FloatingPointError as why:
                raise InputError(f"{why}; a lower learning rate may help") from None
            for run, result in zip(runs, results, strict=True):
                finish(run, result, options)
        for run in runs:
            print(f"{sentence(run.path)}\nreport: {write_report(run.path)}", flush=True)


def finish(run: RunFolder, result: Result, options: Options) -> None:
    """Evaluate a trained policy, write down what the run gave, and mark it finished."""
    returns = evaluate_policy(
        lambda obs: result.act(obs, True), result.args.env_id, episodes=options.eval_episodes, seed=EVALUATION_SEED
    )
    last = result.last(100)
    final = {
        "env_id": result.args.env_id,
        "episodes": options.eval_episodes,
        "first_seed": EVALUATION_SEED,
        "exploration": False,
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
