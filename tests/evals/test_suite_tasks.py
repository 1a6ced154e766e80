"""The tasks of the suite on their real data: gold answers score, traps are read right, exemplars come from training."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.evals.suite.baselines import guess_pass_at, trivial_scores
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.own_tasks import find_task, jsonl_task
from rlpath.evals.suite.tasks import TASKS
from rlpath.rewards.verifiers.choice import options_of
from rlpath.rewards.verifiers.number import NumberVerifier

needs_data = pytest.mark.skipif(not os.environ.get("RLPATH_DATA"), reason="RLPATH_DATA is not set")
FORMATS = {
    "gsm8k": "So it is\n#### {}",
    "svamp": "So it is\n#### {}",
    "math500": "So it is \\boxed{{{}}}.",
    "arc": "The answer is {}",
    "arithmetic": "{}",
}
SIZES = {"gsm8k": 1319, "svamp": 1000, "math500": 500, "arc": 1172, "arithmetic": 476, "humaneval": 164, "ifeval": 541}


def all_of(name: str) -> ProblemSet:
    return TASKS[name].load(None, 0)


@needs_data
@pytest.mark.parametrize("name", SIZES)
def test_every_problem_is_there_once(name: str) -> None:
    """The published number of problems, no id twice, no gold empty, and at least five templates."""
    problems = all_of(name)

    assert len(problems) == len({problem.id for problem in problems.problems}) == SIZES[name]
    assert all(problem.gold.strip() for problem in problems.problems)
    assert len({template.name for template in TASKS[name].templates}) == len(TASKS[name].templates) >= 5
    assert any(not template.chat for template in TASKS[name].templates)


@needs_data
@pytest.mark.parametrize("name", FORMATS)
def test_gold_answers_score_under_every_reading(name: str) -> None:
    """In the format that the protocol asks for, ours, strict and flexible agree on every gold answer."""
    problems, task = all_of(name), TASKS[name]
    for verifier in (problems.verifier, task.strict, task.flexible):
        wrong = [
            problem.id
            for problem in problems.problems
            if not verifier(FORMATS[name].format(problem.gold), problem.gold, question=problem.prompt).correct
        ]
        assert wrong == []


@needs_data
def test_published_programs_pass_their_tests() -> None:
    """HumanEval's own solutions, as a chat answer and as a plain continuation; a harness that continues the text takes
    no code block."""
    with gzip.open(Path(os.environ["RLPATH_DATA"]) / "humaneval" / "HumanEval.jsonl.gz", "rt") as file:
        solutions = {row["task_id"]: row["canonical_solution"] for row in map(json.loads, file)}
    task = TASKS["humaneval"]
    problems = task.load(3, 0)
    for problem in problems.problems:
        body = solutions[problem.id]
        chat = f"```python\n{problem.prompt}{body}\n```"
        assert problems.verifier(chat, problem.gold, question=problem.prompt).correct
        assert problems.verifier(body, problem.gold, question=problem.prompt).correct
        assert task.strict(body, problem.gold, question=problem.prompt).correct
        assert not task.strict(chat, problem.gold, question=problem.prompt).correct


@needs_data
def test_large_answers_of_svamp_are_whole() -> None:
    """Answers above a million keep every digit."""
    golds = [problem.gold for problem in all_of("svamp").problems]

    assert max(golds, key=float) == "22090603"
    assert all(gold.isdigit() for gold in golds if "." not in gold)


@needs_data
def test_options_of_arc() -> None:
    """Three, four and five options, the gold among them."""
    problems = all_of("arc").problems
    counts = Counter(len(options_of(problem.prompt)) for problem in problems)

    assert counts == {4: 1165, 3: 4, 5: 3}
    assert all(problem.gold in options_of(problem.prompt) for problem in problems)


@needs_data
@pytest.mark.parametrize("name", SIZES)
def test_exemplars_come_from_training(name: str) -> None:
    """No solved example is a test question, and there are as many as the templates show."""
    task, asked = TASKS[name], {problem.prompt for problem in all_of(name).problems}
    exemplars = list(task.exemplars())

    assert not asked & {exemplar.question for exemplar in exemplars}
    assert len(exemplars) >= max(template.shots for template in task.templates)


@needs_data
def test_trivial_baselines() -> None:
    """GSM8K: always "5" has 40 of 1,319, the last number of the question 30; four letters are guessed a quarter."""
    scores = {one.name: one.accuracy for one in trivial_scores(TASKS["gsm8k"], all_of("gsm8k"))}
    assert scores["most frequent answer"] == pytest.approx(40 / 1319)
    assert scores["last number of the question"] == pytest.approx(30 / 1319)
    assert scores["empty"] == scores["copy of the question"] == 0
    letters = {one.name: one.accuracy for one in trivial_scores(TASKS["arc"], all_of("arc"))}
    assert 0.2 < letters["random option"] < 0.3
    assert guess_pass_at(TASKS["arc"], 4) == 1.0
    assert guess_pass_at(TASKS["humaneval"], 4) == 0.0


@needs_data
def test_the_shortest_problems_come_first() -> None:
    """Twenty problems drawn by the seed, the same in every call, sorted by length; more than there are is all."""
    drawn = Plan(size=20).problems(TASKS["gsm8k"])
    lengths = [len(problem.prompt) for problem in drawn.problems]

    assert len(drawn) == 20
    assert lengths == sorted(lengths)
    assert drawn == Plan(size=20).problems(TASKS["gsm8k"])
    assert {p.id for p in drawn.problems} != {p.id for p in Plan(size=20, seed=1).problems(TASKS["gsm8k"]).problems}
    assert len(Plan(size=200).problems(TASKS["humaneval"])) == 164


def test_missing_data_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to set, and the file it must hold."""
    monkeypatch.delenv("RLPATH_DATA", raising=False)
    with pytest.raises(
        InputError,
        match=r"svamp/SVAMP\.json was not found: set RLPATH_DATA .*ChilleD/SVAMP",
    ):
        TASKS["svamp"].load(None, 0)


OWN = """
from rlpath.evals.suite.task import Template
from rlpath.evals.suite.own_tasks import jsonl_task
from rlpath.rewards.verifiers.number import NumberVerifier

TASK = jsonl_task("halves", "halves.jsonl", NumberVerifier(), [Template("plain", "{question}")])
"""


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    """A Python file of a few lines beside its JSON lines."""
    rows = [{"question": f"What is half of {2 * i}?", "answer": str(i), "template": i % 2} for i in range(4)]
    (tmp_path / "halves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "halves.py").write_text(OWN)

    task = find_task(str(tmp_path / "halves.py"))
    problems = Plan(size=3).problems(task)
    assert task.name == "halves"
    assert len(problems) == 3
    assert all(problem.meta["template"] in (0, 1) for problem in problems.problems)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('{"id": "a", "question": "q", "answer": "1"}', "holds the id 'a' more than once"),
        (
            '{"id": "b", "question": "q", "answer": ""}',
            "row 2: the field 'answer' is missing, empty",
        ),
        ("[", "line 2 is not JSON"),
    ],
)
def test_a_broken_file_of_ones_own(row: str, sentence: str, tmp_path: Path) -> None:
    """Two rows of one id, an empty gold answer, no JSON: the file and the line or id."""
    path = tmp_path / "own.jsonl"
    path.write_text(f'{{"id": "a", "question": "q", "answer": "1"}}\n{row}\n')

    with pytest.raises(InputError, match=sentence):
        jsonl_task("own", path, NumberVerifier()).load(None, 0)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gsm8", "there is no task 'gsm8'; did you mean gsm8k"),
        ("other", "there is no task 'other'; one of gsm8k, "),
        ("missing.py", "task file missing.py does not exist"),
    ],
)
def test_an_unknown_task(name: str, sentence: str) -> None:
    """The nearest names, or all."""
    with pytest.raises(InputError, match=sentence):
        find_task(name)
    with pytest.raises(InputError, match="task gsm8k has no template 'other': choose one of hash, "):
        TASKS["gsm8k"].template("other")
    assert not TASKS["gsm8k"].template("text").chat
