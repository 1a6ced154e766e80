"""Supervised fine-tuning on the worked solutions of grade-school word problems, the first stage of the ladder.

    python recipes/sft_gsm8k.py
    accelerate launch recipes/sft_gsm8k.py --preset gpu-24gb
    accelerate launch recipes/sft_gsm8k.py --preset gpu-24gb --quantize 4bit

The loss counts the solution alone; rows are packed. Held-out solutions and problems are the last questions of GSM8K's
training split; the test split is not touched here. With `--data word-problems` the problems are generated one- and
two-step ones, which the 135M model can learn on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.envs.demonstrations import worked_solutions
from rlpath.envs.load import problem_set
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.sft import run_sft
from rlpath.posttrain.tuning_settings import ExaminedSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ExaminedSettings):
    data: str = "gsm8k"
    """gsm8k, word-problems, arithmetic:<level> or reasoning-gym:<task>: problems with their solutions"""
    demonstrations: int = 0
    """how many training solutions are shown; 0 is all there are"""


CPU = Settings(steps=64, batch=8, micro_batch=2, eval_problems=24, eval_samples=4, max_completion_length=128)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        steps=2,
        batch=4,
        micro_batch=2,
        held_out=4,
        eval_problems=2,
        eval_samples=2,
        max_completion_length=8,
        max_length=2048,
        warmup_steps=0,
        checkpoint_every=1,
        log_to="none",
    ),
    "cpu": CPU,
    "gpu-24gb": replace(
        CPU,
        preset="gpu-24gb",
        model="Qwen/Qwen2.5-0.5B-Instruct",
        steps=450,
        batch=32,
        micro_batch=16,
        max_length=1024,
        held_out=300,
        eval_problems=300,
        eval_samples=8,
        max_completion_length=512,
        warmup_steps=20,
        checkpoint_every=50,
    ),
    "gpu-80gb": replace(
        CPU,
        preset="gpu-80gb",
        model="Qwen/Qwen2.5-1.5B-Instruct",
        steps=450,
        batch=32,
        micro_batch=32,
        max_length=1024,
        held_out=300,
        eval_problems=300,
        eval_samples=8,
        max_completion_length=512,
        warmup_steps=20,
        checkpoint_every=50,
    ),
}


def main() -> None:
    settings = read_settings(PRESETS)
    train = problem_set(settings.data, "train", size=settings.demonstrations or None)
    held_out = problem_set(settings.data, "validation", size=settings.held_out)
    problems = problem_set(settings.data, "validation", size=settings.eval_problems)
    run_sft("sft_gsm8k", settings, worked_solutions(train), worked_solutions(held_out), problems)


if __name__ == "__main__":
    run_command(main)
