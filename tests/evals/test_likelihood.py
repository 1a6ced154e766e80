"""Held-out likelihood: the sentence that may be said of a change in loss, or in preferences."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Outcome
from rlpath.evals.compare.likelihood import (
    Likelihood,
    loss_finding,
    preference_finding,
    read_likelihoods,
    write_likelihoods,
)
from rlpath.evals.measure.findings import Finding, read_findings, write_findings


def answers(*logprobs: float, tokens: int = 2) -> list[Likelihood]:
    return [Likelihood(f"e{i}", value, tokens) for i, value in enumerate(logprobs)]


def test_loss_is_nats_a_token_averaged_over_examples() -> None:
    """Log-probabilities -2 and -4 over two tokens are losses 1 and 2; halved they fall by 0.75 on average."""
    finding = loss_finding(answers(-2.0, -4.0), answers(-1.0, -2.0))

    assert finding.rows[0][1].startswith("1.500 [")
    assert finding.rows[0][3].startswith("-0.750 [")
    assert finding.verdict == "no evidence of improvement"  # two examples cannot show it: p = 0.5


def test_a_clear_fall_and_rise_are_called_that() -> None:
    """Twelve examples that all improve, and all worsen."""
    before, better = answers(*[-2.0] * 12), answers(*[-1.9 + 0.001 * i for i in range(12)])

    assert loss_finding(before, better).verdict == "improved"
    assert loss_finding(before, better).sentence.startswith("held-out loss fell: 1.000 → 0.947")
    assert loss_finding(better, before).verdict == "got worse"


def paired(*gaps: float) -> list[tuple[Likelihood, Likelihood]]:
    return [(Likelihood(f"p{i}", gap - 5, 3), Likelihood(f"p{i}", -5.0, 3)) for i, gap in enumerate(gaps)]


def test_preferences_against_the_reference() -> None:
    """Half of 20 pairs in order before, all after: +50 points; the implicit reward prefers 20 of 20, by 2 nats."""
    before, after = paired(*[1.0, -1.0] * 10), paired(*[3.0, 1.0] * 10)

    finding = preference_finding(before, after, "pairs")

    assert finding.verdict == "improved"
    assert "50.0 % → 100.0 %, change +50.0 points" in finding.sentence
    assert finding.rows[1][2].startswith("100.0 %")
    assert finding.rows[2][2].startswith("+2.000")
    assert preference_finding(after, before, "pairs").verdict == "got worse"
    assert preference_finding(before, before, "pairs").verdict == "no evidence of improvement"


def test_files_come_back(tmp_path: Path) -> None:
    """What is written is read again; a file of something else is refused."""
    rows = answers(-1.25, -3.5)
    write_likelihoods(tmp_path / "x.jsonl", rows)
    assert read_likelihoods(tmp_path / "x.jsonl") == rows
    (tmp_path / "y.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(InputError, match=r"y\.jsonl is not a measurement"):
        read_likelihoods(tmp_path / "y.jsonl")

    findings = [
        Finding("A", "something is", ("x",), (("1",), ("2",)), ("<svg/>",), Outcome.IMPROVED),
        Finding("B", "b"),
    ]
    write_findings(tmp_path, findings)
    assert read_findings(tmp_path) == findings
    (tmp_path / "findings.json").write_text('[{"title": "A"}]')
    with pytest.raises(InputError, match="holds no findings"):
        read_findings(tmp_path)
