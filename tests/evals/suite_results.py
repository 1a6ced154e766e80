"""A suite's result made by hand, with its evaluation files on disk: what reports and exports are tested on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlpath.core.stats import Interval
from rlpath.core.types import Decoding, Status
from rlpath.evals.compare.comparison import Aggregate
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.evals.suite.baselines import TrivialScore
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import Contrast, Entrant, Probe, Sensitivity, SuiteResult

RIGHT, WRONG, CUT, SILENT = Status.CORRECT, Status.WRONG, Status.TRUNCATED, Status.NO_ANSWER
BASELINE = (RIGHT, WRONG, WRONG, CUT, SILENT)
TRAINED = (WRONG, RIGHT, RIGHT, WRONG, SILENT)
"""Of five problems the first got worse, two got better, and no other changed between right and wrong."""


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, "by hand")


def evaluation(statuses: Sequence[Status], text: str = "it is 4", sampled: bool = True) -> Evaluation:
    """A greedy completion of each problem with these statuses, and unless told two samples: one right, one wrong."""
    decodings = Decoding(8, temperature=0.0), Decoding(8, temperature=1.0, n=2) if sampled else None
    protocol = Protocol("sums", "validation", "made here", "ab" * 32, len(statuses), "NumberVerifier", *decodings)
    rows = [("greedy", i, 0, status) for i, status in enumerate(statuses)]
    rows += [("sample", i, k, (RIGHT, WRONG)[k]) for i in range(len(statuses)) for k in range(2 * sampled)]
    samples = [_sample(mode, number, index, status, text) for mode, number, index, status in rows]
    return Evaluation(protocol, tuple(samples))


def _sample(mode: Any, number: int, index: int, status: Status, text: str) -> Sample:
    score, finish = float(status is RIGHT), "length" if status is CUT else "stop"
    prompt = f"What is <b>{number}</b> + 4?"
    return Sample(f"p{number}", prompt, str(number + 4), mode, index, text, status, score, None, "", 3, finish)


def write_evaluation(path: Path, found: Evaluation) -> None:
    """The file as an evaluation writes it."""
    rows = [{"protocol": asdict(found.protocol)}, *(asdict(sample) for sample in found.samples)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def headline(model: str, task: str, accuracy: float, trivial: float = 0.1) -> Headline:
    return Headline(
        model=model,
        task=task,
        template="plain",
        problems=5,
        samples=2,
        strict=interval(0.04, 0.01, 0.11),
        flexible=interval(0.47, 0.22, 0.73),
        ours=interval(accuracy, accuracy / 2, accuracy + 0.2),
        truncated=0.123,
        no_answer=0.234,
        undecided=0.345,
        pass_at={1: interval(0.5, 0.3, 0.7), 2: interval(0.61, 0.41, 0.81)},
        guess_at={1: 0.17, 2: 0.34},
        majority_at={1: interval(0.5, 0.3, 0.7), 2: interval(0.523, 0.31, 0.72)},
        mean_tokens=7.25,
        tokens=12345,
        trivial=(TrivialScore("most frequent answer", trivial), TrivialScore("empty", 0.0)),
    )


def contrast(task: str, verdict: Any, difference: Interval | None, **changes: Any) -> Contrast:
    after_R, before_R = (0.52, 0.56), (0.41, 0.43)
    deciding = Aggregate(
        "pass@1", before_R, after_R, interval(0.42, 0.33, 0.51), interval(0.54, 0.44, 0.64), difference, 0.0123, 0.087,
        (3, 2), (1, 0),
    )  # fmt: skip
    greedy = Aggregate("greedy", before_R, after_R, None, None, None, 0.77, 0.19, (2, 2), (1, 1))
    row = {"model": "trained", "versus": "start", "task": task, "problems": 5, "aggregates": (deciding, greedy)}
    limit = "; the smallest effect <i>seen</i> is 8.7 points" if difference is None else ", contamination unchecked"
    claim = f"{verdict}{limit} (pass@1 54.0 % against 42.0 %)"
    return Contrast(
        **{
            **row,
            "p_holm": 0.0246,
            "p": 0.0118,
            "test": "a permutation",
            "same_size": True,
            "verdict": verdict,
            "claim": claim,
            **changes,
        }
    )


ENTRANTS = (
    Entrant("trained", "model", ("trained, seed 3", "trained, seed 4"), (3, 4), 1_100, ("cd" * 32, "ef" * 32), "start"),
    Entrant("start", "baseline", ("start",), (), 1_000, ("01" * 32,)),
)
SENSITIVITY = Sensitivity(
    "sums", "trained", "start", ("plain", "chat <x>"), (0.81, 0.42), (0.51, 0.62), 0.39, 0.11, "fragile"
)
PROBE = Probe(
    "sums",
    "trained",
    "renamed",
    5,
    interval(0.8, 0.6, 0.9),
    interval(0.3, 0.1, 0.5),
    interval(-0.5, -0.7, -0.3),
    0.02,
    0.031,
)
MANIFEST = {
    "started": "2026-11-27T02:30:00+00:00",
    "rlpath": {"git": {"commit": "0123abcd"}},
    "config": {"plan": {"size": 5, "seed": 7, "dtype": "bfloat16", "batch": 48, "backend": "hf"}},
    "tasks": [{"name": "sums", "template": {"text": "Add: {question}", "chat": True, "shots": 2, "stop": ["Q:"]}}],
}


def suite_result(folder: Path, **changes: Any) -> SuiteResult:
    """Two tasks, a model of two training seeds against its baseline; `sums` improved, `words` did not."""
    answers = {}
    for member, statuses in (("start", BASELINE), ("trained, seed 3", TRAINED), ("trained, seed 4", BASELINE)):
        for task in ("sums", "words"):
            name = f"{member} {task}.jsonl".replace(", ", "-")
            write_evaluation(folder / name, evaluation(statuses))
            answers[f"{member}/{task}/plain"] = name
    members = ("start", "trained, seed 3", "trained, seed 4")
    found = SuiteResult(
        manifest=MANIFEST,
        entrants=ENTRANTS,
        headlines=tuple(headline(member, task, 0.4) for member in members for task in ("sums", "words")),
        contrasts=(
            contrast("sums", "improved", interval(0.12, 0.0345, 0.21)),
            contrast("words", "no evidence of improvement", None),
        ),
        answers=answers,
        family=("trained vs start on sums", "trained vs start on words"),
    )
    return SuiteResult(**{**vars(found), **changes})
