"""What only a GPU can show, in one command of less than ten minutes: `make check-gpu`.

    python scripts/check_gpu.py
    python scripts/check_gpu.py --cpu

The model is Qwen2.5-Coder-0.5B-Instruct where a hub or package index can be reached, else one of its shape with random
weights. Each check is a process of its own, so that one that crashes leaves the others. Ends with 0 where all passed,
1 where one did not, 2 where there is no GPU. `--cpu` rehearses the checks with a small random model on the processor.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from rlpath.core.errors import InputError, run_command
from rlpath.runs.cpu import prepare_cpu
from rlpath.runs.hardware import GIB

PROMPTS = ("What is 17 + 25?", "Name three primes.", "Spell cat backwards.")
GROUP, LENGTH = 4, 64
TIMEOUT = 240
"""Seconds that one check may take."""


@dataclass(frozen=True)
class Args:
    cpu: bool = False
    """rehearse on the processor, with a small random model"""
    model: str = "qwen2.5-coder-0.5b-instruct"
    """folder, hub id or packaged name"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found, what was wanted of it, and whether that is so."""

    found: str
    wanted: str
    passed: bool


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--check":
        name, folder, device = sys.argv[2:]
        prepare_cpu()
        for found in CHECKS[name](Path(folder), device):
            print("FOUND " + json.dumps([found.found, found.wanted, found.passed]), flush=True)
        return
    args = tyro.cli(Args)
    device = "cpu" if args.cpu else "cuda"
    import torch

    if not args.cpu and not torch.cuda.is_available():
        raise InputError("no CUDA GPU is visible to torch, and these checks need one: --cpu rehearses them without")
    with tempfile.TemporaryDirectory() as folder:
        path, what = model_folder(args, Path(folder))
        table = Table("check", "found", "wanted", "", title=f"{what} on {name_of(device)}", title_justify="left")
        passed = True
        for name in CHECKS:
            began = time.perf_counter()
            for row in run_check(name, path, device):
                passed &= row.passed
                table.add_row(name, row.found, row.wanted, "yes" if row.passed else "NO")
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    Console().print(table)
    sys.exit(0 if passed else 1)


def name_of(device: str) -> str:
    """The GPU's name, or the processor's."""
    import torch

    from rlpath.runs.hardware import cpu_name

    return torch.cuda.get_device_name() if device == "cuda" else cpu_name()


def run_check(name: str, path: Path, device: str) -> list[CheckResult]:
    """One check in a fresh process."""
    words = [sys.executable, __file__, "--check", name, str(path), device]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return [CheckResult(f"no end after {TIMEOUT} s", "an end", passed=False)]
    rows = [CheckResult(*json.loads(line[6:])) for line in done.stdout.split("\n") if line.startswith("FOUND ")]
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        rows.append(CheckResult(said, "no error", passed=False))
    return rows


def model_folder(args: Args, folder: Path) -> tuple[Path, str]:
    """A model to check with and what it is: the real one, or a random one where none can be had."""
    from rlpath.models.load import resolve_model
    from rlpath.models.shapes import random_model

    if args.cpu:
        return random_model(folder, small=True), "a small random model"

    try:
        return resolve_model(args.model), args.model
    except InputError as error:
        print(f"note: {error}", file=sys.stderr)
        return random_model(folder, small=False), "random weights in the shape of Qwen2.5-0.5B"


# -- the checks -------------------------------------------------------------------------------------------------


def check_packing(path: Path, device: str) -> Iterator[CheckResult]:
    """The packed forward computes the model, in fp32 on this device."""
    import torch

    from rlpath.models.load import load_model
    from rlpath.posttrain.packing.forward import PACKING_TOLERANCE, packing_gap, patch_packed_forward

    model: Any = load_model(path)
    model.to(device)
    patch_packed_forward(model, 1.0)
    gap = packing_gap(model, min(model.config.vocab_size, 1000), torch.device(device))
    yield CheckResult(f"gap {gap:.1e}", f"below {PACKING_TOLERANCE:.0e}", gap < PACKING_TOLERANCE)


def check_hf(path: Path, device: str) -> Iterator[CheckResult]:
    """The Hugging Face sampler repeats under a seed and follows a push."""
    yield from _sampling("hf", path, device)


def check_vllm(path: Path, device: str) -> Iterator[CheckResult]:
    """vLLM likewise, with a seed a request on a GPU; asleep it gives its memory back."""
    if find_spec("vllm") is None:
        yield CheckResult("vLLM is not installed", "nothing", passed=True)
        return
    yield from _sampling("vllm", path, device)


def _sampling(backend: Any, path: Path, device: str) -> Iterator[CheckResult]:
    import torch
    from peft import LoraConfig, get_peft_model

    from rlpath.core.types import Decoding
    from rlpath.models.load import load_model
    from rlpath.models.precision import fast_dtype
    from rlpath.models.rollouts import load_sampler
    from rlpath.models.weights import sampler_weights

    dtype = fast_dtype()
    sampler = load_sampler(backend, path, max_length=256, dtype=dtype, device=device)
    prompts = [sampler.encode(prompt) for prompt in PROMPTS]

    def ask(seed: int) -> list[Any]:
        return sampler.generate(prompts, Decoding(LENGTH, n=GROUP, seed=seed))

    first = ask(0)
    texts = [row.token_ids for group in first for row in group]
    repeats = [row.token_ids for group in ask(0) for row in group] == texts
    differs = [row.token_ids for group in ask(1) for row in group] != texts
    yield CheckResult(f"one seed {'repeats' if repeats else 'DIFFERS'}", "repeats", repeats)
    yield CheckResult(f"another seed {'differs' if differs else 'REPEATS'}", "differs", differs)

    torch.manual_seed(0)
    config = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    trainer: Any = get_peft_model(load_model(path, dtype).to(device), config).eval()  # type: ignore[arg-type]
    without = _gap(trainer, prompts, first)
    sampler.load_weights(sampler_weights(trainer))
    after = _gap(trainer, prompts, ask(0))
    wanted = "below 0.15, and less than without it"
    yield CheckResult(f"gap {after:.3f} after a push, {without:.2f} without", wanted, after < min(0.15, without))
    if device == "cuda":
        held = torch.cuda.mem_get_info()[0]
        sampler.sleep()
        torch.cuda.empty_cache()
        freed = torch.cuda.mem_get_info()[0] - held
        sampler.wake()
        again = _gap(trainer, prompts, ask(0))
        yield CheckResult(f"asleep it frees {freed / GIB:.1f} GiB", "at least its weights", freed > 0.5 * GIB)
        yield CheckResult(f"gap {again:.3f} after waking", "below 0.15", again < 0.15)


def _gap(trainer: Any, prompts: list[list[int]], groups: list[Any]) -> float:
    """Mean absolute difference of log-probabilities between the trainer's forward and the sampler."""
    import torch

    found = []
    for prompt, group in zip(prompts, groups, strict=True):
        for row in group:
            ids = torch.tensor([[*prompt, *row.token_ids]], device=trainer.device)
            with torch.no_grad():
                logits = trainer(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
            mine = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0].cpu()
            found += (mine - torch.tensor(row.logprobs)).abs().tolist()
    return sum(found) / len(found)


def check_memory(path: Path, device: str) -> Iterator[CheckResult]:
    """The doctor's estimate of an update's peak, without the sampler, beside the one that is measured."""
    import torch

    from rlpath.cli import estimate
    from rlpath.models.precision import fast_dtype

    settings = Update(model=str(path), group_size=8, max_completion_length=128 if device == "cuda" else 64)
    shape = estimate.shape_of(str(path))
    assert shape is not None
    before = _held(device)
    began = time.perf_counter()
    train_step(settings, path, device)
    seconds = time.perf_counter() - began
    measured = _peak(device) - before
    parts = estimate.memory(settings, shape, gpu_memory=None, bf16=fast_dtype() == "bfloat16")
    expected = parts.total - parts.sampler - parts.process
    ratio = expected / measured
    text = f"estimate {expected / GIB:.2f} GiB, measured {measured / GIB:.2f} GiB, in {seconds:.1f} s"
    # A small model's own share is lost among what torch itself takes.
    yield CheckResult(text, "within 25 %", 0.75 < ratio < 1.25 or measured < GIB)
    if device == "cuda":
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Update:
    """The fields of a recipe's settings that an estimate needs."""

    model: str
    group_size: int
    max_completion_length: int
    steps: int = 1
    prompts_per_step: int = 4
    micro_batch: int = 8
    lora_rank: int = 32
    gradient_checkpointing: bool = False
    gpu_memory: float = 0.3
    eval_problems: int = 1
    eval_samples: int = 1


def _held(device: str) -> int:
    """Bytes held now: by this process, or by torch on the GPU."""
    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _peak(device: str) -> int:
    import torch

    return torch.cuda.max_memory_allocated() if device == "cuda" else _held(device)


def train_step(settings: Update, path: Path, device: str) -> None:
    """Two optimizer steps on packed groups of random tokens, as training does them."""
    import torch
    from peft import LoraConfig, get_peft_model

    from rlpath.cli.estimate import PROMPT_TOKENS
    from rlpath.models.load import load_model
    from rlpath.models.precision import fast_dtype
    from rlpath.posttrain.packing.forward import completion_logprobs, leave_casting_to_autocast, patch_packed_forward

    dtype = fast_dtype()
    rank = settings.lora_rank
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(load_model(path, dtype).to(device), config)  # type: ignore[arg-type]
    base = model.get_base_model()
    patch_packed_forward(base, 1.0)
    leave_casting_to_autocast(base)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    vocabulary = min(base.config.vocab_size, 1000)
    prompts = torch.randint(3, vocabulary, (1, PROMPT_TOKENS)).repeat(settings.group_size, 1).to(device)
    completions = torch.randint(3, vocabulary, (settings.group_size, settings.max_completion_length)).to(device)
    batch = {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": completions,
        "completion_mask": torch.ones_like(completions),
    }
    for _ in range(2):
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            logprobs, _ = completion_logprobs(model, batch, settings.group_size)
        logprobs.mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def check_step(path: Path, device: str) -> Iterator[CheckResult]:
    """A GRPO step beside stock TRL's, with vLLM where it is installed."""
    if device == "cpu":
        yield CheckResult("timed on a GPU alone: scripts/bench_grpo_step.py does it here", "nothing", passed=True)
        return
    arms = ["rlpath", "trl-hf", *(["rlpath-vllm", "trl-vllm"] if find_spec("vllm") else [])]
    script = Path(__file__).with_name("bench_grpo_step.py")
    sizes = ["--prompts", "8", "--group-size", "8", "--length", "128", "--steps", "2", "--no-parity"]
    words = [sys.executable, str(script), "--model", str(path), *sizes, "--arms", *arms]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT - 10, check=False)
    for line in done.stdout.splitlines():
        if "median" in line or "times as fast" in line:
            yield CheckResult(line, "a time", passed=True)
    if done.returncode != 0:
        yield CheckResult(done.stderr.strip().splitlines()[-1], "no error", passed=False)


CHECKS: dict[str, Callable[[Path, str], Iterator[CheckResult]]] = {
    "packing": check_packing,
    "sampler hf": check_hf,
    "sampler vllm": check_vllm,
    "memory": check_memory,
    "step": check_step,
}


if __name__ == "__main__":
    run_command(main)
