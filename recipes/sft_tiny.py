"""Fine-tune what `pretrain_tiny.py` made on questions and answers: the second stage of a chat model on a laptop.

    python recipes/sft_tiny.py --model 'runs/pretrain_tiny/HASH/seed-{seed}/model'

A few of the training sums are asked in the chat template and worked out; all weights train, on the answers alone. It
is the stage that `sft_gsm8k.py` has, with settings for a model of a few million weights. `{seed}` stands for the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import InputError, run_command
from rlpath.envs.demonstrations import worked_solutions
from rlpath.envs.tiny_text import worked_sums
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.sft import run_sft
from rlpath.posttrain.tuning_settings import ExaminedSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ExaminedSettings):
    level: str = "add-1x2"
    """which sums, as in pretraining"""
    demonstrations: int = 200
    """how many training sums are shown"""


CPU = Settings(
    model="",
    lora_rank=0,
    steps=100,
    batch=16,
    micro_batch=16,
    max_length=96,
    learning_rate=3e-4,
    held_out=100,
    eval_problems=100,
    eval_samples=4,
    max_completion_length=32,
    log_to="none",
)
PRESETS = {
    "smoke": replace(
        CPU, preset="smoke", demonstrations=8, steps=2, batch=4, micro_batch=4, held_out=4, eval_problems=2,
        eval_samples=2, max_completion_length=4, warmup_steps=0, checkpoint_every=1,
    ),
    "cpu": CPU,
}  # fmt: skip
PRESETS |= {name: replace(CPU, preset=name) for name in ("gpu-24gb", "gpu-80gb")}


def main() -> None:
    settings = read_settings(PRESETS)
    if not settings.model:
        raise InputError("--model is missing: name the folder that recipes/pretrain_tiny.py printed at its end")
    train = worked_sums("train", settings.level, size=settings.demonstrations)
    held_out = worked_sums("validation", settings.level, size=settings.held_out)
    problems = worked_sums("validation", settings.level, size=settings.eval_problems)
    run_sft("sft_tiny", settings, worked_solutions(train), worked_solutions(held_out), problems)


if __name__ == "__main__":
    run_command(main)
