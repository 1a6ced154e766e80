"""GRPO on programs that run: a small coder model is rewarded by hidden tests, in a sandbox on this machine.

    python recipes/grpo_code.py
    accelerate launch recipes/grpo_code.py --preset gpu-24gb
    rlpath eval --model runs/grpo_code/…/seed-0 --baseline qwen2.5-coder-0.5b-instruct --tasks mbpp,humaneval

Training tasks are MBPP's (arXiv 2108.07732) training split, with the first test in the prompt and all tests deciding;
its validation split is evaluated before and after, greedy and pass@k. Test split and HumanEval are for `rlpath eval`,
which names what of them stands in the training text. Programs run as `rewards/README.md` says: no network, no files of
yours, limits on time and memory. Without MBPP in RLPATH_DATA a few tasks of our own are taken, for a look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from rlpath.core.errors import Unreachable, run_command
from rlpath.core.types import ProblemSet
from rlpath.envs.code_tasks import code_problems, pass_share
from rlpath.envs.programs import check_sandbox
from rlpath.posttrain.experiment import read_settings
from rlpath.posttrain.on_policy import Rewards, load
from rlpath.posttrain.settings import GRPOSettings
from rlpath.posttrain.verify import Reward
from rlpath.rewards.verifiers.code import CodeVerifier


@dataclass(frozen=True, kw_only=True)
class Settings(GRPOSettings):
    data: Literal["auto", "mbpp", "own"] = "auto"
    """mbpp from RLPATH_DATA, a few tasks of our own, or mbpp where it is there"""
    rewarded: Literal["all", "share"] = "all"
    """1 for a program that passes every test, or the share of tests that it passes"""


CPU = Settings(
    model="qwen2.5-coder-0.5b-instruct",
    steps=60,
    prompts_per_step=4,
    group_size=8,
    micro_batch=4,
    max_completion_length=160,
    learning_rate=5e-5,
    eval_problems=90,
    checkpoint_every=5,
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
        max_completion_length=32,
        eval_problems=4,
        eval_samples=2,
        checkpoint_every=1,
        log_to="none",
    ),
    "cpu": CPU,
    "gpu-24gb": replace(
        CPU,
        preset="gpu-24gb",
        model="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        steps=150,
        prompts_per_step=16,
        micro_batch=8,
        max_completion_length=384,
        learning_rate=2e-5,
    ),
    "gpu-80gb": replace(
        CPU,
        preset="gpu-80gb",
        model="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        steps=150,
        prompts_per_step=32,
        micro_batch=16,
        max_completion_length=384,
        learning_rate=2e-5,
    ),
}


def problems(data: str, eval_problems: int) -> tuple[ProblemSet, ProblemSet]:
    """Training and held-out tasks; the first line printed says which."""
    if data != "own":
        try:
            train, held_out = code_problems("train"), code_problems("validation", size=eval_problems)
            print(f"tasks: MBPP from {train.source}", flush=True)
            return train, held_out
        except Unreachable as missing:
            if data == "mbpp":
                raise
            print(f"tasks: a few of our own instead of MBPP ({missing})", flush=True)
    return code_problems("train", own=True), code_problems("validation", own=True)


def share_of_tests(completions: list[Any], gold: list[str], **_: Any) -> list[float | None]:
    """TRL's reward function: the share of its tests that each program passes."""
    verify = CodeVerifier()
    return [pass_share(turn[0]["content"], tests, verify) for turn, tests in zip(completions, gold, strict=True)]


def main() -> None:
    settings = read_settings(PRESETS)
    check_sandbox()
    train, held_out = problems(settings.data, settings.eval_problems)
    rewards: Rewards = [Reward("tests passed", share_of_tests)] if settings.rewarded == "share" else None
    experiment = load("grpo_code", settings, train, held_out)
    before = experiment.evaluate("before")
    experiment.train(rewards=rewards)
    after = experiment.evaluate("after")
    experiment.report(before, after)


if __name__ == "__main__":
    run_command(main)
