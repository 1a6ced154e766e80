"""Faster, not smarter? What reinforcement learning from verifiable rewards adds to a model, on one page.

    python recipes/rlvr_study.py
    python recipes/rlvr_study.py --smoke
    python recipes/rlvr_study.py --preset gpu-24gb
    python recipes/rlvr_study.py --problems word-problems:mixed --max-completion-length 48 --sft-steps 40

Arms: the base model, the same few-shot, SFT, rejection sampling, and GRPO with the true, a random, a format, a wrong
and a majority reward, each trained with every seed. All answer the same held-out problems, verified by the true
verifier: pass@k at two temperatures, fresh samples of what only the trained model had solved, divergence from the
start, and how much of a gain is form. The plan is written and hashed before the first run.

Every model is a run folder of its own. A study that was stopped goes on with the same command, and its page shows what
is there so far: `runs/rlvr_study/<hash>/report.html`.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers.utils import logging as transformers_logging

from rlpath.core.errors import InputError, run_command
from rlpath.core.files import hold_folder, read_json, write_atomic
from rlpath.core.types import ProblemSet
from rlpath.envs.demonstrations import worked_solutions
from rlpath.envs.load import problem_set
from rlpath.evals.suite.task import Exemplar, Template, TemplatedSampler
from rlpath.exhibits.rlvr import page, sampling
from rlpath.exhibits.rlvr.findings import UNTRAINED, place
from rlpath.exhibits.rlvr.plan import ARMS, BASE, FEW_SHOT, GRPO, REJECTION, SFT, plan_text
from rlpath.exhibits.rlvr.results import Study
from rlpath.models.load import resolve_model
from rlpath.models.precision import fast_dtype
from rlpath.models.rollouts import LoadedSampler, choose_backend, load_sampler
from rlpath.posttrain.experiment import LONGEST_PROMPT, read_settings
from rlpath.posttrain.on_policy import run_experiment
from rlpath.posttrain.rejection import RejectionSettings, run_rejection_sampling
from rlpath.posttrain.settings import GRPOSettings
from rlpath.posttrain.sft import run_sft
from rlpath.posttrain.tuning_settings import ExaminedSettings
from rlpath.runs.cpu import prepare_cpu
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import config_hash, run_path


@dataclass(frozen=True, kw_only=True)
class Settings:
    preset: str = "cpu"
    """the set of defaults these settings started from"""
    model: str = "smollm2-135m-instruct"
    """a local folder, a hub id, or the packaged smollm2-135m-instruct"""
    problems: str = "arithmetic:add-1x2"
    """problems to train on and their held-out side, as `rlpath eval` names them"""
    start: Literal["sft", "base"] = "sft"
    """what rejection sampling and GRPO start from: a small model solves too little before SFT"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """training seeds of every arm"""
    demonstrations: int = 64
    """worked solutions that SFT is shown"""
    sft_steps: int = 20
    """optimizer steps of SFT, and of rejection sampling on its own accepted answers"""
    sft_learning_rate: float = 3e-4
    """of both"""
    steps: int = 16
    """rollouts of GRPO; rejection sampling draws as many completions"""
    prompts_per_step: int = 6
    """prompts of a rollout"""
    group_size: int = 8
    """completions of each"""
    learning_rate: float = 3e-4
    """of GRPO"""
    max_completion_length: int = 24
    """tokens after which a completion is truncated"""
    micro_batch: int = 64
    """completions of full length in one forward"""
    held_out: int = 32
    """held-out problems, at least 30 for a verdict"""
    samples: int = 64
    """samples of each at temperature 1, and again in the retest: the largest k"""
    cool_samples: int = 32
    """samples of each at temperature 0.6"""
    shots: int = 4
    """solved examples before a question, in the few-shot arm"""
    root: Path = Path("runs")
    """folder of all runs"""

    def check(self) -> None:
        """Refuse what cannot be run; raises `InputError` naming the field."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise InputError("--seeds must be different numbers, none of them negative")
        counts = ("held_out", "samples", "cool_samples", "shots", "demonstrations", "sft_steps")
        for name in counts:
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)} must be at least 1")
        if self.samples & (self.samples - 1):
            raise InputError(f"--samples {self.samples} must be a power of two, the largest k of pass@k")

    @property
    def folder(self) -> Path:
        """Where the study and all its runs lie."""
        config = {name: value for name, value in asdict(self).items() if name not in ("root", "micro_batch")}
        return self.root / "rlvr_study" / config_hash(config)

    def data(self, split: Literal["train", "validation"], size: int | None = None) -> ProblemSet:
        """One side of the problems."""
        return problem_set(self.problems, split, size=size)


PRESETS = {
    "smoke": Settings(
        preset="smoke",
        problems="arithmetic:add-1",
        seeds=(0,),
        demonstrations=8,
        sft_steps=2,
        steps=2,
        prompts_per_step=4,
        max_completion_length=8,
        held_out=4,
        samples=4,
        cool_samples=2,
    ),
    "cpu": Settings(),
    "gpu-24gb": Settings(
        preset="gpu-24gb",
        model="Qwen/Qwen2.5-0.5B-Instruct",
        problems="gsm8k",
        start="base",
        demonstrations=2000,
        sft_steps=120,
        sft_learning_rate=1e-4,
        steps=100,
        prompts_per_step=16,
        learning_rate=2e-5,
        max_completion_length=320,
        micro_batch=8,
        held_out=200,
        samples=64,
        cool_samples=64,
    ),
}
PRESETS["gpu-80gb"] = replace(PRESETS["gpu-24gb"], preset="gpu-80gb", model="Qwen/Qwen2.5-1.5B-Instruct")


# Training: every arm is a recipe of its own


def common(study: Settings, seed: int, model: str) -> dict[str, Any]:
    """What the settings of every run have in common; the study's own samples are the evaluation that counts."""
    return {
        "preset": study.preset,
        "model": model,
        "seed": seed,
        "root": study.folder,
        "max_completion_length": study.max_completion_length,
        "eval_problems": min(16, study.held_out),
        "eval_samples": 2,
        "checkpoint_every": 5,
        "log_to": "none",
    }


def sft_settings(study: Settings, seed: int) -> ExaminedSettings:
    return ExaminedSettings(
        **common(study, seed, study.model),
        steps=study.sft_steps,
        batch=16,
        micro_batch=min(16, study.micro_batch),
        learning_rate=study.sft_learning_rate,
        held_out=min(16, study.held_out),
    )


def rejection_settings(study: Settings, seed: int) -> RejectionSettings:
    return RejectionSettings(
        **common(study, seed, start_model(study, REJECTION, seed)),
        steps=study.sft_steps,
        batch=16,
        micro_batch=min(16, study.micro_batch),
        learning_rate=study.sft_learning_rate / 3,
        prompts=study.steps * study.prompts_per_step,
        samples=study.group_size,
    )


def grpo_settings(study: Settings, arm: str, seed: int) -> GRPOSettings:
    reward: Any = next(reward for reward, name in GRPO.items() if name == arm)
    return GRPOSettings(
        **common(study, seed, start_model(study, arm, seed)),
        steps=study.steps,
        prompts_per_step=study.prompts_per_step,
        group_size=study.group_size,
        micro_batch=study.micro_batch,
        learning_rate=study.learning_rate,
        reward=reward,
    )


def settings_of(study: Settings, arm: str, seed: int) -> Any:
    if arm == SFT:
        return sft_settings(study, seed)
    return rejection_settings(study, seed) if arm == REJECTION else grpo_settings(study, arm, seed)


def run_folder(study: Settings, arm: str, seed: int) -> Path:
    """The run folder of a trained arm's seed."""
    return run_path(study.folder, arm, asdict(settings_of(study, arm, seed)), seed)


def start_model(study: Settings, arm: str, seed: int) -> str:
    """The model that an arm is trained from: the base, or the adapter that SFT saved."""
    if arm == SFT or study.start == BASE:
        return study.model
    return str(run_folder(study, SFT, seed) / "model")


def train(study: Settings, arm: str, seed: int) -> None:
    """Train one arm with one seed, or go on with it."""
    settings = settings_of(study, arm, seed)
    held_out = study.data("validation", settings.eval_problems)
    if arm == SFT:
        shown = worked_solutions(study.data("train", study.demonstrations))
        run_sft(SFT, settings, shown, worked_solutions(study.data("validation", settings.held_out)), held_out)
    elif arm == REJECTION:
        run_rejection_sampling(REJECTION, settings, study.data("train"), held_out)
    else:
        run_experiment(arm, settings, study.data("train"), held_out)


# Sampling: every model answers the same held-out problems


def sample(study: Settings, arm: str, seed: int) -> None:
    """Sample one model, measure how far it moved, and test again what it newly solved."""
    plan = sampling.SamplingPlan(
        study.data("validation", study.held_out), study.samples, study.cool_samples, study.max_completion_length
    )
    folder = place(study.folder, arm, seed)
    if seed == UNTRAINED:
        sampler: Any = sampler_of(study, resolve_model(study.model))
        sampling.sample_model(few_shot(study, sampler) if arm == FEW_SHOT else sampler, plan, folder, arm)
    else:
        adapter = run_folder(study, arm, seed) / "model"
        start = sampling.Start(resolve_model(start_model(study, arm, seed)), fast_dtype(), device())
        # Others start from SFT's merged weights, rounded to the base's type: these are what is sampled.
        sampler = sampler_of(study, resolve_model(str(adapter)) if arm == SFT else start.path)
        if arm != SFT:
            sampler.load_weights(start.trained(adapter))
        sampling.sample_model(sampler, plan, folder, arm, seed)
        sampling.measure_moved(sampler, start, plan, folder, arm, seed)
        if arm != SFT:
            started = place(study.folder, study.start, seed if study.start == SFT else UNTRAINED)
            sampling.retest(sampler, start, adapter, plan, started, folder, arm, seed)
    write_atomic(folder / "done.json", "{}\n")


def sampler_of(study: Settings, path: Path) -> LoadedSampler:
    """A sampler with the weights in `path`."""
    length = 4 * LONGEST_PROMPT + study.max_completion_length
    return load_sampler(choose_backend("auto"), path, max_length=length, dtype=fast_dtype(), device=str(device()))


def few_shot(study: Settings, sampler: LoadedSampler) -> TemplatedSampler:
    """The sampler, shown solved training problems before each question."""
    shown = worked_solutions(study.data("train", study.shots)).examples
    solved = [Exemplar(example.prompt[0].content, example.completion) for example in shown]
    return TemplatedSampler(sampler, Template("few-shot", "{question}", shots=study.shots), solved)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


# The study


def main() -> None:
    words = sys.argv[1:]
    if "--arm" in words:
        at = words.index("--arm")
        arm, seed = words[at + 1], int(words[at + 2])
        work(read_settings(PRESETS, words[:at]), arm, seed)
        return
    study = read_settings(PRESETS)
    study.check()
    run_study(study, words)


def run_study(study: Settings, words: Sequence[str]) -> None:
    """Write the plan, do what is left arm by arm and seed by seed, and write the page after each."""
    held = hold_folder(study.folder)
    register(study)
    jobs = [(arm, UNTRAINED) for arm in (BASE, FEW_SHOT)]
    jobs += [(arm, seed) for seed in study.seeds for arm in ARMS if arm not in (BASE, FEW_SHOT)]
    for number, (arm, seed) in enumerate(jobs, start=1):
        name = arm if seed == UNTRAINED else f"{arm}, seed {seed}"
        if (place(study.folder, arm, seed) / "done.json").exists():
            print(f"{number}/{len(jobs)} {name}: finished before", flush=True)
            continue
        print(f"{number}/{len(jobs)} {name}", flush=True)
        do(study, words, arm, seed)
        write_page(study)
    print(f"report: {write_page(study)}")
    held.close()


def register(study: Settings) -> None:
    """Write `plan.toml` and the manifest with its hash, at the first start alone."""
    plan = study.folder / "plan.toml"
    if not plan.exists():
        n = study.held_out
        write_atomic(plan, plan_text(study.problems, study.start, study.samples, n, study.seeds))
    path = study.folder / "manifest.json"
    if not path.exists():
        data = [study.data("train"), study.data("validation", study.held_out)]
        facts = manifest(sys.argv, asdict(study), data, prereg=plan)
        write_atomic(path, json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n")
    recorded = read_json(path)["prereg"]
    print(f"plan {plan}, sha256 {recorded['sha256'][:12]}, written {recorded['time']}", flush=True)


def do(study: Settings, words: Sequence[str], arm: str, seed: int) -> None:
    """One arm and seed: on a GPU as a process, since vLLM gives its memory back only when it ends."""
    if not torch.cuda.is_available():
        work(study, arm, seed)
        gc.collect()
        return
    done = subprocess.run([sys.executable, __file__, *words, "--arm", arm, str(seed)], check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise InputError(f"{arm} ended with status {done.returncode}: mend what it says above and run this again")


def work(study: Settings, arm: str, seed: int) -> None:
    """Train and sample."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    prepare_cpu()
    if seed != UNTRAINED and not (run_folder(study, arm, seed) / "finished.json").exists():
        train(study, arm, seed)
        gc.collect()
    sample(study, arm, seed)


def write_page(study: Settings) -> Path:
    """The page of what is there so far."""
    runs = {(arm, seed): run_folder(study, arm, seed) for arm in ARMS[2:] for seed in study.seeds}
    about = Study(study.model, study.problems, study.start, study.samples, study.seeds)
    return page.write_study(study.folder, about, runs)


if __name__ == "__main__":
    run_command(main)
