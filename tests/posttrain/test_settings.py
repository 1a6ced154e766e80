"""Settings refuse what cannot work in one sentence, and say to TRL exactly what they mean."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Problem
from rlpath.posttrain import training_settings
from rlpath.posttrain.dpo import DPOSettings
from rlpath.posttrain.experiment import preset_for, read_settings
from rlpath.posttrain.problem_stream import ProblemStream
from rlpath.posttrain.settings import GRPOSettings, PPOSettings
from rlpath.posttrain.tuning_settings import TuningSettings
from rlpath.runs.hardware import Gpu

RECIPES = ("grpo_arithmetic", "grpo_gsm8k")
PRESETS = ("smoke", "cpu", "gpu-24gb", "gpu-80gb")


def recipe(name: str) -> Any:
    """A recipe as a module; under a name of its own, which dataclasses look up."""
    known = f"settings_of_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, Path(__file__).parents[2] / "recipes" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"group_size": 1}, "--group-size 1 must be at least 2"),
        ({"max_completion_length": 0}, "--max-completion-length 0 must be at least 1"),
        ({"steps": 0}, "--steps 0"),
        ({"prompts_per_step": 0}, "--prompts-per-step 0"),
        ({"micro_batch": 0}, "--micro-batch 0"),
        ({"lora_rank": -1}, "--lora-rank -1 must be at least 0"),
        ({"warmup_steps": -1}, "--warmup-steps -1"),
        ({"eval_problems": 0}, "--eval-problems 0"),
        ({"eval_samples": 0}, "--eval-samples 0"),
        ({"checkpoint_every": 0}, "--checkpoint-every 0"),
        ({"seed": -1}, "--seed -1"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"temperature": 0.0}, "--temperature"),
        ({"beta": -0.1}, "--beta"),
        ({"gpu_memory": 1.0}, "--gpu-memory"),
        ({"prompts_per_step": 7}, "--prompts-per-step 7 is not divisible by 2 processes"),
        ({"mini_batch": 12}, "--mini-batch 12 must hold whole groups of 8 on each of 2 processes and divide the 64"),
        ({"mini_batch": 48}, "--mini-batch 48 must hold whole groups of 8 on each of 2 processes and divide the 64"),
        ({"top_p": 0.9}, "choose --correction none"),
        ({"top_k": 5}, "choose --correction none"),
        ({"top_p": 0.0}, "--top-p"),
        ({"overlong_buffer": 99}, "--overlong-buffer 99 must be at most --max-completion-length 24"),
        ({"loss": "rloo"}, "--loss rloo has one weight a completion"),
        ({"loss": "rloo", "correction": "none", "beta": 0.1}, "choose --kl-estimator k1"),
        ({"clip": -0.1}, "--clip, --clip-higher and --correction-cap must be positive"),
        ({"dynamic_sampling": -1}, "--dynamic-sampling -1"),
        ({"log_to": "trackio"}, "--log-to trackio needs trackio: `pip install trackio`"),
        ({"push_to_hub": "name"}, "--push-to-hub name must be organization/name"),
    ],
)
def test_impossible_settings_are_one_sentence(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On two processes; the sentence names the flag and its value, and is one line."""
    installed = training_settings.find_spec
    monkeypatch.setattr(training_settings, "find_spec", lambda name: None if name == "trackio" else installed(name))
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        replace(GRPOSettings(), **changes).check(2)
    assert "\n" not in str(refused.value)


PPO = PPOSettings(prompts_per_step=8, group_size=4, micro_batch=16, mini_batch=16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora_rank": 0}, "--lora-rank 0 must be at least 1"),
        ({"epochs": 0}, "--epochs 0 must be at least 1"),
        ({"kl": -0.1}, "--kl -0.1 must be at least 0"),
        ({"kl_target": 0.0}, "--kl-target must be positive"),
        ({"kl": 0.0, "kl_target": 2.0}, "needs a --kl above 0"),
        ({"lam": 1.1}, "--lam must lie between 0 and 1"),
        ({"clip": 0.0}, "--clip"),
        ({"value_learning_rate": 0.0}, "--value-learning-rate"),
        ({"value_coefficient": -1.0}, "--value-coefficient -1.0 must be at least 0"),
        ({"mini_batch": 12}, "--mini-batch 12 must hold whole groups of 4 on each of 2 processes and divide the 32"),
        ({"mini_batch": 24}, "--mini-batch 24"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
    ],
)
def test_impossible_ppo_settings_are_one_sentence(changes: dict[str, Any], words: str) -> None:
    PPO.check(2)
    with pytest.raises(InputError, match=re.escape(words)):
        replace(PPO, **changes).check(2)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("processes", [1, 2])
def test_every_ppo_preset_is_possible(preset: str, processes: int) -> None:
    """On one process and on two, and every field is a flag."""
    settings = recipe("ppo_rlhf").PRESETS[preset]
    assert settings.preset == preset
    settings.check(processes)
    changed = read_settings(recipe("ppo_rlhf").PRESETS, ["--preset", preset, "--kl-target", "3", "--epochs", "4"])
    assert changed == replace(settings, kl_target=3.0, epochs=4)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("processes", [1, 2])
def test_every_preset_is_possible(name: str, preset: str, processes: int) -> None:
    """On one process and on two: sizes fit."""
    settings = recipe(name).PRESETS[preset]
    assert settings.preset == preset
    settings.check(processes)


def test_lora_is_on_every_linear_layer_or_off() -> None:
    """Alpha is twice the rank; rank 0 trains all weights."""
    config = GRPOSettings(lora_rank=4).lora()
    assert config is not None
    assert (config.r, config.lora_alpha, config.target_modules) == (4, 8, "all-linear")
    assert GRPOSettings(lora_rank=0).lora() is None


@pytest.mark.parametrize("name", RECIPES)
def test_the_command_line_is_a_preset_and_single_flags(name: str) -> None:
    """`--preset` and `--smoke` choose where to start; any field can follow, before or after."""
    presets = recipe(name).PRESETS

    assert read_settings(presets, ["--smoke", "--seed", "3"]) == replace(presets["smoke"], seed=3)
    changed = read_settings(presets, ["--steps", "5", "--preset", "gpu-24gb", "--loss", "grpo"])
    assert changed == replace(presets["gpu-24gb"], steps=5, loss="grpo")
    for words in (["--preset", "laptop"], ["--preset"]):
        with pytest.raises(InputError, match="is not one of smoke, cpu, gpu-24gb, gpu-80gb"):
            read_settings(presets, words)


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_is_explained_in_the_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` has a flag for every field."""
    with pytest.raises(SystemExit) as left:
        read_settings(recipe(name).PRESETS, ["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for field in fields(GRPOSettings):
        assert f"--{field.name.replace('_', '-')}" in shown


def test_the_hardware_chooses_the_preset() -> None:
    """By the memory of the smallest GPU; none is a CPU."""
    small, large = Gpu("A", 24 * 2**30), Gpu("B", 80 * 2**30)
    assert preset_for([]) == "cpu"
    assert preset_for([small]) == preset_for([large, small]) == "gpu-24gb"
    assert preset_for([large, large]) == "gpu-80gb"


def test_problems_come_in_passes_over_all_of_them_in_an_order_of_the_seed() -> None:
    """Seven of three problems: two whole passes and one more; a place in the stream needs nothing before it."""
    problems = [Problem(name, f"What is {name}?", name) for name in "abc"]

    order = ProblemStream(problems, seed=1).take(0, 7)

    ids = [problem.id for problem in order]
    assert sorted(ids[:3]) == sorted(ids[3:6]) == ["a", "b", "c"]
    assert ProblemStream(problems, seed=1).take(4, 3) == order[4:]
    assert any(ProblemStream(problems, seed=seed).take(0, 7) != order for seed in (2, 3))


@pytest.mark.parametrize(
    ("gpu", "installed", "changes", "words"),
    [
        (False, True, {}, "needs a CUDA GPU, and none is here"),
        (True, False, {}, "needs bitsandbytes: `pip install bitsandbytes`"),
        (True, True, {"lora_rank": 0}, "choose a --lora-rank above 0"),
        (True, True, {}, ""),
    ],
)
def test_qlora_is_refused_where_it_cannot_be(
    gpu: bool, installed: bool, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU, without bitsandbytes and without an adapter; with all three it is taken."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr("rlpath.posttrain.tuning_settings.find_spec", lambda _: object() if installed else None)
    settings = TuningSettings(quantize="4bit", **changes)

    if words:
        with pytest.raises(InputError, match=f"--quantize 4bit.*{words}"):
            settings.check(1)
    else:
        settings.check(1)
        assert settings.load_options()["quantization_config"].bnb_4bit_quant_type == "nf4"


def test_label_smoothing_is_not_ignored() -> None:
    """TRL reads it for its robust loss alone: for another it is refused."""
    with pytest.raises(InputError, match="--label-smoothing has no part in --loss sigmoid: choose --loss robust"):
        DPOSettings(label_smoothing=0.1).check(1)
    DPOSettings(label_smoothing=0.1, loss="robust").check(1)
