"""Supervised fine-tuning on instruction data: prompts and the answers a person chose.

    python recipes/sft_chat.py
    python recipes/sft_chat.py --file my_answers.jsonl
    accelerate launch recipes/sft_chat.py --preset gpu-24gb

The loss counts the answers alone. Held-out loss is measured before and after, and the sums of the arithmetic
set are completed before and after too: fine-tuning on one thing can cost another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rlpath.core.errors import run_command
from rlpath.envs.arithmetic import arithmetic
from rlpath.envs.demonstrations import instructions
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.sft import run_sft
from rlpath.posttrain.tuning_settings import ExaminedSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ExaminedSettings):
    file: Path | None = None
    """JSON lines with prompt and completion; without it, OctoPack's hand-picked set in RLPATH_DATA"""


CPU = Settings(
    steps=40, batch=8, micro_batch=2, max_length=512, held_out=60, eval_problems=24, max_completion_length=24
)
GPU = replace(
    CPU,
    preset="gpu-24gb",
    model="Qwen/Qwen2.5-0.5B-Instruct",
    steps=120,
    batch=32,
    micro_batch=8,
    max_length=2048,
    held_out=150,
    warmup_steps=10,
    checkpoint_every=40,
)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        steps=2,
        batch=2,
        held_out=2,
        eval_problems=2,
        eval_samples=2,
        max_completion_length=4,
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
    train = instructions("train", path=settings.file)
    held_out = instructions("validation", path=settings.file)
    held_out = replace(held_out, examples=held_out.examples[: settings.held_out])
    run_sft("sft_chat", settings, train, held_out, arithmetic("validation", "add-1x2", size=settings.eval_problems))


if __name__ == "__main__":
    run_command(main)
