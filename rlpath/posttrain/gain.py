"""Was the gain only form? A change in accuracy, split into answers that became readable and answers that became right.

Strict accuracy is the verifier's. With r the share of completions in which it finds an answer and c the share of those
that are right, accuracy is r · c, and its change is exactly Δr · mean(c) + mean(r) · Δc: the gain of form, and that of
correctness. Lenient accuracy counts a completion in which the gold answer stands anywhere. Length-matched accuracy
weighs the base model's completions so that they are as long as the trained model's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlpath.core.types import Status
from rlpath.evals.measure.evaluation import Evaluation, Sample
from rlpath.evals.measure.findings import Finding
from rlpath.posttrain.controls import READABLE

BINS = 4


@dataclass(frozen=True)
class Gain:
    """Accuracies before and after, and the two parts of the strict one's change. Shares of sampled completions."""

    strict: tuple[float, float]
    lenient: tuple[float, float]
    readable: tuple[float, float]
    right_of_readable: tuple[float, float]
    base_at_trained_length: float
    form: float
    correctness: float


def gain(before: Evaluation, after: Evaluation) -> Gain:
    """The split of what training changed, on the sampled completions (the greedy ones where nothing was sampled)."""
    one, two = (side.of("sample") or side.of("greedy") for side in (before, after))
    readable = (share([s.status in READABLE for s in one]), share([s.status in READABLE for s in two]))
    strict = (share([s.status is Status.CORRECT for s in one]), share([s.status is Status.CORRECT for s in two]))
    right = tuple(a / r if r else 0.0 for a, r in zip(strict, readable, strict=True))
    return Gain(
        strict=strict,
        lenient=(share([mentions_gold(s) for s in one]), share([mentions_gold(s) for s in two])),
        readable=readable,
        right_of_readable=(right[0], right[1]),
        base_at_trained_length=length_matched(one, two),
        form=(readable[1] - readable[0]) * (right[0] + right[1]) / 2,
        correctness=(readable[0] + readable[1]) / 2 * (right[1] - right[0]),
    )


def share(values: Sequence[bool]) -> float:
    """The share that is true; NaN of none."""
    return sum(values) / len(values) if values else math.nan


def mentions_gold(sample: Sample) -> bool:
    """Whether the gold answer stands anywhere in a completion, as a word of its own; a right one always counts."""
    if sample.status is Status.CORRECT:
        return True
    return re.search(rf"(?<![\w.]){re.escape(sample.gold.strip())}(?![\w]|[.,]\d)", sample.completion) is not None


def length_matched(base: Sequence[Sample], trained: Sequence[Sample]) -> float:
    """The base's strict accuracy with its completions weighed to the trained model's lengths; NaN where they are apart.

    Lengths are compared in `BINS` bins that hold equally many of both together.
    """
    lengths = sorted(sample.tokens for sample in (*base, *trained))
    edges = sorted({lengths[len(lengths) * i // BINS] for i in range(1, BINS)})
    bins: list[list[bool]] = [[] for _ in range(len(edges) + 1)]
    wanted = [0] * len(bins)
    for sample in base:
        bins[_bin(sample.tokens, edges)].append(sample.status is Status.CORRECT)
    for sample in trained:
        wanted[_bin(sample.tokens, edges)] += 1
    kept = [(count, right) for count, right in zip(wanted, bins, strict=True) if count and right]
    total = sum(count for count, _ in kept)
    if total < 0.5 * len(trained):
        return math.nan
    return sum(count * share(right) for count, right in kept) / total


def _bin(length: int, edges: Sequence[int]) -> int:
    return sum(length >= edge for edge in edges)


def gain_finding(found: Gain) -> Finding:
    """The split as a section of the report."""
    rows = (
        ("strict: right by the verifier", *map(_percent, found.strict)),
        ("lenient: the gold answer stands anywhere", *map(_percent, found.lenient)),
        ("an answer can be read", *map(_percent, found.readable)),
        ("right, of those that can be read", *map(_percent, found.right_of_readable)),
        (
            "strict, base at the trained model's lengths",
            _percent(found.base_at_trained_length),
            _percent(found.strict[1]),
        ),
    )
    return Finding("Form or correctness", sentence_of(found), ("share of completions", "before", "after"), rows)


def sentence_of(found: Gain) -> str:
    """What the change is made of, in words."""
    change = found.strict[1] - found.strict[0]
    said = (
        f"of a change of {100 * change:+.1f} points, {100 * found.form:+.1f} come from answers that became readable "
        f"and {100 * found.correctness:+.1f} from answers that became right"
    )
    if change > 0.02 and found.form > 0.8 * change:
        return f"{said}: the gain is mostly form"
    return said


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"
