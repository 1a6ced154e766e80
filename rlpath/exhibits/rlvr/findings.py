"""What the samples say: levels and curves of every arm, the plan's contrasts under Holm, what was newly solved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlpath.core.stats import (
    Difference,
    Interval,
    holm,
    mean_over_problems,
    pass_at_k,
    two_level_difference,
    two_level_mean,
)
from rlpath.evals.compare.comparison import FEWEST
from rlpath.evals.compare.prereg_check import Analysis
from rlpath.evals.measure.evaluation import Evaluation, ks, read_evaluation
from rlpath.exhibits.rlvr.plan import RETEST, ArmContrast
from rlpath.exhibits.rlvr.sampling import (
    COOL_FILE,
    HOT_FILE,
    RETEST_FILE,
    RETEST_START_FILE,
    Moved,
    newly_solved,
    read_moved,
)
from rlpath.posttrain.gain import Gain, gain

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ArmSamples:
    """One arm: its samples by training seed, at both temperatures; a model that is not trained has seed -1 alone.

    `retests` are the fresh samples of arm and start on what was newly solved, where there was anything.
    """

    name: str
    hot: Mapping[int, Evaluation]
    cool: Mapping[int, Evaluation]
    moved: Mapping[int, Moved]
    retests: Mapping[int, tuple[Evaluation, Evaluation]]

    def values(self, k: int, *, cool: bool = False) -> Array:
        """pass@k by training seed and problem, [R, P]."""
        return np.array([_pass_at(evaluation, k) for evaluation in (self.cool if cool else self.hot).values()])

    def curve(self, *, cool: bool = False) -> dict[int, Interval]:
        """pass@k over seeds and problems, for k = 1, 2, 4 … samples."""
        n = next(iter((self.cool if cool else self.hot).values())).protocol.samples
        return {k: level(self.values(k, cool=cool)) for k in ks(n)}


UNTRAINED = -1


def read_arm(folder: Path, name: str, seeds: Sequence[int]) -> ArmSamples | None:
    """The samples of an arm in the study's folder, of those seeds that are whole; None where there are none."""
    places = {seed: place(folder, name, seed) for seed in (UNTRAINED, *seeds)}
    whole = {seed: path for seed, path in places.items() if (path / COOL_FILE).exists()}
    hot = {seed: read_evaluation(path / HOT_FILE) for seed, path in whole.items()}
    cool = {seed: read_evaluation(path / COOL_FILE) for seed, path in whole.items()}
    kept = [seed for seed in whole if hot[seed].complete and _sampled(cool[seed])]
    if not kept:
        return None
    moved = {seed: found for seed in kept if (found := read_moved(places[seed])) is not None}
    return ArmSamples(
        name,
        {seed: hot[seed] for seed in kept},
        {seed: cool[seed] for seed in kept},
        moved,
        {seed: found for seed in kept if (found := _retests(places[seed])) is not None},
    )


def place(folder: Path, arm: str, seed: int) -> Path:
    """Where the samples of an arm's seed lie."""
    return folder / "samples" / arm.replace(" ", "-") / ("model" if seed == UNTRAINED else f"seed-{seed}")


def _sampled(evaluation: Evaluation) -> bool:
    return len(evaluation.of("sample")) == evaluation.protocol.samples * evaluation.protocol.problems


def _retests(path: Path) -> tuple[Evaluation, Evaluation] | None:
    files = path / RETEST_FILE, path / RETEST_START_FILE
    if not all(file.exists() for file in files):
        return None
    trained, start = map(read_evaluation, files)
    return (trained, start) if _sampled(trained) and _sampled(start) else None


def _pass_at(evaluation: Evaluation, k: int) -> list[float]:
    n = evaluation.protocol.samples
    return [pass_at_k(n, correct, k) for correct in evaluation.correct("sample").values()]


def level(values_R_P: Array) -> Interval:
    """The mean over seeds and problems with the variance of both."""
    return two_level_mean(values_R_P) if len(values_R_P) > 1 else mean_over_problems(values_R_P[0])


# The plan's contrasts


@dataclass(frozen=True)
class Found:
    """A contrast of the plan with its figures; `seeds` are the training seeds it rests on."""

    contrast: ArmContrast
    value: float
    baseline: float
    difference: Difference
    p_holm: float
    n: int
    seeds: tuple[int, ...]

    def analysis(self, problems: str) -> Analysis:
        """In the words of a preregistration; p is adjusted."""
        interval = self.difference.interval
        return Analysis(
            task=self.contrast.task(problems),
            metric=self.contrast.metric,
            model=self.contrast.arm,
            n=self.n,
            seeds=self.seeds,
            value=round(self.value, 10),
            baseline=round(self.baseline, 10),
            difference=round(interval.estimate, 10),
            low=round(interval.low, 10),
            high=round(interval.high, 10),
            p=self.p_holm,
        )


def compare(
    arms: Mapping[str, ArmSamples], family: Sequence[ArmContrast], seeds: Sequence[int]
) -> dict[ArmContrast, Found]:
    """The contrasts whose arms are there with every seed of the plan; the others count as p = 1 in the family."""
    raw = {contrast: found for contrast in family if (found := _contrast(arms, contrast, seeds)) is not None}
    adjusted = holm([raw[contrast][2].p if contrast in raw else 1.0 for contrast in family])
    return {
        contrast: Found(contrast, *raw[contrast][:3], p, raw[contrast][3], tuple(seeds))
        for contrast, p in zip(family, adjusted, strict=True)
        if contrast in raw
    }


def _contrast(
    arms: Mapping[str, ArmSamples], contrast: ArmContrast, seeds: Sequence[int]
) -> tuple[float, float, Difference, int] | None:
    one, other = arms.get(contrast.arm), arms.get(contrast.against)
    if one is None or other is None or not set(seeds) <= set(one.hot) or not _covers(other, seeds):
        return None
    if contrast.metric == RETEST:
        return _retest(one)
    k = int(contrast.metric.removeprefix("pass@"))
    after, before = one.values(k), other.values(k)
    gains = after - before
    found = two_level_difference(gains)
    p = found.p if gains.shape[1] >= FEWEST else 1.0
    return float(after.mean()), float(before.mean()), _with_p(found, p), gains.shape[1]


def _covers(arm: ArmSamples, seeds: Sequence[int]) -> bool:
    return UNTRAINED in arm.hot or set(seeds) <= set(arm.hot)


def _with_p(found: Difference, p: float) -> Difference:
    return Difference(found.interval, p, found.test, found.detectable)


def _retest(arm: ArmSamples) -> tuple[float, float, Difference, int] | None:
    """Solved again at the full number of fresh samples: one row of pairs of seed and problem, problems as clusters."""
    after, before, names = retest_pairs(arm)
    if not len(after):
        return None
    found = two_level_difference([after - before], clusters=names)
    enough = len(set(names)) >= FEWEST
    return float(after.mean()), float(before.mean()), _with_p(found, found.p if enough else 1.0), len(set(names))


def retest_pairs(arm: ArmSamples) -> tuple[Array, Array, list[str]]:
    """For each seed and newly solved problem whether fresh samples of the arm, and of its start, solved it."""
    after, before, names = [], [], []
    for trained, start in arm.retests.values():
        again, counts = trained.correct("sample"), start.correct("sample")
        for id, count in again.items():
            after.append(float(count > 0))
            before.append(float(counts[id] > 0))
            names.append(id)
    return np.array(after), np.array(before), names


# What a change is made of


@dataclass(frozen=True)
class Split:
    """A change of pass@1 over the start, mean over seeds: how much of it is form, and how much correctness."""

    change: float
    form: float
    correctness: float
    lenient: float


def split_of(arm: ArmSamples, start: ArmSamples) -> Split | None:
    """The split on the samples at temperature 1; None where no seed has its start."""
    found: list[Gain] = []
    for seed, after in arm.hot.items():
        before = start.hot.get(seed, start.hot.get(UNTRAINED))
        if before is not None:
            found.append(gain(before, after))
    if not found:
        return None
    means = [(g.strict[1] - g.strict[0], g.form, g.correctness, g.lenient[1] - g.lenient[0]) for g in found]
    return Split(*(sum(column) / len(found) for column in zip(*means, strict=True)))


@dataclass(frozen=True)
class NewlySolved:
    """Over seeds: problems that the start never solved, those of them that the arm did, and what fresh samples did."""

    unsolved: int
    solved: int
    again: int
    by_start: int


def newly_solved_counts(arm: ArmSamples, start: ArmSamples) -> NewlySolved:
    """The counts of one arm, pairs of seed and problem."""
    unsolved = solved = 0
    for seed, after in arm.hot.items():
        before = start.hot.get(seed, start.hot.get(UNTRAINED))
        if before is not None:
            unsolved += sum(not count for count in before.correct("sample").values())
            solved += len(newly_solved(before, after))
    again, by_start, _ = retest_pairs(arm)
    return NewlySolved(unsolved, solved, int(again.sum()), int(by_start.sum()))


def crossing(base: Mapping[int, Interval], arm: Mapping[int, Interval]) -> int | None:
    """The smallest k at which the base's mean is at least the arm's; None where there is none."""
    return next((k for k in base if k in arm and base[k].estimate >= arm[k].estimate), None)
