"""One report over several runs of a recipe, one a training seed: the mean with its interval, and every seed shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.core.files import write_atomic
from rlpath.evals.compare.comparison import Aggregate, SeedComparison, aggregate, points
from rlpath.evals.report.run_report import comparison_of, curve, difference, p_cell, share, title_of
from rlpath.report import page, plots
from rlpath.report.plots import Line, Points
from rlpath.runs.run_folder import RunRecord, read_run


def write_seeds_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report over `runs` to `out`, by default `report.html` in the folder that holds them all.

    Raises InputError where a run has no verdict, is named twice, or the runs are of different configurations.
    """
    records = [read_run(run) for run in runs]
    _check(records)
    comparisons = [comparison_of(record.path) for record in records]
    unfinished = [str(record.path) for record, found in zip(records, comparisons, strict=True) if found is None]
    if unfinished:
        raise InputError(f"{unfinished[0]} has no verdict yet: finish it, or leave it out and say so")
    result = aggregate([found for found in comparisons if found is not None])
    seeds = [str(record.config.get("seed", "?")) for record in records]
    title = f"{title_of(records[0])}, {len(records)} seeds"
    body = [
        page.heading(title),
        page.soft(f"Seeds {', '.join(seeds)}; {result.problems} held-out problems each."),
        page.verdict_box(result.verdict, result.sentence),
        page.section("Before and after", *_tables(result, seeds)),
        page.section("Every seed", page.plots(_figures(records, result))),
        page.section("Where this comes from", page.details("Configuration of the first run", records[0].config)),
    ]
    path = out or Path(os.path.commonpath([record.path.resolve().parent for record in records])) / "report.html"
    write_atomic(path, page.page(title, body))
    return path


def _check(records: Sequence[RunRecord]) -> None:
    first = records[0]
    for number, record in enumerate(records):
        if record.path.resolve() in [other.path.resolve() for other in records[:number]]:
            raise InputError(f"{record.path} is named twice: name every run once")
        if _without_seed(record) != _without_seed(first):
            differing = sorted(
                key
                for key in {*record.config, *first.config}
                if key not in ("seed", "root") and record.config.get(key) != first.config.get(key)
            )
            raise InputError(f"{record.path} and {first.path} differ in {', '.join(differing)}: combine seeds of one")


def _without_seed(record: RunRecord) -> dict[str, object]:
    return {key: value for key, value in record.config.items() if key not in ("seed", "root")}


def _tables(result: SeedComparison, seeds: Sequence[str]) -> Iterable[str]:
    head = ("metric", "before", "after", "difference, points", "p", "smallest visible effect")
    yield page.table(head, [_mean_row(metric) for metric in result.aggregates])
    yield page.soft(
        "Brackets are 95 % intervals that hold the variance over training seeds and over problems, by Student's t with "
        "Satterthwaite's degrees of freedom; p is of the same test."
    )
    yield page.table(["seed", *(f"{metric.metric}, before and after" for metric in result.aggregates)], [
        [seed, *(f"{points(m.before_R[i])} % → {points(m.after_R[i])} %" for m in result.aggregates)]
        for i, seed in enumerate(seeds)
    ])  # fmt: skip


def _mean_row(metric: Aggregate) -> tuple[str, ...]:
    p = p_cell(metric.p)
    name = "greedy accuracy" if metric.metric == "greedy" else metric.metric
    if metric.before is None or metric.after is None or metric.difference is None:
        before, after = metric.before_R[0], metric.after_R[0]
        shown = (f"{points(before)} %", f"{points(after)} %", f"{100 * (after - before):+.1f}")
    else:
        shown = (share(metric.before), share(metric.after), difference(metric.difference))
    return (name, *shown, p, points(metric.detectable))


def _figures(records: Sequence[RunRecord], result: SeedComparison) -> Iterable[str]:
    curves = [curve(record.metrics, "reward") for record in records]
    if all(steps for steps, _ in curves):
        shared = sorted(set.intersection(*(set(steps) for steps, _ in curves)))
        by_step = [dict(zip(*steps_and_values, strict=True)) for steps_and_values in curves]
        lines = [Line("each seed" if i == 0 else None, *c, color=plots.GRAY, faint=True) for i, c in enumerate(curves)]
        mean = [sum(values[step] for values in by_step) / len(by_step) for step in shared]
        lines.append(Line("mean", shared, mean))
        fits = all(0 <= value <= 1 for _, values in curves for value in values)
        yield plots.line_plot("reward", "Mean reward of the training completions", lines, percent=fits)
    for number, metric in enumerate(result.aggregates):
        yield _seed_plot(f"seeds{number}", metric)


def _seed_plot(name: str, metric: Aggregate) -> str:
    pairs = zip(metric.before_R, metric.after_R, strict=True)
    series = [
        Points("each seed" if i == 0 else "", [0, 1], pair, pair, pair, plots.GRAY) for i, pair in enumerate(pairs)
    ]
    if metric.before and metric.after:
        both = (metric.before, metric.after)
        limits = ([both[0].low, both[1].low], [both[0].high, both[1].high])
        series.append(Points("mean, 95 %", [-0.04, 1.04], [both[0].estimate, both[1].estimate], *limits, plots.BLUE))
    title = "greedy accuracy" if metric.metric == "greedy" else metric.metric
    words = ["before", "after"]
    return plots.points_plot(name, title, series, xlabel="", xticks=[0, 1], xticklabels=words)
