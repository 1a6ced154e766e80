"""Why does my reward not rise? What a run's record shows, in at most three sentences, each with what to change.

Read from the metrics of a run, during it or afterwards; the figures are means over its last quarter of steps (at least
three), beside its first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Find = Callable[["Record"], str | None]

MOST = 3
"""Sentences at most, the most telling first."""


class Record:
    """The steps of a run, with means over either end of them."""

    def __init__(self, metrics: Sequence[Row]) -> None:
        self.rows = steps(metrics)
        self.span = max(3, len(self.rows) // 4)

    def first(self, name: str) -> float:
        """The mean over the first steps; NaN where it was never measured."""
        return _mean(self.rows[: self.span], name)

    def last(self, name: str) -> float:
        """The mean over the last steps; NaN where it was never measured."""
        return _mean(self.rows[-self.span :], name)

    def values(self, name: str) -> list[float]:
        """Every value, in order."""
        return [float(row[name]) for row in self.rows if row.get(name) is not None]

    @property
    def reward_is_correctness(self) -> bool:
        """Whether the reward is the share that the verifier accepts."""
        reward, right = self.values("reward"), self.values("status/correct")
        return len(reward) == len(right) and all(abs(a - b) < 1e-6 for a, b in zip(reward, right, strict=True))


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else math.nan


def steps(metrics: Sequence[Row]) -> list[Row]:
    """The rows of steps that sampled; where nothing could be decided such a step has no reward."""
    return [row for row in metrics if row.get("reward") is not None or row.get("reward/missing") is not None]


def diagnose(metrics: Sequence[Row]) -> list[str]:
    """What stands in the reward's way, most telling first; nothing where the record shows no illness."""
    record = Record(metrics)
    if not record.rows:
        return []
    return [sentence for find in FINDINGS if (sentence := find(record))][:MOST]


def sampler_differs(record: Record) -> str | None:
    """Trainer and sampler do not give the same tokens the same probability."""
    gap = record.last("logprob_gap/mean")
    if not gap > 0.2:
        return None
    return (
        f"sampler and trainer disagree: their log-probabilities of the same tokens are {gap:.2f} nats apart on "
        "average, far beyond rounding; sample with --rollouts hf, without --top-p and --top-k, or in another precision"
    )


def truncated(record: Record) -> str | None:
    """Most completions reach the length limit."""
    share = record.last("length/truncated")
    if not share > 0.3:
        return None
    return (
        f"{100 * share:.0f} % of the completions were truncated at the length limit: raise --max-completion-length, or "
        "ask for shorter answers"
    )


def unreadable(record: Record) -> str | None:
    """Most completions have no answer that the verifier can read."""
    share = record.last("status/no_answer")
    if not share > 0.3:
        return None
    return (
        f"in {100 * share:.0f} % of the completions the verifier found no answer: say in the prompt how to write it, "
        "or teach the format by SFT first"
    )


def undecided(record: Record) -> str | None:
    """Most completions have no reward at all."""
    share = record.last("reward/missing")
    if not share > 0.3:
        return None
    return (
        f"{100 * share:.0f} % of the completions got no reward, for the verifier could not decide: check the gold "
        "answers, or choose another verifier"
    )


def too_hard_or_too_easy(record: Record) -> str | None:
    """Nearly all groups have equal rewards, so nothing can be learned from them."""
    share = record.last("groups/no_signal")
    if not share > 0.8 or record.last("kl/teacher") >= 0:
        return None  # Distillation learns from the teacher, not from rewards.
    said = f"in {100 * share:.0f} % of the groups all completions had the same reward, so there was nothing to learn: "
    right = record.last("status/correct")
    if not abs(record.last("reward") - right) <= 0.2:
        # Another reward is trained on: how many are right does not say how hard that one is.
        right = math.nan
    if right > 0.5:
        return f"{said}the problems are too easy ({100 * right:.0f} % right); give harder ones"
    if right < 0.1:
        return (
            f"{said}the problems are too hard ({100 * right:.0f} % right); give easier ones, sample more with "
            "--group-size, or start from SFT"
        )
    return f"{said}sample more with --group-size, or replace such groups with --dynamic-sampling"


def collapsed(record: Record) -> str | None:
    """The policy always writes the same."""
    first, last = record.first("entropy"), record.last("entropy")
    if not (last < 0.05 and last < 0.2 * first) or record.last("reward") > 0.9:
        return None
    return (
        f"entropy collapsed from {first:.2f} to {last:.3f} nats a token, so all completions are alike: lower "
        "--learning-rate, raise --clip-higher, or add --entropy-bonus 0.01"
    )


def ran_away(record: Record) -> str | None:
    """The policy has left the model it started from behind, and gained nothing."""
    name = "kl/completion" if record.values("kl/completion") else "kl"
    limit = 30.0 if name == "kl/completion" else 1.0
    last = record.last(name)
    if not last > limit or record.last("reward") > record.first("reward") + 0.05:
        return None
    unit = "completion" if name == "kl/completion" else "token"
    return (
        f"the KL divergence from the starting model ran away, to {last:.1f} nats a {unit}: lower --learning-rate, or "
        "raise --beta (PPO: --kl)"
    )


def hacked(record: Record) -> str | None:
    """The proxy reward rises, and the true reward does not."""
    rise = record.last("reward") - record.first("reward")
    held_out = record.values("eval/pass@1")
    if len(held_out) >= 2:
        gain, what = held_out[-1] - held_out[0], "accuracy on held-out problems"
    elif record.values("status/correct") and not record.reward_is_correctness:
        gain, what = (
            record.last("status/correct") - record.first("status/correct"),
            "the share that the verifier accepts",
        )
    else:
        return None
    if not (rise > 0.1 and gain < 0.02):
        return None
    return (
        f"the reward rose by {rise:.2f} while {what} changed by {gain:+.2f}: the policy has found a way to be paid "
        "without being right; read its completions in samples.jsonl and mend the reward"
    )


FINDINGS: tuple[Find, ...] = (
    hacked,
    sampler_differs,
    ran_away,
    truncated,
    unreadable,
    undecided,
    collapsed,
    too_hard_or_too_easy,
)
