"""How scores are judged on pairs: hand-worked accuracy, calibration, and the baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlpath.evals.compare.pairs import (
    ScoredPair,
    accuracy_finding,
    adversarial_finding,
    bins,
    calibration_finding,
    confidences,
    expected_calibration_error,
    length_direction,
    length_finding,
    right,
    right_by_length,
)


def pair(gap: float, longer: int, prompt: str = "") -> ScoredPair:
    return ScoredPair("p", prompt or f"{gap}/{longer}", gap, 0.0, 10 + longer, 10)


def test_order_and_length() -> None:
    """Right is 1, wrong 0, a tie a half; the length rule prefers what was right more often."""
    pairs = [pair(1.0, -3), pair(-1.0, 5), pair(0.0, -1)]

    assert right(pairs).tolist() == [1.0, 0.0, 0.5]
    assert length_direction(pairs) == -1
    assert right_by_length(pairs, -1).tolist() == [1.0, 0.0, 1.0]
    assert length_direction([pair(0.0, 1)]) == 1


def test_calibration_by_hand() -> None:
    """Two pairs at confidence 0.75, one right: |0.5 - 0.75|; two at 0.95, both right: |1 - 0.95|; mean 0.15."""
    sure = math.log(0.95 / 0.05)
    pairs = [pair(math.log(3), 0), pair(-math.log(3), 0), pair(sure, 0), pair(sure, 0)]
    confidence, correct = confidences(pairs)

    assert confidence == pytest.approx([0.75, 0.75, 0.95, 0.95])
    assert expected_calibration_error(confidence, correct) == pytest.approx((2 * 0.25 + 2 * 0.05) / 4)
    assert [(low, count) for low, _, count, _, _ in bins(confidence, correct)] == [(0.7, 2), (0.9, 2)]
    finding = calibration_finding(pairs, "mine")
    assert "error 0.150" in finding.sentence
    assert "<svg" in finding.figures[0]


def test_a_certain_decision_falls_into_the_last_bin() -> None:
    """Confidence 1.0 is inside, not beyond."""
    assert bins(np.array([1.0]), np.array([1.0]))[0][:3] == (0.9, 1.0, 1)


def test_beating_the_length_baseline_needs_an_interval_that_excludes_it() -> None:
    """A scorer that is always right beats the length rule; one that follows length does not, and it is said."""
    held_out = [pair(1.0, 3 if i % 2 else -3, f"q{i}") for i in range(60)]
    follower = [pair(float(p.chosen_length - 10), p.chosen_length - 10, p.prompt) for p in held_out]

    good = accuracy_finding(held_out, held_out, held_out, "mine")
    assert good.verdict == "improved"
    assert "beats the length baseline" in good.sentence
    assert "100.0 %" in good.rows[0][1]
    same = accuracy_finding(held_out, follower, follower, "mine")
    assert same.verdict == "no evidence of improvement"
    assert "does not beat" in same.sentence


def test_many_pairs_of_one_prompt_are_not_many_prompts() -> None:
    """Thirty pairs of three prompts do not carry what thirty prompts would."""
    few = [pair(1.0, 3 if i % 2 else -3, f"q{i % 3}") for i in range(30)]

    finding = accuracy_finding(few, few, few, "mine")

    assert "30 pairs of 3 prompts" in finding.sentence
    assert finding.verdict == "no evidence of improvement"


def test_length_and_adversarial_tables() -> None:
    """A row for each band of length that has pairs; a row for each part; the adversarial sentence counts adv_ alone."""
    pairs = [pair(1.0, -8), pair(-1.0, 30), pair(1.0, 0)]
    table = length_finding(pairs, 1, "mine")
    assert [row[0] for row in table.rows] == ["under half as long", "about as long (within 10 %)", "over twice as long"]
    assert table.rows[0][2].startswith("100.0 %")
    finding = adversarial_finding({"adv_x": [pair(-1.0, i) for i in range(1, 31)], "natural": pairs}, 1)
    assert [row[0] for row in finding.rows] == ["adv_x", "natural"]
    assert "30 adversarial pairs it is below a coin" in finding.sentence
