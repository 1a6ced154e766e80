"""Reference curves: a small file per reproduced result, and whether a new run's curve lies where it should.

The band is a prediction interval: it holds a new seed of the same algorithm, settings and libraries, not the mean of
the reference seeds. It is looked at in ten shares of the training and at the two final figures, Bonferroni-corrected
over all of them, so that right runs are rejected in at most 5 % of cases where seeds vary normally. Returns under a
ceiling do not; so a band that would have rejected one of its own seeds, judged by the others, is widened until it
would not, which holds the rate near m in n + m for m new and n reference seeds of any distribution.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.files import read_json, write_atomic
from rlpath.core.stats import interval_over_seeds, mean_band, prediction_half_width
from rlpath.evals.measure.scores import WORDS, scores
from rlpath.report import plots
from rlpath.report.plots import Line
from rlpath.runs.curves import BINS, learning_curve
from rlpath.runs.run_folder import config_hash
from rlpath.runs.seed_sets import SeedSet

Array = np.ndarray[Any, Any]
ALPHA = 0.05
SHARES = 10
"""Parts of the training in which a curve is looked at; each is the mean of BINS / SHARES points of the curve."""
FIGURES = ("last_100", "final")
RESOLUTION = 0.01
"""Differences below this share of the largest return are not looked at: seeds may agree to the digit."""
FEWEST = 3


@dataclass(frozen=True)
class Reference:
    """What a recipe gave over seeds. `curves` and `figures` are by seed; `made` says with what and when."""

    recipe: str
    config: dict[str, Any]
    step: list[float]
    curves: dict[str, list[float]]
    figures: dict[str, dict[str, float]]
    summary: dict[str, Any]
    made: dict[str, Any]

    @property
    def points(self) -> Array:
        """What is looked at, seeds by points: the shares of the training, then the final figures."""
        return points_of([self.curves[seed] for seed in self.curves], [self.figures[seed] for seed in self.curves])

    def save(self, path: Path) -> None:
        """Write as JSON, one seed's curve a line."""
        rows = asdict(self)
        curves = ",\n  ".join(f"{json.dumps(seed)}: {json.dumps(curve)}" for seed, curve in rows.pop("curves").items())
        text = json.dumps(rows, indent=1, ensure_ascii=False)
        write_atomic(path, f'{text[:-2]},\n "curves": {{\n  {curves}\n }}\n}}\n')


@dataclass(frozen=True)
class Band:
    """Limits for the mean of `seeds` new seeds at every point; `widened` is 1 unless reference seeds fell outside."""

    low: Array
    high: Array
    seeds: int
    widened: float


@dataclass(frozen=True)
class ReferenceCheck:
    """A new run against a reference. `outside` says in words what lies outside; nothing where the run is right."""

    inside: bool
    outside: tuple[str, ...]
    notes: tuple[str, ...]
    sentence: str


def record_reference(seeds: SeedSet) -> Reference:
    """A reference of a whole set of seeds. Raises `InputError` for fewer than three, or where a figure is missing."""
    if len(seeds.seeds) < FEWEST:
        raise InputError(f"{seeds.name} has {len(seeds.seeds)} seeds; a reference needs at least {FEWEST}, better 10")
    records = list(seeds.records.values())
    found = {str(seed): scores(record) for seed, record in seeds.records.items()}
    for seed, figures in found.items():
        if missing := [name for name in FIGURES if name not in figures]:
            raise InputError(f"seed {seed} of {seeds.name} has no {WORDS[missing[0]]}: it cannot be a reference")
    curves = [learning_curve(record) for record in records]
    summary = {name: asdict(interval_over_seeds([figures[name] for figures in found.values()])) for name in FIGURES}
    manifests = [record.manifest for record in records]
    made = {
        "config_hash": config_hash(seeds.config),
        "dates": sorted({str(manifest.get("started", ""))[:10] for manifest in manifests}),
        "revisions": seeds.revisions,
        "hardware": sorted({str((manifest.get("hardware") or {}).get("cpu", "unknown")) for manifest in manifests}),
        "packages": _packages(manifests),
    }
    return Reference(
        recipe=seeds.recipe,
        config=json.loads(json.dumps(seeds.config, default=str)),
        step=curves[0].step.tolist(),
        curves={seed: np.round(curve.value, 2).tolist() for seed, curve in zip(found, curves, strict=True)},
        figures={seed: {name: round(figures[name], 4) for name in FIGURES} for seed, figures in found.items()},
        summary=summary,
        made=made,
    )


def read_reference(path: Path) -> Reference:
    """A reference from its file. Raises `InputError` where the file is none."""
    if not path.is_file():
        raise InputError(f"there is no reference {path}; make one: rlpath check-curve RUN … --record --out {path}")
    row = read_json(path)
    try:
        reference = Reference(**row)
        shape = reference.points.shape
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{path} is not a reference curve of this version; record it again") from None
    if shape != (len(reference.curves), SHARES + len(FIGURES)) or shape[0] < FEWEST:
        raise InputError(f"{path} holds {shape[0]} seeds of {shape[1]} points; record it again")
    return reference


def find_reference(seeds: SeedSet, folder: Path) -> Path:
    """The file in `folder` that is of the same recipe and settings. Raises `InputError` where there is none."""
    known = {path: read_reference(path) for path in sorted(folder.glob("*.json"))}
    for path, reference in known.items():
        if reference.recipe == seeds.recipe and not conflicts(reference, seeds):
            return path
    same = [path.name for path, reference in known.items() if reference.recipe == seeds.recipe]
    listed = f"; of {seeds.recipe} there are {', '.join(same)}, with other settings" if same else ""
    raise InputError(f"no reference in {folder} is of {seeds.name}{listed}; name one with --reference")


def conflicts(reference: Reference, seeds: SeedSet) -> dict[str, tuple[Any, Any]]:
    """Fields that both know and that differ: the reference's value and the run's."""
    ours = json.loads(json.dumps(seeds.config, default=str))
    # How often a run was saved changes nothing that it learns.
    shared = [field for field in reference.config if field in ours and field != "checkpoint_every"]
    return {f: (reference.config[f], ours[f]) for f in shared if reference.config[f] != ours[f]}


def check_curve(reference: Reference, seeds: SeedSet) -> ReferenceCheck:
    """Whether the new seeds lie in the band: each by itself and, of several, their mean.

    Raises `InputError` where recipe or settings differ, or a seed has no curve or figures.
    """
    if reference.recipe != seeds.recipe:
        raise InputError(f"the reference is of {reference.recipe}, the run of {seeds.recipe}")
    if differing := conflicts(reference, seeds):
        said = ", ".join(f"{field} ({one} there, {other} here)" for field, (one, other) in differing.items())
        raise InputError(f"the run's settings are not the reference's: {said}")
    fresh = record_points(seeds)
    count = len(fresh)
    # Of several new seeds half of the false alarms is spent on their mean, half on each by itself.
    each = band(reference.points, 1, ALPHA if count == 1 else ALPHA / 2 / count)
    outside: list[str] = []
    for seed, row in zip(seeds.seeds, fresh, strict=True):
        outside += _outside(f"seed {seed}", row, each, reference)
    if count > 1:
        together = band(reference.points, count, ALPHA / 2)
        outside += _outside(f"the mean of {count} seeds", fresh.mean(0), together, reference)
    word = "outside" if outside else "inside"
    known = len(reference.curves)
    chance = "at most 5 %" if each.widened == 1 else f"about {count} in {known + count}"
    sentence = (
        f"{word} the band: {seeds.name}, seed{'s' * (count > 1)} {', '.join(map(str, seeds.seeds))}, against "
        f"{known} reference seeds of {', '.join(reference.made['dates'])}; "
        f"the chance that right seeds fail this check is {chance}"
    )
    return ReferenceCheck(not outside, tuple(outside), tuple(_notes(reference, seeds, each)), sentence)


def record_points(seeds: SeedSet) -> Array:
    """What is looked at of new seeds, (seeds, points)."""
    found = [scores(record) for record in seeds.records.values()]
    for seed, figures in zip(seeds.seeds, found, strict=True):
        if missing := [name for name in FIGURES if name not in figures]:
            raise InputError(f"seed {seed} of {seeds.name} has no {WORDS[missing[0]]}: it cannot be checked")
    return points_of([learning_curve(record).value for record in seeds.records.values()], found)


def points_of(curves: Sequence[Sequence[float] | Array], figures: Sequence[Mapping[str, float]]) -> Array:
    """Curves of BINS points as means over SHARES parts of the training, beside the final figures: (seeds, points)."""
    shares = np.asarray(curves, np.float64).reshape(len(curves), SHARES, BINS // SHARES).mean(-1)
    return np.hstack([shares, np.array([[row[name] for name in FIGURES] for row in figures], np.float64)])


def band(points_R_P: Array, new_seeds: int, alpha: float) -> Band:
    """Simultaneous prediction limits at all points for the mean of `new_seeds` seeds, from R reference seeds."""
    center, half = _limits(points_R_P, new_seeds, alpha)
    ratios = []
    for left_out in range(len(points_R_P)):
        others = np.delete(points_R_P, left_out, axis=0)
        middle, width = _limits(others, 1, alpha)
        ratios.append(float((np.abs(points_R_P[left_out] - middle) / width).max()))
    widened = max(1.0, *ratios)
    return Band(center - widened * half, center + widened * half, new_seeds, widened)


def _limits(points_R_P: Array, new_seeds: int, alpha: float) -> tuple[Array, Array]:
    runs, points = points_R_P.shape
    half = prediction_half_width(points_R_P.std(0, ddof=1), runs, new_seeds, alpha / points)
    least = RESOLUTION * float(np.abs(points_R_P).max()) or RESOLUTION
    return points_R_P.mean(0), np.maximum(half, least)


def _outside(who: str, row: Array, limits: Band, reference: Reference) -> list[str]:
    last = reference.step[-1]
    places = [f"steps {last * i / SHARES:.0f} to {last * (i + 1) / SHARES:.0f}" for i in range(SHARES)]
    names = [*places, *(WORDS[name] for name in FIGURES)]
    return [
        f"{who}, {names[i]}: {row[i]:.2f}, band [{limits.low[i]:.2f}, {limits.high[i]:.2f}]"
        for i in np.flatnonzero((row < limits.low) | (row > limits.high))
    ]


def _notes(reference: Reference, seeds: SeedSet, each: Band) -> Sequence[str]:
    """What may explain a difference, or weakens the check."""
    notes = []
    new = _packages([record.manifest for record in seeds.records.values()])
    changed = [
        f"{name} {' '.join(old)} → {' '.join(new[name])}"
        for name, old in reference.made["packages"].items()
        if name in new and new[name] != old
    ]
    if changed:
        notes.append(f"Other versions than the reference's: {', '.join(changed)}.")
    unknown = sorted({*seeds.config} ^ {*reference.config})
    if unknown:
        notes.append(f"Fields that only one of the two knows, and that are not compared: {', '.join(unknown)}.")
    if each.widened > 1:
        notes.append(f"The band is widened {each.widened:.2f} times: a reference seed lies outside that of the others.")
    shared = sorted({str(seed) for seed in seeds.seeds} & {*reference.curves}, key=int)
    if shared:
        notes.append(f"Seeds {', '.join(shared)} are in the reference too, so that this is a rerun more than a test.")
    return notes


def _packages(manifests: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Versions by package, more than one where the runs were made with several."""
    names = sorted({name for manifest in manifests for name in manifest.get("packages", {})})
    return {name: sorted({m["packages"][name] for m in manifests if name in m.get("packages", {})}) for name in names}


def check_plot(reference: Reference, seeds: SeedSet) -> str:
    """The reference's mean and prediction band, and the new seeds over them, as SVG text."""
    limits = band(reference.points, 1, ALPHA)
    step = [reference.step[-1] * (i + 0.5) / SHARES for i in range(SHARES)]
    expected = reference.points.mean(0)[:SHARES]
    around = (limits.low[:SHARES], limits.high[:SHARES])
    lines = [Line("reference, band for one seed", step, expected, plots.GRAY, around)]
    fresh = [learning_curve(record) for record in seeds.records.values()]
    for i, curve in enumerate(fresh):
        lines.append(Line("new" if i == 0 else None, curve.step, curve.value, plots.BLUE, faint=len(fresh) > 1))
    if len(fresh) > 1:
        values = np.stack([curve.value for curve in fresh])
        lines.append(Line("new, mean", fresh[0].step, values.mean(0), plots.BLUE, mean_band(values)))
    return plots.line_plot("check", f"{seeds.recipe} against its reference", lines, xlabel="environment steps")
