"""Before against after on the same problems: difference, interval, p, and the one sentence that may be said of it.

One run is compared over problems. Several runs are compared by one error that holds the variance over problems and the
variance over training seeds: the same few problems measured on every seed do not become more problems. Copies of a
question, and problems of one template, count once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rlpath.core.errors import InputError
from rlpath.core.files import read_json, write_atomic
from rlpath.core.stats import (
    Interval,
    detectable_by_sign_flip,
    mcnemar,
    mean_over_problems,
    minimal_detectable_effect,
    paired_difference,
    pass_at_k,
    sign_flip,
    two_level_difference,
    two_level_mean,
)
from rlpath.core.types import Outcome
from rlpath.evals.compare.power import detectable_by_mcnemar
from rlpath.evals.measure.clusters import accuracy, cluster_by_question, grouped
from rlpath.evals.measure.evaluation import Evaluation, Protocol

ALPHA = 0.05
POWER = 0.8
MCNEMAR = "exact McNemar"
FEWEST = 30
"""Problems, or clusters, below which there is no verdict but McNemar's: rare large losses may not have been drawn."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and after, each from 0 to 1.

    `p` is two-sided; `detectable` the smallest true difference that would be seen with 80 % power at the 5 % level.
    `gained` and `lost` count the problems that got better and worse: of single answers, McNemar's discordant pairs
    (None in files from before they were counted).
    """

    metric: str
    before: Interval
    after: Interval
    difference: Interval
    p: float
    test: str
    detectable: float
    gained: int | None = None
    lost: int | None = None


@dataclass(frozen=True, slots=True)
class ProblemCounts:
    """One problem: the correct completions before and after, greedy (of 1) and sampled (of n)."""

    problem_id: str
    greedy_before: int
    greedy_after: int
    sampled_before: int
    sampled_after: int
    cluster: str = ""
    """What the problem was made from, or the id of the first problem that asks the same; "" for the problem itself."""


@dataclass(frozen=True)
class Comparison:
    """Before against after in one run. `changes` holds greedy accuracy, pass@1 and pass@n, as far as they differ.

    pass@1 decides, and greedy accuracy where nothing was sampled.
    """

    protocol: Protocol
    changes: tuple[Change, ...]
    outcomes: tuple[ProblemCounts, ...]
    verdict: Outcome
    sentence: str

    @property
    def observations(self) -> int:
        """Clusters, or problems where each is its own."""
        return len({outcome.cluster or outcome.problem_id for outcome in self.outcomes})

    def change(self, metric: str) -> Change:
        """The change of one metric: "greedy", "pass@1" or "pass@n" with n in figures."""
        return next(change for change in self.changes if change.metric == metric)

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_atomic(path, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Testing:
    """How differences are tested.

    clusters: what each problem was made from, by its id; without, copies of one question are a cluster
    alpha: the level at which the detectable effect is given, below 5 % where several tests share them
    assured: the detectable effect is that of the test itself and errs on the large side, instead of the normal formula
    resamples, seed: of the permutation test where it cannot be exact
    """

    clusters: Mapping[str, object] | None = None
    alpha: float = ALPHA
    assured: bool = False
    resamples: int = 20_000
    seed: int = 0

    def detectable(self, before: ArrayLike, after: ArrayLike, clusters: Sequence[object] | None) -> float:
        """The smallest true difference of two models on these problems that a permutation would show."""
        formula = detectable_by_sign_flip if self.assured else minimal_detectable_effect
        return formula(before, after, self.alpha, POWER, clusters=clusters)


def compare(before: Evaluation, after: Evaluation, seed: int = 0, testing: Testing | None = None) -> Comparison:
    """The paired comparison of two evaluations of the same protocol; `seed` fixes the draws of the permutation test.

    Greedy accuracies go by McNemar's exact test, all else, and problems in clusters, by permutation. Raises InputError
    where an evaluation is incomplete or the protocols differ.
    """
    samples = before.protocol.samples, after.protocol.samples
    if samples[0] != samples[1]:
        raise InputError(f"the two evaluations have {samples[0]} and {samples[1]} samples a problem: give both as many")
    if not before.protocol.comparable(after.protocol):
        raise InputError("the two evaluations differ in problems or decoding: only the same protocol can be compared")
    if not (before.complete and after.complete):
        raise InputError("an evaluation was cut short: run the same command again to complete it before comparing")
    testing = testing or Testing(seed=seed)
    return compare_outcomes(before.protocol, _outcomes(before, after, testing), testing)


def compare_outcomes(
    protocol: Protocol, outcomes: tuple[ProblemCounts, ...], testing: Testing | None = None
) -> Comparison:
    """The comparison of one run from what became of every problem."""
    testing, n = testing or Testing(), protocol.samples
    changes = (_greedy(outcomes, testing), *(_pass_at(outcomes, n, k, testing) for k in sorted({1, n}) if n))
    primary, names = deciding(changes), _clusters(outcomes)
    word = _word(primary.difference.estimate, primary.p < ALPHA and enough(primary.test, len(set(names or outcomes))))
    over = f"{len(outcomes)} problems" + (f" in {len(set(names))} clusters" if names else "")
    return Comparison(protocol, changes, outcomes, word, _sentence(word, primary, over))


def enough(test: str, observations: int) -> bool:
    """Whether a test may give a verdict on so many problems or clusters; McNemar's exact one always may."""
    return test == MCNEMAR or observations >= FEWEST


def read_comparison(path: Path) -> Comparison:
    """A comparison from its JSON file. Raises InputError where the file is none."""
    row = read_json(path)
    try:
        protocol = Protocol.from_json(row["protocol"])
        changes = tuple(_change(change) for change in row["changes"])
        outcomes = tuple(ProblemCounts(**outcome) for outcome in row["outcomes"])
        return Comparison(protocol, changes, outcomes, Outcome(row["verdict"]), row["sentence"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a comparison of this version: remove it and run the evaluation") from error


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One metric over training seeds: every seed's value before and after, and the means.

    Intervals and `p` are of both levels together, see `two_level_difference`. For a single seed, which says nothing
    about training's variance, the intervals are None and `p` is over problems alone. `gained_R` and `lost_R` count the
    problems that got better and worse, by seed, as `Change` does.
    """

    metric: str
    before_R: tuple[float, ...]
    after_R: tuple[float, ...]
    before: Interval | None
    after: Interval | None
    difference: Interval | None
    p: float
    detectable: float
    gained_R: tuple[int, ...] = ()
    lost_R: tuple[int, ...] = ()


@dataclass(frozen=True)
class SeedComparison:
    """Before against after over several runs of one recipe, and the sentence that may be said of the recipe."""

    runs: int
    problems: int
    aggregates: tuple[Aggregate, ...]
    verdict: Outcome
    sentence: str

    def aggregate(self, metric: str) -> Aggregate:
        """The aggregate of one metric, named as in `Comparison.change`."""
        return next(aggregate for aggregate in self.aggregates if aggregate.metric == metric)


Metric = TypeVar("Metric", Change, Aggregate)


def deciding(metrics: Sequence[Metric]) -> Metric:
    """pass@1, or greedy accuracy where nothing was sampled."""
    return metrics[min(1, len(metrics) - 1)]


def aggregate(comparisons: Sequence[Comparison], seed: int = 0, testing: Testing | None = None) -> SeedComparison:
    """Mean over runs, one a training seed, with the intervals that `Aggregate` tells of.

    Verdict: pass@1 changed where the test of both levels is below 5 %, on at least 30 problems or clusters.
    Raises InputError for no runs, and for runs of different protocols.
    """
    if not comparisons:
        raise InputError("no finished run was given: name at least one run folder with a verdict")
    if not all(comparisons[0].protocol.comparable(other.protocol) for other in comparisons):
        raise InputError("the runs were evaluated on different problems or decoding: combine runs of one protocol")
    testing = testing or Testing(seed=seed)
    aggregates = tuple(_aggregate(comparisons, change.metric, testing) for change in comparisons[0].changes)
    problems = len(comparisons[0].outcomes)
    primary = deciding(aggregates)
    if primary.difference is None:
        only = comparisons[0]
        return SeedComparison(1, problems, aggregates, only.verdict, f"{only.sentence}; one training seed only")
    sure = primary.p < ALPHA and enough("", comparisons[0].observations)
    word = _word(primary.difference.estimate, sure)
    sentence = _seeds_sentence(word, primary, len(comparisons), problems)
    return SeedComparison(len(comparisons), problems, aggregates, word, sentence)


# One run


def _outcomes(before: Evaluation, after: Evaluation, testing: Testing) -> tuple[ProblemCounts, ...]:
    greedy, sampled = before.correct("greedy"), before.correct("sample")
    greedy_after, sampled_after = after.correct("greedy"), after.correct("sample")
    names = testing.clusters or cluster_by_question({each.problem_id: each.prompt for each in before.of("greedy")})
    return tuple(
        ProblemCounts(
            id, greedy[id], greedy_after[id], sampled.get(id, 0), sampled_after.get(id, 0), _name(names.get(id))
        )
        for id in greedy
    )


def _name(cluster: object) -> str:
    return "" if cluster is None else str(cluster)


def _clusters(outcomes: Sequence[ProblemCounts]) -> list[str] | None:
    """The cluster of every problem, None where each is its own."""
    return grouped([outcome.cluster or outcome.problem_id for outcome in outcomes])


def _greedy(outcomes: Sequence[ProblemCounts], testing: Testing) -> Change:
    before, after = [o.greedy_before for o in outcomes], [o.greedy_after for o in outcomes]
    if _clusters(outcomes) is not None:
        return _change_of("greedy", before, after, outcomes, testing)
    intervals = (accuracy(before, None), accuracy(after, None))
    changed = sum(o.greedy_before != o.greedy_after for o in outcomes)
    by_test = detectable_by_mcnemar(len(outcomes), changed, testing.alpha, POWER) if testing.assured else None
    detectable = testing.detectable(before, after, None) if by_test is None else by_test
    p, difference = mcnemar(before, after), paired_difference(before, after)
    return Change("greedy", *intervals, difference, p, MCNEMAR, detectable, *_better_and_worse(before, after))


def _pass_at(outcomes: Sequence[ProblemCounts], n: int, k: int, testing: Testing) -> Change:
    before = [pass_at_k(n, o.sampled_before, k) for o in outcomes]
    after = [pass_at_k(n, o.sampled_after, k) for o in outcomes]
    return _change_of(f"pass@{k}", before, after, outcomes, testing)


def _change_of(
    metric: str, before: Sequence[float], after: Sequence[float], outcomes: Sequence[ProblemCounts], testing: Testing
) -> Change:
    """By permutation, and by the t-test of the padded differences, which knows of losses that were not drawn."""
    clusters = _clusters(outcomes)
    gains = np.subtract(after, before)
    p = sign_flip(gains, clusters, resamples=testing.resamples, seed=testing.seed)
    p = max(p, two_level_difference([gains], clusters=clusters).p)
    test = f"sign-flip permutation and t, over {'problems' if clusters is None else 'clusters'}"
    detectable = testing.detectable(before, after, clusters)
    difference = paired_difference(before, after, clusters=clusters)
    intervals = (mean_over_problems(before, clusters=clusters), mean_over_problems(after, clusters=clusters))
    return Change(metric, *intervals, difference, p, test, detectable, *_better_and_worse(before, after))


def _better_and_worse(before: Sequence[float], after: Sequence[float]) -> tuple[int, int]:
    """How many problems got better, and how many worse."""
    pairs = list(zip(before, after, strict=True))
    return sum(new > old for old, new in pairs), sum(new < old for old, new in pairs)


def _change(row: dict[str, Any]) -> Change:
    intervals = {name: Interval(**row[name]) for name in ("before", "after", "difference")}
    return Change(**{**row, **intervals})


# Several runs


def _aggregate(comparisons: Sequence[Comparison], metric: str, testing: Testing) -> Aggregate:
    clusters = _clusters(sorted(comparisons[0].outcomes, key=lambda outcome: outcome.problem_id))
    # [runs, before and after, problems]
    values = np.array([_values(comparison, metric) for comparison in comparisons])
    before_R, after_R = (tuple(side.tolist()) for side in values.mean(2).T)
    changes = [comparison.change(metric) for comparison in comparisons]
    counts = _counts([change.gained for change in changes]), _counts([change.lost for change in changes])
    if len(comparisons) == 1:
        return Aggregate(metric, before_R, after_R, None, None, None, changes[0].p, changes[0].detectable, *counts)
    found = two_level_difference(values[:, 1] - values[:, 0], clusters=clusters, alpha=testing.alpha)
    before, after = (two_level_mean(values[:, side], clusters=clusters) for side in (0, 1))
    return Aggregate(metric, before_R, after_R, before, after, found.interval, found.p, found.detectable, *counts)


def _counts(values: Sequence[int | None]) -> tuple[int, ...]:
    """The counts of all seeds, none where one of them was not counted."""
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else ()


def _values(comparison: Comparison, metric: str) -> tuple[list[float], list[float]]:
    """The metric of every problem, before and after, in the order of problem ids."""
    outcomes = sorted(comparison.outcomes, key=lambda outcome: outcome.problem_id)
    if metric == "greedy":
        return [float(o.greedy_before) for o in outcomes], [float(o.greedy_after) for o in outcomes]
    n, k = comparison.protocol.samples, int(metric.removeprefix("pass@"))
    return (
        [pass_at_k(n, o.sampled_before, k) for o in outcomes],
        [pass_at_k(n, o.sampled_after, k) for o in outcomes],
    )


# Words


def _word(difference: float, sure: bool) -> Outcome:
    if not sure or difference == 0:
        return Outcome.NO_EVIDENCE
    return Outcome.IMPROVED if difference > 0 else Outcome.WORSE


def points(value: float) -> str:
    """A difference of shares in percentage points, one decimal."""
    return f"{100 * value:.1f}"


def p_text(p: float) -> str:
    """A p-value to two significant digits, never as zero."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _sentence(word: Outcome, change: Change, over: str) -> str:
    figures = (
        f"{change.metric} {points(change.before.estimate)} % before, {points(change.after.estimate)} % after, "
        f"difference {_signed(change.difference)}, {p_text(change.p)}, {over}"
    )
    return _claim(word, figures, change.detectable)


def _seeds_sentence(word: Outcome, metric: Aggregate, runs: int, problems: int) -> str:
    assert metric.before is not None and metric.after is not None and metric.difference is not None
    figures = (
        f"{metric.metric} {points(metric.before.estimate)} % before, {points(metric.after.estimate)} % after, "
        f"difference {_signed(metric.difference)} over {runs} seeds and "
        f"{problems} problems, {p_text(metric.p)}"
    )
    return _claim(word, figures, metric.detectable)


def _claim(word: Outcome, figures: str, detectable: float) -> str:
    if word is Outcome.NO_EVIDENCE:
        return f"{word}; the smallest effect this run could have seen is {points(detectable)} points ({figures})"
    return f"{word}: {figures}"


def _signed(difference: Interval) -> str:
    low, high = points(difference.low), points(difference.high)
    return f"{100 * difference.estimate:+.1f} points [{low}, {high}]"
