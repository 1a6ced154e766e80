"""One experiment from the first second to the report: evaluate, train, evaluate again, compare, write down.

Every stage goes on where a killed run stopped: evaluations chunk by chunk, training from its last whole checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
import tyro
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from peft import PeftModel, get_peft_model
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from rlpath.cpu import prepare_cpu, start_all_processes
from rlpath.errors import InputError
from rlpath.evals.card import write_card
from rlpath.evals.compare import compare
from rlpath.evals.contamination.screen import OnHit, screen, sentence
from rlpath.evals.evaluation import Evaluation, evaluate
from rlpath.evals.report import write_report
from rlpath.files import read_json, write_atomic
from rlpath.hardware import Gpu, detect
from rlpath.models import load_model, load_tokenizer, resolve_model
from rlpath.posttrain.grpo import GRPOTrainer
from rlpath.posttrain.judge import RewardFunction
from rlpath.posttrain.observe import ProgressLine, Recorder, StopOnInterrupt
from rlpath.posttrain.ppo import PPOTrainer
from rlpath.posttrain.settings import GRPOSettings, PolicySettings, PPOSettings
from rlpath.posttrain.trainers import StopWhereNotFinite
from rlpath.posttrain.weights import sampler_weights
from rlpath.provenance import manifest
from rlpath.rewards.named import judges, verifier_named
from rlpath.rollouts import PolicySampler, choose_backend, load_sampler
from rlpath.runs import RunFolder
from rlpath.seeding import derive
from rlpath.types import Decoding, ExampleSet, Problem, ProblemSet

LONGEST_PROMPT = 1024


class Configuration(Protocol):
    """What every experiment's settings have; a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def model(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def root(self) -> Path: ...
    def check(self, processes: int) -> None: ...


class Evaluated(Configuration, Protocol):
    """Settings of an experiment that completes held-out problems before and after."""

    @property
    def max_completion_length(self) -> int: ...
    @property
    def eval_samples(self) -> int: ...


Settings = TypeVar("Settings", bound=Configuration)


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has begun: its folder (on the main process alone), the processes and the model's local folder."""

    run: RunFolder | None
    state: PartialState
    model: Path


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


def read_settings(presets: dict[str, Settings], argv: Sequence[str] | None = None) -> Settings:
    """The command line's settings: a preset, by `--preset NAME` or else by the hardware, then single flags.

    `--smoke` is the smallest preset, for tests. Raises `InputError` for an unknown preset.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = preset_for(detect().gpus)
    if "--smoke" in words:
        words.remove("--smoke")
        name = "smoke"
    if "--preset" in words:
        at = words.index("--preset")
        name = words[at + 1] if at + 1 < len(words) else ""
        del words[at : at + 2]
    if name not in presets:
        raise InputError(f"--preset {name} is not one of {', '.join(presets)}")
    return tyro.cli(type(presets[name]), default=presets[name], args=words)


def preset_for(gpus: Sequence[Gpu]) -> str:
    """The preset for this machine: by the memory of its smallest GPU, or `cpu`."""
    if not gpus:
        return "cpu"
    return "gpu-80gb" if min(gpu.memory for gpu in gpus) > 70 * 2**30 else "gpu-24gb"


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
    if run is not None:
        print(sentence(overlap), flush=True)
    sampler = load_sampler(
        backend,
        path,
        max_length=LONGEST_PROMPT + settings.max_completion_length,
        dtype=settings.dtype,
        device=str(state.device),
        gpu_memory=settings.gpu_memory,
    )
    check_prompt_lengths(sampler, [*train.problems, *held_out.problems])
    before = evaluate_problems(run, "before", sampler, held_out, settings)
    state.wait_for_everyone()
    trained = _train(begun, settings, train, sampler, reward)
    sampler.load_weights(sampler_weights(trained.policy()))
    after = evaluate_problems(run, "after", sampler, held_out, settings)
    if run is not None and before is not None and after is not None:
        trained.save_model(str(run.path / "model"))
        name_base(run.path / "model", settings.model)
        comparison = compare(before, after, settings.seed)
        comparison.save(run.path / "evaluations" / "verdict.json")
        write_card(run.path)
        run.mark_finished()
        print(f"{comparison.sentence}\nreport: {write_report(run.path)}")
    state.wait_for_everyone()


def begin(
    recipe: str,
    settings: Configuration,
    data: Sequence[ProblemSet | ExampleSet[Any]],
    facts: Mapping[str, Any] | None = None,
) -> Begun | None:
    """Hold the run folder, find the model, write the manifest; None where the run is finished already.

    The first of `data` is what is trained on; `facts` go into the manifest. Raises `InputError` for settings, folder
    or model that cannot be used.
    """
    start_all_processes()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    state = PartialState(cpu=not torch.cuda.is_available())
    settings.check(state.num_processes)
    machine = prepare_cpu(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    config = asdict(settings)
    run = RunFolder.open(settings.root, recipe, config, settings.seed) if state.is_main_process else None
    if run is not None and run.finished:
        print(f"this run is finished: {run.path / 'report.html'}")
    if _agree(run is not None and run.finished, state):
        return None
    with state.main_process_first():
        path = resolve_model(settings.model)
    if run is not None:
        known = manifest(sys.argv, config, data, settings.model, path)
        run.labels["data"] = data[0].name
        run.write_manifest(known | {"cpu": machine, "processes": state.num_processes} | dict(facts or {}))
        print(f"run folder {run.path}; training on {data[0].name} ({data[0].source})", flush=True)
    return Begun(run, state, path)


def name_base(adapter: Path, asked: str) -> None:
    """Let a saved adapter name its base as the user did: a folder by its absolute path, anything else as given.

    Written afterwards: while it saves, PEFT looks the base up by the name it has.
    """
    config = adapter / "adapter_config.json"
    if config.exists():
        folder = Path(asked).expanduser()
        name = str(folder.resolve()) if folder.is_dir() else asked
        write_atomic(config, json.dumps({**read_json(config), "base_model_name_or_path": name}, indent=2) + "\n")


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


def check_prompt_lengths(sampler: PolicySampler, problems: Sequence[Problem]) -> None:
    """Refuse a prompt that would not fit; raises `InputError` naming the problem."""
    for problem in problems:
        length = len(sampler.encode(problem.prompt))
        if length > LONGEST_PROMPT:
            raise InputError(f"problem {problem.id} has a prompt of {length} tokens; at most {LONGEST_PROMPT} fit")


def evaluate_problems(
    run: RunFolder | None, name: str, sampler: PolicySampler, held_out: ProblemSet, settings: Evaluated
) -> Evaluation | None:
    """One evaluation of the held-out problems, on the main process alone."""
    if run is None:
        return None
    greedy = Decoding(settings.max_completion_length, temperature=0.0, seed=settings.seed)
    sampled = replace(greedy, temperature=1.0, n=settings.eval_samples)
    path = run.path / "evaluations" / f"{name}.jsonl"
    return evaluate(sampler, held_out, greedy, sampled, path=path, progress=_announce(name))


def _announce(name: str) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        print(f"evaluation {name} training: {done}/{total}", flush=True)

    return progress


def _train(
    begun: Begun, settings: PolicySettings, problems: ProblemSet, sampler: PolicySampler, reward: RewardFunction | None
) -> Trained:
    """Train to the last step, from the last whole checkpoint if there is one."""
    folder, checkpoint = last_checkpoint(begun.run, settings.root, begun.state)
    training = Training(begun.run, begun.model, problems, sampler, begun.state, folder, checkpoint)
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
    if run is not None and not trainer.packs:
        note = f"TRL's own forward is used: the packed one differs by {trainer.packing_gap:.2f} on this model"
        print(note, flush=True)
        run.write_json("substitutions.json", [note])
    trainer.add_callback(StopWhereNotFinite())
    train_to_the_end(trainer, run, training.checkpoint)
    return trainer


def last_checkpoint(run: RunFolder | None, root: Path, state: PartialState) -> tuple[Path, Path | None]:
    """The folder of checkpoints and the one to go on from, on every process; metrics written after it are dropped."""
    folder = root if run is None else run.checkpoints
    found = run.last_checkpoint() if run is not None else None
    folder, checkpoint = broadcast([str(folder), str(found) if found else None], state)
    if run is not None:
        run.rewind(int(checkpoint.rsplit("-", 1)[1]) if checkpoint else 0)
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.path / "tensorboard")
    return Path(folder), Path(checkpoint) if checkpoint else None


def train_to_the_end(trainer: Any, run: RunFolder | None, checkpoint: Path | None) -> None:
    """Train with our record, progress and stop; Ctrl-C saves another checkpoint and goes on up."""
    interrupt = StopOnInterrupt()
    for callback in (interrupt, Recorder(run), *([ProgressLine()] if run is not None else [])):
        trainer.add_callback(callback)
    trainer.remove_callback(PrinterCallback)
    # Where no step is left this still loads the trained weights, which the evaluation and the saved model need.
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if interrupt.asked:
        print(f"stopped at step {trainer.state.global_step}, with a checkpoint", flush=True)
        raise KeyboardInterrupt


def train_ppo(training: Training, settings: PPOSettings, reward: RewardFunction | None) -> PPOTrainer:
    """PPO, a step at a time."""
    run = training.run
    accelerator = Accelerator(
        mixed_precision="bf16" if settings.dtype == "bfloat16" else "no",
        cpu=not torch.cuda.is_available(),
        log_with=None if settings.log_to == "none" else settings.log_to,
        project_dir=None if run is None else str(run.path),
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
    accelerator.end_training()
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


def _agree(value: bool, state: PartialState) -> bool:
    return bool(broadcast([value], state)[0])


def broadcast(values: list[Any], state: PartialState) -> list[Any]:
    """The main process's values, on every process."""
    if state.num_processes == 1:
        return values
    return broadcast_object_list(values)
