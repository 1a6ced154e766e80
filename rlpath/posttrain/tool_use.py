"""Did the model learn to use its tools? Calls of held-out episodes before and after, and accuracy with and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlpath.core.types import Status
from rlpath.evals.measure.evaluation import Evaluation, Sample
from rlpath.evals.measure.findings import Finding

FAILED = ("malformed", "refused", "raised", "hung")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Shares of the sampled episodes of one evaluation (the greedy ones where nothing was sampled).

    used: that call a tool; used_rightly: that call one, and none of whose calls fails; calls: their mean number
    correct_with, correct_without: accuracy of those that call one, and of the others; None where there are none
    """

    used: float
    used_rightly: float
    calls: float
    correct_with: float | None
    correct_without: float | None


def tool_use(evaluation: Evaluation) -> ToolUse | None:
    """How tools were used; None where there were no episodes."""
    samples = [sample for sample in evaluation.of("sample") or evaluation.of("greedy") if sample.tools is not None]
    if not samples:
        return None
    calls = [_count(sample, "calls") for sample in samples]
    failed = [sum(_count(sample, name) for name in FAILED) for sample in samples]
    return ToolUse(
        used=sum(count > 0 for count in calls) / len(samples),
        used_rightly=sum(count > 0 and not bad for count, bad in zip(calls, failed, strict=True)) / len(samples),
        calls=sum(calls) / len(samples),
        correct_with=_accuracy([sample for sample, count in zip(samples, calls, strict=True) if count]),
        correct_without=_accuracy([sample for sample, count in zip(samples, calls, strict=True) if not count]),
    )


def tool_findings(before: Evaluation, after: Evaluation) -> list[Finding]:
    """The section of the report; none where there were no episodes."""
    one, two = tool_use(before), tool_use(after)
    if one is None or two is None:
        return []
    rows = (
        ("call a tool", _percent(one.used), _percent(two.used)),
        ("call one, and no call fails", _percent(one.used_rightly), _percent(two.used_rightly)),
        ("calls of an episode", f"{one.calls:.2f}", f"{two.calls:.2f}"),
        ("correct, of those that call one", _percent(one.correct_with), _percent(two.correct_with)),
        ("correct, of the others", _percent(one.correct_without), _percent(two.correct_without)),
    )
    sentence = (
        f"{_percent(two.used_rightly)} of the held-out episodes call a tool without a failed call, "
        f"{_percent(one.used_rightly)} before training"
    )
    return [Finding("Use of tools", sentence, ("share of episodes", "before", "after"), rows)]


def _count(sample: Sample, name: str) -> int:
    return (sample.tools or {}).get(name, 0)


def _accuracy(samples: Sequence[Sample]) -> float | None:
    return sum(sample.status is Status.CORRECT for sample in samples) / len(samples) if samples else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
