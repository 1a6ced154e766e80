"""A reward, data and a loss of one's own in a recipe, as its docstring says; options that need a whole run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from rlpath.core.files import read_json
from rlpath.runs.run_folder import read_run

ROOT = Path(__file__).parents[2]
GSM8K = ROOT / "recipes" / "grpo_gsm8k.py"
ARITHMETIC = str(ROOT / "recipes" / "grpo_arithmetic.py")
IMPORTS = """
from rlpath.core.types import Problem
from rlpath.posttrain.objectives import GroupObjective
from rlpath.posttrain.verify import Reward
"""
Launch = Callable[..., Any]


def test_the_documented_example_runs(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """Its lines put into a copy of the recipe: both rewards are logged, and the problems are its own."""
    source = GSM8K.read_text()
    documented = dedent(source[source.index("    def short(") : source.index('"""\n\nfrom __future__')])
    functions, lines = documented[: documented.index("train = ")], documented[documented.index("train = ") :]
    data, training = lines.splitlines()[0], lines.splitlines()[1:]
    own = source.replace("from rlpath.core.errors", f"{IMPORTS}\nfrom rlpath.core.errors", 1)
    own = own.replace("def main()", f"{functions}\ndef main()", 1)
    own = own.replace("    experiment = load", f"    {data}\n    experiment = load", 1)
    body = "\n".join(f"    {line}" for line in training)
    own = own.replace("    experiment.train()\n", f"{body}\n", 1)
    (tmp_path / "own.py").write_text(own)

    flags = ("--smoke", "--data", "gsm_symbolic", "--model", str(digit_folder), "--root", str(tmp_path / "runs"))
    done = launch(str(tmp_path / "own.py"), *flags)

    assert done.status == 0, done.err
    (path,) = (tmp_path / "runs").glob("grpo_gsm8k/*/seed-0")
    run = read_run(path)
    assert all(sample["prompt"].endswith("+ 1?") for sample in run.samples)
    for row in run.metrics:
        assert row["reward"] == pytest.approx(row["reward/verifier"] + 0.1 * row["reward/short"])
    assert run.manifest["verifiers"]["training"] == "verifier + short"


def test_a_run_is_evaluated_while_it_trains_and_its_best_is_kept(
    launch: Launch, digit_folder: Path, tmp_path: Path
) -> None:
    """Two evaluations of four steps, in the metrics and the report; best/ says which it is; other hardware goes on."""
    flags = ("--smoke", "--level", "add-1", "--steps", "4", "--eval-every", "2", "--model", str(digit_folder))
    command = (ARITHMETIC, *flags, "--system", "Be brief.", "--root", str(tmp_path))
    assert launch(*command, at="generation").status == -9
    done = launch(*command, "--micro-batch", "3")

    assert done.status == 0, done.err
    (path,) = tmp_path.glob("grpo_arithmetic/*/seed-0")
    run = read_run(path)
    measured = {row["step"]: row["eval/pass@1"] for row in run.metrics if "eval/pass@1" in row}
    assert measured.keys() == {2, 4}
    chosen = json.loads((path / "best" / "selection.json").read_text())
    assert chosen["pass@1"] == max(measured.values())
    assert (path / "best" / "adapter_model.safetensors").is_file()
    assert read_json(path / "best" / "adapter_config.json")["base_model_name_or_path"] == str(digit_folder)
    report = (path / "report.html").read_text()
    assert "Learning curve" in report
    assert "Form or correctness" in report


def test_a_control_is_named_in_the_report(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """A reward is no verdict: manifest and report say so."""
    flags = ("--smoke", "--level", "add-1", "--reward", "random", "--model", str(digit_folder))
    done = launch(ARITHMETIC, *flags, "--root", str(tmp_path))
    assert done.status == 0, done.err
    (path,) = tmp_path.glob("grpo_arithmetic/*/seed-0")
    assert "control reward" in (path / "report.html").read_text()


def test_thinking_is_refused_where_the_template_has_no_switch(
    launch: Launch, digit_folder: Path, tmp_path: Path
) -> None:
    """Status 2 and one sentence, before anything is sampled."""
    flags = ("--smoke", "--level", "add-1", "--thinking", "off", "--model", str(digit_folder))
    done = launch(ARITHMETIC, *flags, "--root", str(tmp_path))
    assert done.status == 2
    assert "does not read enable_thinking" in done.err
