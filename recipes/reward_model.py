"""A reward model on human preferences, and whether it knows more than that one answer is longer.

    python recipes/reward_model.py
    python recipes/reward_model.py --data pandalm
    accelerate launch recipes/reward_model.py --preset gpu-24gb

HH-RLHF (harmless) and PandaLM are at hand as their authors' test files alone; they are split by us (see
`rlpath.evals.measure.preferences`), so nothing here may be reported on those published test sets. LLMBar is only
evaluated on.
The run folder's `merged/` is what `RewardModelReward` loads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.evals.measure.preferences import LLMBAR_PARTS, human_preferences, llmbar
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.reward_modeling import run_reward_model
from rlpath.posttrain.tuning_settings import TuningSettings


@dataclass(frozen=True, kw_only=True)
class Settings(TuningSettings):
    data: str = "hh-harmless"
    """hh-harmless, pandalm, or a JSON-lines file with prompt, chosen and rejected"""
    adversarial: bool = True
    """also score LLMBar's pairs, whose worse answer looks better"""


CPU = Settings(steps=80, batch=8, max_length=256, learning_rate=1e-4, held_out=300, checkpoint_every=20)
GPU = replace(
    CPU,
    preset="gpu-24gb",
    model="Qwen/Qwen2.5-0.5B-Instruct",
    steps=200,
    batch=32,
    micro_batch=8,
    max_length=1024,
    warmup_steps=10,
    held_out=500,
    checkpoint_every=50,
)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        steps=2,
        batch=2,
        max_length=2048,
        held_out=4,
        warmup_steps=0,
        checkpoint_every=1,
        adversarial=False,
        log_to="none",
    ),
    "cpu": CPU,
    "gpu-24gb": GPU,
    "gpu-80gb": replace(GPU, preset="gpu-80gb", model="Qwen/Qwen2.5-1.5B-Instruct", micro_batch=16),
}


def main() -> None:
    settings = read_settings(PRESETS)
    train = human_preferences(settings.data, "train")
    held_out = human_preferences(settings.data, "validation")
    held_out = replace(held_out, examples=held_out.examples[: settings.held_out])
    tricky = {part: llmbar(part) for part in LLMBAR_PARTS} if settings.adversarial else {}
    run_reward_model("reward_model", settings, train, held_out, tricky)


if __name__ == "__main__":
    run_command(main)
