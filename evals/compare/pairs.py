"""How well scores order pairs of answers: accuracy beside two baselines, calibration, and what length explains.

The baselines cost nothing and are hard to beat: prefer the longer answer (or the shorter, whichever is right more
often on the training pairs), and a coin. Pairs of one prompt are averaged first: they are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rlpath.core.seeding import derive
from rlpath.core.stats import Interval, cluster_means, mean_over_problems, paired_difference, sign_flip, wilson
from rlpath.core.types import Outcome
from rlpath.evals.compare.comparison import p_text
from rlpath.evals.measure.findings import Finding
from rlpath.report import plots
from rlpath.report.plots import Points

BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Edges of the confidence bins."""
LENGTH_EDGES = (-math.inf, -0.5, -0.1, 0.1, 0.5, math.inf)
"""Edges of the relative difference in length: (chosen - rejected) / the longer of the two."""


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Scores and lengths (tokens) of a pair's two answers; `prompt` identifies what they answer."""

    id: str
    prompt: str
    chosen: float
    rejected: float
    chosen_length: int
    rejected_length: int


def length_direction(pairs: Sequence[ScoredPair]) -> int:
    """1 where preferring the longer answer is right at least as often as the shorter on these pairs, else -1."""
    balance = sum(np.sign(pair.chosen_length - pair.rejected_length) for pair in pairs)
    return 1 if balance >= 0 else -1


def right(pairs: Sequence[ScoredPair]) -> NDArray[np.float64]:
    """1 where the preferred answer has the higher score, 0.5 at a tie, else 0."""
    return _order([pair.chosen - pair.rejected for pair in pairs])


def right_by_length(pairs: Sequence[ScoredPair], direction: int) -> NDArray[np.float64]:
    """The same of the length baseline."""
    return _order([direction * (pair.chosen_length - pair.rejected_length) for pair in pairs])


def right_by_coin(pairs: Sequence[ScoredPair], seed: int) -> NDArray[np.float64]:
    """The same of a coin, thrown once a pair."""
    return np.random.default_rng(derive(seed, "coin")).integers(2, size=len(pairs)).astype(float)


def accuracy(values: NDArray[np.float64], pairs: Sequence[ScoredPair]) -> Interval:
    """The share of pairs in the right order, over prompts."""
    return mean_over_problems(cluster_means(values, [pair.prompt for pair in pairs]))


def accuracy_finding(
    train: Sequence[ScoredPair], seen: Sequence[ScoredPair], held_out: Sequence[ScoredPair], name: str, seed: int = 0
) -> Finding:
    """Accuracy on held-out pairs beside the baselines; the length rule's direction is chosen on the training pairs.

    `seen` are training pairs with their scores: what the model makes of pairs it was fitted to.
    """
    direction = length_direction(train)
    rule = "longer" if direction > 0 else "shorter"
    prompts = [pair.prompt for pair in held_out]
    model, length = right(held_out), right_by_length(held_out, direction)
    coin = right_by_coin(held_out, seed)
    gap = paired_difference(cluster_means(length, prompts), cluster_means(model, prompts))
    p = sign_flip(model - length, prompts, seed=seed)
    beats = gap.low > 0
    word = "beats" if beats else "loses to" if gap.high < 0 else "does not beat"
    found = accuracy(model, held_out)
    by_length = accuracy(length, held_out)
    sentence = (
        f"the reward model {word} the length baseline on held-out pairs of {name}: {_share(found)} against "
        f"{_share(by_length)}, difference {100 * gap.estimate:+.1f} points [{100 * gap.low:.1f}, "
        f"{100 * gap.high:.1f}], {p_text(p)}, {len(held_out)} pairs of {len(set(prompts))} prompts"
    )
    difference = f"{100 * gap.estimate:+.1f} [{100 * gap.low:.1f}, {100 * gap.high:.1f}]"
    rows = (
        ("reward model", _share(found), difference),
        (f"length: prefer the {rule} answer", _share(by_length), ""),
        ("coin", _share(accuracy(coin, held_out)), ""),
        ("reward model, training pairs", _share(accuracy(right(seen), seen)), ""),
    )
    verdict = Outcome.IMPROVED if beats else Outcome.WORSE if gap.high < 0 else Outcome.NO_EVIDENCE
    head = ("scorer", "pairs in the right order", "over the length baseline, points")
    return Finding(f"Held-out pairs of {name}", sentence, head, rows, verdict=verdict)


def calibration_finding(pairs: Sequence[ScoredPair], name: str) -> Finding:
    """Is it right as often as it is sure? ECE (Guo et al. 2017) over the confidence max(p, 1 - p), and its plot.

    p = sigmoid(chosen - rejected) is the Bradley-Terry probability that the reward model was trained to give.
    """
    confidence, correct = confidences(pairs)
    cells = bins(confidence, correct)
    error = expected_calibration_error(confidence, correct)
    sentence = (
        f"expected calibration error {error:.3f} on {len(pairs)} held-out pairs of {name}: mean confidence "
        f"{100 * confidence.mean():.1f} %, right {100 * correct.mean():.1f} %"
    )
    rows = tuple(
        (f"{100 * low:.0f} to {100 * high:.0f} %", str(count), f"{100 * sure:.1f} %", _share(interval))
        for low, high, count, sure, interval in cells
    )
    found = [cell[4] for cell in cells]
    line = Points("perfectly calibrated", [0.5, 1.0], [0.5, 1.0], [0.5, 1.0], [0.5, 1.0], plots.GRAY)
    dots = Points(
        "reward model, 95 %",
        [cell[3] for cell in cells],
        [interval.estimate for interval in found],
        [interval.low for interval in found],
        [interval.high for interval in found],
        plots.BLUE,
    )
    figure = plots.points_plot(
        "reliability", f"Right as often as sure? {name}", [line, dots], xlabel="confidence", xticks=BINS
    )
    return Finding("Calibration", sentence, ("confidence", "pairs", "mean", "right"), rows, (figure,))


def confidences(pairs: Sequence[ScoredPair]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The confidence of each decision, from 0.5 to 1, and whether it was right (0.5 at a tie)."""
    gap = np.array([pair.chosen - pair.rejected for pair in pairs])
    return 1 / (1 + np.exp(-np.abs(gap))), right(pairs)


def bins(
    confidence: NDArray[np.float64], correct: NDArray[np.float64]
) -> list[tuple[float, float, int, float, Interval]]:
    """Low edge, high edge, pairs, mean confidence and share right of every bin that holds a pair."""
    found = []
    for low, high in pairwise(BINS):
        inside = (confidence >= low) & ((confidence < high) | (high == BINS[-1]))
        if inside.any():
            share = wilson(round(float(correct[inside].sum())), int(inside.sum()))
            found.append((low, high, int(inside.sum()), float(confidence[inside].mean()), share))
    return found


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> float:
    """The mean over pairs of |share right - mean confidence| of the pair's bin."""
    total = 0.0
    for low, high in pairwise(BINS):
        inside = (confidence >= low) & ((confidence < high) | (high == BINS[-1]))
        if inside.any():
            total += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total / len(confidence))


def length_finding(pairs: Sequence[ScoredPair], direction: int, name: str) -> Finding:
    """Accuracy by how much longer the preferred answer is: a model that reads length shows it here."""
    longer = np.array(
        [(p.chosen_length - p.rejected_length) / max(p.chosen_length, p.rejected_length, 1) for p in pairs]
    )
    words = ("under half as long", "shorter", "about as long (within 10 %)", "longer", "over twice as long")
    rows = []
    for word, (low, high) in zip(words, pairwise(LENGTH_EDGES), strict=True):
        inside = [pair for pair, value in zip(pairs, longer, strict=True) if low <= value < high]
        if inside:
            rows.append((
                word, str(len(inside)), _share(accuracy(right(inside), inside)),
                _share(accuracy(right_by_length(inside, direction), inside)),
            ))  # fmt: skip
    gap = np.array([pair.chosen - pair.rejected for pair in pairs])
    tie = np.corrcoef(gap, longer)[0, 1] if np.std(gap) > 0 and np.std(longer) > 0 else 0.0
    sentence = f"the score difference of {name} correlates {tie:+.2f} with the difference in length"
    head = ("the preferred answer is", "pairs", "reward model right", "length baseline right")
    return Finding("By difference in length", sentence, head, tuple(rows))


def adversarial_finding(parts: Mapping[str, Sequence[ScoredPair]], direction: int, seed: int = 0) -> Finding:
    """Accuracy on LLMBar, part by part: in the `adv_` parts the worse answer was made to look better."""
    rows = []
    for part, pairs in parts.items():
        scores = (right(pairs), right_by_length(pairs, direction), right_by_coin(pairs, seed))
        rows.append((part, str(len(pairs)), *(_share(accuracy(values, pairs)) for values in scores)))
    adversarial = [pair for part, pairs in parts.items() if part.startswith("adv") for pair in pairs]
    found = accuracy(right(adversarial), adversarial)
    word = "above" if found.low > 0.5 else "below" if found.high < 0.5 else "not distinguishable from"
    sentence = f"on LLMBar's {len(adversarial)} adversarial pairs it is {word} a coin: {_share(found)}"
    head = ("part", "pairs", "reward model", "length baseline", "coin")
    return Finding("LLMBar", sentence, head, tuple(rows))


def _order(gaps: Sequence[float]) -> NDArray[np.float64]:
    return (np.sign(gaps) + 1) / 2


def _share(interval: Interval) -> str:
    return f"{100 * interval.estimate:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
