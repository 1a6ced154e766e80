"""What every experiment with a language model has in common: presets, a run that is started once and resumed, notes.

What trains is in `on_policy` (GRPO, PPO), `sft`, `dpo` and `reward_modeling`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
import tyro
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from rlpath.core.errors import InputError
from rlpath.core.files import read_json, write_atomic
from rlpath.core.types import Decoding, ExampleSet, Player, Problem, ProblemSet
from rlpath.evals.contamination.screen import sentence
from rlpath.evals.measure.evaluation import Evaluation, evaluate
from rlpath.models.adapters import BASE
from rlpath.models.chat import ChatOptions, encode_chat
from rlpath.models.load import context_length, load_tokenizer, pad_stands_in, resolve_model
from rlpath.models.rollouts import PolicySampler
from rlpath.models.shared import asked_by_main
from rlpath.posttrain.observe import ProgressLine, Recorder, StopOnInterrupt
from rlpath.runs.cpu import prepare_cpu, start_all_processes
from rlpath.runs.hardware import Gpu, detect
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import RunFolder

LONGEST_PROMPT = 1024
TIMEOUT = timedelta(hours=6)
"""How long processes wait for one another."""


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


Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run that was started: its folder (on the main process alone), the processes and the model's local folder."""

    run: RunFolder | None
    state: PartialState
    model: Path


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


def start_run(
    recipe: str,
    settings: Configuration,
    data: Sequence[ProblemSet | ExampleSet[Any]],
    facts: Mapping[str, Any] | None = None,
) -> RunContext | None:
    """Hold the run folder, find the model, write the manifest; None where the run is finished already.

    The first of `data` is what is trained on; `facts` go into the manifest. Raises `InputError` for settings, folder
    or model that cannot be used.
    """
    start_all_processes()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # Whoever makes the process group sets its timeout: NCCL's own ten minutes are less than a download or evaluation.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=TIMEOUT)
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
        facts = facts or {}
        run.write_manifest(known | {"cpu": machine, "processes": state.num_processes} | dict(facts))
        print(f"run folder {run.path}; training on {data[0].name} ({data[0].source})", flush=True)
        print("report.html in that folder is written at every checkpoint: open it while training goes on", flush=True)
        if "contamination" in facts:
            print(sentence(facts["contamination"]), flush=True)
    return RunContext(run, state, path)


class Notes:
    """What was left out or put in place of what was asked: printed at once, kept for report and card."""

    def __init__(self, run: RunFolder | None) -> None:
        self.run = run
        self.sentences: list[str] = []

    def add(self, *sentences: str) -> None:
        """Tell and keep; a sentence is told once."""
        for told in sentences:
            if self.run is not None and told not in self.sentences:
                self.sentences.append(told)
                print(f"note: {told}", flush=True)
        if self.run is not None and sentences:
            self.run.write_json("substitutions.json", self.sentences)


def tokenizer_of(context: RunContext, notes: Notes, template: str | None = None) -> Any:
    """The model's tokenizer, with another chat template where one is given; says so where its end token has to pad."""
    tokenizer = load_tokenizer(context.model, needs_chat=template is None)
    if template is not None:
        tokenizer.chat_template = template
    if pad_stands_in(tokenizer):
        notes.add(f"the tokenizer has no padding token: its end token {tokenizer.eos_token} pads, masked everywhere")
    return tokenizer


def not_packed_note(trainer: Any) -> list[str]:
    """What to say where the packed forward cannot serve this model."""
    if trainer.packs:
        return []
    return [f"the plain forward is used: the packed one differs by {trainer.packing_gap:.2f} on this model"]


def save_model(run: RunFolder | None, trainer: Any, asked: str, name: str = "model") -> Path | None:
    """Save model or adapter in the run's folder `name`, in the hub's format, the base named as it was asked for.

    An adapter gets the hashes of the weights it was trained on, so that no other model is taken for its base.
    """
    if run is None:
        return None
    folder = run.path / name
    trainer.save_model(str(folder))
    record_base_name(folder, asked)
    trained_on = read_json(run.path / "manifest.json")["model"]
    write_atomic(folder / BASE, json.dumps({"name": asked, "sha256": trained_on["sha256"]}, indent=2) + "\n")
    return folder


def record_base_name(adapter: Path, asked: str) -> None:
    """Let a saved adapter name its base as the user did: a folder by its absolute path, anything else as given.

    Written afterwards: while it saves, PEFT looks the base up by the name it has.
    """
    config = adapter / "adapter_config.json"
    if config.exists():
        folder = Path(asked).expanduser()
        name = str(folder.resolve()) if folder.is_dir() else asked
        write_atomic(config, json.dumps({**read_json(config), "base_model_name_or_path": name}, indent=2) + "\n")


def check_prompt_lengths(
    context: RunContext,
    problems: Sequence[Problem],
    settings: Evaluated,
    tokenizer: Any = None,
    options: ChatOptions | None = None,
    system: str | None = None,
    environment: Player | None = None,
) -> None:
    """Refuse prompts that do not fit beside a completion; raises `InputError` with their number and the longest.

    With an `environment` its tools stand before each prompt, and a model that cannot call them is refused too.
    """
    room = min(LONGEST_PROMPT, (context_length(context.model) or sys.maxsize) - settings.max_completion_length)
    tokenizer = tokenizer or load_tokenizer(context.model)
    if environment is not None:
        counted = environment.lengths(tokenizer, problems, system, options)
    else:
        counted = [len(encode_chat(tokenizer, problem.prompt, system, options)) for problem in problems]
    lengths = {problem.id: length for problem, length in zip(problems, counted, strict=True)}
    too_long = [name for name, length in lengths.items() if length > room]
    if too_long:
        longest = max(too_long, key=lengths.__getitem__)
        raise InputError(
            f"{len(too_long)} of {len(lengths)} prompts are longer than the {room} tokens that fit beside a completion "
            f"(problem {longest} has {lengths[longest]}): leave them out, or lower --max-completion-length"
        )


def evaluate_problems(
    run: RunFolder | None, name: str, sampler: PolicySampler, held_out: ProblemSet, settings: Evaluated
) -> Evaluation | None:
    """One evaluation of the held-out problems, verified on the main process; every process samples a share."""
    greedy = Decoding(settings.max_completion_length, temperature=0.0, seed=settings.seed)
    sampled = replace(greedy, temperature=1.0, n=settings.eval_samples)
    with asked_by_main(sampler) as everyone:
        if run is None or everyone is None:
            return None
        path = run.path / "evaluations" / f"{name}.jsonl"
        return evaluate(everyone, held_out, greedy, sampled, path=path, progress=_announce(name))


def _announce(name: str) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        print(f"evaluation {name} training: {done}/{total}", flush=True)

    return progress


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


def _agree(value: bool, state: PartialState) -> bool:
    return bool(broadcast([value], state)[0])


def broadcast(values: list[Any], state: PartialState) -> list[Any]:
    """The main process's values, on every process."""
    if state.num_processes == 1:
        return values
    return broadcast_object_list(values)
