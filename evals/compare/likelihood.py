"""Held-out likelihood before and after: the loss of demonstrations, and which answer of a pair is the more probable.

Both are means over examples with Student's interval; before and after are compared example by example.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.files import read_json_lines, write_atomic
from rlpath.core.stats import Interval, mcnemar, paired_difference, sign_flip, t_interval, wilson
from rlpath.core.types import Outcome
from rlpath.evals.compare.comparison import p_text
from rlpath.evals.measure.findings import Finding

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The summed log-probability, in nats, and the number of tokens of one answer."""

    id: str
    logprob: float
    tokens: int


def write_likelihoods(path: Path, rows: Sequence[Likelihood]) -> None:
    """One JSON line an answer, atomically."""
    lines = [json.dumps({"id": row.id, "logprob": row.logprob, "tokens": row.tokens}) for row in rows]
    write_atomic(path, "\n".join(lines) + "\n")


def read_likelihoods(path: Path) -> list[Likelihood]:
    """What `write_likelihoods` wrote. Raises InputError where the file holds something else."""
    try:
        return [Likelihood(**row) for row in read_json_lines(path)]
    except TypeError as error:
        raise InputError(f"{path} is not a measurement of this version: remove it and run again") from error


def loss_finding(before: Sequence[Likelihood], after: Sequence[Likelihood], seed: int = 0) -> Finding:
    """Held-out loss (nats a token, averaged over examples), its change with interval, and a sign-flip p."""
    losses = [np.array([-row.logprob / row.tokens for row in side]) for side in (before, after)]
    change = losses[1] - losses[0]
    intervals = [_over_examples(values) for values in (*losses, change)]
    p = sign_flip(change, seed=seed)
    fell = intervals[2].estimate < 0 and p < ALPHA
    rose = intervals[2].estimate > 0 and p < ALPHA
    word = "fell" if fell else "rose" if rose else "did not change beyond noise"
    figures = " → ".join(f"{interval.estimate:.3f}" for interval in intervals[:2])
    sentence = (
        f"held-out loss {word}: {figures} nats a token, change {_signed(intervals[2])}, {p_text(p)}, "
        f"{len(before)} examples"
    )
    row = ("loss, nats a token", *(str(interval) for interval in intervals[:2]), _signed(intervals[2]), p_text(p))
    verdict = Outcome.IMPROVED if fell else Outcome.WORSE if rose else Outcome.NO_EVIDENCE
    return Finding("Held-out loss", sentence, ("measure", "before", "after", "change", "p"), (row,), verdict=verdict)


def preference_finding(
    before: Sequence[tuple[Likelihood, Likelihood]],
    after: Sequence[tuple[Likelihood, Likelihood]],
    what: str,
    seed: int = 0,
) -> Finding:
    """How often the preferred answer of held-out pairs is the more probable one, before (the reference) and after.

    Beside it the implicit reward's accuracy and margin (arXiv 2305.18290): log p / p_ref of the preferred answer less
    that of the other, which is zero by definition before training.
    """
    gaps = [np.array([chosen.logprob - rejected.logprob for chosen, rejected in side]) for side in (before, after)]
    right = [(gap > 0).astype(float) for gap in gaps]
    shares = [wilson(int(side.sum()), len(side)) for side in right]
    change, p = paired_difference(right[0], right[1]), mcnemar(right[0], right[1])
    margin = gaps[1] - gaps[0]
    implicit = wilson(int((margin > 0).sum()), len(margin))
    margins = _over_examples(margin)
    rose = change.estimate > 0 and p < ALPHA
    fell = change.estimate < 0 and p < ALPHA
    word = "rose" if rose else "fell" if fell else "did not change beyond noise"
    sentence = (
        f"held-out preference accuracy {word}: {100 * shares[0].estimate:.1f} % → {100 * shares[1].estimate:.1f} %, "
        f"change {100 * change.estimate:+.1f} points [{100 * change.low:.1f}, {100 * change.high:.1f}], {p_text(p)}, "
        f"{len(margin)} {what}"
    )
    percent = [f"{100 * x.estimate:.1f} % [{100 * x.low:.1f}, {100 * x.high:.1f}]" for x in (*shares, implicit)]
    moved = f"{100 * change.estimate:+.1f} [{100 * change.low:.1f}, {100 * change.high:.1f}]"
    rows = (
        ("the preferred answer is more probable", percent[0], percent[1], moved, p_text(p)),
        ("implicit reward prefers it", "none by definition", percent[2], "", ""),
        (
            "margin of log-probability, nats",
            "0",
            _signed(margins),
            _signed(margins),
            p_text(sign_flip(margin, seed=seed)),
        ),
    )
    verdict = Outcome.IMPROVED if rose else Outcome.WORSE if fell else Outcome.NO_EVIDENCE
    head = ("measure", "reference", "after", "change", "p")
    return Finding("Held-out preferences", sentence, head, rows, verdict=verdict)


def _over_examples(values: np.ndarray) -> Interval:
    if len(values) < 2:
        return Interval(float(values[0]), float("-inf"), float("inf"), "one example")
    return t_interval(values)


def _signed(interval: Interval) -> str:
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
