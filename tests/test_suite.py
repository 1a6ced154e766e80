"""The suite from models to the saved result: who takes part, what is asked and cached, what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlpath.errors import InputError
from rlpath.evals import evaluate
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.result import SuiteResult, read_result
from rlpath.evals.suite.table import result_lines

PLAN = Plan(samples=2, size=6, max_tokens=6, backend="hf", dtype="float32")


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Path:
    """A tiny model of the same size as the digit model."""
    folder = tmp_path_factory.mktemp("other-model")
    tiny_model(seed=2, tie_word_embeddings=False).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def run(model: Path, baseline: Path, out: Path, plan: Plan = PLAN, **options: Any) -> SuiteResult:
    """The suite on sums, with a cache of its own beside `out`."""
    return evaluate([str(model)], str(baseline), ["arithmetic"], out=out, plan=plan, cache=out.parent, **options)


def test_a_model_against_a_baseline(tmp_path: Path, digit_folder: Path, other_folder: Path) -> None:
    """One model, one task: figures of both, one verdict, and the same result read back from the file."""
    result = run(digit_folder, other_folder, tmp_path / "out")

    assert [(one.label, one.role) for one in result.entrants] == [
        (digit_folder.name, "model"),
        (other_folder.name, "baseline"),
    ]
    assert [(one.model, one.problems, one.samples) for one in result.headlines] == [
        (digit_folder.name, 6, 2),
        (other_folder.name, 6, 2),
    ]
    (contrast,) = result.contrasts
    assert contrast.same_size
    assert contrast.aggregates[0].metric == "pass@1"
    assert result.family == (f"{digit_folder.name} vs {other_folder.name} on arithmetic",)
    assert all((tmp_path / "out" / path).is_file() for path in result.answers.values())
    assert read_result(tmp_path / "out").contrasts == result.contrasts
    assert any("arithmetic" in line for line in result_lines(result))


def test_greedy_alone(tmp_path: Path, digit_folder: Path, other_folder: Path) -> None:
    """With no samples greedy accuracy decides, by the exact McNemar test."""
    result = run(digit_folder, other_folder, tmp_path / "out", Plan(0, 6, max_tokens=6, backend="hf"))

    (contrast,) = result.contrasts
    assert [one.metric for one in contrast.aggregates] == ["greedy"]
    assert contrast.test == "exact McNemar"
    assert result.headlines[0].pass_at == {}
    assert read_result(tmp_path / "out").headlines == result.headlines


def test_nothing_is_asked_twice(
    tmp_path: Path, digit_folder: Path, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same suite into another folder samples nothing and says the same."""
    first = run(digit_folder, other_folder, tmp_path / "one")
    monkeypatch.setattr("rlpath.evals.suite.subject.load_sampler", lambda *_, **__: pytest.fail("a model was loaded"))

    assert run(digit_folder, other_folder, tmp_path / "two").headlines == first.headlines


def test_two_processes_on_one_folder(tmp_path: Path, digit_folder: Path, other_folder: Path) -> None:
    """While one holds the folder, another is told so."""
    from rlpath.files import lock

    (tmp_path / "out").mkdir()
    with lock(tmp_path / "out" / ".lock"), pytest.raises(InputError, match=r"process \d+ is evaluating into"):
        run(digit_folder, other_folder, tmp_path / "out")
