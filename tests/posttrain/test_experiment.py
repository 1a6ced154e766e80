"""What every experiment with a language model shares: what it refuses, what it says it put in place, two processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate import PartialState
from transformers import AutoTokenizer

from rlpath.core.errors import InputError
from rlpath.core.types import Problem
from rlpath.envs.arithmetic import arithmetic
from rlpath.models.load import context_length
from rlpath.posttrain import on_policy
from rlpath.posttrain.experiment import RunContext, check_prompt_lengths
from rlpath.posttrain.settings import GRPOSettings
from rlpath.posttrain.tuning import check_max_length
from rlpath.posttrain.tuning_settings import TuningSettings
from rlpath.runs.run_folder import RunRecord, read_run

ROOT = Path(__file__).parents[2]
Launch = Callable[..., Any]
SUMS = ("--smoke", "--data", "arithmetic:add-1")
RECIPES = {
    "sft_gsm8k": SUMS,
    "dpo": ("--smoke", "--prompts", "40", "--eval-problems", "20", "--eval-samples", "8"),
    "reward_model": ("--smoke", "--batch", "4"),
    "ppo_rlhf": ("--smoke", "--level", "add-1"),
    "grpo_arithmetic": ("--smoke", "--level", "add-1"),
}


def recipe(name: str) -> str:
    return str(ROOT / "recipes" / f"{name}.py")


def only_run(root: Path, name: str) -> RunRecord:
    (path,) = root.glob(f"{name}/*/seed-0")
    return read_run(path)


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pairs whose better answer is the one that says please."""
    path = tmp_path_factory.mktemp("pairs") / "manners.jsonl"
    rows = [{"prompt": f"Ask for {i}.", "chosen": f"{i}, please.", "rejected": f"{i}, now!!"} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def context(model: Path) -> RunContext:
    return RunContext(None, PartialState(cpu=True), model)


def test_prompts_that_do_not_fit_are_counted_and_not_cut(tiny_folder: Path, tmp_path: Path) -> None:
    """Two of three are longer than 1024 tokens, or than what a short context leaves beside 24 of a completion."""
    problems = [Problem("short", "1+1?", "2"), Problem("long", "a" * 1100, "2"), Problem("longer", "a" * 1200, "2")]
    with pytest.raises(InputError, match="2 of 3 prompts are longer than the 1024 tokens that fit beside"):
        check_prompt_lengths(context(tiny_folder), problems, GRPOSettings())
    check_prompt_lengths(context(tiny_folder), problems[:1], GRPOSettings())

    shutil.copytree(tiny_folder, tmp_path / "narrow")
    config = json.loads((tmp_path / "narrow" / "config.json").read_text())
    (tmp_path / "narrow" / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 30}))
    with pytest.raises(InputError, match="3 of 3 prompts are longer than the 6 tokens that fit beside a completion"):
        check_prompt_lengths(context(tmp_path / "narrow"), problems, GRPOSettings())


def test_a_limit_beyond_the_context_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    """A model of 2048 positions reads 2048 tokens; where the config says nothing there is no limit."""
    assert context_length(tiny_folder) == 2048
    check_max_length(context(tiny_folder), TuningSettings(max_length=2048))
    with pytest.raises(InputError, match="--max-length 2049 is more than the 2048 tokens that the model can read"):
        check_max_length(context(tiny_folder), TuningSettings(max_length=2049))
    (tmp_path / "config.json").write_text("{}")
    assert context_length(tmp_path) is None


def test_a_padding_token_that_stands_in_is_told_of(launch: Launch, digit_folder: Path, tmp_path: Path) -> None:
    """By rollouts and by given answers alike: on the console, in the report and on the card."""
    model = tmp_path / "no-pad"
    shutil.copytree(digit_folder, model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(model)
    for name in ("ppo_rlhf", "sft_gsm8k"):
        done = launch(recipe(name), *RECIPES[name], "--model", str(model), "--root", str(tmp_path))
        assert done.status == 0, done.err
        sentence = "the tokenizer has no padding token: its end token <|im_end|> pads"
        assert f"note: {sentence}" in done.out
        run = only_run(tmp_path, name)
        assert sentence in (run.path / "model" / "README.md").read_text()
        assert "the tokenizer has no padding token" in (run.path / "report.html").read_text()


@pytest.mark.parametrize("name", ["ppo_rlhf", "grpo_arithmetic"])
def test_a_policy_that_diverges_stops_in_one_sentence(
    name: str, launch: Launch, digit_folder: Path, tmp_path: Path
) -> None:
    """A learning rate of 1e30: status 2 and no traceback, whether the loss or the sampler sees it first."""
    flags = (*RECIPES[name], "--learning-rate", "1e30", "--model", str(digit_folder), "--root", str(tmp_path))
    done = launch(recipe(name), *flags, "--steps", "4")

    assert done.status == 2, done.err
    assert "not finite" in done.err
    assert "--learning-rate" in done.err
    assert "Traceback" not in done.err
    assert not only_run(tmp_path, name).finished


def test_dpo_s_pairs_and_its_evaluation_can_have_different_verifiers(
    launch: Launch, digit_folder: Path, tmp_path: Path
) -> None:
    """The sloppy verifier makes the training pairs, the strict one judges; manifest and report say so."""
    flags = (*RECIPES["dpo"], "--train-verifier", "contains", "--model", str(digit_folder))
    done = launch(recipe("dpo"), *flags, "--root", str(tmp_path))
    assert done.status == 0, done.err
    run = only_run(tmp_path, "dpo")

    assert run.manifest["verifiers"] == {
        "training": "ContainsVerifier",
        "evaluation": "NumberVerifier",
        "same_code": False,
    }
    assert "rewarded by ContainsVerifier" in (run.path / "report.html").read_text()
    sampled = [json.loads(line) for line in (run.path / "evaluations" / "own_samples.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in sampled} <= {"it occurs", "it does not occur", "nothing is said"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sft_gsm8k", "dpo", "reward_model", "ppo_rlhf"])
def test_two_processes_train_as_one(name: str, digit_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    """`accelerate launch` on two processes ends in a report, with the first loss of one process on the same batch.

    PPO's processes draw rollouts of their own: there the number of completions of a step is that of one process.
    """
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    data = ["--data", str(pairs_file)] if name == "reward_model" else []
    flags = [*RECIPES[name], *data, "--log-to", "tensorboard", "--model", str(digit_folder), "--root"]
    runs = []
    for folder, start in (("one", [sys.executable]), ("two", [*launcher, "--main_process_port", "0"])):
        command = [*start, recipe(name), *flags, str(tmp_path / folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        runs.append(only_run(tmp_path / folder, name))

    one, two = runs
    assert two.finished
    assert two.manifest["processes"] == 2
    if name == "ppo_rlhf":
        assert len(two.samples) == len(one.samples) == 2 * 16
    else:
        assert two.metrics[0]["loss"] == pytest.approx(one.metrics[0]["loss"], rel=0.02)


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_sharding_is_refused_before_any_work(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not even a run folder is made."""
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    problems = arithmetic("train", "add-1", size=2)
    with pytest.raises(InputError, match=f"does not shard it: without {name}"):
        on_policy.load("any", GRPOSettings(root=tmp_path), problems, problems)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("backend", "asked"), [("vllm", 512), ("hf", 256)])
def test_vllm_decodes_a_step_at_once(
    backend: str, asked: int, digit_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """64 prompts of 8 completions are 512 sequences, above which vLLM would queue; our sampler takes them in parts."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(on_policy, "choose_backend", lambda _: backend)
    monkeypatch.setattr(on_policy, "load_sampler", lambda *_, **options: given.update(options))
    problems = arithmetic("train", "add-1", size=2)
    on_policy.load("any", GRPOSettings(root=tmp_path, model=str(digit_folder), prompts_per_step=64), problems, problems)
    assert given["max_batch"] == asked
