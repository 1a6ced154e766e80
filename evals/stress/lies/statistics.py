"""Lies of statistics: the best of many, the wrong test, repeats that pass for questions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rlpath.core.seeding import derive
from rlpath.core.stats import difference_of_runs, interval_over_seeds, mcnemar, mean_pass_at_k
from rlpath.evals.compare.comparison import ALPHA, points
from rlpath.evals.stress.lies.lie import SIMULATED, Figure, Lie, share
from rlpath.evals.stress.lies.material import Material, right_1_P
from rlpath.evals.suite.baselines import guess_pass_at

SPLITS = 200
SIMULATIONS = 1000
ITEMS = 200
LOST, GAINED = 0.25, 0.02
"""Of a simulated regression: the share of right answers it loses, and of wrong ones it puts right."""


def best_of_many_seeds(material: Material) -> Lie:
    """The highest accuracy among seeds of sampling, against their mean."""
    accuracy_R = material.sampled_P_n().mean(0)
    mean = interval_over_seeds(accuracy_R)
    return Lie(
        "best of many seeds",
        f"The model answered every problem under {len(accuracy_R)} seeds of sampling, and the best seed was reported.",
        share(float(accuracy_R.max())),
        Figure(mean.estimate, f"{points(mean.estimate)} % [{points(mean.low)}, {points(mean.high)}]"),
        "The best of many draws is above their mean whatever the model. Honest: the mean, its interval over seeds.",
    )


def selection_on_test_set(material: Material) -> Lie:
    """The best prompt on the test set, scored on the test set or on the half that did not choose it."""
    right_C_P = np.concatenate([right_1_P(asked) for asked in material.ways])
    elsewhere = scored_elsewhere(right_C_P, derive(material.plan.seed, "test-set selection"))
    return Lie(
        "selection on the test set",
        f"Of {len(right_C_P)} prompts the one with the highest accuracy on the test set was kept, and that accuracy "
        "reported.",
        share(float(right_C_P.mean(1).max())),
        share(elsewhere),
        "What won on these problems won by their luck too. Honest: chosen on one half, scored on the other, mean of "
        f"{SPLITS} random halves.",
    )


def scored_elsewhere(right_C_P: NDArray[np.float64], seed: int) -> float:
    """Accuracy of the best candidate on the half that did not choose it, mean of `SPLITS` random halves."""
    rng = np.random.default_rng(seed)
    count = right_C_P.shape[1]
    found = []
    for _ in range(SPLITS):
        order = rng.permutation(count)
        choosing, scoring = order[: count // 2], order[count // 2 :]
        found.append(right_C_P[right_C_P[:, choosing].mean(1).argmax(), scoring].mean())
    return float(np.mean(found))


def first_k(material: Material) -> Lie:
    """pass@k of k samples, the luckiest of those there are, against the unbiased estimate from all."""
    right_P_n = material.sampled_P_n()
    n = right_P_n.shape[1]
    k = max(1, n // 4)
    blocks = [float(right_P_n[:, start : start + k].max(1).mean()) for start in range(0, n - k + 1, k)]
    honest = mean_pass_at_k(n, right_P_n.sum(1).astype(int).tolist(), k)
    return Lie(
        "first-k pass@k",
        f"pass@{k} was taken from {k} samples a problem, and they were drawn again until the number pleased: "
        f"{len(blocks)} times.",
        share(max(blocks)),
        Figure(honest.estimate, f"{points(honest.estimate)} % [{points(honest.low)}, {points(honest.high)}]"),
        f"k samples are one draw of what is to be estimated. Honest: the unbiased estimate, over every k of all {n}.",
    )


def no_guess_baseline(material: Material) -> Lie:
    """pass@n beside what guessing n answers has."""
    right_P_n = material.sampled_P_n()
    n = right_P_n.shape[1]
    solved = float(right_P_n.max(1).mean())
    guessed = guess_pass_at(material.task, n)
    left = solved - guessed
    return Lie(
        "pass@k without a guess baseline",
        f"pass@{n} was reported as what the model can do.",
        share(solved),
        Figure(left, f"{100 * left:+.1f} points over guessing"),
        f"Naming the {n} most frequent answers of the set, for every problem, has {points(guessed)} % without a model.",
    )


def unpaired_test(material: Material) -> Lie:
    """How often a true loss passes unseen, by a test that forgets which items were answered."""
    rng = np.random.default_rng(derive(material.plan.seed, "unpaired test"))
    right = right_1_P(material.protocol)[0].astype(bool)
    missed = np.zeros(2)
    for _ in range(SIMULATIONS):
        before = rng.choice(right, ITEMS)
        after = np.where(before, rng.random(ITEMS) >= LOST, rng.random(ITEMS) < GAINED)
        missed += (_unpaired(before.mean(), after.mean(), ITEMS) >= ALPHA, mcnemar(before, after) >= ALPHA)
    unseen, honest = (missed / SIMULATIONS).tolist()
    loss = LOST * right.mean() - GAINED * (1 - right.mean())
    return Lie(
        "unpaired test",
        f"A model that truly lost {100 * loss:.1f} points was said to be 'not significantly worse' on {ITEMS} items.",
        Figure(unseen, f"passes in {points(unseen)} %"),
        Figure(honest, f"passes in {points(honest)} %"),
        "Both models answered the same items: a test that forgets it drowns the loss in the spread between items. "
        f"Honest: McNemar's test; items redrawn from the model's answers {SIMULATIONS} times.",
        SIMULATED,
    )


def _unpaired(before: float, after: float, items: int) -> float:
    """Two-sided p of the pooled z-test of two proportions."""
    pooled = (before + after) / 2
    error = math.sqrt(2 * pooled * (1 - pooled) / items)
    return 1.0 if error == 0 else math.erfc(abs(after - before) / error / math.sqrt(2))


def repeats_as_items(material: Material) -> Lie:
    """How often the model differs "significantly" from itself, repeats counted as questions."""
    right_P_n = material.sampled_P_n()
    problems, n = right_P_n.shape
    rng = np.random.default_rng(derive(material.plan.seed, "repeats as items"))
    wrong = np.zeros(2)
    for _ in range(SIMULATIONS):
        order = rng.permutation(problems)
        halves = right_P_n[order[: problems // 2]], right_P_n[order[problems // 2 :]]
        wrong += (_repeats_differ(halves, n), _questions_differ(halves))
    flattering, honest = (wrong / SIMULATIONS).tolist()
    return Lie(
        "repeats counted as questions",
        f"The model was compared with itself on {SIMULATIONS} random halves of the problems, {n} samples of each of "
        f"{problems // 2} problems counted as {n * (problems // 2)} questions.",
        Figure(flattering, f"p < {ALPHA} in {points(flattering)} %"),
        Figure(honest, f"p < {ALPHA} in {points(honest)} %"),
        "Repeats of one question are not new questions: intervals are too narrow, and a difference is found where "
        "there is none. Honest: Welch's test over the questions' means.",
        SIMULATED,
    )


def _repeats_differ(halves: tuple[NDArray[np.float64], NDArray[np.float64]], n: int) -> bool:
    first, second = (half.mean() for half in halves)
    return _unpaired(float(first), float(second), n * len(halves[0])) < ALPHA


def _questions_differ(halves: tuple[NDArray[np.float64], NDArray[np.float64]]) -> bool:
    first, second = (half.mean(1) for half in halves)
    return difference_of_runs(first, second).p < ALPHA
