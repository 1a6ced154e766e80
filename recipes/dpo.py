"""Direct preference optimization on pairs that a verifier makes of the model's own answers, or on human pairs.

    python recipes/dpo.py
    python recipes/dpo.py --data hh-harmless --max-length 256
    accelerate launch recipes/dpo.py --preset gpu-24gb --model runs/sft_gsm8k/<hash>/seed-0/model

The verifier's pairs are a correct against a wrong sample of one problem; the reference's log-probabilities are computed
once. The run reports how often the better answer of held-out pairs is the more probable one, before and after, and
pass@k on held-out problems. Start it from a trained adapter to climb from SFT: the reference is then the SFT model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from rlpath.core.errors import run_command
from rlpath.envs.load import problem_set
from rlpath.evals.measure.preferences import Human, human_preferences
from rlpath.posttrain.dpo import DPOSettings, run_dpo_on_pairs, run_dpo_on_problems
from rlpath.posttrain.experiment import read_settings


@dataclass(frozen=True, kw_only=True)
class Settings(DPOSettings):
    data: str = "arithmetic:add-1x2"
    """problems whose verifier makes the pairs (arithmetic:<level>, word-problems, gsm8k …), or human pairs:
    hh-harmless, pandalm, or a JSON-lines file with prompt, chosen and rejected"""


CPU = Settings(
    steps=60, batch=16, micro_batch=16, learning_rate=1e-4, held_out=200, eval_problems=150, max_completion_length=24
)
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
    held_out=500,
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
        held_out=4,
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
    name = settings.data
    if name in get_args(Human) or Path(name).expanduser().is_file():
        run_dpo_on_pairs("dpo", settings, human_preferences(name, "train"), human_preferences(name, "validation"))
        return
    held_out = problem_set(name, "validation", size=settings.eval_problems)
    run_dpo_on_problems("dpo", settings, problem_set(name, "train"), held_out)


if __name__ == "__main__":
    run_command(main)
