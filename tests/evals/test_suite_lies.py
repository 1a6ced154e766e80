"""Ways an evaluation lies: each number by hand on made-up answers, and the whole on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding, FinishReason, Status
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.evals.stress.lies import LIES, SMOKE, Figure, Lie, lies_table, run_lies, save_lies, unequal
from rlpath.evals.stress.lies import statistics as stats
from rlpath.evals.stress.lies.material import Material
from rlpath.evals.suite.harness import TaskRun
from rlpath.evals.suite.subject import Subject, resolve_subject
from rlpath.evals.suite.task import Template
from rlpath.evals.suite.tasks import TASKS

TASK = TASKS["arithmetic"]
NOBODY = Subject("nobody", "nobody", Path("nobody"), None, 1, "")


def asked(
    greedy: list[str],
    sampled: Sequence[Sequence[bool]] = (),
    template: Template = TASK.templates[0],
    truncated: int = 0,
) -> TaskRun:
    """Answers to the first sums: greedy completions ("{gold}" stands for the right one), sampled right or wrong."""
    problems = TASK.load(len(greedy), 0)
    rows: list[Sample] = []

    def add(index: int, mode: Any, number: int, text: str, right: bool, finish: FinishReason = "stop") -> None:
        p, status = problems.problems[index], Status.CORRECT if right else Status.WRONG
        rows.append(Sample(p.id, p.prompt, p.gold, mode, number, text, status, float(right), None, "", 1, finish))

    for index, text in enumerate(greedy):
        add(
            index,
            "greedy",
            0,
            text.format(gold=problems.problems[index].gold),
            "{gold}" in text,
            "length" if index < truncated else "stop",
        )
    for index, row in enumerate(sampled):
        for number, right in enumerate(row):
            add(index, "sample", number, "", right)
    protocol = Protocol.of(
        problems, Decoding(8, temperature=0.0), Decoding(8, n=max(1, len(sampled[0]) if sampled else 1))
    )
    return TaskRun(NOBODY, TASK, template, problems, Evaluation(protocol, tuple(rows)), Path("nowhere"))


def material(
    protocol: TaskRun, *ways: TaskRun, no_chat: TaskRun | None = None, truncated: TaskRun | None = None
) -> Material:
    """Made of these answers; whatever is not given is the protocol's."""
    return Material(
        NOBODY,
        SMOKE,
        TASK,
        protocol,
        (protocol, *ways),
        no_chat or protocol,
        truncated or protocol,
        None,
        lambda _: None,
    )


RIGHT, WRONG = "{gold}", "none"
HALF = asked([RIGHT] * 8 + [WRONG] * 8, [[True, False, False, False]] * 8 + [[False] * 4] * 8)
NONE = asked([WRONG] * 16, truncated=12)


def test_an_unequal_protocol_flatters_by_its_difference() -> None:
    """8 of 16 right against none: 50 points, p = 2 / 2**8, where the model gains nothing on itself."""
    for lie in (
        unequal.wrong_chat_template(material(HALF, no_chat=NONE)),
        unequal.truncation(material(HALF, truncated=NONE)),
        unequal.other_prompt(material(HALF, NONE)),
    ):
        assert lie.flattering.value == pytest.approx(0.5)
        assert lie.flattering.text == "+50.0 points, p = 0.0078"
        assert (lie.honest.value, lie.honest.text) == (0, "+0.0 points, p = 1")
        assert lie.what.endswith("It had 0.0 % against 50.0 %.")
        assert lie.flatters
    assert "75.0 % of the baseline's answers had not ended" in unequal.truncation(material(HALF, truncated=NONE)).why


def test_a_lie_that_does_not_flatter_says_so() -> None:
    """Where the baseline does as well, or better, without the chat template, the demonstration says it."""
    lie = unequal.wrong_chat_template(material(HALF, no_chat=HALF))
    assert not lie.flatters
    assert str(lie).endswith("On this model, today, it does not flatter.")
    assert not unequal.wrong_chat_template(material(NONE, no_chat=HALF)).flatters
    assert "not today" in lies_table([lie])


def test_strict_extraction_reads_the_same_answers() -> None:
    """Right answers in a sentence, all of them wrong to the strict pattern: +25 points of 16 completions."""
    found = asked(["The sum is {gold}."] * 4 + [RIGHT] * 4 + [WRONG] * 8)
    lie = unequal.strict_extraction(material(found))
    assert lie.flattering.value == pytest.approx(0.25)
    assert lie.what.endswith("It had 25.0 % against 50.0 %.")


def test_unequal_decoding_takes_the_first_sample() -> None:
    """Greedy 8 of 16, first sample 8 of 16: nothing; with samples that are never right, 50 points."""
    assert unequal.unequal_decoding(material(HALF)).flattering.value == 0
    never = asked([RIGHT] * 8 + [WRONG] * 8, [[False, True]] * 16)
    assert unequal.unequal_decoding(material(never)).flattering.value == pytest.approx(0.5)


def test_best_of_many_seeds() -> None:
    """Four seeds of 50, 0, 0 and 0 %: the best is 50 %, the mean 12.5 %."""
    lie = stats.best_of_many_seeds(material(HALF))
    assert (lie.flattering.value, lie.honest.value) == (0.5, 0.125)
    assert lie.honest.text.startswith("12.5 % [")


def test_selection_on_the_test_set() -> None:
    """Six coins of 50 %: the best of them looks better on the items that chose it than on the others."""
    rng = np.random.default_rng(0)
    ways = [asked([RIGHT if right else WRONG for right in rng.random(60) < 0.5]) for _ in range(6)]
    lie = stats.selection_on_test_set(material(*ways))
    assert lie.flattering.value == max(
        np.mean([s.status is Status.CORRECT for s in w.evaluation.samples]) for w in ways
    )
    assert lie.flattering.value > lie.honest.value


def test_a_choice_scored_elsewhere_is_not_biased() -> None:
    """Six coins of 50 % on 60 items, 100 times: the best on all of them has about 58 %, elsewhere 50 %."""
    rng = np.random.default_rng(0)
    coins_N_C_P = (rng.random((100, 6, 60)) < 0.5).astype(float)
    assert coins_N_C_P.mean(2).max(1).mean() == pytest.approx(0.58, abs=0.01)
    elsewhere = [stats.scored_elsewhere(coins_C_P, 0) for coins_C_P in coins_N_C_P]
    assert np.mean(elsewhere) == pytest.approx(0.5, abs=0.015)


def test_first_k_is_the_luckiest_of_its_draws() -> None:
    """k = 1 of 4 samples: one block has 50 %, the others none, and pass@1 is 12.5 %."""
    lie = stats.first_k(material(HALF))
    assert (lie.flattering.value, lie.honest.value) == (0.5, 0.125)
    assert lie.what.endswith("4 times.")


def test_pass_at_k_beside_guessing() -> None:
    """pass@4 of 50 %, less what the four most frequent sums of the set have."""
    lie = stats.no_guess_baseline(material(HALF))
    golds = [problem.gold for problem in HALF.problems.problems]
    guessed = sum(sorted((golds.count(gold) for gold in set(golds)), reverse=True)[:4]) / 16
    assert lie.flattering.value == 0.5
    assert lie.honest.value == pytest.approx(0.5 - guessed)


def test_an_unpaired_test_overlooks_a_loss() -> None:
    """A loss of 11.5 points at 50 %: the pooled z-test misses it more than twice as often as McNemar's."""
    lie = stats.unpaired_test(material(HALF))
    assert "truly lost 11.5 points" in lie.what
    assert lie.flattering.value > 2 * lie.honest.value
    assert lie == stats.unpaired_test(material(HALF))


def test_repeats_are_no_questions() -> None:
    """Of 40 problems 20 are always solved and 20 never: how often halves differ is the hypergeometric distribution's.

    With 8 repeats of 20 problems, |z| > 1.96 wherever a half holds at most 8 or at least 12 of the solved ones.
    """
    found = asked([WRONG] * 40, [[True] * 8] * 20 + [[False] * 8] * 20)
    lie = stats.repeats_as_items(material(found))
    halves = scipy_stats.hypergeom(40, 20, 20)
    assert lie.flattering.value == pytest.approx(2 * halves.cdf(8), abs=0.04)
    # As questions, from 6 solved against 14 on: t(38) = 2.69; 7 against 13 has t = 1.94.
    assert lie.honest.value == pytest.approx(2 * halves.cdf(6), abs=0.02)


def test_lies_of_a_tiny_model(digit_folder: Path, tmp_path: Path) -> None:
    """At least ten demonstrations, each said with both numbers; the same again from the cache; written as JSON."""
    subject, plan = resolve_subject(str(digit_folder)), replace(SMOKE, dtype="float32", backend="hf")
    said: list[str] = []
    lies = run_lies(subject, plan, said.append, cache=tmp_path)
    assert len(lies) == len(LIES) == len({lie.name for lie in lies}) >= 10
    assert len(said) == len(lies) + 2
    for lie, text in zip(lies, said[1:-1], strict=True):
        assert lie.flattering.text in text and lie.honest.text in text and lie.why in text
    assert said[-1] == lies_table(lies)
    assert run_lies(subject, plan, lambda _: None, cache=tmp_path) == lies
    save_lies(lies, tmp_path / "lies.json")
    rows = json.loads((tmp_path / "lies.json").read_text())
    assert rows[0]["flattering"] == {"value": lies[0].flattering.value, "text": lies[0].flattering.text}
    assert [row["flatters"] for row in rows] == [lie.flatters for lie in lies]


def test_leaked_questions_are_learned(digit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model trained long enough on four questions answers them, and not four others."""
    monkeypatch.setattr("rlpath.evals.stress.lies.contamination.STEPS", 150)
    monkeypatch.setattr("rlpath.evals.stress.lies.contamination.RATE", 3e-3)
    from rlpath.evals.stress.lies.contamination import contamination
    from rlpath.evals.stress.lies.material import gather

    plan = replace(SMOKE, dtype="float32", backend="hf")
    found = gather(resolve_subject(str(digit_folder)), plan, tmp_path, lambda _: None)
    lie = contamination(found)
    assert lie.flattering.value == 1.0
    assert lie.honest.value < 0.5


def test_what_cannot_be_shown_is_refused(digit_folder: Path) -> None:
    """Too few problems or samples, or an adapter: one sentence."""
    subject = resolve_subject(str(digit_folder))
    for plan in (replace(SMOKE, size=4), replace(SMOKE, size=None), replace(SMOKE, samples=1)):
        with pytest.raises(InputError, match="--size of at least 8 and --samples of at least 2"):
            run_lies(subject, plan)
    with pytest.raises(InputError, match="is an adapter"):
        run_lies(replace(subject, adapter=digit_folder), SMOKE)


def test_a_lie_in_words() -> None:
    """Name and source, both numbers below each other, then what was done and why it lies."""
    lie = Lie("a lie", "It was told.", Figure(0.5, "50 %"), Figure(0.1, "10 %"), "It is untrue.")
    assert (
        str(lie) == "a lie (answers of this run)\n  flattering: 50 %\n  honest:     10 %\n  It was told. It is untrue."
    )
