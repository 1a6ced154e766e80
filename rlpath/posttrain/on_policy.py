"""One experiment that learns from its own samples, by GRPO or PPO: evaluate, train, evaluate again, compare.

Every stage goes on where a killed run stopped: evaluations chunk by chunk, training from its last whole checkpoint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, PartialState
from datasets import Dataset
from peft import PeftModel, get_peft_model

from rlpath.core.seeding import derive
from rlpath.core.types import Problem, ProblemSet
from rlpath.evals.compare.comparison import compare
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.evals.report.card import write_card
from rlpath.evals.report.run_report import write_report
from rlpath.models.load import load_model, load_tokenizer
from rlpath.models.rollouts import PolicySampler, choose_backend, load_sampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.experiment import (
    LONGEST_PROMPT,
    Notes,
    begin,
    check_prompt_lengths,
    evaluate_problems,
    last_checkpoint,
    not_packed_note,
    save_model,
    tokenizer_of,
    train_to_the_end,
)
from rlpath.posttrain.finite import StopWhereNotFinite
from rlpath.posttrain.grpo import GRPOTrainer
from rlpath.posttrain.judge import RewardFunction
from rlpath.posttrain.observe import ProgressLine, StopOnInterrupt
from rlpath.posttrain.ppo import PPOTrainer
from rlpath.posttrain.settings import GRPOSettings, PolicySettings, PPOSettings
from rlpath.rewards.combine.named import judges, verifier_named
from rlpath.runs.run_folder import RunFolder


class Trained(Protocol):
    """A trainer that has done its steps."""

    def policy(self) -> Any:
        """The trained model, without what wraps it."""
        ...

    def save_model(self, output_dir: str) -> None:
        """Write the model in the hub's format."""
        ...


@dataclass(frozen=True)
class Training:
    """What training gets: `run` on the main process alone, `checkpoint` where there is one to go on from."""

    run: RunFolder | None
    path: Path
    problems: ProblemSet
    sampler: PolicySampler
    state: PartialState
    checkpoints: Path
    checkpoint: Path | None
    notes: Notes


def run_experiment(
    recipe: str,
    settings: PolicySettings,
    train: ProblemSet,
    held_out: ProblemSet,
    *,
    reward: RewardFunction | None = None,
    on_hit: OnHit = "flag",
) -> None:
    """Run or resume `recipe`; on the main process the run folder is held, written and reported.

    The kind of the settings says what trains: GRPO or PPO. Training is rewarded by the verifier of `train` (PPO by
    `reward` where it is given), the evaluation judged by that of `held_out`; the settings may name others. Training
    problems that match held-out or known test items are flagged in the manifest, or left out ("drop"). Raises
    `InputError` for whatever the user can mend, before any expensive work where possible.
    """
    train = replace(train, verifier=verifier_named(settings.train_verifier, train.verifier))
    held_out = replace(held_out, verifier=verifier_named(settings.eval_verifier, held_out.verifier))
    train, overlap = screen(train, held_out, on_hit=on_hit)
    backend = choose_backend(settings.rollouts)
    facts = {
        "contamination": overlap,
        "judges": judges(reward or train.verifier, held_out.verifier),
        "rollouts": {"backend": backend, "dtype": settings.dtype, "asked": settings.rollouts},
    }
    begun = begin(recipe, settings, [train, held_out], facts)
    if begun is None:
        return
    run, state, path = begun.run, begun.state, begun.model
    notes = Notes(run)
    tokenizer_of(begun, notes)
    check_prompt_lengths(begun, [*train.problems, *held_out.problems], settings)
    sampler = load_sampler(
        backend,
        path,
        max_length=LONGEST_PROMPT + settings.max_completion_length,
        dtype=settings.dtype,
        device=str(state.device),
        gpu_memory=settings.gpu_memory,
    )
    before = evaluate_problems(run, "before", sampler, held_out, settings)
    state.wait_for_everyone()
    folder, checkpoint = last_checkpoint(run, settings.root, state)
    training = Training(run, path, train, sampler, state, folder, checkpoint, notes)
    trained = _train(training, settings, reward)
    sampler.load_weights(sampler_weights(trained.policy()))
    after = evaluate_problems(run, "after", sampler, held_out, settings)
    if run is not None and before is not None and after is not None:
        save_model(begun, trained, settings.model)
        comparison = compare(before, after, settings.seed)
        comparison.save(run.path / "evaluations" / "verdict.json")
        write_card(run.path)
        run.mark_finished()
        print(f"{comparison.sentence}\nreport: {write_report(run.path)}")
    state.wait_for_everyone()


def _train(training: Training, settings: PolicySettings, reward: RewardFunction | None) -> Trained:
    """Train to the last step, from the last whole checkpoint if there is one."""
    if isinstance(settings, PPOSettings):
        return train_ppo(training, settings, reward)
    if isinstance(settings, GRPOSettings) and reward is None:
        return train_grpo(training, settings)
    raise TypeError(f"{type(settings).__name__} trains nothing that is known here, or takes no reward function")


def train_grpo(training: Training, settings: GRPOSettings) -> GRPOTrainer:
    """GRPO, in TRL's loop."""
    run = training.run
    rows = training_rows(training.problems.problems, settings.steps * settings.prompts_per_step, settings.seed)
    trainer = GRPOTrainer(
        load_model(training.path, settings.dtype if settings.lora_rank else "float32"),
        args=settings.trl(training.checkpoints, training.state.num_processes),
        train_dataset=Dataset.from_list(rows),
        verifier=training.problems.verifier,
        sampler=training.sampler,
        log_samples=None if run is None else lambda _, rows: run.log_samples(rows),
        processing_class=load_tokenizer(training.path),
        peft_config=settings.lora(),
    )
    training.notes.add(*not_packed_note(trainer))
    trainer.add_callback(StopWhereNotFinite())
    train_to_the_end(trainer, run, training.checkpoint)
    return trainer


def train_ppo(training: Training, settings: PPOSettings, reward: RewardFunction | None) -> PPOTrainer:
    """PPO, a step at a time."""
    run = training.run
    accelerator = Accelerator(
        mixed_precision="bf16" if settings.dtype == "bfloat16" else "no",
        cpu=not torch.cuda.is_available(),
        log_with=None if settings.log_to == "none" else settings.log_to,
        # Asked for on every process, written by the main one.
        project_dir=str(training.checkpoints.parent),
    )
    if settings.log_to != "none":
        accelerator.init_trackers("tensorboard")
    trainer = PPOTrainer(
        adapted_model(training.path, settings),
        settings,
        training_order(training.problems.problems, settings.steps * settings.prompts_per_step, settings.seed),
        training.problems.verifier,
        training.sampler,
        reward=reward,
        accelerator=accelerator,
        log_samples=None if run is None else lambda _, rows: run.log_samples(rows),
    )
    if training.checkpoint is not None:
        trainer.load(training.checkpoint)
    progress, interrupt = ProgressLine(), StopOnInterrupt()
    interrupt.begin()
    if run is not None:
        progress.begin(settings.steps, trainer.step)
    while trainer.step < settings.steps and not interrupt.asked:
        metrics = {name: value for name, value in trainer.train_step().items() if math.isfinite(value)}
        accelerator.log(metrics, step=trainer.step)
        stopping = interrupt.agreed()
        if run is not None:
            run.log_metrics(trainer.step, metrics)
            progress.show(trainer.step, metrics)
            if stopping or trainer.step % settings.checkpoint_every == 0 or trainer.step == settings.steps:
                folder = training.checkpoints / f"checkpoint-{trainer.step}"
                trainer.save(folder)
                run.mark_complete(folder, keep=2)
    interrupt.end()
    progress.end()
    # Not end_training(): it takes the processes apart, and they are still to evaluate.
    for tracker in accelerator.trackers:
        tracker.finish()
    if interrupt.asked:
        print(f"stopped at step {trainer.step}, with a checkpoint", flush=True)
        raise KeyboardInterrupt
    return trainer


def adapted_model(path: Path, settings: PolicySettings) -> PeftModel:
    """The model in `path` with a fresh adapter, whose first weights follow from the seed."""
    model = load_model(path, settings.dtype)
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, "adapter") % 2**63)
        adapted = get_peft_model(model, settings.lora())  # type: ignore[arg-type]
    assert isinstance(adapted, PeftModel)
    return adapted


def training_rows(problems: Sequence[Problem], count: int, seed: int) -> list[dict[str, Any]]:
    """TRL's rows of `training_order`."""
    return [
        {
            "prompt": [{"role": "user", "content": problem.prompt}],
            "question": problem.prompt,
            "gold": problem.gold,
            "problem_id": problem.id,
        }
        for problem in training_order(problems, count, seed)
    ]


def training_order(problems: Sequence[Problem], count: int, seed: int) -> list[Problem]:
    """`count` problems in their order of use: shuffled passes over all of them, fixed by `seed`."""
    generator = random.Random(seed)
    order: list[Problem] = []
    while len(order) < count:
        order += generator.sample(problems, len(problems))
    return order[:count]
