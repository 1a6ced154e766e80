"""The promise of the suite, by simulation through its own verdicts: 1,000 pairs of models at each question.

Equal models are called improved in at most 5 % of pairs, over a whole family too, and an effect of the size that is
printed as detectable is called improved in at least 80 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from rlpath.core.types import Decoding, Status
from rlpath.evals.compare.null_worlds import WORLDS, rates
from rlpath.evals.measure.evaluation import Evaluation, Mode, Protocol, Sample
from rlpath.evals.suite.result import Contrast, Entrant
from rlpath.evals.suite.verdict import Evidence, decide, declare

PAIRS = 1000
ENTRANTS = (
    Entrant("model", "model", ("model",), (), 100, ("a",)),
    Entrant("baseline", "baseline", ("baseline",), (), 100, ("b",)),
)
Bits = NDArray[np.bool_]
Pair = tuple[Evaluation, Evaluation]
Draw = Callable[[float], Pair]


@cache
def sample(problem: int, mode: Mode, index: int, right: bool) -> Sample:
    """One judged completion; there are few different ones, and they are shared."""
    status = Status.CORRECT if right else Status.WRONG
    return Sample(str(problem), f"q{problem}", "1", mode, index, "1", status, float(right), "1", "", 1, "stop")


def evaluation(greedy_P: Bits, sampled_P_N: Bits | None = None) -> Evaluation:
    """An evaluation with these completions right."""
    rows = [sample(i, "greedy", 0, right) for i, right in enumerate(greedy_P.tolist())]
    sampled = None
    if sampled_P_N is not None:
        sampled = Decoding(8, n=sampled_P_N.shape[1])
        rows += [sample(i, "sample", j, r) for i, row in enumerate(sampled_P_N.tolist()) for j, r in enumerate(row)]
    protocol = Protocol("set", "test", "here", "0" * 64, len(greedy_P), "V", Decoding(8, 0.0), sampled)
    return Evaluation(protocol, tuple(rows))


def greedy_pairs(seed: int, problems: int = 200, differ: float = 0.2) -> Draw:
    """Pairs that differ on a fifth of the problems, the baseline right on 30 %; greedy alone."""
    rng = np.random.default_rng(seed)

    def draw(effect: float) -> Pair:
        before, chance = rng.random(problems) < 0.3, rng.random(problems)
        gained = ~before & (chance < (differ + effect) / 2 / 0.7)
        lost = before & (chance < (differ - effect) / 2 / 0.3)
        return evaluation(before), evaluation((before | gained) & ~lost)

    return draw


def sampled_pairs(seed: int, problems: int = 100, samples: int = 2) -> Draw:
    """Pairs whose chances vary between problems, hard ones and easy ones; the effect is largest in the middle."""
    rng = np.random.default_rng(seed)

    def draw(effect: float) -> Pair:
        before = rng.beta(0.6, 1.4, problems)
        room = before * (1 - before)
        after = np.clip(before + effect * room / room.mean(), 0, 1)
        made = [rng.random((problems, 1 + samples)) < chance[:, None] for chance in (before, after)]
        return evaluation(made[0][:, 0], made[0][:, 1:]), evaluation(made[1][:, 0], made[1][:, 1:])

    return draw


def verdicts(pairs: Sequence[Pair], seed: int) -> tuple[Contrast, ...]:
    """The suite's own, a task a pair."""
    names = [f"task {number}" for number in range(len(pairs))]
    before = {("baseline", name): pair[0] for name, pair in zip(names, pairs, strict=True)}
    after = {("model", name): pair[1] for name, pair in zip(names, pairs, strict=True)}
    return decide(declare(ENTRANTS, names), ENTRANTS, Evidence(before | after, resamples=1000, seed=seed))


def shares(draw: Draw, tasks: int = 1) -> tuple[float, float]:
    """How often equal models are called improved on any task, and a model better by what was printed on the first."""
    false, true = 0, 0
    for seed in range(PAIRS):
        equal = verdicts([draw(0.0) for _ in range(tasks)], seed)
        false += any(contrast.verdict == "improved" for contrast in equal)
        better = [draw(equal[0].aggregates[0].detectable), *(draw(0.0) for _ in range(tasks - 1))]
        true += verdicts(better, seed)[0].verdict == "improved"
    return false / PAIRS, true / PAIRS


def test_greedy_answers() -> None:
    """One task of 200 problems, greedy, by the exact McNemar test."""
    false, true = shares(greedy_pairs(0))

    assert false <= 0.05
    assert true >= 0.80


def test_sampled_answers() -> None:
    """One task of 100 problems with two samples each, by permutation."""
    false, true = shares(sampled_pairs(1))

    assert false <= 0.05
    assert true >= 0.80


def test_a_family_of_five_tasks() -> None:
    """Five tasks of 100 problems: any false "improved" in at most 5 %, and an effect on one of them is still seen."""
    false, true = shares(greedy_pairs(2, problems=100), tasks=5)

    assert false <= 0.05
    assert true >= 0.80


@pytest.mark.parametrize("seeds", [1, 3, 20])
@pytest.mark.parametrize("name", WORLDS)
def test_worlds_without_improvement(name: str, seeds: int) -> None:
    """Of 120 draws at most 5 % are improved and 93 % covered, within two standard errors; see `make reproduce-null`."""
    found = rates(WORLDS[name], problems=60, seeds=seeds, draws=120, seed=1)

    assert found.improved <= 0.05 + 2 * (0.05 * 0.95 / 120) ** 0.5
    assert found.covered >= 0.93 - 2 * (0.05 * 0.95 / 120) ** 0.5


def test_rare_losses_on_few_problems_give_no_verdict() -> None:
    """Under 30 problems, where the loss that cancels the gains was often not drawn, nothing is called improved."""
    assert rates(WORLDS["skew"], problems=29, seeds=1, draws=100).improved == 0
