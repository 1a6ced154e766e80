"""The page of a comparison of two sets of seeds: the sentence, the table, curves, profiles and every seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rlpath.core.files import disk_errors, write_atomic
from rlpath.core.stats import BOOTSTRAP_FROM, Interval, mean_band, performance_profile
from rlpath.core.types import Outcome
from rlpath.evals.compare.run_sets import RunSetContrast, SetComparison, SetVerdict, number, signed
from rlpath.evals.measure.scores import WORDS
from rlpath.report import page, plots
from rlpath.report.plots import Line, Points
from rlpath.report.tables import text_table
from rlpath.runs.curves import has_curve, learning_curve
from rlpath.runs.seed_sets import SeedSet

COLORS = {"A": plots.GRAY, "B": plots.BLUE}
OUTCOMES: dict[SetVerdict, Outcome] = {
    SetVerdict.BETTER: Outcome.IMPROVED,
    SetVerdict.WORSE: Outcome.WORSE,
    SetVerdict.NO_DIFFERENCE: Outcome.NO_EVIDENCE,
}
HEAD = ("score", "A", "B", "difference", "p", "p, permutation", "P(B beats A)", "smallest visible")


def write_comparison(found: SetComparison, a: SeedSet, b: SeedSet, folder: Path) -> Path:
    """Write compare.json, the figures as SVG files and report.html into `folder`; return the page's path."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found.save(folder / "compare.json")
    figures = {"curves": curves(a, b), "seeds": seeds_plot(found.contrasts[0]), "profile": profile(found.contrasts[0])}
    for name, figure in figures.items():
        if figure:
            write_atomic(folder / f"{name}.svg", plots.standalone(figure))
    title = f"A: {found.a} against B: {found.b}"
    body = [
        page.heading(title),
        page.outcome_box(OUTCOMES[found.verdict], *_opening(found)),
        *(page.note(text) for text in found.notes),
        page.section("What differs", difference_table(found)),
        page.section("Scores", page.table(HEAD, rows(found)), page.soft(method(found))),
        page.section("Figures", page.plots(figures.values())),
        page.section("Every seed", *every_seed(found)),
        page.section("Where this comes from", *_provenance(a, b)),
    ]
    write_atomic(folder / "report.html", page.page(title, [part for part in body if part]))
    return folder / "report.html"


def _opening(found: SetComparison) -> tuple[str, str]:
    """The verdict as a heading, and the rest of the sentence."""
    rest = found.sentence.removeprefix(found.verdict).lstrip(":; ")
    return found.verdict[:1].upper() + found.verdict[1:], f"{rest[:1].upper()}{rest[1:]}."


def text(found: SetComparison) -> str:
    """The comparison for a terminal."""
    changed = ", ".join(f"{field} {one} → {other}" for field, (one, other) in found.differing.items()) or "nothing"
    parts = [f"A: {found.a}\nB: {found.b}\ndiffering: {changed}", *found.notes]
    parts += [text_table(HEAD, rows(found)), method(found), found.sentence]
    return "\n\n".join(parts)


def difference_table(found: SetComparison) -> str:
    """The fields of the configuration that differ."""
    cells = [(field, str(one), str(other)) for field, (one, other) in found.differing.items()]
    return page.table(("field", "A", "B"), cells) if cells else page.soft("No field of the configuration differs.")


def rows(found: SetComparison) -> list[tuple[str, ...]]:
    """One row a score under `HEAD`, the deciding one first."""
    return [
        (
            WORDS.get(c.score, c.score),
            bracketed(c.mean_a),
            bracketed(c.mean_b),
            signed(c.difference.interval),
            f"{c.difference.p:.2g}",
            f"{c.p_permutation:.2g}",
            bracketed(c.improvement_interval) if c.improvement_interval else f"{c.improvement:.2f}",
            "unknown" if np.isinf(c.difference.detectable) else number(c.difference.detectable),
        )
        for c in found.contrasts
    ] + [
        (f"{WORDS.get(c.score, c.score)}, IQM", bracketed(c.iqm_a), bracketed(c.iqm_b), "", "", "", "", "")
        for c in found.contrasts
        if c.iqm_a and c.iqm_b
    ]


def bracketed(interval: Interval) -> str:
    """A value with its limits."""
    return f"{number(interval.estimate)} [{number(interval.low)}, {number(interval.high)}]"


def method(found: SetComparison) -> str:
    """How the figures were made, and what they cannot show."""
    first = found.contrasts[0]
    fewest = min(len(first.a), len(first.b))
    few = (
        "the bootstrap and the IQM start at 10 seeds a side"
        if fewest < BOOTSTRAP_FROM
        else "from a bootstrap over seeds"
    )
    return (
        f"Difference: B - A, {first.difference.test}, 95 %; the permutation p needs no normal distribution and is at "
        f"least {first.smallest_p:.2g} with so many seeds. Intervals of A and B: {few}. Smallest visible: the true "
        f"difference that would be seen with 80 % power. The first row decides; p is not corrected for the others."
    )


def every_seed(found: SetComparison) -> Iterable[str]:
    """The deciding score and the others, seed by seed."""
    seeds = sorted({*found.contrasts[0].a, *found.contrasts[0].b})
    head = ("seed", *(f"{WORDS.get(c.score, c.score)}, {side}" for c in found.contrasts for side in "AB"))
    values = [side for c in found.contrasts for side in (c.a, c.b)]
    cells = [(str(seed), *(number(v[seed]) if seed in v else "" for v in values)) for seed in seeds]
    yield page.table(head, cells)


# Figures


def curves(a: SeedSet, b: SeedSet) -> str:
    """Mean curves of both sides with 95 % bands, and every seed faint."""
    lines: list[Line] = []
    for side, runs in (("A", a), ("B", b)):
        found = [learning_curve(record) for record in runs.records.values() if has_curve(record)]
        lines += [Line(None, curve.step, curve.value, COLORS[side], faint=True) for curve in found]
        if len(found) > 1:
            values = np.stack([curve.value for curve in found])
            lines.append(
                Line(
                    f"{side}, mean of {len(found)}, 95 %",
                    found[0].step,
                    values.mean(0),
                    COLORS[side],
                    mean_band(values),
                )
            )
    return plots.line_plot("curves", "Learning curves", lines, xlabel="steps") if lines else ""


def seeds_plot(found: RunSetContrast) -> str:
    """Every seed of both sides, joined where paired, and the means (or from 10 seeds the IQMs) with their intervals."""
    series = []
    paired = list(found.a) == list(found.b)
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]] = (
        [([0, 1], [found.a[seed], found.b[seed]]) for seed in found.a]
        if paired
        else [([x], [value]) for x, side in ((0, found.a), (1, found.b)) for value in side.values()]
    )
    for i, (x, y) in enumerate(pairs):
        series.append(Points("each seed" if i == 0 else "", x, y, y, y, plots.GRAY))
    middles = (found.iqm_a, found.iqm_b) if found.iqm_a and found.iqm_b else (found.mean_a, found.mean_b)
    word = "IQM, 95 %" if found.iqm_a else "mean, 95 %"
    for x, middle in zip((-0.05, 1.05), middles, strict=True):
        label = word if x < 0 else ""
        series.append(Points(label, [x], [middle.estimate], [middle.low], [middle.high], plots.BLUE))
    title = WORDS.get(found.score, found.score).capitalize()
    return plots.points_plot("seeds", title, series, xlabel="", xticks=[0, 1], xticklabels=["A", "B"], percent=False)


def profile(found: RunSetContrast) -> str:
    """The share of runs above every threshold, with bootstrap bands from 10 runs on."""
    values = [*found.a.values(), *found.b.values()]
    reach = max(values) - min(values) or 1.0
    thresholds = np.linspace(min(values) - 0.05 * reach, max(values) + 0.05 * reach, 101)
    lines = []
    for side, runs in (("A", found.a), ("B", found.b)):
        share, low, high = performance_profile([[value] for value in runs.values()], thresholds)
        band = (low, high) if len(runs) >= BOOTSTRAP_FROM else None
        lines.append(Line(side, thresholds, share, COLORS[side], band))
    name = WORDS.get(found.score, found.score)
    return plots.line_plot("profile", "Share of runs above a score", lines, xlabel=name, percent=True)


def _provenance(a: SeedSet, b: SeedSet) -> Iterable[str]:
    for side, runs in (("A", a), ("B", b)):
        yield page.details(f"Configuration of {side}", runs.config)
        yield page.details(f"Manifest of {side}'s first seed", next(iter(runs.records.values())).manifest)
