"""Worlds in which nothing improved on average, and how often our own verdicts say otherwise.

Every world draws new problems and training seeds and is judged by `compare_outcomes` and `aggregate`, the code behind
every verdict. The truth is a mean difference of zero over the population of problems and seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlpath.core.stats import Interval
from rlpath.core.types import Decoding, Outcome
from rlpath.evals.compare.comparison import ProblemCounts, Testing, aggregate, compare_outcomes, deciding
from rlpath.evals.measure.evaluation import Protocol

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """Correct completions before [problems] and after [seeds, problems], of `samples` (1: greedy), and clusters."""

    before_P: Counts
    after_R_P: Counts
    samples: int = 1
    clusters: NDArray[np.int64] | None = None


World = Callable[[np.random.Generator, int, int], Draw]
"""(generator, problems, seeds) → draw."""


def difficulty(rng: np.random.Generator, problems: int, seeds: int, seed_sd: float = 0.03) -> Draw:
    """Greedy answers to problems of unlike difficulty; every problem has an effect of its own, and every seed."""
    chance = rng.uniform(0.25, 0.75, problems)
    own = rng.choice([-0.1, 0.1], problems)
    shift = np.clip(rng.normal(0, seed_sd if seeds > 1 else 0, seeds), -0.1, 0.1)
    before = rng.random(problems) < chance
    after = rng.random((seeds, problems)) < chance + own + shift[:, None]
    return Draw(before.astype(int), after.astype(int))


def seed_variance(rng: np.random.Generator, problems: int, seeds: int) -> Draw:
    """The same where seeds differ by six points."""
    return difficulty(rng, problems, seeds, 0.06)


def ties(rng: np.random.Generator, problems: int, seeds: int) -> Draw:
    """Nine problems in ten never change; the others are gained or lost by every seed alike."""
    before = rng.random(problems) < 0.5
    change = (rng.random(problems) < 0.1) & (rng.random((seeds, problems)) < 0.9)
    return Draw(before.astype(int), (before ^ change).astype(int))


def duplicates(rng: np.random.Generator, problems: int, seeds: int) -> Draw:
    """Every question stands under one to six ids and is answered alike each time."""
    of = np.repeat(np.arange(problems), rng.integers(1, 7, problems))
    once = difficulty(rng, problems, seeds)
    return Draw(once.before_P[of], once.after_R_P[:, of], clusters=of)


def unbalanced(rng: np.random.Generator, problems: int, seeds: int) -> Draw:
    """Templates of very unlike size (geometric, mean 4), each with an effect that its problems share."""
    of = np.repeat(np.arange(problems), rng.geometric(0.25, problems))
    chance = rng.uniform(0.35, 0.65, problems)
    own = rng.choice([-0.2, 0.2], problems)
    shift = np.clip(rng.normal(0, 0.03 if seeds > 1 else 0, seeds), -0.1, 0.1)
    before = rng.random(len(of)) < chance[of]
    after = rng.random((seeds, len(of))) < (chance + own)[of] + shift[:, None]
    return Draw(before.astype(int), after.astype(int), clusters=of)


def skew(rng: np.random.Generator, problems: int, seeds: int) -> Draw:
    """Eight samples, seven right before: seven problems in eight gain one, the eighth loses all seven."""
    lost = rng.random(problems) < 1 / 8
    after = np.where(lost, 0, 8)
    return Draw(np.full(problems, 7), np.tile(after, (seeds, 1)), samples=8)


WORLDS: dict[str, World] = {
    "item difficulty": difficulty,
    "seed variance": seed_variance,
    "duplicates": duplicates,
    "unbalanced clusters": unbalanced,
    "ties": ties,
    "skew": skew,
}


@dataclass(frozen=True)
class NullRates:
    """Shares of draws: called improved, and whose 95 % interval holds the true difference, zero."""

    improved: float
    covered: float


def judge_draw(draw: Draw, seed: int) -> tuple[Outcome, Interval]:
    """The verdict, and the interval of the difference that decides."""
    n = draw.samples if draw.samples > 1 else 0
    sampled = Decoding(8, n=n) if n else None
    protocol = Protocol("set", "test", "null", "0" * 64, len(draw.before_P), "V", Decoding(8, 0.0), sampled)
    names = [""] * len(draw.before_P) if draw.clusters is None else [str(cluster) for cluster in draw.clusters]
    before = draw.before_P.tolist()

    def outcomes(after: list[int]) -> tuple[ProblemCounts, ...]:
        pairs = zip(before, after, names, strict=True)
        if n:
            return tuple(ProblemCounts(f"p{i}", 0, 0, b, a, name) for i, (b, a, name) in enumerate(pairs))
        return tuple(ProblemCounts(f"p{i}", b, a, 0, 0, name) for i, (b, a, name) in enumerate(pairs))

    first, *others = [outcomes(row) for row in draw.after_R_P.tolist()]
    testing = Testing(resamples=1000, seed=seed)
    comparison = compare_outcomes(protocol, first, testing)
    if not others:
        return comparison.verdict, deciding(comparison.changes).difference
    # The tests of single runs, which `aggregate` does not look at, are made once.
    found = aggregate([comparison, *(replace(comparison, outcomes=each) for each in others)], testing=testing)
    difference = deciding(found.aggregates).difference
    assert difference is not None
    return found.verdict, difference


def rates(world: World, problems: int, seeds: int, draws: int, seed: int = 0) -> NullRates:
    """How often a world's draws are called improved, and how often their interval holds zero."""
    rng = np.random.default_rng(seed)
    found = [judge_draw(world(rng, problems, seeds), number) for number in range(draws)]
    improved = sum(word is Outcome.IMPROVED for word, _ in found)
    covered = sum(interval.low <= 0 <= interval.high for _, interval in found)
    return NullRates(improved / draws, covered / draws)
