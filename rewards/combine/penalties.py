"""Penalties on length and repetition, each as its paper gives it. All return 0 or less except where said otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence


def soft_overlong_penalty(length: int, *, max_length: int, buffer: int) -> float:
    """The soft overlong punishment of DAPO (Yu et al. 2025, arXiv 2503.14476, eq. 13), in [-1, 0].

    Nothing up to `max_length - buffer` tokens, then linearly down to -1 at `max_length`, and -1 beyond.

    >>> [soft_overlong_penalty(n, max_length=100, buffer=20) for n in (80, 90, 100, 120)]
    [0.0, -0.5, -1.0, -1.0]
    """
    if not 0 < buffer <= max_length:
        raise ValueError(f"buffer must be in 1..max_length, got {buffer} of {max_length}")
    return max(-1.0, min(0.0, (max_length - buffer - length) / buffer))


def cosine_length_reward(
    length: int,
    *,
    correct: bool,
    max_length: int,
    correct_range: tuple[float, float] = (1.0, 0.5),
    wrong_range: tuple[float, float] = (-1.0, -0.5),
    exceeded: float = -1.0,
) -> float:
    """The cosine length-scaled reward of Yeo et al. 2025 (arXiv 2502.03373, section 4), which replaces correctness.

    Ranges give the reward at length 0 and at `max_length`: with the defaults short correct answers earn most, short
    wrong ones least. At and beyond `max_length` the reward is `exceeded`.

    >>> [cosine_length_reward(n, correct=True, max_length=100) for n in (0, 50, 100)]
    [1.0, 0.75, -1.0]
    """
    if max_length <= 0:
        raise ValueError(f"max_length must be positive, got {max_length}")
    if length >= max_length:
        return exceeded
    start, end = correct_range if correct else wrong_range
    return round(end + 0.5 * (start - end) * (1 + math.cos(math.pi * length / max_length)), 12)


def repetition_penalty(tokens: Sequence[object], *, n: int = 3, largest: float = 1.0) -> float:
    """The n-gram repetition penalty, -`largest` times the share of n-grams that repeat an earlier one.

    As in Yeo et al. 2025 (arXiv 2502.03373, appendix) and TRL. Tokens are words or token ids; fewer than `n` give 0.

    >>> repetition_penalty("a b a b a b".split(), n=2, largest=1.0)
    -0.6
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    total = len(tokens) - n + 1
    if total < 1:
        return 0.0
    distinct = len({tuple(tokens[i : i + n]) for i in range(total)})
    return -largest * (total - distinct) / total


def group_length_rewards(lengths: Sequence[int], correct: Sequence[bool]) -> list[float]:
    """The length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3) within one group, in [-0.5, 0.5].

    Linear from 0.5 for the shortest completion of the group to -0.5 for the longest; a wrong one earns at most 0.

    >>> group_length_rewards([10, 20, 30], [True, False, False])
    [0.5, 0.0, -0.5]
    """
    shortest, longest = min(lengths, default=0), max(lengths, default=0)
    if shortest == longest:
        return [0.0] * len(lengths)
    shares = [0.5 - (n - shortest) / (longest - shortest) for n in lengths]
    return [share if right else min(0.0, share) for share, right in zip(shares, correct, strict=True)]
