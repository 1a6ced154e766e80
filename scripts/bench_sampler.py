"""Tokens a second of sampling groups: rlpath's sampler, transformers, vLLM and llama.cpp, in one run.

    python scripts/bench_sampler.py --model qwen2.5-coder-0.5b-instruct --length 64

Every arm is a process of its own that completes the same prompts, `group_size` times each, with exactly `length`
tokens (the end of turn is held back), after one short call that warms up. Tokens are also given for a second of
processor time, which other programs on the machine disturb less. llama.cpp reads the GGUF file named by `--gguf` and
decodes one sequence at a time: its Python package offers no batched sampling.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import tyro

from rlpath.runs.cpu import prepare_cpu

Arm = Literal["rlpath", "transformers", "vllm", "llama.cpp"]
PROMPT = "Natalia sold clips to {} of her friends in April, and half as many in May. How many did she sell altogether?"


@dataclass(frozen=True)
class Args:
    model: str = "smollm2-135m-instruct"
    """folder, hub id or packaged name"""
    arms: tuple[Arm, ...] = ("rlpath", "transformers", "vllm", "llama.cpp")
    """what to time, in this order"""
    prompts: int = 8
    """different prompts"""
    group_size: int = 8
    """completions of each prompt"""
    length: int = 128
    """tokens of every completion"""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """of weights; auto is what this machine computes fast in"""
    gguf: Path | None = None
    """file for llama.cpp"""


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--arm":
        given = json.loads(sys.argv[3])
        print("RATES", *rates(sys.argv[2], Args(**given)), flush=True)
        return
    args = tyro.cli(Args)
    print(
        f"{args.prompts} x {args.group_size} completions of {args.length} tokens, {args.model}, load {os.getloadavg()}"
    )
    for arm in args.arms:
        why = missing(arm, args)
        if not why:
            wall, cpu = run(arm, args)
            why = f"{wall:6.1f} tokens/s  {cpu:6.1f} tokens a processor second"
        print(f"{arm:15s} {why}", flush=True)


def missing(arm: str, args: Args) -> str:
    """Why an arm cannot be timed here; empty where it can."""
    if arm == "vllm" and find_spec("vllm") is None:
        return "vLLM is not installed"
    if arm == "llama.cpp" and (find_spec("llama_cpp") is None or args.gguf is None):
        return "llama-cpp-python is not installed" if args.gguf else "no --gguf file was named"
    return ""


def run(arm: str, args: Args) -> tuple[float, float]:
    """One arm in a fresh process."""
    given = asdict(args) | {"gguf": str(args.gguf) if args.gguf else None}
    words = [sys.executable, __file__, "--arm", arm, json.dumps(given)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("RATES ")]
    if not found:
        raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
    wall, cpu = found[0].split()[1:]
    return float(wall), float(cpu)


class Stopwatch:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def rates(self, tokens: int) -> tuple[float, float]:
        """Tokens a second of each."""
        wall, cpu = self.began
        return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)


def rates(arm: str, args: Args) -> tuple[float, float]:
    """Tokens a second, by the wall clock and by the processor's."""
    prepare_cpu()
    prompts = [PROMPT.format(number) for number in range(11, 11 + args.prompts)]
    if arm == "llama.cpp":
        return _llama(prompts[:1], args)
    from rlpath.core.types import Decoding
    from rlpath.models import vllm_sampler
    from rlpath.models.load import resolve_model
    from rlpath.models.precision import fast_dtype
    from rlpath.models.rollouts import load_sampler

    dtype = fast_dtype() if args.dtype == "auto" else args.dtype
    if arm == "transformers":
        return _transformers(prompts, args, dtype)
    backend = "vllm" if arm == "vllm" else "hf"
    sampler: Any = load_sampler(backend, resolve_model(args.model), max_length=args.length + 256, dtype=dtype)
    sampler.stop_ids = frozenset()
    if arm == "vllm":
        plain = vllm_sampler.sampling_params

        def endless(*given: Any, **named: Any) -> list[Any]:
            requests = plain(*given, **named)
            for request in requests:
                request.ignore_eos = True
            return requests

        vllm_sampler.sampling_params = endless
    encoded = [sampler.encode(prompt) for prompt in prompts]
    sampler.generate(encoded, Decoding(4, n=args.group_size, seed=1))
    clock = Stopwatch()
    groups = sampler.generate(encoded, Decoding(args.length, n=args.group_size, seed=0))
    return clock.rates(sum(len(row.token_ids) for group in groups for row in group))


def _transformers(prompts: list[str], args: Args, dtype: str) -> tuple[float, float]:
    import torch

    from rlpath.models.chat import encode_chat
    from rlpath.models.load import load_model, load_tokenizer, resolve_model

    path = resolve_model(args.model)
    tokenizer, model = load_tokenizer(path), load_model(path, dtype)
    tokenizer.padding_side = "left"
    # Same template as ours: the prompts differ in nothing.
    texts = [encode_chat(tokenizer, prompt) for prompt in prompts for _ in range(args.group_size)]
    batch: Any = tokenizer.pad({"input_ids": texts}, return_tensors="pt")
    model.generation_config.eos_token_id = None
    generate: Any = model.generate
    torch.manual_seed(0)
    options: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    generate(**batch, **options, max_new_tokens=4)
    clock = Stopwatch()
    output = generate(**batch, **options, max_new_tokens=args.length)
    return clock.rates(output[:, batch["input_ids"].shape[1] :].numel())


def _llama(prompts: list[str], args: Args) -> tuple[float, float]:
    import llama_cpp  # type: ignore[import-not-found]

    model = llama_cpp.Llama(str(args.gguf), n_ctx=args.length + 256, verbose=False)
    model(prompts[0], max_tokens=4)
    clock = Stopwatch()
    found = [model(prompt, max_tokens=args.length)["usage"]["completion_tokens"] for prompt in prompts]
    return clock.rates(sum(found))


if __name__ == "__main__":
    main()
