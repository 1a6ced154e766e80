"""A run made to have an illness is told of it, and a healthy one of none; a gain is split into form and correctness."""

from __future__ import annotations

from typing import Any

import pytest

from rlpath.core.types import Decoding, Status
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.posttrain.diagnosis import diagnose
from rlpath.posttrain.gain import gain, gain_finding

HEALTHY = {
    "reward": 0.5,
    "status/correct": 0.5,
    "status/no_answer": 0.05,
    "length/truncated": 0.02,
    "groups/no_signal": 0.3,
    "entropy": 0.6,
    "logprob_gap/mean": 0.01,
    "reward/missing": 0.0,
}


def run(first: dict[str, float], last: dict[str, float]) -> list[dict[str, Any]]:
    """Twelve steps that go evenly from one row to another."""
    one, two = {**HEALTHY, **first}, {**HEALTHY, **first, **last}
    rows = []
    for step in range(12):
        share = step / 11
        rows.append({"step": step + 1, **{k: one[k] + share * (two[k] - one[k]) for k in two if k in one}})
    return rows


ILL: dict[str, tuple[dict[str, float], dict[str, float], str]] = {
    "too hard": ({"groups/no_signal": 0.95, "status/correct": 0.0, "reward": 0.0}, {}, "too hard"),
    "too easy": ({"groups/no_signal": 0.95, "status/correct": 0.98, "reward": 0.98}, {}, "too easy"),
    "truncated": ({"length/truncated": 0.7}, {}, "70 % of the completions were cut"),
    "no answer": ({"status/no_answer": 0.6}, {}, "found no answer"),
    "undecided": ({"reward/missing": 0.5}, {}, "got no reward"),
    "collapsed": ({"entropy": 0.2}, {"entropy": 0.0}, "entropy collapsed"),
    "disagree": ({"logprob_gap/mean": 0.6}, {}, "sampler and trainer disagree"),
    "ran away": ({"kl/completion": 1.0}, {"kl/completion": 90.0}, "ran away"),
    "hacked": ({"eval/pass@1": 0.3, "reward": 0.2}, {"reward": 0.9}, "without being right"),
    "hacked, by the verifier": (
        {"reward": 0.2, "status/correct": 0.3}, {"reward": 0.9, "status/correct": 0.2}, "without being right"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ILL)
def test_each_illness_is_named_first(name: str) -> None:
    first, last, words = ILL[name]
    found = diagnose(run(first, last))
    assert 1 <= len(found) <= 3
    assert words in found[0]


def test_health_is_no_illness() -> None:
    """Neither a run that learns, nor one without any step; at most three things are said of a hopeless one."""
    assert diagnose(run({"reward": 0.2, "status/correct": 0.2}, {"reward": 0.8, "status/correct": 0.8})) == []
    assert diagnose([]) == []
    hopeless = {k: v for first, last, _ in ILL.values() for k, v in {**first, **last}.items()}
    assert len(diagnose(run(hopeless, {}))) == 3


def evaluation(*said: tuple[Status, str, int]) -> Evaluation:
    greedy = Decoding(10, temperature=0.0)
    protocol = Protocol("p", "validation", "here", "0", 1, "V", greedy, Decoding(10, n=len(said)))
    samples = tuple(
        Sample("1", "?", "7", "sample", i, text, status, 0.0, None, "", tokens, "stop")
        for i, (status, text, tokens) in enumerate(said)
    )
    return Evaluation(protocol, samples)


RIGHT, WRONG, NONE = (Status.CORRECT, "7", 2), (Status.WRONG, "8", 2), (Status.NO_ANSWER, "it is 7 or so", 6)


def test_a_gain_of_form_alone() -> None:
    """Half unreadable, a quarter right; then all readable and half right, of which as many as before: only form."""
    found = gain(evaluation(RIGHT, WRONG, NONE, NONE), evaluation(RIGHT, RIGHT, WRONG, WRONG))
    assert found.strict == (0.25, 0.5)
    assert found.readable == (0.5, 1.0)
    assert found.form == pytest.approx(0.25)
    assert found.correctness == pytest.approx(0)
    assert found.lenient == (0.75, 0.5)
    assert found.base_at_trained_length == pytest.approx(0.5)
    assert "mostly form" in gain_finding(found).sentence


def test_a_gain_of_correctness_alone() -> None:
    """All readable before and after; the parts add up to the whole."""
    found = gain(evaluation(RIGHT, WRONG, WRONG, WRONG), evaluation(RIGHT, RIGHT, RIGHT, WRONG))
    assert (found.form, found.correctness) == (0, 0.5)
    assert "mostly form" not in gain_finding(found).sentence
    mixed = gain(evaluation(RIGHT, NONE, NONE, WRONG), evaluation(RIGHT, RIGHT, NONE, RIGHT))
    assert mixed.form + mixed.correctness == pytest.approx(mixed.strict[1] - mixed.strict[0])
