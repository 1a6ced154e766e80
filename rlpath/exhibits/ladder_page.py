"""The table of a ladder: the same evaluation of every stage, over seeds, each stage against the one it started from.

Two levels of variance, seeds and problems, in one error, as in `seeds_report`. The p-values of one task (each stage
against its start) are one family, adjusted by Holm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import read_json_lines, write_atomic
from rlpath.core.stats import holm
from rlpath.evals.compare.comparison import Aggregate, SeedComparison, aggregate, compare, points
from rlpath.evals.measure.evaluation import Evaluation, read_evaluation
from rlpath.report import page, plots
from rlpath.report.plots import Points

HEAD = (
    *("stage", "starts from", "greedy", "pass@1", "pass@k", "pass@1 over its start, points", "p (Holm)"),
    *("truncated, %", "tokens generated", "minutes"),
)
BASE = "base"


@dataclass(frozen=True, slots=True)
class StageRuns:
    """A stage's runs, one a seed in the order of seeds, the stage it started from, and minutes of each."""

    name: str
    start: str
    runs: tuple[Path, ...]
    minutes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LadderRow:
    """One line of the table. `versus` compares with the start; None for the base, which has none."""

    name: str
    start: str
    metrics: tuple[Aggregate, ...]
    versus: SeedComparison | None
    p: float | None
    truncated: float
    tokens: float
    minutes: float


def rows(stages: Sequence[StageRuns], seed: int = 0) -> list[LadderRow]:
    """The base and every stage. Raises InputError where an evaluation is missing, incomplete or of another protocol."""
    after = {stage.name: [_evaluation(run, "after") for run in stage.runs] for stage in stages}
    first = next(stage for stage in stages if stage.start == BASE)
    after[BASE] = [_evaluation(run, "before") for run in first.runs]
    versus = {
        stage.name: aggregate([compare(a, b, seed) for a, b in zip(after[stage.start], after[stage.name], strict=True)])
        for stage in stages
    }
    adjusted = dict(zip(versus, holm([_primary(found).p for found in versus.values()]), strict=True))
    base = aggregate([compare(one, one, seed) for one in after[BASE]])
    found = [LadderRow(BASE, "", base.aggregates, None, None, _truncated(after[BASE]), 0.0, 0.0)]
    for stage in stages:
        tokens = sum(map(generated_tokens, stage.runs)) / len(stage.runs)
        minutes = sum(stage.minutes) / len(stage.minutes)
        result = versus[stage.name]
        cut = _truncated(after[stage.name])
        found.append(
            LadderRow(stage.name, stage.start, result.aggregates, result, adjusted[stage.name], cut, tokens, minutes)
        )
    return found


def generated_tokens(run: Path) -> int:
    """Tokens that a run sampled in order to learn: its rollouts, or the samples its preference pairs were made of."""
    samples = [*read_json_lines(run / "samples.jsonl"), *read_json_lines(run / "evaluations" / "own_samples.jsonl")]
    return sum(int(row["tokens"]) for row in samples)


def start_mismatches(stages: Sequence[StageRuns]) -> list[str]:
    """Sentences about runs whose model before training did not answer as its start did after: there should be none."""
    by_name = {stage.name: stage for stage in stages}
    told = []
    for stage in stages:
        for number, run in enumerate(stage.runs):
            if stage.start == BASE:
                continue
            before, start = _evaluation(run, "before"), _evaluation(by_name[stage.start].runs[number], "after")
            differ = sum(a.completion != b.completion for a, b in zip(before.samples, start.samples, strict=True))
            if differ:
                told.append(f"{stage.name}, run {number}: {differ} of {len(before.samples)} answers before training "
                            f"differ from those of {stage.start} after it")  # fmt: skip
    return told


def write_ladder(folder: Path, tasks: Mapping[str, Sequence[StageRuns]], notes: Sequence[str]) -> Path:
    """Write `ladder.json`, `ladder.md` and `report.html` into `folder`; return the report's path."""
    tables = {task: rows(stages) for task, stages in tasks.items()}
    told = [*notes, *(f"{task}: {text}" for task, stages in tasks.items() for text in start_mismatches(stages))]
    write_atomic(folder / "ladder.json", json.dumps(_plain(tables), indent=1, ensure_ascii=False) + "\n")
    write_atomic(folder / "ladder.md", "\n".join(_markdown(tables, told)) + "\n")
    write_atomic(folder / "report.html", page.page("The ladder", _html(tables, told)))
    return folder / "report.html"


def _evaluation(run: Path, side: str) -> Evaluation:
    path = run / "evaluations" / f"{side}.jsonl"
    if not path.exists():
        raise InputError(f"{path} is missing: run the ladder to its end")
    return read_evaluation(path)


def _primary(found: SeedComparison) -> Aggregate:
    """pass@1 decides."""
    return found.aggregates[1]


def _truncated(found: Sequence[Evaluation]) -> float:
    return sum(evaluation.summary().truncated for evaluation in found) / len(found)


def _cells(row: LadderRow) -> tuple[str, ...]:
    versus = "" if row.versus is None else _difference(_primary(row.versus))
    return (
        row.name,
        row.start,
        *(_level(metric) for metric in row.metrics),
        versus,
        "" if row.p is None else "< 0.0001" if row.p < 0.0001 else f"{row.p:.2g}",
        points(row.truncated),
        "" if row.versus is None else f"{row.tokens:,.0f}",
        "" if row.versus is None else f"{row.minutes:.1f}",
    )


def _level(metric: Aggregate) -> str:
    mean = sum(metric.after_R) / len(metric.after_R)
    if metric.after is None:
        return f"{points(mean)} %"
    return f"{points(mean)} % [{points(metric.after.low)}, {points(metric.after.high)}]"


def _difference(metric: Aggregate) -> str:
    if metric.difference is None:
        return f"{100 * (metric.after_R[0] - metric.before_R[0]):+.1f} (one seed)"
    found = metric.difference
    return f"{100 * found.estimate:+.1f} [{points(found.low)}, {points(found.high)}]"


def _heads(table: Sequence[LadderRow]) -> list[str]:
    return [table[0].metrics[-1].metric if name == "pass@k" else name for name in HEAD]


def _seeds(table: Sequence[LadderRow]) -> list[tuple[str, ...]]:
    return [(row.name, *(f"{points(value)} %" for value in row.metrics[1].after_R)) for row in table]


def _words(table: Sequence[LadderRow]) -> str:
    seeds = len(table[0].metrics[0].after_R)
    return (
        f"{seeds} training seed{'s'[: seeds != 1]}; brackets are 95 % intervals with one "
        "error for seeds and problems; p is from the same error, adjusted by Holm over the stages of a task."
    )


def _markdown(tables: dict[str, list[LadderRow]], told: Sequence[str]) -> Iterable[str]:
    for task, table in tables.items():
        yield from [f"## {task}", ""]
        yield from _markdown_table(_heads(table), [_cells(row) for row in table])
        yield from ["", _words(table), "", "pass@1 of every seed:", ""]
        names = ["stage", *(f"seed {i}" for i in range(len(table[0].metrics[0].after_R)))]
        yield from _markdown_table(names, _seeds(table))
        yield ""
    yield from (f"- {text}" for text in told)


def _markdown_table(head: Sequence[str], cells: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    yield from ("| " + " | ".join(row) + " |" for row in cells)


def _html(tables: dict[str, list[LadderRow]], told: Sequence[str]) -> Iterable[str]:
    yield page.heading("The ladder")
    yield from (page.note(text) for text in told)
    for number, (task, table) in enumerate(tables.items()):
        names = ["stage", *(f"seed {i}" for i in range(len(table[0].metrics[0].after_R)))]
        yield page.section(
            task,
            page.table(_heads(table), [_cells(row) for row in table]),
            page.soft(_words(table)),
            page.plots([_plot(f"ladder{number}", table)]),
            page.table(names, _seeds(table)),
        )


def _plot(name: str, table: Sequence[LadderRow]) -> str:
    places = [float(i) for i in range(len(table))]
    series = [
        Points("each seed" if i == 0 else "", places, values, values, values, plots.GRAY)
        for i, values in enumerate(zip(*(row.metrics[1].after_R for row in table), strict=True))
    ]
    found = [row.metrics[1].after for row in table]
    if all(found):
        whole = [interval for interval in found if interval is not None]
        limits = ([i.estimate for i in whole], [i.low for i in whole], [i.high for i in whole])
        series.append(Points("mean, 95 %", places, *limits, plots.BLUE))
    words = [row.name for row in table]
    return plots.points_plot(name, "pass@1 of every stage", series, xlabel="", xticks=places, xticklabels=words)


def _plain(tables: dict[str, list[LadderRow]]) -> dict[str, Any]:
    return {
        task: [
            {
                "stage": row.name,
                "starts_from": row.start,
                "metrics": [asdict(metric) for metric in row.metrics],
                "sentence": None if row.versus is None else row.versus.sentence,
                "verdict": None if row.versus is None else row.versus.verdict,
                "p_holm": row.p,
                "truncated": row.truncated,
                "generated_tokens": row.tokens,
                "minutes": row.minutes,
            }
            for row in table
        ]
        for task, table in tables.items()
    }
