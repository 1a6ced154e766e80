"""Prompt sensitivity: which variants there are, and what becomes of a ranking, by hand-made numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.core.stats import Interval, t_quantile
from rlpath.evals.stress.sensitivity import rank, sensitivity, sensitivity_table, variants
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.paired import Paired, paired
from rlpath.evals.suite.result import Sensitivity, SuiteResult, read_result
from rlpath.evals.suite.subject import resolve_subject
from rlpath.evals.suite.task import Exemplar, Task, Template
from rlpath.evals.suite.tasks import TASKS

EXAMPLES = tuple(Exemplar(f"What is {n} + 1?", str(n + 1)) for n in range(6))


BARE = replace(TASKS["arithmetic"], templates=TASKS["arithmetic"].templates[:5])


def few_shot() -> Task:
    template = Template("shots", "{question}", shots=3)
    return replace(BARE, templates=(*BARE.templates, template), exemplars=lambda: EXAMPLES)


def contrast(gained: int, lost: int, items: int = 100) -> Paired:
    """The contrast of two models that differ on `gained` + `lost` of the items."""
    before = np.array([[1.0] * lost + [0.0] * (items - lost)])
    after = np.array([[0.0] * lost + [1.0] * gained + [0.0] * (items - lost - gained)])
    return paired(before, after)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_put_in_five_ways(name: str) -> None:
    """At least five templates of distinct names, one in chat and one as plain text among them."""
    templates = TASKS[name].templates
    assert len({template.name for template in templates}) == len(templates) >= 5
    assert {template.chat for template in templates} == {True, False}


def test_variants_put_the_protocol_first_and_once_without_chat() -> None:
    """All templates, the protocol also without chat, and two more orders of three examples that show the same ones."""
    found = variants(few_shot(), seed=1)
    names = [template.name for _, template in found]
    assert names == [
        *("number-only", "number-only, no chat", "plain", "polite", "before", "text"),
        *("shots", "shots, order 1", "shots, order 2"),
    ]
    assert [found[0][1].chat, found[1][1].chat] == [True, False]
    assert found[0][1].text == found[1][1].text
    orders = [tuple(task.exemplars())[: template.shots] for task, template in found[-3:]]
    assert len(set(orders)) == 3
    assert {frozenset(order) for order in orders} == {frozenset(EXAMPLES[:3])}
    again = [tuple(task.exemplars()) for task, _ in variants(few_shot(), seed=1)[-2:]]
    assert again == [tuple(task.exemplars()) for task, _ in found[-2:]]


def test_arithmetic_examples_are_of_the_training_side() -> None:
    """Four sums with their answers, none of which is asked."""
    task = TASKS["arithmetic"]
    asked = {problem.prompt for problem in task.load(None, 0).problems}
    shown = task.exemplars()
    assert len({example.question for example in shown}) == 4 and not asked & {example.question for example in shown}
    for example in shown:
        a, b = re.findall(r"\d+", example.question)
        assert int(a) + int(b) == int(example.answer)
    assert len(variants(task)) == 8 + 2 * 2


def test_no_more_orders_than_there_are() -> None:
    """Two examples have one other order, whatever is asked for."""
    task = replace(few_shot(), templates=(Template("two", "{question}", shots=2),))
    assert [template.name for _, template in variants(task, orders=9)] == ["two", "two, no chat", "two, order 1"]


def test_another_protocol_leads() -> None:
    """The template given is asked first; in plain text, its other telling is a chat."""
    names = [template.name for _, template in variants(BARE, BARE.template("text"))]
    assert names[:3] == ["text", "text, chat", "number-only"]
    assert len(names) == len(set(names)) == 6


def test_who_is_ahead() -> None:
    """14 gains and 2 losses of 100 count (p = 0.0042), 4 and 1 do not (p = 0.375), 6 and 0 do (p = 0.031)."""
    assert contrast(14, 2).p == pytest.approx(274 / 2**16)
    assert [contrast(14, 2).sign(), contrast(2, 14).sign(), contrast(4, 1).sign()] == [1, -1, 0]
    assert contrast(6, 0).p == pytest.approx(2 / 64)
    assert contrast(6, 0).sign() == 1
    # An interval that holds zero is not overruled by a small p, nor the other way round.
    assert Paired(Interval(0.1, -0.01, 0.21, "by hand"), 0.01).sign() == 0
    assert Paired(Interval(0.1, 0.01, 0.19, "by hand"), 0.06).sign() == 0


def test_rank_by_hand() -> None:
    """Ahead under all, under some, each under some, nowhere; a small difference either way changes nothing."""
    ahead, behind, none, slight = contrast(14, 2), contrast(2, 14), contrast(4, 4), contrast(4, 5)
    assert rank([ahead, ahead, ahead]) == "robust"
    assert rank([behind, behind]) == "robust"
    assert rank([ahead, ahead, slight]) == "fragile"
    assert rank([none, ahead, none]) == "fragile"
    assert rank([ahead, none, behind]) == "reversed"
    assert rank([none, ahead, behind]) == "reversed"
    assert rank([none, slight, none]) == "undecided"


def test_a_reversal_must_survive_the_number_of_variants() -> None:
    """0 to 6 (p = 0.031) reverses where it is the only other variant, and is chance where it is one of many."""
    ahead, against = contrast(14, 2), contrast(0, 6)
    assert rank([ahead, against]) == "reversed"
    assert rank([ahead, against, contrast(4, 4)]) == "fragile"


def test_equal_models_have_no_ranking() -> None:
    """Of 400 pairs of equal models under 8 variants, at most 10 % show any ranking, and none a robust one."""
    rng = np.random.default_rng(0)
    found: list[str] = []
    for _ in range(400):
        skill = rng.random(100)
        found.append(rank([paired(*(rng.random((2, 1, 100)) < skill).astype(float)) for _ in range(8)]))
    assert found.count("robust") == 0
    assert 400 - found.count("undecided") <= 40


def test_seeds_widen_the_interval() -> None:
    """Three training seeds that disagree (+20, 0, -20 points over the baseline) show nothing on 1,000 items."""
    before = np.zeros((1, 1000))
    before[:, :400] = 1
    after = np.stack([np.repeat([1.0, 0.0], [600, 400]), before[0], np.repeat([1.0, 0.0], [200, 800])])
    found = paired(before, after)
    assert found.difference.estimate == pytest.approx(0)
    # The variance over three seeds, 0.2^2 / 3, and that over 1,002 items (600 of them moved by a third), are added.
    over_seeds, over_items = 0.2**2 / 3, (400 / 9 + 2) / 1002**2
    df = (over_seeds + over_items) ** 2 / (over_seeds**2 / 2 + over_items**2 / 1001)
    assert found.difference.high == pytest.approx(t_quantile(0.975, df) * (over_seeds + over_items) ** 0.5, rel=1e-6)


def test_clusters_are_one_observation() -> None:
    """Ten items that moved together are one coin: p = 1, against 2 / 2**10 as single items."""
    before, after = np.zeros((1, 20)), np.repeat([[1.0, 0.0]], 10, axis=1)
    assert paired(before, after).p == pytest.approx(2 / 2**10)
    together = paired(before, after, ["a"] * 10 + ["b"] * 10)
    assert together.p == 1.0
    assert together.difference.low < 0 < paired(before, after).difference.low


def test_sensitivity_of_tiny_models(digit_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    """Both models are asked every variant once, accuracies are those of the cached answers, and it can be read back."""
    model, versus = resolve_subject(str(digit_folder)), resolve_subject(str(tiny_folder))
    plan = Plan(samples=1, size=12, max_tokens=4, dtype="float32", backend="hf")
    heard: list[str] = []
    found = sensitivity(("digits", [model]), ("tiny", [versus]), BARE, plan, cache=tmp_path, progress=heard.append)
    assert found.variants == ("number-only", "number-only, no chat", "plain", "polite", "before", "text")
    assert len(found.accuracies) == len(found.versus_accuracies) == len(found.p) == 6
    assert found.spread == pytest.approx(max(found.accuracies) - min(found.accuracies))
    assert found.ranking == "undecided"
    assert found.sentence.startswith("undecided: of 6 ways to ask, digits is ahead under 0, tiny under 0, and 6")
    files = list((tmp_path / "evaluations").glob("*.jsonl"))
    # A line of protocol and 12 greedy answers: nothing was sampled.
    assert sorted(len(file.read_text().splitlines()) for file in files) == [13] * 12
    again = sensitivity(("digits", [model]), ("tiny", [versus]), BARE, plan, cache=tmp_path)
    assert again == found
    SuiteResult({}, (), (), (), {}, (), sensitivity=(found,)).save(tmp_path)
    assert read_result(tmp_path).sensitivity == (found,)


def test_a_model_without_chat_is_asked_in_plain_text(
    digit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one of the two has no chat template, the variants in chat are left out by name."""
    monkeypatch.setattr("rlpath.evals.stress.sensitivity.has_chat_template", lambda subject: False)
    subject = resolve_subject(str(digit_folder))
    plan = Plan(samples=1, size=4, max_tokens=2, dtype="float32", backend="hf")
    found = sensitivity(("a", [subject]), ("b", [subject]), BARE, plan, cache=tmp_path)
    assert found.variants == ("number-only, no chat", "text")
    assert found.left_out == ("number-only", "plain", "polite", "before")
    assert found.differences[0].estimate == 0
    only = replace(BARE, templates=BARE.templates[:1])
    with pytest.raises(InputError, match="no two ways to be put without a chat"):
        sensitivity(("a", [subject]), ("b", [subject]), only, plan, cache=tmp_path)


def test_the_table_shows_every_variant() -> None:
    """The sentence, a line each with accuracies, difference and p, and the spreads."""
    interval = Interval(0.12, 0.041, 0.199, "by hand")
    found = Sensitivity(
        *("gsm8k", "ours", "theirs", ("hash", "text"), (0.32, 0.2), (0.2, 0.2), 0.12, 0.0, "fragile"),
        differences=(interval, Interval(0.0, -0.05, 0.05, "by hand")),
        p=(0.0042, 1.0),
        sentence="fragile: of 2 ways to ask, …",
    )
    assert sensitivity_table([found]).splitlines() == [
        "fragile: of 2 ways to ask, …",
        "gsm8k     ours  theirs  difference, points      p",
        "hash    32.0 %  20.0 %   +12.0 [4.1, 19.9]  0.004",
        "text    20.0 %  20.0 %    +0.0 [-5.0, 5.0]  1.000",
        "spread    12.0     0.0",
    ]
