"""GRPO on episodes with tools: a model learns to call a tool, read its answer and use it.

    python recipes/grpo_tools.py --model qwen2.5-coder-0.5b-instruct
    python recipes/grpo_tools.py --environment number-guessing:15 --model qwen2.5-coder-0.5b-instruct
    accelerate launch recipes/grpo_tools.py --preset gpu-24gb

An episode is: question, tool call, the tool's answer, the next call …, and a reward at its end; the answers of tools
are read and carry no loss. What is reported beside accuracy is the share of held-out episodes that call a tool, and of
the calls those that fail. The environments are those of envs/README.md; the calculator's problems are also
`word-problems`, whose accuracy without the tool is the other half of the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.envs.load import environment_named
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import load
from rlpath.posttrain.settings import GRPOSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GRPOSettings):
    environment: str = "calculator:mixed"
    """calculator, number-guessing:15, python, text-search, mbpp-turns or own-code"""
    train_problems: int = 500
    """problems to draw from"""
    held_out_fraction: float = 0.25
    """share of problems that training never sees"""


CPU = Settings(
    model="qwen2.5-coder-0.5b-instruct",
    steps=60,
    prompts_per_step=4,
    group_size=8,
    micro_batch=4,
    max_completion_length=256,
    learning_rate=1e-4,
    eval_problems=60,
    eval_samples=4,
    checkpoint_every=5,
)
PRESETS = {
    # The packaged 135M model's own template has no tools.
    "smoke": replace(
        CPU,
        preset="smoke",
        model="smollm2-135m-instruct",
        chat_template="chatml-tools",
        steps=2,
        prompts_per_step=2,
        group_size=2,
        micro_batch=4,
        max_completion_length=48,
        train_problems=8,
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
        steps=150,
        prompts_per_step=16,
        micro_batch=8,
        max_completion_length=512,
        eval_problems=300,
        eval_samples=8,
    ),
    "gpu-80gb": replace(
        CPU,
        preset="gpu-80gb",
        model="Qwen/Qwen2.5-1.5B-Instruct",
        steps=150,
        prompts_per_step=32,
        micro_batch=16,
        max_completion_length=512,
        eval_problems=300,
        eval_samples=8,
    ),
}


def main() -> None:
    settings = read_settings(PRESETS)
    share = settings.held_out_fraction
    train = environment_named(settings.environment, "train", size=settings.train_problems, held_out_fraction=share)
    held_out = environment_named(
        settings.environment, "validation", size=settings.eval_problems, held_out_fraction=share
    )
    experiment = load("grpo_tools", settings, train, held_out)
    before = experiment.evaluate("before")
    experiment.train()
    after = experiment.evaluate("after")
    experiment.report(before, after)


if __name__ == "__main__":
    run_command(main)
