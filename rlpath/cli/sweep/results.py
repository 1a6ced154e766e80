"""What a sweep gave: for each point of the grid every seed and, where none is missing, the mean with its interval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlpath.cli.sweep.plan import SweepRun, label_of
from rlpath.core.files import write_atomic
from rlpath.core.stats import Interval, interval_over_seeds
from rlpath.evals.measure.scores import WORDS, scores, shared_names
from rlpath.report.tables import text_table
from rlpath.runs.returns import possible
from rlpath.runs.run_folder import read_run
from rlpath.runs.seed_sets import ask, read_set


@dataclass(frozen=True)
class PointResult:
    """One point of the grid. `failed` says why, by seed; where it is not empty `means` is."""

    grid: dict[str, str]
    folder: str | None
    seeds: dict[int, dict[str, float]]
    failed: dict[int, str]
    means: dict[str, Interval | float]
    notes: tuple[str, ...] = ()


def gather(points: Sequence[Mapping[str, str]], tasks: Sequence[SweepRun], why: Mapping[str, str]) -> list[PointResult]:
    """The results of all points; `why` says of failed tasks, by name, what happened."""
    return [_point(point, [task for task in tasks if task.point == label_of(point)], why) for point in points]


def _point(point: Mapping[str, str], tasks: Sequence[SweepRun], why: Mapping[str, str]) -> PointResult:
    runs = {task.seed: task.run for task in tasks if task.run is not None and task.finished}
    failed = {task.seed: why.get(task.name, "it left no finished run") for task in tasks if task.seed not in runs}
    found = {seed: scores(read_run(run)) for seed, run in runs.items() if run is not None}
    folder = next((run.parent for run in runs.values() if run is not None), None)
    if folder is not None:
        ask(folder, [task.seed for task in tasks])
    means: dict[str, Interval | float] = {}
    notes: tuple[str, ...] = ()
    if not failed:
        whole = read_set([run for run in runs.values() if run is not None])
        made, made_for = whole.revisions, whole.config.get("env_id")
        if len(made) > 1:
            notes = (f"the seeds were made by different revisions of the code: {', '.join(made)}",)
        for name in shared_names(list(found.values())):
            values = [found[seed][name] for seed in sorted(found)]
            mean = interval_over_seeds(values) if len(values) > 1 else values[0]
            means[name] = possible(mean, made_for) if isinstance(mean, Interval) else mean
    return PointResult(dict(point), str(folder) if folder else None, found, failed, means, notes)


def table(results: Sequence[PointResult]) -> str:
    """One row a point, for a terminal."""
    names = list(dict.fromkeys(name for result in results for name in result.means))
    head = ("settings", "seeds", *(WORDS.get(name, name) for name in names))
    rows = [
        (
            label_of(result.grid) or "as given",
            str(len(result.seeds)) if not result.failed else f"{len(result.seeds)} of {_asked(result)}",
            *(_cell(result, name) for name in names),
        )
        for result in results
    ]
    return text_table(head, rows)


def _asked(result: PointResult) -> int:
    return len(result.seeds) + len(result.failed)


def _cell(result: PointResult, name: str) -> str:
    mean = result.means.get(name)
    if mean is None:
        return "no mean" if result.failed else "not every seed has one"
    digits = 4 if "@" in name or name == "greedy" else 2
    if not isinstance(mean, Interval):
        return f"{mean:z.{digits}f}"
    return f"{mean.estimate:z.{digits}f} [{mean.low:z.{digits}f}, {mean.high:z.{digits}f}]"


def save(results: Sequence[PointResult], path: Path) -> None:
    """Write the results as JSON, atomically."""
    write_atomic(path, json.dumps({"points": [asdict(result) for result in results]}, indent=1) + "\n")
