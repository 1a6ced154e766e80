"""Behavior probes: paired by item, stories as clusters, and only where they can be put."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rlpath.core.stats import t_cdf
from rlpath.core.types import Decoding, Status
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.evals.stress.probes import Perturbation, changes, probe, probes, probes_table
from rlpath.evals.stress.variants import PLAIN_TEXT, STORIES_TASK
from rlpath.evals.suite.harness import Plan, TaskRun
from rlpath.evals.suite.result import SuiteResult, read_result
from rlpath.evals.suite.subject import Subject, resolve_subject
from rlpath.evals.suite.tasks import TASKS

NOBODY = Subject("nobody", "nobody", Path("nobody"), None, 1, "")
GREEDY, SAMPLED = Decoding(8, temperature=0.0), Decoding(8)
FORMATS = ["answer as words", "answer as box", "answer as json"]


def answered(right: list[bool]) -> TaskRun:
    """Answers to the first stories, right or wrong as told."""
    problems = STORIES_TASK.load(len(right), 0)
    samples = tuple(
        Sample(p.id, p.prompt, p.gold, "greedy", 0, "", status, float(status is Status.CORRECT), None, "", 1, "stop")
        for p, status in zip(problems.problems, (Status.CORRECT if r else Status.WRONG for r in right), strict=True)
    )
    evaluation = Evaluation(Protocol.of(problems, GREEDY, SAMPLED), samples)
    return TaskRun(NOBODY, STORIES_TASK, STORIES_TASK.templates[0], problems, evaluation, Path("nowhere"))


def test_stories_lose_by_hand() -> None:
    """Of 60 tellings of 30 stories both of 8 stories are lost: 8 clusters of 30, and t = 0.25 / (0.5 / sqrt(32))."""
    # Tellings come story by story, so that item i and item i + 30 are of one story.
    before = [index % 30 < 15 for index in range(60)]
    after = [index % 30 < 7 for index in range(60)]
    found = probe("nobody", Perturbation("lost", "by hand"), [answered(before)], [answered(after)])
    assert (found.items, found.clusters) == (60, 30)
    assert found.original.estimate == 0.5
    assert found.changed.estimate == pytest.approx(14 / 60)
    assert found.difference.estimate == pytest.approx(-16 / 60)
    # Larger than the permutation's 2 / 2**8.
    assert found.p == pytest.approx(2 * t_cdf(-0.25 / (0.5 / 32**0.5), 31))
    assert found.difference.method == "paired over 30 clusters"
    (_, line) = probes_table([found]).splitlines()
    assert line.split()[:7] == ["stories,", "lost", "nobody", "50.0", "%", "23.3", "%"]
    assert line.endswith("0.008      1.000           60/30")
    # 30 stories are no 60 items: the interval is wider than that of as many single stories twice over.
    assert found.original.method == "Wilson over 30 clusters of 60 problems"


def test_training_seeds_are_averaged() -> None:
    """One seed that loses ten stories of 30 and one that loses none: half the loss, and an interval over two seeds."""
    whole, less = [True] * 30, [index >= 10 for index in range(30)]
    found = probe("two", Perturbation("lost", "by hand"), [answered(whole)] * 2, [answered(whole), answered(less)])
    assert found.changed.estimate == pytest.approx(25 / 30)
    assert found.difference.estimate == pytest.approx(-1 / 6)
    assert found.difference.low == -1
    # Two seeds that far apart say nothing.
    assert found.p > 0.3


def test_which_changes_fit() -> None:
    """Stories are told again; other tasks of numbers are not; solved examples leave their format as it is."""
    stories = [change.name for change in changes(STORIES_TASK, STORIES_TASK.templates[0])]
    assert stories == ["other numbers", "other names", "irrelevant sentence", *FORMATS]
    svamp = TASKS["svamp"]
    assert [change.name for change in changes(svamp, svamp.templates[0])] == ["irrelevant sentence", *FORMATS]
    few = svamp.template("few-shot-text")
    assert [change.name for change in changes(svamp, few)] == ["irrelevant sentence"]


def test_a_format_changes_nothing_else() -> None:
    """Reasoning is asked for where the protocol asks for it, and plain text stays plain text."""
    asking = {change.name: change.template for change in changes(STORIES_TASK, STORIES_TASK.templates[0])}
    assert asking["answer as box"] is not None
    assert asking["answer as box"].text == "{question}\n\nThink step by step. Put the final answer in \\boxed{}."
    short = changes(TASKS["arithmetic"], TASKS["arithmetic"].templates[0])[-1].template
    assert short is not None and short.chat
    assert short.text == '{question}\n\nGive the final answer as JSON, like {"answer": 0}.'
    text = changes(STORIES_TASK, PLAIN_TEXT)[-1].template
    assert text is not None and not text.chat
    assert text.render("Q") == 'Question: Q Give the final answer as JSON, like {"answer": 0}.\nAnswer:'


def test_probes_of_a_tiny_model(digit_folder: Path, tmp_path: Path) -> None:
    """Stories and sums are probed, code is not; a second call finds every answer; the result can be read back."""
    subject = resolve_subject(str(digit_folder))
    plan = Plan(samples=1, size=6, max_tokens=3, dtype="float32", backend="hf", seed=1)
    code = replace(TASKS["ifeval"], load=lambda size, seed: replace(STORIES_TASK.load(4, 0), verifier=lambda: None))
    jobs = [(TASKS["arithmetic"], TASKS["arithmetic"].templates[0]), (code, code.templates[0])]
    found = probes("digits", [subject], jobs, plan, cache=tmp_path)
    six = ["other numbers", "other names", "irrelevant sentence", *FORMATS]
    assert [(each.task, each.name) for each in found] == [
        *(("stories", name) for name in six),
        *(("arithmetic", name) for name in six[2:]),
    ]
    assert all(each.items == 6 and each.p <= each.p_holm <= 1 for each in found)
    assert all(
        each.difference.estimate == pytest.approx(each.changed.estimate - each.original.estimate) for each in found
    )
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "evaluations").glob("*.jsonl")}
    assert len(files) == 2 + 6 + 4
    heard: list[str] = []
    assert probes("digits", [subject], jobs, plan, cache=tmp_path, progress=heard.append) == found
    SuiteResult({}, (), (), (), {}, (), probes=found).save(tmp_path)
    assert read_result(tmp_path).probes == found
    other = probes("digits", [subject], jobs[:1], replace(plan, seed=2), cache=tmp_path)
    assert [each.name for each in other] == [each.name for each in found]
