"""GRPO with a verifiable reward on arithmetic: a real instruct model learns to add, on a laptop, in minutes.

    python recipes/grpo_arithmetic.py
    accelerate launch recipes/grpo_arithmetic.py --preset gpu-24gb
    accelerate launch --num_processes 2 --cpu recipes/grpo_arithmetic.py --smoke

The model is asked "What is 7 + 48? Answer with the number only." and rewarded 1 where its final answer is the sum.
Held-out problems share no pair of operands with training. The run folder ends with `report.html`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.envs.arithmetic import arithmetic
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import load
from rlpath.posttrain.settings import GRPOSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GRPOSettings):
    level: str = "add-1x2"
    """which problems: add-1 (one-digit sums), add-1x2 (one digit and two), add-2, add-sub-1, mul-1, all-2 …"""
    held_out_fraction: float = 0.25
    """share of operand pairs that training never sees"""


CPU = Settings(steps=100, learning_rate=2e-4, eval_problems=150, checkpoint_every=20)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        steps=2,
        prompts_per_step=4,
        group_size=4,
        micro_batch=8,
        max_completion_length=8,
        eval_problems=4,
        eval_samples=2,
        checkpoint_every=1,
        log_to="none",
    ),
    "cpu": CPU,
    "gpu-24gb": replace(
        CPU,
        preset="gpu-24gb",
        model="Qwen/Qwen2.5-0.5B-Instruct",
        level="mul-1x2",
        steps=100,
        prompts_per_step=32,
        micro_batch=64,
        max_completion_length=64,
        learning_rate=1e-4,
        eval_problems=300,
    ),
    "gpu-80gb": replace(
        CPU,
        preset="gpu-80gb",
        model="Qwen/Qwen2.5-1.5B-Instruct",
        level="mul-1x2",
        steps=100,
        prompts_per_step=64,
        micro_batch=128,
        max_completion_length=64,
        learning_rate=1e-4,
        eval_problems=300,
    ),
}


def main() -> None:
    settings = read_settings(PRESETS)
    train = arithmetic("train", settings.level, held_out_fraction=settings.held_out_fraction)
    everything = arithmetic("validation", settings.level, held_out_fraction=settings.held_out_fraction)
    size = min(settings.eval_problems, len(everything))
    held_out = arithmetic("validation", settings.level, size=size, held_out_fraction=settings.held_out_fraction)
    experiment = load("grpo_arithmetic", settings, train, held_out)
    before = experiment.evaluate("before")
    experiment.train()
    after = experiment.evaluate("after")
    experiment.report(before, after)


if __name__ == "__main__":
    run_command(main)
