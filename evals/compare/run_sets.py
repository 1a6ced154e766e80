"""Two sets of seeds beside each other: effect, interval, probability of improvement, and what could not be seen.

With the same seeds on both sides the runs are paired, else they are independent. One score decides; the others are
shown and correct for nothing. "No detectable difference" always comes with the smallest one that would have shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.files import write_atomic
from rlpath.core.stats import (
    BOOTSTRAP_FROM,
    Difference,
    Interval,
    difference_of_runs,
    interval_over_seeds,
    iqm,
    paired_difference_of_runs,
    permutation,
    probability_of_improvement,
    sign_flip,
    smallest_p,
    stratified_bootstrap,
)
from rlpath.evals.measure.scores import EXACT, WORDS, scores, shared_names
from rlpath.runs.returns import possible
from rlpath.runs.run_folder import differences
from rlpath.runs.seed_sets import SeedSet

ALPHA = 0.05


class SetVerdict(StrEnum):
    """What a comparison of two sets of seeds found; the value is how its sentence begins."""

    BETTER = "B is better"
    WORSE = "B is worse"
    NO_DIFFERENCE = "no detectable difference"


@dataclass(frozen=True)
class RunSetContrast:
    """One score of A and B, with every seed's value.

    `difference` is B minus A with Student's interval; `p_permutation` needs no normal distribution, and cannot fall
    below `smallest_p`. `improvement` is the probability that a run of B beats one of A, ties as a half; its interval
    and the interquartile means are given from 10 seeds on each side.
    """

    score: str
    a: dict[int, float]
    b: dict[int, float]
    mean_a: Interval
    mean_b: Interval
    iqm_a: Interval | None
    iqm_b: Interval | None
    difference: Difference
    p_permutation: float
    smallest_p: float
    improvement: float
    improvement_interval: Interval | None


@dataclass(frozen=True)
class SetComparison:
    """A against B. `contrasts[0]` decides; `differing` are the fields of the configuration that differ (A's, B's)."""

    a: str
    b: str
    paired: bool
    differing: dict[str, tuple[Any, Any]]
    contrasts: tuple[RunSetContrast, ...]
    notes: tuple[str, ...]
    verdict: SetVerdict
    sentence: str

    def save(self, path: Path) -> None:
        """Write as JSON, atomically; what is infinite there is null."""
        write_atomic(path, json.dumps(_finite(asdict(self)), indent=1, ensure_ascii=False) + "\n")


def compare_sets(a: SeedSet, b: SeedSet, score: str | None = None, shared_only: bool = False) -> SetComparison:
    """Compare two whole sets; `score` decides, by default the first that the runs have.

    Sets of the same seeds are paired. Of other sets all seeds count and are taken as independent, or with
    `shared_only` those that both have, paired. Raises `InputError` where the runs are of different environments or
    evaluations, have no such score, or leave fewer than two seeds on a side.
    """
    refuse_unlike(a, b)
    notes = list(_notes(a, b))
    seeds_a, seeds_b = a.seeds, b.seeds
    if shared_only:
        seeds_a = seeds_b = [seed for seed in seeds_a if seed in seeds_b]
        left_out = sorted({*a.seeds, *b.seeds} - {*seeds_a})
        if left_out:
            notes.append(f"Left out, as only one side has them: seeds {', '.join(map(str, left_out))}.")
    elif seeds_a != seeds_b and set(seeds_a) & set(seeds_b):
        notes.append(
            "The sides have different seeds, so that runs are not paired; --shared-only pairs those they share."
        )
    if min(len(seeds_a), len(seeds_b)) < 2:
        raise InputError(f"a comparison needs two seeds on each side, and there are {len(seeds_a)} and {len(seeds_b)}")
    found_a = {seed: scores(a.records[seed]) for seed in seeds_a}
    found_b = {seed: scores(b.records[seed]) for seed in seeds_b}
    names = shared_names([*found_a.values(), *found_b.values()])
    if score is not None:
        if score not in names:
            near = get_close_matches(score, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the runs have {', '.join(names)}"
            raise InputError(f"--metric {score} is no score of every run; {hint}")
        names = [score, *(name for name in names if name != score)]
    env_id = a.config.get("env_id") if _at_default(a) else None
    contrasts = tuple(
        contrast(name, {s: found_a[s][name] for s in seeds_a}, {s: found_b[s][name] for s in seeds_b}, env_id)
        for name in names
    )
    verdict = verdict_of(contrasts[0])
    paired = seeds_a == seeds_b
    differing = {field: (a.config.get(field), b.config.get(field)) for field in differences(a.config, b.config)}
    return SetComparison(
        a.name, b.name, paired, differing, contrasts, tuple(notes), verdict, sentence(verdict, contrasts[0], paired)
    )


def contrast(score: str, a: dict[int, float], b: dict[int, float], env_id: str | None = None) -> RunSetContrast:
    """The statistics of one score; runs of equal seeds are paired where all are. Means stay in `env_id`'s range."""
    xs, ys = list(a.values()), list(b.values())
    paired = list(a) == list(b)
    many = min(len(xs), len(ys)) >= BOOTSTRAP_FROM
    chance = probability_of_improvement(_column(ys), _column(xs))
    return RunSetContrast(
        score=score,
        a=a,
        b=b,
        mean_a=possible(interval_over_seeds(xs), env_id),
        mean_b=possible(interval_over_seeds(ys), env_id),
        iqm_a=stratified_bootstrap(_column(xs), iqm) if many else None,
        iqm_b=stratified_bootstrap(_column(ys), iqm) if many else None,
        difference=paired_difference_of_runs(xs, ys) if paired else difference_of_runs(xs, ys),
        p_permutation=sign_flip(np.subtract(ys, xs)) if paired else permutation(xs, ys),
        smallest_p=smallest_p(len(xs)) if paired else smallest_p(len(xs), len(ys)),
        improvement=chance.estimate,
        improvement_interval=chance if many else None,
    )


def verdict_of(found: RunSetContrast) -> SetVerdict:
    """B is better or worse where the interval of the difference excludes zero and its p-value is below 5 %."""
    interval = found.difference.interval
    if found.difference.p >= ALPHA or interval.low <= 0 <= interval.high:
        return SetVerdict.NO_DIFFERENCE
    return SetVerdict.BETTER if interval.estimate > 0 else SetVerdict.WORSE


def sentence(verdict: SetVerdict, found: RunSetContrast, paired: bool) -> str:
    """The one sentence that may be said."""
    seeds = f"{len(found.a)} paired seeds" if paired else f"{len(found.a)} and {len(found.b)} seeds"
    figures = (
        f"{WORDS.get(found.score, found.score)} {number(found.mean_a.estimate)} for A, "
        f"{number(found.mean_b.estimate)} for B, difference {signed(found.difference.interval)}, "
        f"p = {found.difference.p:.2g}, probability of improvement {found.improvement:.2f}, {seeds}"
    )
    if verdict is not SetVerdict.NO_DIFFERENCE:
        return f"{verdict}: {figures}"
    if math.isinf(found.difference.detectable):
        return f"{verdict}: {_why_unknown(found)}, so nothing can be said of small differences ({figures})"
    least = number(found.difference.detectable)
    return f"{verdict}: a true difference below {least} is not detectable with {seeds} that vary so much ({figures})"


def _why_unknown(found: RunSetContrast) -> str:
    """What did not vary, so that no smallest visible difference can be computed."""
    same = [len(set(side.values())) == 1 for side in (found.a, found.b)]
    if all(same):
        return "every run of a side gave the same"
    if list(found.a.values()) == list(found.b.values()):
        return "A and B are equal run by run"
    return "A and B differ by the same amount in every run"


def number(value: float) -> str:
    """Four significant digits, more only before the point."""
    return f"{value:z.0f}" if abs(value) >= 1000 else f"{value:z.4g}"


def signed(interval: Interval) -> str:
    """A difference with its limits."""
    sign = "+" if interval.estimate >= 0 else ""
    return f"{sign}{number(interval.estimate)} [{number(interval.low)}, {number(interval.high)}]"


# What cannot be compared


def refuse_unlike(a: SeedSet, b: SeedSet) -> None:
    """Raise `InputError` where the runs were not judged by the same protocol, or are the same runs."""
    if a.name == b.name and set(a.seeds) & set(b.seeds):
        raise InputError(f"both sides hold runs of {a.name}: a set cannot be compared with itself")
    if a.config.get("env_id") != b.config.get("env_id"):
        raise InputError(
            f"A is of {a.config.get('env_id')}, B of {b.config.get('env_id')}: only one environment can be compared"
        )
    first_a, first_b = (next(iter(side.records.values())).evaluations for side in (a, b))
    if all(EXACT[0] in first.get("final", {}) for first in (first_a, first_b)):
        # Computed from the environment's table, not from episodes: the table must be the same one.
        for field in ("env_options", "map", "max_steps"):
            if a.config.get(field) != b.config.get(field):
                raise InputError(f"A and B differ in {field}, so that they are of different environments")
        return
    for kind, fields in (("final", ("episodes", "first_seed", "exploration")), ("verdict", ("protocol",))):
        for field in fields:
            one, other = (evaluations.get(kind, {}).get(field) for evaluations in (first_a, first_b))
            if kind in first_a and kind in first_b and one != other:
                said = "protocols" if field == "protocol" else f"{field} ({one} and {other})"
                raise InputError(f"A and B were evaluated with different {said}: evaluate both alike")


def _notes(a: SeedSet, b: SeedSet) -> Sequence[str]:
    """What a reader must know beside the figures."""
    notes = []
    steps = [side.config.get("total_timesteps", side.config.get("steps")) for side in (a, b)]
    if steps[0] != steps[1]:
        notes.append(f"A trained for {steps[0]} steps, B for {steps[1]}: their areas are means over different lengths.")
    mixed = "were made by different revisions of the code"
    for word, side in (("A", a), ("B", b)):
        if len(side.revisions) > 1:
            notes.append(f"The seeds of {word} {mixed}: {', '.join(side.revisions)}.")
    if len(a.revisions) == len(b.revisions) == 1 and a.revisions != b.revisions:
        notes.append(f"A and B {mixed}: {a.revisions[0]} and {b.revisions[0]}.")
    return notes


def _at_default(side: SeedSet) -> bool:
    """Whether the environment is as registered, so that its range of returns is known."""
    return not side.config.get("env_options") and side.config.get("map") is None


def _column(values: Sequence[float]) -> list[list[float]]:
    return [[value] for value in values]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
