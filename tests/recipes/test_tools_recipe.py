"""The recipe for tools as a user starts it: episodes in the run folder, the report, and a killed run that goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlpath.runs.run_folder import RunRecord, read_run

ROOT = Path(__file__).parents[2]
TOOLS = str(ROOT / "recipes" / "grpo_tools.py")
FLAGS = ("--smoke", "--environment", "number-guessing:7", "--learning-rate", "0.02")


def only_run(root: Path) -> RunRecord:
    (path,) = root.glob("grpo_tools/*/seed-0")
    return read_run(path)


def test_tools_killed_and_resumed(launch: Callable[..., Any], digit_folder: Path, tmp_path: Path) -> None:
    """Samples hold the turns, the report says how tools are used, and kill -9 in a rollout changes no sample."""
    command = (TOOLS, *FLAGS, "--model", str(digit_folder))
    done = launch(*command, "--root", str(tmp_path / "whole"))
    assert done.status == 0, done.err
    whole = only_run(tmp_path / "whole")
    assert [row["step"] for row in whole.metrics] == [1, 2]
    assert all(row["episode/turns"] == 1 and row["tools/calls"] == 0 for row in whole.metrics)
    assert all(turns[0][0] == "assistant" for sample in whole.samples for turns in [sample["turns"]])
    lines = (whole.path / "evaluations" / "after.jsonl").read_text().splitlines()
    assert all(json.loads(line)["tools"] == {"calls": 0} for line in lines[1:])
    assert "call one, and no call fails" in (whole.path / "report.html").read_text()

    assert launch(*command, "--root", str(tmp_path / "cut"), at="update").status == -9
    assert launch(*command, "--root", str(tmp_path / "cut")).status == 0
    assert only_run(tmp_path / "cut").samples == whole.samples


def test_a_model_without_tools_is_refused(launch: Callable[..., Any], digit_folder: Path, tmp_path: Path) -> None:
    """One sentence with the remedy, exit status 2, before anything is sampled."""
    done = launch(TOOLS, *FLAGS, "--model", str(digit_folder), "--chat-template", "chatml", "--root", str(tmp_path))

    assert done.status == 2
    assert "leaves out the calls and their arguments: choose a model whose template has tools" in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("grpo_tools/*/seed-0/evaluations/*"))


def test_programs_are_rewarded_by_their_tests(launch: Callable[..., Any], digit_folder: Path, tmp_path: Path) -> None:
    """Without MBPP the tasks of our own, said so; two steps, an evaluation, and the share of tests as the reward."""
    flags = ("--smoke", "--rewarded", "share", "--model", str(digit_folder), "--root", str(tmp_path))
    done = launch(str(ROOT / "recipes" / "grpo_code.py"), *flags)

    assert done.status == 0, done.err
    assert done.out.startswith("tasks: a few of our own instead of MBPP")
    (path,) = tmp_path.glob("grpo_code/*/seed-0")
    run = read_run(path)
    assert [row["step"] for row in run.metrics] == [1, 2]
    assert {sample["problem_id"] for sample in run.samples} <= {"add_up", "is_even", "largest_gap", "without_copies"}
    assert run.manifest["verifiers"]["training"] == "tests passed"
