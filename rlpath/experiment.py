"""One GRPO experiment from the first second to the report: evaluate, train, evaluate again, compare, write down.

Every stage goes on where a killed run stopped: evaluations chunk by chunk, training from its last whole checkpoint.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import tyro
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from rlpath.cpu import prepare_cpu, start_all_processes
from rlpath.errors import InputError
from rlpath.evals.compare import compare
from rlpath.evals.contamination.screen import OnHit, screen, sentence
from rlpath.evals.evaluate import Evaluation, evaluate
from rlpath.evals.report import write_report
from rlpath.hardware import Gpu, detect
from rlpath.models import load_model, load_tokenizer, resolve_model
from rlpath.posttrain.grpo import GRPOTrainer
from rlpath.posttrain.observe import ProgressLine, Recorder, StopOnInterrupt
from rlpath.posttrain.settings import GRPOSettings
from rlpath.posttrain.weights import sampler_weights
from rlpath.provenance import manifest
from rlpath.rollouts import PolicySampler, choose_backend, load_sampler
from rlpath.runs import RunFolder
from rlpath.types import Decoding, Problem, ProblemSet

LONGEST_PROMPT = 1024
Settings = TypeVar("Settings", bound=GRPOSettings)


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
    recipe: str, settings: GRPOSettings, train: ProblemSet, held_out: ProblemSet, on_hit: OnHit = "flag"
) -> None:
    """Run or resume `recipe`; on the main process the run folder is held, written and reported.

    Training problems that match held-out or known test items are flagged in the manifest, or left out ("drop").
    Raises `InputError` for whatever the user can mend, before any expensive work where possible.
    """
    start_all_processes()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    state = PartialState(cpu=not torch.cuda.is_available())
    settings.check(state.num_processes)
    machine = prepare_cpu(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    run = RunFolder.open(settings.root, recipe, asdict(settings), settings.seed) if state.is_main_process else None
    if run is not None and run.finished:
        print(f"this run is finished: {run.path / 'report.html'}")
    finished = _agree(run is not None and run.finished, state)
    if finished:
        return
    train, overlap = screen(train, held_out, on_hit=on_hit)
    with state.main_process_first():
        path = resolve_model(settings.model)
    backend = choose_backend(settings.rollouts)
    if run is not None:
        facts = manifest(sys.argv, asdict(settings), [train, held_out], settings.model, path)
        facts["rollouts"] = {"backend": backend, "dtype": settings.dtype, "asked": settings.rollouts}
        facts["contamination"] = overlap
        run.labels["data"] = train.name
        write_manifest(run, facts | {"cpu": machine, "processes": state.num_processes})
        print(f"run folder {run.path}; training on {train.name} ({train.source})\n{sentence(overlap)}", flush=True)
    sampler = load_sampler(
        backend,
        path,
        max_length=LONGEST_PROMPT + settings.max_completion_length,
        dtype=settings.dtype,
        device=str(state.device),
        gpu_memory=settings.gpu_memory,
    )
    check_prompt_lengths(sampler, [*train.problems, *held_out.problems])
    before = _evaluate(run, "before", sampler, held_out, settings)
    state.wait_for_everyone()
    trainer = _train(run, settings, path, train, sampler, state)
    sampler.load_weights(sampler_weights(trainer.accelerator.unwrap_model(trainer.model)))
    after = _evaluate(run, "after", sampler, held_out, settings)
    if run is not None and before is not None and after is not None:
        trainer.save_model(str(run.path / "model"))
        comparison = compare(before, after, settings.seed)
        comparison.save(run.path / "evaluations" / "verdict.json")
        run.mark_finished()
        print(f"{comparison.sentence}\nreport: {write_report(run.path)}")
    state.wait_for_everyone()


def write_manifest(run: RunFolder, facts: dict[str, Any]) -> None:
    """Write the manifest; a resumed run keeps what its earlier starts said of code, packages, hardware and plan."""
    path = run.path / "manifest.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"starts": []}
    start = {name: facts[name] for name in ("started", "command", "git", "rlpath", "packages", "hardware", "prereg")}
    run.write_json("manifest.json", facts | {"starts": [*earlier.get("starts", []), start]})


def training_rows(problems: Sequence[Problem], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` rows for the trainer in their order of use: shuffled passes over the problems, fixed by `seed`."""
    generator = random.Random(seed)
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        for problem in generator.sample(problems, len(problems)):
            prompt = [{"role": "user", "content": problem.prompt}]
            row = {"prompt": prompt, "question": problem.prompt, "gold": problem.gold, "problem_id": problem.id}
            rows.append(row)
    return rows[:count]


def check_prompt_lengths(sampler: PolicySampler, problems: Sequence[Problem]) -> None:
    """Refuse a prompt that would not fit; raises `InputError` naming the problem."""
    for problem in problems:
        length = len(sampler.encode(problem.prompt))
        if length > LONGEST_PROMPT:
            raise InputError(f"problem {problem.id} has a prompt of {length} tokens; at most {LONGEST_PROMPT} fit")


def _evaluate(
    run: RunFolder | None, name: str, sampler: PolicySampler, held_out: ProblemSet, settings: GRPOSettings
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
    run: RunFolder | None,
    settings: GRPOSettings,
    path: Path,
    train: ProblemSet,
    sampler: PolicySampler,
    state: PartialState,
) -> GRPOTrainer:
    """Train to the last step, from the last whole checkpoint if there is one; Ctrl-C saves another and goes on up."""
    folder = settings.root if run is None else run.checkpoints
    checkpoint = run.last_checkpoint() if run is not None else None
    folder, checkpoint = _broadcast([str(folder), str(checkpoint) if checkpoint else None], state)
    step = int(checkpoint.rsplit("-", 1)[1]) if checkpoint else 0
    if run is not None:
        run.rewind(step)
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.path / "tensorboard")
    interrupt = StopOnInterrupt()
    args = settings.trl(Path(folder), state.num_processes)
    rows = training_rows(train.problems, settings.steps * settings.prompts_per_step, settings.seed)
    trainer = GRPOTrainer(
        load_model(path, settings.dtype if settings.lora_rank else "float32"),
        args=args,
        train_dataset=Dataset.from_list(rows),
        verifier=train.verifier,
        sampler=sampler,
        log_samples=None if run is None else lambda _, rows: run.log_samples(rows),
        processing_class=load_tokenizer(path),
        peft_config=settings.lora(),
        callbacks=[interrupt, Recorder(run), *([ProgressLine()] if run is not None else [])],
    )
    trainer.remove_callback(PrinterCallback)
    if run is not None and not trainer.packs:
        note = f"TRL's own forward is used: the packed one differs by {trainer.packing_gap:.2f} on this model"
        print(note, flush=True)
        run.write_json("substitutions.json", [note])
    # Where no step is left this still loads the trained weights, which the evaluation and the saved model need.
    trainer.train(resume_from_checkpoint=checkpoint)
    if interrupt.asked:
        print(f"stopped at step {trainer.state.global_step}, with a checkpoint", flush=True)
        raise KeyboardInterrupt
    return trainer


def _agree(value: bool, state: PartialState) -> bool:
    return bool(_broadcast([value], state)[0])


def _broadcast(values: list[Any], state: PartialState) -> list[Any]:
    """The main process's values, on every process."""
    if state.num_processes == 1:
        return values
    return broadcast_object_list(values)
