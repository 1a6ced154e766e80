"""Pages and tables of a run of deep RL, and of several seeds: every seed shown, the mean only over a whole set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.files import write_atomic
from rlpath.core.stats import BOOTSTRAP_FROM, Interval, interval_over_seeds, iqm, mean_band, stratified_bootstrap
from rlpath.report import page, plots
from rlpath.report.plots import Line
from rlpath.report.tables import text_table
from rlpath.runs.curves import has_curve, learning_curve
from rlpath.runs.run_folder import RunRecord, read_run
from rlpath.runs.seed_sets import SeedSet

HEAD = ("seed", "final evaluation", "last 100 training episodes", "area under the curve", "minutes")


def write_report(path: Path) -> Path:
    """Write curve.svg and report.html of one finished run into its folder, and return the page's path.

    Raises `InputError` for a run without a final evaluation.
    """
    record = read_run(path)
    if "final" not in record.evaluations:
        raise InputError(
            f"{path} has no final evaluation yet: its command, run again, goes on from the last checkpoint"
        )
    figure = curve_plot("curve", [record])
    if figure:
        write_atomic(path / "curve.svg", plots.standalone(figure))
    title = f"{path.resolve().parts[-3]} on {record.config['env_id']}, seed {record.config['seed']}"
    final = record.evaluations["final"]
    words = (
        f"Final evaluation: {final['episodes']} episodes without exploration, from seeds {final['first_seed']} on; "
        f"mean {final['mean']:.2f}, standard deviation over episodes {final['sd']:.2f}. One seed says nothing about "
        "how much training varies."
    )
    losses = [_loss_plot(key, record) for key in ("losses/value_loss", "losses/entropy", "losses/approx_kl")]
    body = [
        page.heading(title),
        page.soft(str(record.manifest.get("started", ""))[:16].replace("T", " ")),
        page.section("Result", page.table(HEAD, [seed_row(record)]), page.soft(words)),
        page.section("Training", page.plots([figure, *losses])),
        page.section(
            "Where this comes from",
            page.details("Manifest: code, packages, hardware", record.manifest),
            page.details("Configuration", record.config),
        ),
    ]
    write_atomic(path / "report.html", page.page(title, body))
    return path / "report.html"


def write_seeds_report(seeds: SeedSet, path: Path) -> Path:
    """Write the page over a whole set of seeds to `path`, and curve.svg beside it; return the page's path."""
    records = list(seeds.records.values())
    figure = curve_plot("curve", records)
    if figure:
        write_atomic(path.with_name("curve.svg"), plots.standalone(figure))
    title = f"{seeds.recipe} on {seeds.config['env_id']}, {len(records)} seeds"
    notes = [page.note(text) for text in warnings(seeds)]
    body = [
        page.heading(title),
        *notes,
        page.section("Over seeds", page.table(*summary(records)), page.soft(method_words(len(records)))),
        page.section("Training", page.plots([figure])),
        page.section("Every seed", page.table(HEAD, [seed_row(record) for record in records])),
        page.section(
            "Where this comes from",
            page.details("Manifest of the first seed", records[0].manifest),
            page.details("Configuration", seeds.config),
        ),
    ]
    write_atomic(path, page.page(title, body))
    return path


def warnings(seeds: SeedSet) -> list[str]:
    """What a reader of the mean must know: seeds made by different revisions of the code."""
    made = seeds.revisions
    return [f"The seeds were made by different revisions of the code: {', '.join(made)}."] if len(made) > 1 else []


# Figures


def figures_of(record: RunRecord) -> dict[str, float | None]:
    """The three numbers of a finished run: final evaluation, last 100 training episodes, area under the curve."""
    final = record.evaluations["final"]
    area = learning_curve(record).area if has_curve(record) else None
    return {"final": final["mean"], "last_100": final["last_100"], "area": area}


def seed_row(record: RunRecord) -> tuple[str, ...]:
    """One seed as a row under `HEAD`."""
    minutes = max((row.get("wall_s", 0.0) for row in record.metrics), default=0.0) / 60
    return (str(record.config["seed"]), *(shown(value) for value in figures_of(record).values()), f"{minutes:.1f}")


def summary(records: Sequence[RunRecord]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the table over seeds: the mean of each figure with its 95 % interval; from 10 seeds the IQM."""
    head = ("over seeds", "mean", "IQM", "seeds") if len(records) >= BOOTSTRAP_FROM else ("over seeds", "mean", "seeds")
    names = dict(zip(("final", "last_100", "area"), HEAD[1:4], strict=True))
    rows = []
    for figure, words in names.items():
        values = [value for record in records if (value := figures_of(record)[figure]) is not None]
        # A seed without a finished episode has no such figure, and a mean over the others would be another quantity.
        cells = over_seeds(values) if len(values) == len(records) else ["not every seed has one"] * (len(head) - 2)
        rows.append((words, *cells, str(len(values))))
    return head, rows


def over_seeds(values: Sequence[float]) -> list[str]:
    """The mean with its interval, and from 10 seeds on the interquartile mean with its own."""
    if len(values) == 1:
        return [shown(values[0])]
    cells = [bracketed(interval_over_seeds(values))]
    if len(values) >= BOOTSTRAP_FROM:
        cells.append(bracketed(stratified_bootstrap([[value] for value in values], iqm)))
    return cells


def method_words(count: int) -> str:
    """How the intervals were made."""
    if count == 1:
        return "One seed: no interval."
    if count < BOOTSTRAP_FROM:
        return f"Brackets: 95 % interval over seeds, Student's t with {count - 1} degrees of freedom."
    return (
        "Brackets: 95 % interval over seeds, stratified bootstrap (2000 resamples). IQM: the mean of the middle half."
    )


def seeds_text(rows: Mapping[str, RunRecord | str]) -> str:
    """The table of every seed for a terminal; a text in place of a record: it failed."""
    cells = [
        seed_row(row) if isinstance(row, RunRecord) else (name, "failed", *[""] * (len(HEAD) - 2))
        for name, row in rows.items()
    ]
    return text_table(HEAD, cells)


def summary_text(records: Sequence[RunRecord]) -> str:
    """The table over seeds for a terminal."""
    return f"{text_table(*summary(records))}\n{method_words(len(records))}"


def sentence(path: Path) -> str:
    """What a finished run gave, in one line."""
    final = read_run(path).evaluations["final"]
    return (
        f"{path.name}: {final['env_id']}, {final['steps']} steps, final evaluation {final['mean']:.1f} "
        f"(sd {final['sd']:.1f} over {final['episodes']} episodes), last 100 training episodes "
        f"{'none ended' if final['last_100'] is None else format(final['last_100'], '.1f')}"
    )


def shown(value: float | None) -> str:
    """A figure of two decimals."""
    return "none ended" if value is None else f"{value:z.2f}"


def bracketed(interval: Interval) -> str:
    """An interval of two decimals."""
    return f"{interval.estimate:z.2f} [{interval.low:z.2f}, {interval.high:z.2f}]"


# Plots


def curve_plot(name: str, records: Sequence[RunRecord]) -> str:
    """Training returns over steps, each seed faint and, of several, their mean with its interval."""
    curves = [learning_curve(record) for record in records if has_curve(record)]
    if not curves:
        return ""
    several = len(curves) > 1
    color = plots.GRAY if several else plots.BLUE
    lines = [Line(None, curve.step, curve.value, color, faint=several) for curve in curves]
    if several:
        lines[0] = replace(lines[0], label="each seed")
        values = np.stack([curve.value for curve in curves])
        lines.append(Line("mean, 95 %", curves[0].step, values.mean(0), band=mean_band(values)))
    title = f"Return of training episodes, {records[0].config['env_id']}"
    return plots.line_plot(name, title, lines, xlabel="environment steps")


def _loss_plot(key: str, record: RunRecord) -> str:
    rows: list[tuple[float, float]] = [(row["step"], row[key]) for row in record.metrics if row.get(key) is not None]
    if not rows:
        return ""
    steps, values = zip(*rows, strict=True)
    name: str = key.partition("/")[2]
    line: Any = Line(None, steps, values)
    return plots.line_plot(name, name.replace("_", " "), [line], xlabel="environment steps")
