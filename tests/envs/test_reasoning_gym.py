"""reasoning-gym tasks: disjoint sides, gold answers correct, and no model text ever evaluated."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym")

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.envs.reasoning_gym import (
    EVALUATES_ANSWER,
    ONE_NUMBER,
    PARSES_ANSWER,
    ReasoningGymVerifier,
    plain_expression,
    reasoning_gym,
)

TASKS = ["gsm_symbolic", "chain_sum", "gcd", "spell_backward", "countdown", "n_queens", "dice"]


@pytest.mark.parametrize("task", TASKS)
def test_sides_share_no_question_and_seeds_repeat(task: str) -> None:
    """Training and held-out questions differ; the same seed gives the same set."""
    train, held = reasoning_gym(task, "train", size=40), reasoning_gym(task, "validation", size=20)
    assert {p.prompt for p in train.problems}.isdisjoint(p.prompt for p in held.problems)
    assert (len(train), len(held)) == (40, 20)
    assert reasoning_gym(task, "train", size=40).sha256 == train.sha256
    assert reasoning_gym(task, "train", size=40, seed=1).sha256 != train.sha256


def test_a_small_space_of_questions_stays_disjoint() -> None:
    """Where seeds collide on the same question, the hash of its text still keeps it on one side."""
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    train = reasoning_gym("chain_sum", "train", size=60, **options)
    held = reasoning_gym("chain_sum", "validation", size=20, **options)
    assert {p.prompt for p in train.problems}.isdisjoint(p.prompt for p in held.problems)
    with pytest.raises(InputError, match="too large"):
        reasoning_gym("chain_sum", "train", size=2000, **options)


@pytest.mark.parametrize("task", sorted({*TASKS, *EVALUATES_ANSWER, *PARSES_ANSWER} - ONE_NUMBER))
def test_gold_is_correct_and_nonsense_is_not(task: str) -> None:
    """The task's own gold verifies; another text, no tags, and a cut text are told apart."""
    problems = reasoning_gym(task, "validation", size=8)
    for p in problems.problems:
        verdict = problems.verifier(f"So: <answer>{p.gold}</answer>", p.gold, question=p.prompt)
        assert verdict.correct, (p.prompt, p.gold)
    p = problems.problems[0]
    judged = [
        problems.verifier(text, p.gold, question=p.prompt, truncated=cut).status
        for text, cut in [("<answer>zzz</answer>", False), (p.gold, False), ("Let me", True)]
    ]
    assert judged == [Status.WRONG, Status.NO_ANSWER, Status.TRUNCATED]


@pytest.mark.parametrize("task", sorted(EVALUATES_ANSWER | PARSES_ANSWER))
def test_an_answer_that_is_code_does_not_run(task: str, tmp_path: Path) -> None:
    """A completion that would write a file when evaluated is wrong and writes nothing."""
    trap = tmp_path / "trap"
    attacks = [
        f"open({str(trap)!r}, 'w').close()",
        f"[open({str(trap)!r}, 'w')]",
        f"__import__('pathlib').Path({str(trap)!r}).touch()",
        "().__class__.__base__.__subclasses__()",
        "9**9**9**9**9",
    ]
    problems = reasoning_gym(task, "validation", size=1)
    p = problems.problems[0]
    for attack in attacks:
        assert problems.verifier(f"<answer>{attack}</answer>", p.gold, question=p.prompt).status is Status.WRONG
    assert not trap.exists()


def test_every_task_that_evaluates_is_guarded() -> None:
    """Reading reasoning-gym's source finds no scorer that evaluates a model's text outside the guarded tasks."""
    from reasoning_gym.factory import DATASETS

    found = set()
    for name, (dataset, _) in DATASETS.items():
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(dataset.score_answer)))
        called = {getattr(c.func, "id", getattr(c.func, "attr", "")) for c in ast.walk(tree) if isinstance(c, ast.Call)}
        if called & {"eval", "exec", "parse_expr", "sympify", "parse_latex"}:
            found.add(name)
    # number_sorting falls back to eval on its own gold answer, never on the model's.
    assert found - {"number_sorting"} == EVALUATES_ANSWER | PARSES_ANSWER


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("(40 - 3*x**2)/7 + C", True),
        ("asin(3*x) + sqrt(1 - 9*x**2)", True),
        ("x.__class__", False),
        ("open('f')", False),
        ("x(3)", False),
        ("9**9**9", False),
        ("9**999", False),
        ("((2**99)**99)**99", False),
        ("eval", False),
        ("lambda: 1", False),
        ("[1, 2]", False),
    ],
)
def test_plain_expressions_are_told_from_code(text: str, plain: bool) -> None:
    """Only arithmetic with small exponents passes to a parser that evaluates."""
    assert plain_expression(text) is plain


def test_no_integral_is_its_own_answer() -> None:
    """Problems whose gold is the undone integral are not asked, and writing the question as answer is wrong."""
    problems = reasoning_gym("intermediate_integration", "train", size=25)
    assert [p.gold for p in problems.problems if "Integral" in p.gold] == []
    p = problems.problems[0]
    copied = "<answer>Integral(x, x)</answer>"
    assert problems.verifier(copied, p.gold, question=p.prompt).status is Status.WRONG


def test_partial_credit_is_off_unless_asked_for() -> None:
    """reasoning-gym's 0.01 for any text is a score only where it was asked for; the status is wrong either way."""
    problems = reasoning_gym("countdown", "train", size=1)
    p, verifier = problems.problems[0], problems.verifier
    assert isinstance(verifier, ReasoningGymVerifier)
    credit = ReasoningGymVerifier(verifier.task, verifier.dataset, verifier.entries, partial_credit=True)
    text = "<answer>1 + 1</answer>"
    assert verifier(text, p.gold, question=p.prompt).score == 0.0
    verdict = credit(text, p.gold, question=p.prompt)
    assert (verdict.status, verdict.score) == (Status.WRONG, 0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "sudokuu"}, "'sudokuu' is not a task"),
        ({"task": "composite"}, "'composite' is not a task"),
        ({"task": "gcd", "size": 0}, "size 0"),
        ({"task": "gcd", "split": "test"}, "rlpath.evals"),
        ({"task": "gcd", "color": 3}, "refuses the configuration"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    """Each bad argument gives one sentence naming it."""
    with pytest.raises(InputError, match=message):
        reasoning_gym(**arguments)


def test_the_question_is_needed() -> None:
    """A verifier that cannot know which problem was asked raises instead of scoring."""
    problems = reasoning_gym("dice", "train", size=1)
    with pytest.raises(ValueError, match="needs the prompt"):
        problems.verifier("<answer>1</answer>", "1")
