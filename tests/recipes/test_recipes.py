"""Recipes as a user starts them: what a run leaves behind, what it survives, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlpath.runs.run_folder import RunFolder, RunRecord, read_run
from tests.house.test_pages import unexplained

ROOT = Path(__file__).parents[2]
ARITHMETIC = str(ROOT / "recipes" / "grpo_arithmetic.py")
PPO = str(ROOT / "recipes" / "ppo_rlhf.py")
HACK = str(ROOT / "recipes" / "hack_the_reward.py")
GSM8K = str(ROOT / "recipes" / "grpo_gsm8k.py")
SMOKE = ("--smoke", "--level", "add-1", "--steps", "4", "--learning-rate", "0.02")
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


Launch = Callable[..., Any]


def only_run(root: Path, recipe: str = "grpo_arithmetic") -> RunRecord:
    (path,) = root.glob(f"{recipe}/*/seed-0")
    return read_run(path)


def numbers(run: RunRecord) -> list[dict[str, Any]]:
    """The metrics without the times."""
    return [{k: v for k, v in row.items() if k != "wall_s" and not k.startswith("seconds/")} for row in run.metrics]


def adapter(run: RunRecord) -> bytes:
    return (run.path / "model" / "adapter_model.safetensors").read_bytes()


def assert_same(run: RunRecord, reference: RunRecord) -> None:
    """Metrics, samples, both evaluations and the last bit of the trained adapter."""
    assert numbers(run) == numbers(reference)
    assert run.samples == reference.samples
    for name in ("before", "after"):
        file = Path("evaluations") / f"{name}.jsonl"
        assert (run.path / file).read_text() == (reference.path / file).read_text()
    assert adapter(run) == adapter(reference)


@pytest.fixture(scope="module")
def reference(digit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """One run without any interruption, started as a user starts it."""
    root = tmp_path_factory.mktemp("reference")
    done = subprocess.run(
        [sys.executable, ARITHMETIC, *SMOKE, "--model", str(digit_folder), "--root", str(root)],
        env={**os.environ, **ENVIRONMENT},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "training on arithmetic:add-1" in done.stdout
    assert "step 4/4: reward" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("report: ")
    return only_run(root)


def test_a_run_leaves_everything_it_should(reference: RunRecord, digit_folder: Path) -> None:
    """Files of the run folder, four logged steps with rates that sum to 1, sixteen judged samples a step, a verdict."""
    assert reference.finished
    assert reference.config["model"] == str(digit_folder)
    assert {"git", "packages", "hardware", "data", "cpu", "rollouts", "processes"} <= reference.manifest.keys()
    assert [data["name"] for data in reference.manifest["data"]] == ["arithmetic:add-1"] * 2
    assert reference.manifest["rollouts"]["backend"] == "hf"
    assert [row["step"] for row in reference.metrics] == [1, 2, 3, 4]
    for row in reference.metrics:
        assert sum(value for name, value in row.items() if name.startswith("status/")) == pytest.approx(1)
        assert row["reward"] == row["status/correct"]
        assert row["learning_rate"] == 0.02
        mine = [sample for sample in reference.samples if sample["step"] == row["step"]]
        assert len(mine) == 16
        assert row["reward"] == sum(sample["status"] == "correct" for sample in mine) / 16
        assert row["logprob_gap/max"] < 0.5
        assert unexplained(row) == []
    assert sum(row["reward"] for row in reference.metrics) > 0
    held_out = {json.loads(line)["problem_id"] for line in evaluation(reference, "before")}
    assert len(held_out) == 4
    assert not held_out & {sample["problem_id"] for sample in reference.samples}
    assert len(evaluation(reference, "after")) == 4 * (1 + 2)
    assert (reference.path / "evaluations" / "verdict.json").is_file()
    assert "<html" in (reference.path / "report.html").read_text()


def evaluation(run: RunRecord, name: str) -> list[str]:
    return (run.path / "evaluations" / f"{name}.jsonl").read_text().splitlines()[1:]


def test_killed_at_every_stage_a_run_ends_as_if_it_had_not_been(
    launch: Launch, reference: RunRecord, digit_folder: Path, tmp_path: Path
) -> None:
    """kill -9 in both evaluations, in a rollout, half-way through a line and a checkpoint, and before its mark."""
    command = (ARITHMETIC, *SMOKE, "--model", str(digit_folder), "--root", str(tmp_path))
    stages = (
        ("evaluation before", 0),
        ("generation", 2),
        ("verification", 2),
        ("advantages", 2),
        ("optimizer", 2),
        ("half a metrics line", 2),
        ("half a checkpoint", 3),
        ("unmarked checkpoint", 3),
        ("evaluation after", 4),
    )
    for stage, steps in stages:
        done = launch(*command, at=stage)
        assert done.status == -9, (stage, done)
        assert len(only_run(tmp_path).metrics) == steps
        assert not only_run(tmp_path).finished
    so_far = (only_run(tmp_path).path / "report.html").read_text()
    assert "has not finished: the last logged step is 4 of 4." in so_far

    done = launch(*command)

    assert done.status == 0, done.err
    assert_same(only_run(tmp_path), reference)
    again = launch(*command)
    assert again.status == 0
    assert again.out == f"this run is finished: {only_run(tmp_path).path / 'report.html'}\n"


def test_ppo_killed_and_interrupted_ends_as_if_it_had_not_been(
    launch: Launch, digit_folder: Path, tmp_path: Path
) -> None:
    """kill -9 in a rollout, an update and a checkpoint, and Ctrl-C: the metrics and the adapter of a whole run."""
    flags = ("--smoke", "--steps", "3", "--learning-rate", "0.02", "--kl-target", "0.1", "--model", str(digit_folder))
    done = launch(PPO, *flags, "--root", str(tmp_path / "whole"))
    assert done.status == 0, done.err
    whole = only_run(tmp_path / "whole", "ppo_rlhf")
    assert [row["step"] for row in whole.metrics] == [1, 2, 3]
    assert {"kl/completion", "explained_variance", "clip_ratio", "entropy"} <= whole.metrics[-1].keys()
    assert unexplained(whole.metrics[-1]) == []
    assert {sample["step"] for sample in whole.samples} == {1, 2, 3}
    assert len(whole.samples) == 48
    assert whole.manifest["verifiers"]["same_code"]
    assert "the same code, NumberVerifier" in (whole.path / "report.html").read_text()

    command = (PPO, *flags, "--root", str(tmp_path / "cut"))
    stages = (("update", -9), ("Ctrl-C in training", 130), ("generation", -9), ("checkpoint", -9))
    for stage, status in stages:
        assert launch(*command, at=stage).status == status, stage
    done = launch(*command)

    assert done.status == 0, done.err
    assert_same(only_run(tmp_path / "cut", "ppo_rlhf"), whole)


def test_training_and_evaluation_can_have_different_verifiers(
    launch: Launch, digit_folder: Path, tmp_path: Path
) -> None:
    """The sloppy one accepts at least what the strict one does, and the report says that they differ."""
    flags = ("--smoke", "--steps", "1", "--train-verifier", "contains", "--model", str(digit_folder))
    assert launch(ARITHMETIC, *flags, "--root", str(tmp_path)).status == 0
    run = only_run(tmp_path)

    assert run.manifest["verifiers"] == {
        "training": "ContainsVerifier",
        "evaluation": "NumberVerifier",
        "same_code": False,
    }
    assert "rewarded by ContainsVerifier" in (run.path / "report.html").read_text()
    reasons = {sample["reason"] for sample in run.samples}
    assert reasons <= {"it occurs", "it does not occur", "nothing is said"}


def test_ctrl_c_saves_says_how_to_go_on_and_goes_on(
    launch: Launch, reference: RunRecord, digit_folder: Path, tmp_path: Path
) -> None:
    """Status 130 and no traceback, in an evaluation and in training; the step in progress is kept."""
    command = (ARITHMETIC, *SMOKE, "--model", str(digit_folder), "--root", str(tmp_path))

    for stage in ("Ctrl-C in evaluation", "Ctrl-C in training"):
        done = launch(*command, at=stage)
        assert done.status == 130
        assert "Traceback" not in done.err
        assert "the same command goes on" in done.err
    assert "stopping after this step" in done.err
    assert "stopped at step 2" in done.out
    assert (only_run(tmp_path).path / "checkpoints" / "checkpoint-2" / "complete").is_file()

    assert launch(*command).status == 0
    assert_same(only_run(tmp_path), reference)


EXHIBITS = {
    "sloppy-verifier": {"sloppy", "strict"},
    "added-format": {"added", "gated"},
    "length-bias": {"biased", "length-free", "high KL", "ensemble"},
    "overoptimization": {"biased"},
}


def test_every_exhibit_of_reward_hacking_ends_in_a_page(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """Two seeds of every arm, curves of both rewards, figures; a second call trains nothing."""
    for exhibit, arms in EXHIBITS.items():
        flags = ("--smoke", "--seeds", "0-1", "--exhibit", exhibit, "--model", str(digit_folder))
        done = launch(HACK, *flags, "--root", str(tmp_path))
        assert done.status == 0, done.err
        folder = tmp_path / "hack_the_reward" / exhibit
        curves = json.loads((folder / "curves.json").read_text())
        assert curves.keys() == arms
        for seeds in curves.values():
            assert seeds.keys() == {"0", "1"}
            assert all(seed["steps"] == [1, 2] and len(seed["true"]) == 2 for seed in seeds.values())
        assert {path.stem for path in folder.glob("*.svg")} == arms
        assert "proxy reward" in (folder / "index.html").read_text()
    best = json.loads((tmp_path / "hack_the_reward" / "overoptimization" / "best_of_n.json").read_text())
    assert [row["n"] for row in best["1"]] == [1, 2, 4]
    fits = json.loads((tmp_path / "hack_the_reward" / "length-bias" / "reward_models.json").read_text())
    assert len(fits) == 6
    # The biased arm is one run for both exhibits that show it.
    assert len(list((tmp_path / "hack_the_reward").glob("*/seed-0"))) == 8

    runs = {path: path.stat().st_mtime_ns for path in tmp_path.glob("hack_the_reward/*/seed-*/samples.jsonl")}
    again = launch(HACK, "--smoke", "--seeds", "0-1", "--model", str(digit_folder), "--root", str(tmp_path))
    assert again.status == 0
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    for seeds in ("2-1", "a", "1,1", ""):
        refused(launch(HACK, "--smoke", "--seeds", seeds, "--model", str(digit_folder)), "--seeds")


def test_a_second_process_is_refused(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """While one process holds the run folder another leaves with status 2 and one line."""
    command = (ARITHMETIC, *SMOKE, "--model", str(digit_folder), "--root", str(tmp_path))
    assert launch(*command, at="evaluation before").status == -9
    record = only_run(tmp_path)

    with RunFolder.open(tmp_path, "grpo_arithmetic", record.config, 0):
        done = launch(*command)

    refused(done, f"in use by process {os.getpid()}")


def refused(done: Any, words: str) -> None:
    assert done.status == 2, done
    lines = [line for line in done.err.splitlines() if line]
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    assert words in lines[0]


def test_what_cannot_work_is_refused_in_one_sentence(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """Sizes, folders and models: status 2, one line, before anything is trained."""
    (tmp_path / "file").touch()
    broken, other = tmp_path / "broken", tmp_path / "other"
    for folder in (broken, other):
        folder.mkdir()
        for file in digit_folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    cases = (
        (("--group-size", "1"), "--group-size 1 must be at least 2"),
        (("--max-completion-length", "0"), "--max-completion-length 0 must be at least 1"),
        (("--mini-batch", "6"), "--mini-batch 6 must hold whole groups"),
        (("--micro-batch", "0"), "--micro-batch 0 must be at least 1"),
        (("--root", str(tmp_path / "file")), "file"),
        (("--root", "/sys/runs"), "/sys/runs"),
        (("--model", str(broken)), "model.safetensors"),
        (("--model", str(other)), "BertModel, not a causal language model"),
        (("--model", str(tmp_path)), "holds no config.json"),
        (("--model", "nothing"), "'nothing' is neither a folder"),
        (("--level", "add-9"), "'add-9' is not one of"),
        (("--held-out-fraction", "1.5"), "1.5"),
        (("--preset", "laptop"), "laptop is not one of"),
    )
    for flags, words in cases:
        defaults = ("--smoke", "--model", str(digit_folder), "--root", str(tmp_path / "runs"))
        refused(launch(ARITHMETIC, *defaults, *flags), words)


def test_word_problems_from_a_file_or_generated(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """GSM8K where RLPATH_DATA has it, else gsm_symbolic: named in the first line, in the manifest and the report."""
    data = tmp_path / "data" / "gsm8k" / "train.jsonl"
    data.parent.mkdir(parents=True)
    rows = [{"question": f"How many are {i} and 1?", "answer": f"It is {i + 1}.\n#### {i + 1}"} for i in range(520)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "empty").mkdir()
    flags = ("--smoke", "--model", str(digit_folder), "--root")

    done = launch(GSM8K, *flags, str(tmp_path / "a"), RLPATH_DATA=str(tmp_path / "data"))
    assert done.status == 0, done.err
    assert done.out.startswith(f"problems: GSM8K from {data}\n")
    assert only_run(tmp_path / "a", "grpo_gsm8k").manifest["data"][0]["name"] == "gsm8k"

    done = launch(GSM8K, *flags, str(tmp_path / "b"), RLPATH_DATA=str(tmp_path / "empty"))
    assert done.status == 0, done.err
    assert done.out.startswith("problems: reasoning-gym's gsm_symbolic instead of GSM8K (")
    run = only_run(tmp_path / "b", "grpo_gsm8k")
    assert {row["name"] for row in run.manifest["data"]} == {"reasoning-gym:gsm_symbolic"}
    assert "gsm_symbolic" in (run.path / "report.html").read_text()
    assert len(run.metrics) == 2

    refused(launch(GSM8K, *flags, str(tmp_path / "c"), "--data", "gsm8k", RLPATH_DATA=str(tmp_path / "empty")), "GSM8K")
    data.write_text('{"question": "1?", "answer": "#### 1"}\n{"question": "2?"\n')
    refused(launch(GSM8K, *flags, str(tmp_path / "c"), RLPATH_DATA=str(tmp_path / "data")), "line 2")
    data.write_text("")
    refused(launch(GSM8K, *flags, str(tmp_path / "c"), RLPATH_DATA=str(tmp_path / "data")), str(data))


def test_two_processes_work_on_different_problems(reference: RunRecord, digit_folder: Path, tmp_path: Path) -> None:
    """`accelerate launch` on two processes: each step has four problems, two of each process, four completions each.

    What they sample is what one process samples.
    """
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu"]
    flags = [*SMOKE, "--steps", "2", "--model", str(digit_folder), "--root", str(tmp_path)]
    done = subprocess.run(
        [*launcher, "--main_process_port", "0", ARITHMETIC, *flags],
        env={**os.environ, **ENVIRONMENT},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    run = only_run(tmp_path)
    assert run.finished
    assert run.manifest["processes"] == 2
    for step in (1, 2):
        mine = [sample for sample in run.samples if sample["step"] == step]
        by_process = [{sample["problem_id"] for sample in mine[at : at + 8]} for at in (0, 8)]
        assert [len(ids) for ids in by_process] == [2, 2]
        assert not by_process[0] & by_process[1]
    # Equal problems apart, two processes must not draw the same random numbers.
    first, second = ([sample["completion"] for sample in run.samples[at : at + 8]] for at in (0, 8))
    assert first != second
    assert [sample["completion"] for sample in reference.samples[:16]] == first + second
