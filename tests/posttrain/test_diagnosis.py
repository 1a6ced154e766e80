"""A run made to have an illness is told of it, and a healthy one of none; a gain is split into form and correctness."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlpath.cli.diagnose import Diagnose
from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Problem, Status, Verdict
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.load import load_model, load_tokenizer
from rlpath.posttrain.diagnosis import diagnose
from rlpath.posttrain.gain import gain, gain_finding
from rlpath.posttrain.settings import GRPOSettings
from rlpath.posttrain.verify import Reward

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
    "truncated": ({"length/truncated": 0.7}, {}, "70 % of the completions were truncated"),
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


# Runs that were made ill, from the first step to the sentence

SETTINGS = GRPOSettings(
    steps=12, prompts_per_step=2, group_size=4, max_completion_length=6, lora_rank=4, learning_rate=0.01
)


def verifier_by(status: Callable[[str], Status]) -> Callable[..., Verdict]:
    return lambda completion, gold, **_: Verdict.of(status(completion))


class StaleSampler(HFSampler):
    """Never hears of new weights, and draws at a temperature of its own."""

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        list(weights)

    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, **numbering: Any
    ) -> list[list[Completion]]:
        return super().generate(prompts, replace(decoding, temperature=4.0), **numbering)


def long(completions: list[Any], **_: Any) -> list[float | None]:
    return [len(said[0]["content"]) / 6 for said in completions]


def short(completions: list[Any], **_: Any) -> list[float | None]:
    return [-len(said[0]["content"]) / 6 for said in completions]


FATES: dict[str, tuple[dict[str, Any], dict[str, Any], int, str]] = {
    "too hard": ({}, {"verifier": verifier_by(lambda _: Status.WRONG)}, 3, "too hard (0 % right)"),
    "too easy": ({}, {"verifier": verifier_by(lambda _: Status.CORRECT)}, 3, "too easy (100 % right)"),
    "truncated": ({"max_completion_length": 1}, {}, 3, "were truncated at the length limit"),
    "no answer": ({}, {"verifier": verifier_by(lambda _: Status.NO_ANSWER)}, 3, "found no answer"),
    "undecided": ({}, {"verifier": verifier_by(lambda _: Status.UNDECIDED)}, 3, "got no reward"),
    "disagree": ({}, {"stale": True}, 3, "sampler and trainer disagree"),
    "ran away": ({"reward": "random", "beta": 1e-6, "learning_rate": 0.6}, {}, 8, "ran away"),
    "collapsed": ({"temperature": 0.5, "group_size": 8}, {"rewards": [Reward("short", short)],
                  "problems": [Problem("p", "1+1?", "2")]}, 10, "entropy collapsed"),
    "hacked": ({"learning_rate": 0.03}, {"rewards": [Reward("long", long)],
               "verifier": verifier_by(lambda said: Status.CORRECT if said == "3" else Status.WRONG)}, 12,
               "without being right"),
}  # fmt: skip


@pytest.mark.parametrize("name", FATES)
def test_a_run_made_ill_is_told_of_its_illness(name: str, make: Callable[..., Any], digit_folder: Path) -> None:
    """A tiny model is trained into each of them; what its record says names it."""
    settings, arguments, steps, words = FATES[name]
    arguments = dict(arguments)
    if arguments.pop("stale", False):
        arguments["sampler"] = StaleSampler(load_model(digit_folder, "float32"), load_tokenizer(digit_folder))
    trainer = make(replace(SETTINGS, **settings), **arguments)

    found = diagnose([trainer.train_step() for _ in range(steps)])

    assert 1 <= len(found) <= 3
    assert any(words in sentence for sentence in found)


def test_it_is_told_on_request_while_the_run_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the folder of a run that has not ended; before its first step that is said."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no finished step yet"):
        Diagnose(tmp_path).run()
    rows = run({"groups/no_signal": 0.95, "status/correct": 0.0, "reward": 0.0}, {})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert Diagnose(tmp_path).run() == 0
    assert "the problems are too hard" in capsys.readouterr().out


def test_what_another_reward_pays_for_is_not_called_too_easy() -> None:
    """All groups alike under a reward function says nothing of the problems: the verifier's share is another thing."""
    (said,) = diagnose(run({"groups/no_signal": 0.95, "status/correct": 0.9, "reward": 0.0}, {}))
    assert "too easy" not in said
    assert "--dynamic-sampling" in said


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
