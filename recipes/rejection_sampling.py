"""Rejection-sampling fine-tuning: the model imitates those of its own answers that a verifier accepts.

    python recipes/rejection_sampling.py
    python recipes/rejection_sampling.py --model runs/rejection_sampling/<hash>/seed-0/model
    accelerate launch recipes/rejection_sampling.py --preset gpu-24gb

The baseline that a gain by reinforcement learning has to beat: the same samples and the same verifier, no policy
gradient. The second command is a second round, from the model of the first (expert iteration).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.envs.load import problem_set
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.rejection import RejectionSettings, run_rejection_sampling


@dataclass(frozen=True, kw_only=True)
class Settings(RejectionSettings):
    data: str = "arithmetic:add-1x2"
    """problems whose verifier accepts or rejects: arithmetic:<level>, word-problems, gsm8k …"""


CPU = Settings(steps=60, batch=16, micro_batch=16, learning_rate=1e-4, eval_problems=150, max_completion_length=24)
GPU = replace(
    CPU,
    preset="gpu-24gb",
    model="Qwen/Qwen2.5-0.5B-Instruct",
    data="gsm8k",
    steps=150,
    batch=32,
    micro_batch=8,
    max_length=1024,
    prompts=2000,
    learning_rate=2e-5,
    warmup_steps=10,
    eval_problems=300,
    max_completion_length=512,
    checkpoint_every=50,
)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        data="arithmetic:add-1",
        steps=2,
        batch=4,
        micro_batch=2,
        max_length=2048,
        prompts=8,
        samples=4,
        eval_problems=8,
        eval_samples=4,
        max_completion_length=8,
        warmup_steps=0,
        checkpoint_every=1,
        log_to="none",
    ),
    "cpu": CPU,
    "gpu-24gb": GPU,
    "gpu-80gb": replace(GPU, preset="gpu-80gb", model="Qwen/Qwen2.5-1.5B-Instruct", micro_batch=16),
}


def main() -> None:
    settings = read_settings(PRESETS)
    train = problem_set(settings.data, "train")
    held_out = problem_set(settings.data, "validation", size=settings.eval_problems)
    run_rejection_sampling("rejection_sampling", settings, train, held_out)


if __name__ == "__main__":
    run_command(main)
