"""On-policy distillation: a small model writes, a larger one of its family says how probable every token was.

    python recipes/distill.py
    accelerate launch recipes/distill.py --preset gpu-24gb

The loss is the KL divergence from the teacher on the student's own completions: a signal for every token, where a
reward has one for a completion. The verifier has no part in it; it measures the student before, after and on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlpath.core.errors import run_command
from rlpath.envs.load import problem_set
from rlpath.posttrain.distill import DistillObjective, DistillSettings, teacher_model
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import load


@dataclass(frozen=True, kw_only=True)
class Settings(DistillSettings):
    data: str = "gsm8k"
    """problems to write on: gsm8k, word-problems, arithmetic:<level> or reasoning-gym:<task>"""


CPU = Settings(
    model="qwen2.5-coder-0.5b-instruct",
    steps=20,
    prompts_per_step=4,
    group_size=4,
    micro_batch=4,
    max_completion_length=256,
    learning_rate=1e-4,
    eval_problems=24,
    eval_samples=4,
    checkpoint_every=2,
)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        model="smollm2-135m-instruct",
        teacher="smollm2-135m-instruct",
        data="arithmetic:add-1",
        steps=2,
        prompts_per_step=2,
        group_size=2,
        max_completion_length=8,
        eval_problems=2,
        eval_samples=2,
        checkpoint_every=1,
        log_to="none",
    ),
    "cpu": CPU,
    "gpu-24gb": replace(
        CPU,
        preset="gpu-24gb",
        model="Qwen/Qwen2.5-0.5B-Instruct",
        teacher="Qwen/Qwen2.5-1.5B-Instruct",
        steps=100,
        prompts_per_step=32,
        micro_batch=8,
        max_completion_length=512,
        learning_rate=2e-5,
        eval_problems=300,
        checkpoint_every=20,
    ),
    "gpu-80gb": replace(
        CPU,
        preset="gpu-80gb",
        model="Qwen/Qwen2.5-1.5B-Instruct",
        teacher="Qwen/Qwen2.5-7B-Instruct",
        steps=100,
        prompts_per_step=64,
        micro_batch=16,
        max_completion_length=512,
        learning_rate=2e-5,
        eval_problems=300,
        checkpoint_every=20,
    ),
}


def main() -> None:
    settings = read_settings(PRESETS)
    train = problem_set(settings.data, "train")
    held_out = problem_set(settings.data, "validation", size=settings.eval_problems)
    experiment = load("distill", settings, train, held_out)
    teacher = teacher_model(experiment, settings)
    before = experiment.evaluate("before")
    experiment.train(objective=DistillObjective(settings), teacher=teacher)
    after = experiment.evaluate("after")
    experiment.report(before, after)


if __name__ == "__main__":
    run_command(main)
