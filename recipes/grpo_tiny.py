"""Reinforcement learning on the model that `sft_tiny.py` made: the third stage of a chat model on a laptop.

    python recipes/grpo_tiny.py --model 'runs/sft_tiny/HASH/seed-{seed}/model'

It is the loop that `grpo_arithmetic.py` has, with settings for a model of a few million weights, all of which train.
The training problems are every sum of the training side, most of which the model has seen neither asked nor answered.
`{seed}` stands for the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import InputError, run_command
from rlpath.envs.tiny_text import worked_sums
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import run_experiment
from rlpath.posttrain.settings import GRPOSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GRPOSettings):
    level: str = "add-1x2"
    """which sums, as in pretraining"""


CPU = Settings(
    model="",
    lora_rank=0,
    steps=40,
    prompts_per_step=16,
    micro_batch=128,
    max_completion_length=32,
    learning_rate=2e-4,
    eval_problems=100,
    eval_samples=4,
    checkpoint_every=10,
    log_to="none",
)
PRESETS = {
    "smoke": replace(
        CPU, preset="smoke", steps=2, prompts_per_step=4, group_size=4, micro_batch=16, max_completion_length=4,
        eval_problems=2, eval_samples=2, checkpoint_every=1,
    ),
    "cpu": CPU,
}  # fmt: skip
PRESETS |= {name: replace(CPU, preset=name) for name in ("gpu-24gb", "gpu-80gb")}


def main() -> None:
    settings = read_settings(PRESETS)
    if not settings.model:
        raise InputError("--model is missing: name the folder that recipes/sft_tiny.py printed at its end")
    held_out = worked_sums("validation", settings.level, size=settings.eval_problems)
    run_experiment("grpo_tiny", settings, worked_sums("train", settings.level), held_out)


if __name__ == "__main__":
    run_command(main)
