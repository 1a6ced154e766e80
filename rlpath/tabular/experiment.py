"""A tabular experiment on disk: a folder for every seed; finished seeds are kept, the rest trained together."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlpath.core.files import TEMPORARY, disk_errors, read_json, read_json_lines
from rlpath.core.stats import Interval, t_interval
from rlpath.report.plots import BLUE, GRAY, ORANGE, Line, line_plot
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import METRICS, RunFolder
from rlpath.tabular.dp import expected_return
from rlpath.tabular.model import Array, Model
from rlpath.tabular.settings import TabularSettings
from rlpath.tabular.training import TrainedTables, control

RECIPE = "tabular"


@dataclass(frozen=True, slots=True, eq=False)
class MethodResult:
    """What one method gave over its seeds, read back from their folders. Axes: K seeds, C checkpoints."""

    settings: TabularSettings
    folder: Path
    """holds one seed-<k> a seed"""
    seeds: tuple[int, ...]
    q_KSA: Array
    steps_C: list[int]
    greedy_return_KC: Array
    online_return_KC: Array
    behavior_return_K: Array
    """exact expected return of acting as at the end of training, exploration included"""
    trained_now: int
    """seeds trained by this call; the others were finished before"""
    seconds: float
    """that training them together took"""

    @property
    def final(self) -> Interval | None:
        """Student's interval of the final greedy policies' exact return; None for a single seed."""
        return interval(self.greedy_return_KC[:, -1])


def interval(values_K: Array) -> Interval | None:
    """Student's interval over seeds, None where there is one seed."""
    return t_interval(values_K) if len(values_K) > 1 else None


def run_method(settings: TabularSettings, model: Model) -> MethodResult:
    """Train the seeds that are not finished yet, all together, and read every seed's folder.

    `settings` must be resolved. A seed's results do not depend on which others are trained beside it, so that seeds
    can be added to a finished experiment. Raises `InputError` where a folder is in use or cannot be written.
    """
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    with ExitStack() as stack:
        runs = {
            seed: stack.enter_context(RunFolder.open(settings.root, RECIPE, settings.config(), seed)) for seed in seeds
        }
        missing = [seed for seed in seeds if not runs[seed].finished]
        seconds = 0.0
        if missing:
            facts = manifest(sys.argv, settings.config())
            facts |= {"trained_together": missing, "tables_sha256": model.sha256}
            for seed in missing:
                runs[seed].write_json("manifest.json", facts)
            started = time.perf_counter()
            learner, behavior = settings.learner(model, len(missing)), settings.behavior()
            assert settings.steps is not None
            training = control(model, learner, behavior, missing, settings.steps, settings.checkpoints)
            seconds = time.perf_counter() - started
            pi = behavior.probabilities(_rows(learner.q_KSA), _rows(learner.visits_KSA), settings.steps)
            acting_K = expected_return(model, pi.reshape(learner.q_KSA.shape))
            for index, seed in enumerate(missing):
                _save(runs[seed], training, index, float(acting_K[index]))
        return _read(settings, [runs[seed].path for seed in seeds], len(missing), seconds)


def _rows(table_KSA: Array) -> Array:
    return table_KSA.reshape(-1, table_KSA.shape[-1])


def _save(run: RunFolder, training: TrainedTables, index: int, behavior_return: float) -> None:
    """Write one seed's curve, table and result, and mark it finished."""
    run.rewind(-1)
    curve = zip(training.steps_C, training.greedy_return_KC[index], training.online_return_KC[index], strict=True)
    for step, greedy, online in curve:
        run.log_metrics(int(step), {"greedy_return": greedy, "online_return": online})
    _write_table(run.path / "q.npz", training.q_KSA[index])
    result = {
        "greedy_return": float(training.greedy_return_KC[index, -1]),
        "behavior_return": behavior_return,
        "episodes": int(training.episodes_K[index]),
    }
    run.write_json("evaluations/final.json", result)
    run.mark_finished()


def _write_table(path: Path, q_SA: Array) -> None:
    """Write action values as array `q`, so that a crash leaves the whole file or none."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, q=q_SA)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with disk_errors(path):
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)


def _read(settings: TabularSettings, paths: Sequence[Path], trained_now: int, seconds: float) -> MethodResult:
    curves = [read_json_lines(path / METRICS) for path in paths]
    tables = []
    for path in paths:
        with np.load(path / "q.npz") as file:
            tables.append(file["q"])
    final = [read_json(path / "evaluations" / "final.json") for path in paths]
    return MethodResult(
        settings=settings,
        folder=paths[0].parent,
        seeds=tuple(int(path.name.removeprefix("seed-")) for path in paths),
        q_KSA=np.stack(tables),
        steps_C=[row["step"] for row in curves[0]],
        greedy_return_KC=_column(curves, "greedy_return"),
        online_return_KC=_column(curves, "online_return"),
        behavior_return_K=np.array([row["behavior_return"] for row in final]),
        trained_now=trained_now,
        seconds=seconds,
    )


def _column(curves: Sequence[Sequence[dict[str, Any]]], name: str) -> Array:
    """One metric (K, C); what was not measured is NaN."""
    return np.array(
        [[np.nan if row[name] is None else row[name] for row in curve] for curve in curves], dtype=np.float64
    )


def curves_plot(outcome: MethodResult, optimum: float) -> str:
    """Exact greedy return and online return over training steps, means over seeds with 95 % bands, as SVG text."""
    lines = [
        _curve("greedy policy, exact", outcome.steps_C, outcome.greedy_return_KC, BLUE),
        _curve("online", outcome.steps_C, outcome.online_return_KC, ORANGE),
        Line("optimum", outcome.steps_C, [optimum] * len(outcome.steps_C), GRAY, faint=True),
    ]
    method = outcome.settings.algorithm
    title = f"{method.replace('_', ' ')}, {len(outcome.seeds)} seeds: undiscounted return"
    return line_plot(f"tabular-{method}", title, [line for line in lines if line.x])


def _curve(label: str, steps_C: Sequence[int], values_KC: Array, color: str) -> Line:
    """Mean and interval at the checkpoints where every seed has a value."""
    at = [c for c in range(len(steps_C)) if not np.isnan(values_KC[:, c]).any()]
    limits = [interval(values_KC[:, c]) for c in at]
    band = ([i.low for i in limits if i], [i.high for i in limits if i])
    return Line(
        label,
        [steps_C[c] for c in at],
        [float(values_KC[:, c].mean()) for c in at],
        color,
        band=band if len(values_KC) > 1 and at else None,
    )
