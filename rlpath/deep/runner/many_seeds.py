"""Many seeds of one configuration: a process for each, what to do when one fails, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.core.files import Busy, lock
from rlpath.core.seeding import seeds_flag, split
from rlpath.deep.runner.report import seeds_text, sentence, summary_text, warnings, write_seeds_report
from rlpath.runs.hardware import cores
from rlpath.runs.processes import BAD_INPUT, Job, failure, run_jobs, tail
from rlpath.runs.progress import Progress
from rlpath.runs.run_folder import read_run
from rlpath.runs.seed_sets import ask, read_set


def run_seeds(
    paths: Mapping[int, Path],
    command: Sequence[str],
    environment: Mapping[str, str],
    workers: int,
    total_steps: int,
    as_batch: bool = False,
) -> int:
    """Run `command` for every seed that is not finished, and return the exit status: 1 where one failed.

    `paths` are the run folders by seed, all in one folder; `environment` is added to that of the processes, of which
    `workers` run at a time (0: one a core). With `as_batch` a process is given several seeds. Raises `InputError`
    where the folder's seeds are being run already, and where every seed was refused for the same reason.
    """
    folder = next(iter(paths.values())).parent
    ask(folder, paths)
    try:
        held = lock(folder / ".lock")
    except Busy as holder:
        raise InputError(f"the seeds in {folder} are being run by process {holder}; wait for it") from None
    workers = workers or cores()
    missing = [seed for seed, path in paths.items() if not (path / "finished.json").exists()]
    if len(missing) < len(paths):
        print(f"{len(paths) - len(missing)} of {len(paths)} seeds were finished before", flush=True)
    groups = split(missing, workers if as_batch else len(missing))
    jobs = [_job(group, folder, command, environment) for group in groups]
    seeds_of = {job.name: group for job, group in zip(jobs, groups, strict=True)}
    why: dict[int, str] = {}
    with held, Progress({f"seed {seed}": paths[seed] for seed in paths}, total_steps) as progress:

        def ended(job: Job, status: int) -> None:
            for seed in seeds_of[job.name]:
                if (paths[seed] / "finished.json").exists():
                    late = f"; afterwards: {failure(status, job.log)}" if status else ""
                    progress.say(f"{sentence(paths[seed])}{late}")
                else:
                    why[seed] = failure(status, job.log)
                    progress.say(f"seed {seed} failed: {why[seed]}")

        statuses = run_jobs(jobs, workers, ended)
    said = {tail(job.log) for job in jobs if statuses[job.name] == BAD_INPUT}
    if len(said) == 1 and len(why) == len(paths) and set(statuses.values()) == {BAD_INPUT}:
        raise InputError(said.pop().removeprefix("error: "))
    return report(paths, folder, why)


def report(paths: Mapping[int, Path], folder: Path, why: Mapping[int, str]) -> int:
    """Print every seed, and the means only where no seed is missing; the exit status."""
    rows = {str(seed): why[seed] if seed in why else read_run(path) for seed, path in paths.items()}
    print(f"\n{seeds_text(rows)}\n")
    if why:
        failed = f"seed{'s' * (len(why) > 1)} {', '.join(map(str, why))}"
        print(f"no mean over an incomplete set: {failed} failed; the same command runs only what is missing")
        return 1
    seeds = read_set(list(paths.values()))
    for text in warnings(seeds):
        print(text)
    print(f"{summary_text(list(seeds.records.values()))}\nreport: {write_seeds_report(seeds, folder / 'report.html')}")
    return 0


def _job(seeds: Sequence[int], folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> Job:
    name = "seed-" + ("-".join(map(str, seeds)) if len(seeds) < 4 else f"{seeds[0]}-to-{seeds[-1]}")
    return Job(name, (*command, "--seeds", seeds_flag(seeds)), folder / f"{name}.log", environment)
