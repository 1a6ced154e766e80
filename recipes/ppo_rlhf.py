"""PPO for language models, against a verifier or a learned reward model.

    python recipes/ppo_rlhf.py
    accelerate launch recipes/ppo_rlhf.py --preset gpu-24gb
    python recipes/ppo_rlhf.py --reward-model runs/reward_model/.../model --kl-target 4

Without a reward model it learns the sums of `grpo_arithmetic.py` from the same verifier, on the same held-out
problems. With one, that model's score is the reward, less the KL penalty, and the verifier only
watches: the report shows whether proxy reward and true reward rise together. The algorithm is the loop of
`rlpath/posttrain/loop.py`, with `ppo_rlhf.py` for the critic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.envs.arithmetic import arithmetic
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import load
from rlpath.posttrain.settings import PPOSettings
from rlpath.rewards import RewardModelReward


@dataclass(frozen=True, kw_only=True)
class Settings(PPOSettings):
    level: str = "add-1x2"
    """which problems: add-1 (one-digit sums), add-1x2 (one digit and two), add-2, add-sub-1, mul-1, all-2 …"""
    held_out_fraction: float = 0.25
    """share of operand pairs that training never sees"""
    reward_model: str = ""
    """folder of a sequence classifier with one output whose score is the reward; empty: the verifier's"""


CPU = Settings(level="add-1", steps=20, learning_rate=3e-4, eval_problems=20, checkpoint_every=10)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        steps=2,
        prompts_per_step=4,
        group_size=4,
        micro_batch=8,
        mini_batch=8,
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
        mini_batch=128,
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
        mini_batch=256,
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
    experiment = load("ppo_rlhf", settings, train, held_out)
    reward = RewardModelReward(settings.reward_model) if settings.reward_model else None
    before = experiment.evaluate("before")
    experiment.train(rewards=reward)
    after = experiment.evaluate("after")
    experiment.report(before, after)


if __name__ == "__main__":
    run_command(main)
