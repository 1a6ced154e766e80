"""An experiment that learns from its own samples, in five calls: load, evaluate, train, evaluate, report.

    experiment = load("my_recipe", settings, train, held_out)
    before = experiment.evaluate("before")
    experiment.train()
    after = experiment.evaluate("after")
    experiment.report(before, after)

Every call goes on where a killed run stopped: evaluations chunk by chunk, training from its last whole checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env
from peft import get_peft_model

from rlpath.core.errors import InputError
from rlpath.core.files import read_json
from rlpath.core.seeding import derive
from rlpath.core.types import ProblemSet
from rlpath.evals.compare.comparison import compare
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.evals.measure.evaluation import Evaluation
from rlpath.evals.measure.findings import Finding, write_findings
from rlpath.evals.report.card import write_card
from rlpath.evals.report.run_report import write_report
from rlpath.models.chat import thinking_options
from rlpath.models.load import load_model
from rlpath.models.rollouts import PolicySampler, choose_backend, load_sampler
from rlpath.posttrain.diagnosis import diagnose
from rlpath.posttrain.experiment import (
    LONGEST_PROMPT,
    Notes,
    RunContext,
    check_prompt_lengths,
    evaluate_problems,
    last_checkpoint,
    not_packed_note,
    save_model,
    start_run,
    tokenizer_of,
)
from rlpath.posttrain.gain import gain, gain_finding
from rlpath.posttrain.loop import OnPolicyTrainer, refuse_sharding
from rlpath.posttrain.objectives import Metrics, Objective
from rlpath.posttrain.observe import ProgressLine, StopOnInterrupt
from rlpath.posttrain.policy_model import PolicyModel
from rlpath.posttrain.settings import GRPOSettings, PolicySettings
from rlpath.posttrain.tool_use import tool_findings
from rlpath.posttrain.verify import Reward, RewardFunction
from rlpath.report.plots import BLUE, Line, line_plot
from rlpath.rewards.combine.named import verifier_named, verifiers_of
from rlpath.runs.run_folder import RunFolder

Rewards = RewardFunction | Sequence[Reward] | None


@dataclass(frozen=True)
class TrainingInputs:
    """What training gets: `run` on the main process alone, `checkpoint` where there is one to go on from."""

    run: RunFolder | None
    path: Path
    problems: ProblemSet
    held_out: ProblemSet | None
    sampler: PolicySampler
    state: PartialState
    checkpoints: Path
    checkpoint: Path | None
    notes: Notes


@dataclass
class Experiment:
    """A run that was started: model and sampler are loaded, its folder is held. Made by `load`."""

    settings: PolicySettings
    problems: ProblemSet
    held_out: ProblemSet
    context: RunContext | None
    sampler: Any = None
    notes: Notes | None = None
    trainer: OnPolicyTrainer | None = None

    @property
    def finished(self) -> bool:
        """Whether an earlier start ended this run: then there is nothing to do."""
        return self.context is None

    def evaluate(self, name: str) -> Evaluation | None:
        """Complete the held-out problems with the policy as it is now; None on all processes but the main one."""
        if self.context is None:
            return None
        if self.trainer is not None:
            self.trainer.push_weights()
        found = evaluate_problems(self.context.run, name, self.sampler, self.held_out, self.settings)
        self.context.state.wait_for_everyone()
        return found

    def train(
        self, *, rewards: Rewards = None, objective: Objective | None = None, teacher: PolicyModel | None = None
    ) -> None:
        """Train to the last step, from the last whole checkpoint if there is one.

        `rewards` take the place of the verifier's score: a function as TRL's, or several with their weights.
        `objective` takes the place of the algorithm that the settings name; `teacher` that of the reference. Raises
        `InputError` where `rewards` are given beside a control reward.
        """
        if self.context is None or self.notes is None:
            return
        run, state = self.context.run, self.context.state
        if rewards is not None and isinstance(self.settings, GRPOSettings) and self.settings.reward != "true":
            raise InputError(
                f"--reward {self.settings.reward} takes the place of every other reward: leave one of them"
            )
        if run is not None and rewards is not None:
            _record_verifiers(run, rewards, self.problems, self.held_out)
        folder, checkpoint = last_checkpoint(run, self.settings.root, state)
        training = TrainingInputs(
            run, self.context.model, self.problems, self.held_out, self.sampler, state, folder, checkpoint, self.notes
        )
        self.trainer = train_policy(training, self.settings, rewards=rewards, objective=objective, teacher=teacher)

    def report(self, before: Evaluation | None, after: Evaluation | None) -> None:
        """Save the model, compare the evaluations, write report and card, and mark the run finished."""
        if self.context is None:
            return
        run = self.context.run
        if run is not None and before is not None and after is not None and self.trainer is not None:
            save_model(self.context.run, self.trainer, self.settings.model)
            comparison = compare(before, after, self.settings.seed)
            comparison.save(run.path / "evaluations" / "verdict.json")
            findings = findings_of(run, before, after)
            write_findings(run.path, findings)
            write_card(run.path)
            run.mark_finished()
            told = [finding.sentence for finding in findings]
            print("\n".join([*told, comparison.sentence, f"report: {write_report(run.path)}"]))
            if self.settings.push_to_hub:
                push(run.path / "model", self.settings.push_to_hub)
        self.context.state.wait_for_everyone()


def load(
    recipe: str, settings: PolicySettings, train: ProblemSet, held_out: ProblemSet, *, on_hit: OnHit = "flag"
) -> Experiment:
    """Begin or resume `recipe`: hold the run folder, find the model, screen the data, load the sampler.

    The verifier of `train` rewards training, that of `held_out` verifies the evaluation; the settings may name others.
    Training problems that match held-out or known test items are flagged in the manifest, or left out
    ("drop"). Raises `InputError` for whatever the user can mend, before any expensive work where possible.
    """
    refuse_sharding(asked_to_shard())
    train = replace(train, verifier=verifier_named(settings.train_verifier, train.verifier))
    held_out = replace(held_out, verifier=verifier_named(settings.eval_verifier, held_out.verifier))
    train, overlap = screen(train, held_out, on_hit=on_hit)
    backend = choose_backend(settings.rollouts)
    facts = {
        "contamination": overlap,
        "verifiers": verifiers_of(_reward_source(settings, train), held_out.verifier),
        "rollouts": {"backend": backend, "dtype": settings.dtype, "asked": settings.rollouts},
    }
    context = start_run(recipe, settings, [train, held_out], facts)
    if context is None:
        return Experiment(settings, train, held_out, None)
    notes = Notes(context.run)
    tokenizer = tokenizer_of(context, notes, settings.template)
    system, options = settings.system or None, thinking_options(settings.thinking)
    for given in (train, held_out):
        check_prompt_lengths(context, given.problems, settings, tokenizer, options, system, given.environment)
    sampler = load_sampler(
        backend,
        context.model,
        max_length=LONGEST_PROMPT + settings.max_completion_length,
        dtype=settings.dtype,
        device=str(context.state.device),
        gpu_memory=settings.gpu_memory,
        system=system,
        options=options,
        template=settings.template,
        # vLLM decodes a step's completions in one go; our sampler is faster in parts.
        max_batch=max(256, settings.completions // context.state.num_processes) if backend == "vllm" else 256,
    )
    return Experiment(settings, train, held_out, context, sampler, notes)


def asked_to_shard() -> str:
    """What `accelerate launch` was told to shard models with; empty where nothing."""
    asked = [name for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM") if parse_flag_from_env(f"ACCELERATE_USE_{name}")]
    return asked[0] if asked else ""


def findings_of(run: RunFolder, before: Evaluation, after: Evaluation) -> list[Finding]:
    """What the record says beyond the verdict: what stood in the way, what a gain is made of, which model was best."""
    metrics = run.metrics()
    found = [gain_finding(gain(before, after)), *tool_findings(before, after)]
    illnesses = diagnose(metrics)
    if illnesses:
        found.insert(0, Finding("What stood in the way", "; ".join(illnesses)))
    held_out = [(row["step"], row["eval/pass@1"]) for row in metrics if row.get("eval/pass@1") is not None]
    if held_out:
        step, best = max(held_out, key=lambda each: each[1])
        sentence = (
            f"the best model by validation, {100 * best:.1f} % at step {step}, is kept in best/; it was chosen on the "
            f"problems it is measured on, so that figure is too high; the verdict is on the last, "
            f"{100 * held_out[-1][1]:.1f} % at step {held_out[-1][0]}"
        )
        curve = Line("pass@1", [float(at) for at, _ in held_out], [value for _, value in held_out], color=BLUE)
        figure = line_plot("validation", "Accuracy on the held-out problems while training", [curve])
        rows = tuple((str(at), f"{100 * value:.1f} %") for at, value in held_out)
        found.append(Finding("Learning curve", sentence, ("step", "pass@1"), rows, (figure,)))
    return found


def push(model: Path, repository: str) -> None:
    """Upload a saved model. Raises `InputError` where the hub does not take it; the run is finished all the same."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=str(model))
    except (HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled, OSError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the model is saved in {model} but the hub did not take it ({why}): log in with `hf auth login`, then "
            f"`hf upload {repository} {model}`"
        ) from None
    print(f"pushed to {repository}")


def run_experiment(
    recipe: str,
    settings: PolicySettings,
    train: ProblemSet,
    held_out: ProblemSet,
    *,
    rewards: Rewards = None,
    on_hit: OnHit = "flag",
) -> None:
    """The five calls, for whoever needs nothing between them."""
    experiment = load(recipe, settings, train, held_out, on_hit=on_hit)
    before = experiment.evaluate("before")
    experiment.train(rewards=rewards)
    after = experiment.evaluate("after")
    experiment.report(before, after)


def train_policy(
    training: TrainingInputs,
    settings: PolicySettings,
    *,
    rewards: Rewards = None,
    objective: Objective | None = None,
    teacher: PolicyModel | None = None,
) -> OnPolicyTrainer:
    """Step by step to the last: log, evaluate where it is time to, and write checkpoints; Ctrl-C ends after a step."""
    run = training.run
    accelerator = _accelerator(training, settings)
    trainer = OnPolicyTrainer(
        trained_model(training.path, settings),
        settings,
        training.problems.problems,
        training.problems.verifier,
        training.sampler,
        objective=objective,
        teacher=teacher,
        rewards=as_rewards(rewards),
        accelerator=accelerator,
        log_samples=None if run is None else lambda _, rows: run.log_samples(rows),
        environment=training.problems.environment,
    )
    training.notes.add(*not_packed_note(trainer.own))
    if training.checkpoint is not None:
        trainer.load(training.checkpoint)
    progress, interrupt = ProgressLine(), StopOnInterrupt()
    interrupt.start()
    if run is not None:
        progress.start(settings.steps, trainer.step)
    while trainer.step < settings.steps and not interrupt.asked:
        metrics = trainer.train_step()
        metrics |= evaluate_during(training, settings, trainer)
        accelerator.log(metrics, step=trainer.step)
        stopping = interrupt.agreed()
        if run is not None:
            run.log_metrics(trainer.step, metrics)
            progress.show(trainer.step, metrics)
            if stopping or trainer.step % settings.checkpoint_every == 0 or trainer.step == settings.steps:
                folder = training.checkpoints / f"checkpoint-{trainer.step}"
                trainer.save(folder)
                run.mark_complete(folder, keep=2)
                write_report(run.path)
    interrupt.end()
    progress.end()
    # Not end_training(): it takes the processes apart, and they are still to evaluate.
    for tracker in accelerator.trackers:
        tracker.finish()
    if interrupt.asked:
        print(f"stopped at step {trainer.step}, with a checkpoint", flush=True)
        raise KeyboardInterrupt
    return trainer


def evaluate_during(training: TrainingInputs, settings: PolicySettings, trainer: OnPolicyTrainer) -> Metrics:
    """Where it is time to: accuracy on the held-out problems so far; the best model so far is kept."""
    if not settings.eval_every or trainer.step % settings.eval_every or training.held_out is None:
        return {}
    trainer.push_weights()
    run, step = training.run, trainer.step
    metrics: Metrics = {}
    evaluation = evaluate_problems(run, f"step-{step}", training.sampler, training.held_out, settings)
    if run is not None and evaluation is not None:
        summary = evaluation.summary()
        metrics = {f"eval/pass@{k}": interval.estimate for k, interval in summary.pass_at.items()}
        metrics["eval/greedy"] = summary.greedy.estimate
        earlier = [row["eval/pass@1"] for row in run.metrics() if row.get("eval/pass@1") is not None]
        if not earlier or metrics["eval/pass@1"] > max(earlier):
            save_model(run, trainer, settings.model, "best")
            chosen = {"step": step, "pass@1": metrics["eval/pass@1"], "problems": training.held_out.name}
            run.write_json("best/selection.json", chosen)
    training.state.wait_for_everyone()
    return metrics


def _accelerator(training: TrainingInputs, settings: PolicySettings) -> Accelerator:
    accelerator = Accelerator(
        mixed_precision="bf16" if settings.dtype == "bfloat16" else "no",
        cpu=not torch.cuda.is_available(),
        log_with=None if settings.log_to == "none" else settings.log_to,
        # Asked for on every process, written by the main one.
        project_dir=str(training.checkpoints.parent),
    )
    if settings.log_to != "none":
        accelerator.init_trackers("tensorboard" if settings.log_to == "tensorboard" else "rlpath")
    return accelerator


def trained_model(path: Path, settings: PolicySettings) -> Any:
    """The model in `path`: with a fresh adapter, whose first weights follow from the seed, or to train whole."""
    lora = settings.lora()
    if lora is None:
        return load_model(path, "float32")
    model = load_model(path, settings.dtype)
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, "adapter") % 2**63)
        return get_peft_model(model, lora)


def as_rewards(rewards: Rewards) -> list[Reward]:
    """A reward function, or several rewards, as the trainer takes them."""
    if rewards is None:
        return []
    if callable(rewards):
        return [Reward(getattr(rewards, "__name__", type(rewards).__name__), rewards)]
    return list(rewards)


def _reward_source(settings: PolicySettings, train: ProblemSet) -> object:
    if isinstance(settings, GRPOSettings) and settings.reward != "true":
        return _Control(settings.reward)
    return train.verifier


class _Control:
    """Stands for a control's reward in the manifest."""

    def __init__(self, kind: str) -> None:
        self.__name__ = f"the control reward {kind!r}"


def _record_verifiers(run: RunFolder, rewards: Rewards, train: ProblemSet, held_out: ProblemSet) -> None:
    """The manifest says what rewards training, where it is not the verifier alone."""
    given = as_rewards(rewards)
    sources = [verifiers_of(reward.function or train.verifier, held_out.verifier) for reward in given]
    told = {
        "training": " + ".join(reward.name for reward in given),
        "evaluation": sources[0]["evaluation"],
        "same_code": any(source["same_code"] for source in sources),
    }
    run.write_json("manifest.json", {**read_json(run.path / "manifest.json"), "verifiers": told})
