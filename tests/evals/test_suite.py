"""The suite from models to the saved result: who takes part, what is asked and cached, what is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.evals import evaluate
from rlpath.evals.report.suite_table import result_lines
from rlpath.evals.suite.entrants import resolve_models
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.result import SuiteResult, read_result
from rlpath.evals.suite.subject import LazySampler

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
    from rlpath.core.files import lock

    (tmp_path / "out").mkdir()
    with lock(tmp_path / "out" / ".lock"), pytest.raises(InputError, match=r"process \d+ is evaluating into"):
        run(digit_folder, other_folder, tmp_path / "out")


def test_killed_in_the_middle(
    tmp_path: Path, digit_folder: Path, other_folder: Path, launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 the same suite asks only what was not answered: three of four chunks, and ends as one uncut."""
    command = ["rlpath/cli/main.py", "eval", "--model", str(digit_folder), "--baseline", str(other_folder)]
    flags = ["--tasks", "arithmetic", "--samples", "2", "--size", "6", "--max-tokens", "6", "--backend", "hf"]
    out = tmp_path / "out"
    done = launch(*command, *flags, "--out", str(out), at="suite", RLPATH_CACHE=str(tmp_path))
    assert done.status == -9
    (answers,) = (tmp_path / "evaluations").glob("*.jsonl")
    first = answers.read_text()
    assert len(first.splitlines()) == 1 + 6
    calls: list[int] = []
    generate = LazySampler.generate

    def counted(self: LazySampler, prompts: Sequence[Sequence[int]], decoding: Any) -> Any:
        calls.append(len(prompts) * decoding.n)
        return generate(self, prompts, decoding)

    monkeypatch.setattr(LazySampler, "generate", counted)
    plan = Plan(2, 6, max_tokens=6, backend="hf")
    resumed = run(digit_folder, other_folder, out, plan)

    assert calls == [12, 6, 12]
    assert answers.read_text().startswith(first)
    assert run(digit_folder, other_folder, tmp_path / "again" / "out", plan).contrasts == resumed.contrasts


def test_a_plan_is_recorded_before_the_first_question(tmp_path: Path, digit_folder: Path, other_folder: Path) -> None:
    """Its rules are ruled on, what was asked before it is named, and a plan that comes later does not count."""
    plan = tmp_path / "prereg.toml"
    plan.write_text(
        f'hypothesis = "h"\nmodels = ["{digit_folder.name}"]\nbaseline = "b"\ntasks = ["arithmetic"]\n'
        'metric = "pass@1"\nn = 6\nseeds = [0]\n[[rule]]\nname = "gain"\ntask = "arithmetic"\nmetric = "pass@1"\n'
        'when = "difference > -2"\nthen = "say so"\n'
    )
    planned = run(digit_folder, other_folder, tmp_path / "one", prereg=plan)
    assert planned.manifest["prereg"]["text"] == plan.read_text()
    assert any(line.startswith("met: gain") for line in planned.prereg)
    assert any(line.startswith("exploratory: greedy") for line in planned.prereg)
    assert not any("before the preregistration" in line for line in planned.warnings)

    run(digit_folder, other_folder, tmp_path / "two")
    late = run(digit_folder, other_folder, tmp_path / "two", prereg=plan)
    assert late.manifest["prereg"] is None
    assert any(line.startswith("not registered: gain") for line in late.prereg)


def test_another_suite_in_the_folder(tmp_path: Path, digit_folder: Path, other_folder: Path) -> None:
    """Other models, tasks or plan need a folder of their own; so does a result of another version."""
    run(digit_folder, other_folder, tmp_path / "out")
    with pytest.raises(InputError, match=r"holds a suite of other plan\.samples \(2 there, 0 now\)"):
        run(digit_folder, other_folder, tmp_path / "out", Plan(0, 6, max_tokens=6))
    path = tmp_path / "out" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 0}))
    with pytest.raises(InputError, match="written by another version of the suite"):
        run(digit_folder, other_folder, tmp_path / "out")


def test_a_model_without_a_chat_template(tmp_path: Path, digit_folder: Path, other_folder: Path) -> None:
    """It is refused with the remedy, before anything is asked; in plain text it is asked like all others."""
    plain = tmp_path / "plain"
    shutil.copytree(digit_folder, plain)
    (plain / "chat_template.jinja").unlink()

    with pytest.raises(InputError, match=r"plain has no chat template in its tokenizer; .* --template text"):
        run(plain, other_folder, tmp_path / "out")
    result = run(plain, other_folder, tmp_path / "text", template="text")
    assert {one.template for one in result.headlines} == {"text"}


def test_an_adapter_without_its_base(tmp_path: Path, other_folder: Path) -> None:
    """The adapter's file names the base that is missing."""
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere/base"}')

    with pytest.raises(InputError, match="model '/nowhere/base' is neither a folder"):
        run(tmp_path / "adapter", other_folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("models", "baseline", "sentence"),
    [
        ([], ["b"], "no model was given"),
        (["a", "a"], ["b"], "are the same weights: name each model once"),
        (["a", "b"], [], "2 models and no baseline were given: name what they are compared with"),
        (["nothing"], ["b"], "model 'nothing' is neither a folder, nor a hub id"),
    ],
)
def test_who_cannot_take_part(
    models: list[str], baseline: list[str], sentence: str, digit_folder: Path, other_folder: Path
) -> None:
    """One sentence each."""
    paths = {"a": str(digit_folder), "b": str(other_folder)}
    with pytest.raises(InputError, match=sentence):
        resolve_models([paths.get(name, name) for name in models], [paths.get(name, name) for name in baseline])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"samples": -1}, "--samples is -1"),
        ({"samples": 4, "k": 8}, "--k is 8, with 4 samples: k must lie within 1 and --samples"),
        ({"size": 0}, "--size is 0"),
        ({"max_tokens": 0}, "--max-tokens is 0"),
        ({"temperature": 0.0}, "--temperature is 0"),
    ],
)
def test_a_plan_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    """The option and its value are named."""
    with pytest.raises(InputError, match=sentence):
        Plan(**options)


@pytest.mark.needs("train")
def test_the_command_ends_with_status_2(launch: Callable[..., Any]) -> None:
    """Without a model there is nothing to ask: one line, no traceback."""
    done = launch("rlpath/cli/main.py", "eval")

    assert done.status == 2
    assert done.err.strip() == (
        "error: no model was given: name at least one with --model, such as smollm2-135m-instruct"
    )
