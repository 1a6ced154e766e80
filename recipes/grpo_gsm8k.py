"""GRPO with a verifiable reward on grade-school word problems (RLVR), from a laptop to a few GPUs.

    accelerate launch recipes/grpo_gsm8k.py
    accelerate launch recipes/grpo_gsm8k.py --preset gpu-24gb
    accelerate launch --num_processes 4 recipes/grpo_gsm8k.py --preset gpu-80gb

GSM8K is read from RLPATH_DATA, else from the hub; where neither can be reached `--data auto` takes reasoning-gym's
gsm_symbolic and says so. The last questions of the training split are held out; the test split is not touched here.
Without a GPU the model is Qwen2.5-Coder-0.5B-Instruct, from a hub or from Python packages; a run can be stopped at any
moment, and the same command goes on. `--model smollm2-135m-instruct` is a quick look at the machinery: that model
cannot solve these problems, so expect "no evidence of improvement".

A reward, data or a loss of your own are a few lines in `main` (Reward is in `rlpath.posttrain.verify`, GroupObjective
in `rlpath.posttrain.objectives`, Problem in `rlpath.core.types`):

    def short(completions, **columns):
        return [1 / (1 + len(said[0]["content"])) for said in completions]

    def reinforce(logprobs, old, advantages, mask, *, tokens, **terms):
        return -(advantages[:, None] * logprobs * mask).sum() / tokens

    train = replace(train, problems=tuple(Problem(str(i), f"What is {i} + 1?", str(i + 1)) for i in range(100)))
    rewards = [Reward(), Reward("short", short, weight=0.1)]
    experiment.train(rewards=rewards, objective=GroupObjective(settings, loss=reinforce))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from rlpath.core.errors import Unreachable, run_command
from rlpath.core.types import ProblemSet
from rlpath.envs.gsm8k import gsm8k
from rlpath.envs.reasoning_gym import reasoning_gym
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import load
from rlpath.posttrain.settings import GRPOSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GRPOSettings):
    data: Literal["auto", "gsm8k", "gsm_symbolic"] = "auto"
    """gsm8k, or reasoning-gym's generated problems; auto is gsm8k where it can be reached"""


CPU = Settings(
    model="qwen2.5-coder-0.5b-instruct",
    steps=20,
    micro_batch=4,
    max_completion_length=256,
    learning_rate=1e-4,
    eval_problems=64,
    checkpoint_every=1,
)
PRESETS = {
    "smoke": replace(
        CPU,
        preset="smoke",
        model="smollm2-135m-instruct",
        steps=2,
        prompts_per_step=2,
        group_size=2,
        micro_batch=4,
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
        steps=200,
        prompts_per_step=32,
        micro_batch=8,
        max_completion_length=512,
        learning_rate=2e-5,
        warmup_steps=5,
        eval_problems=500,
        checkpoint_every=20,
    ),
    "gpu-80gb": replace(
        CPU,
        preset="gpu-80gb",
        model="Qwen/Qwen2.5-1.5B-Instruct",
        steps=200,
        prompts_per_step=64,
        micro_batch=16,
        max_completion_length=512,
        learning_rate=2e-5,
        warmup_steps=5,
        eval_problems=500,
        checkpoint_every=20,
    ),
}


def problems(data: str, eval_problems: int) -> tuple[ProblemSet, ProblemSet]:
    """Training and held-out problems; the first line printed says which."""
    if data != "gsm_symbolic":
        try:
            train, held_out = gsm8k("train"), gsm8k("validation", size=eval_problems)
            print(f"problems: GSM8K from {train.source}", flush=True)
            return train, held_out
        except Unreachable as missing:
            if data == "gsm8k":
                raise
            print(f"problems: reasoning-gym's gsm_symbolic instead of GSM8K ({missing})", flush=True)
    train = reasoning_gym("gsm_symbolic", "train", size=2000)
    return train, reasoning_gym("gsm_symbolic", "validation", size=eval_problems)


def main() -> None:
    settings = read_settings(PRESETS)
    train, held_out = problems(settings.data, settings.eval_problems)
    experiment = load("grpo_gsm8k", settings, train, held_out)
    before = experiment.evaluate("before")
    experiment.train()
    after = experiment.evaluate("after")
    experiment.report(before, after)


if __name__ == "__main__":
    run_command(main)
