"""Sampling with vLLM inside the trainer's process, on a GPU or on a CPU.

The engine runs in this process (no worker processes), so that new weights reach it by assignment. On a GPU every
request has its own seed; vLLM's CPU runner cannot take one, and draws from torch's global generators, which are seeded
for each call and put back afterwards.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding
from rlpath.models.chat import ChatOptions, check_options, encode_chat, stop_token_ids
from rlpath.models.load import context_length


def vllm_installed() -> bool:
    return find_spec("vllm") is not None


class VLLMSampler:
    """A vLLM engine with the weights of `path`; `load_weights` replaces them.

    `max_length` bounds prompt plus completion in tokens, and so does what the model can read. At most `max_batch`
    sequences are decoded at once; `options` go to the chat template. `gpu_memory` is the share of the GPU's memory the
    engine may take for weights and cache (ignored on a CPU, where the cache gets `cpu_cache_gib`). Raises `InputError`
    where vLLM is not installed.
    """

    backend = "vllm"
    takes_numbers = True
    """Whether `generate` takes a number for each prompt."""

    def __init__(
        self,
        path: Path | str,
        tokenizer: Any,
        *,
        max_length: int,
        dtype: str = "bfloat16",
        system: str | None = None,
        options: ChatOptions | None = None,
        gpu_memory: float = 0.3,
        cpu_cache_gib: int = 1,
        max_batch: int = 256,
    ) -> None:
        if not vllm_installed():
            raise InputError("rollouts 'vllm' need vLLM: install it with `make setup`, or choose rollouts 'hf'")
        check_options(tokenizer, options)
        prepare_environment(cpu_cache_gib)
        import vllm

        self.on_gpu = torch.cuda.is_available()
        if not self.on_gpu:
            keep_linear_weights_on_cpu()
        self.tokenizer = tokenizer
        self.system = system
        self.options = options
        self.stop_ids = stop_token_ids(None, tokenizer)
        max_length = min(max_length, context_length(Path(path)) or max_length)
        engine: Any = vllm.LLM
        self.llm = engine(
            model=str(path),
            dtype=dtype,
            max_model_len=max_length,
            max_num_seqs=max_batch,
            gpu_memory_utilization=gpu_memory,
            enforce_eager=not self.on_gpu,
            enable_sleep_mode=self.on_gpu,
            distributed_executor_backend="external_launcher",
            logprobs_mode="processed_logprobs",
            max_num_batched_tokens=max(4096, max_length),
            seed=0,
            disable_log_stats=True,
        )

    def encode(self, prompt: str) -> list[int]:
        return encode_chat(self.tokenizer, prompt, self.system, self.options)

    def sleep(self) -> None:
        """Give the GPU's memory back until `wake`: weights wait in main memory, the cache is dropped."""
        if self.on_gpu:
            self.llm.sleep(level=1)

    def wake(self) -> None:
        """Undo `sleep`."""
        if self.on_gpu:
            self.llm.wake_up()

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the engine's weights; cached prefixes of the old ones are dropped."""
        engine: Any = self.llm.llm_engine
        engine.model_executor.driver_worker.model_runner.model.load_weights(weights)
        self.llm.reset_prefix_cache()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        first: int = 0,
        numbers: Sequence[int] | None = None,
    ) -> list[list[Completion]]:
        """Complete each prompt `decoding.n` times. The seed fixes the draws of one and the same list of prompts.

        Prompts are numbered from `first`: where processes share a call, each has a part of it; or by `numbers`, where
        some of an earlier call go on.
        """
        numbers = range(first, first + len(prompts)) if numbers is None else numbers
        params = sampling_params(decoding, numbers, self.stop_ids, seeded=self.on_gpu)
        requests: Any = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        with torch.random.fork_rng():
            torch.manual_seed(derive(decoding.seed, "vllm", first))
            outputs = self.llm.generate(requests, params, use_tqdm=False)
        return [[_completion(output) for output in request.outputs] for request in outputs]


def sampling_params(decoding: Decoding, numbers: Sequence[int], stop_ids: frozenset[int], *, seeded: bool) -> list[Any]:
    """vLLM's settings of the requests with these numbers.

    With `seeded` each has a seed of its own, which vLLM's GPU runner honors. vLLM gives the k-th completion of a
    request its seed + k, so the seeds of two requests must lie far apart. Its CPU runner fails with a seed in a request
    as soon as one sequence ends before another.
    """
    from vllm import SamplingParams

    return [
        SamplingParams(
            n=decoding.n,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k or -1,
            max_tokens=decoding.max_tokens,
            logprobs=0,
            stop_token_ids=sorted(stop_ids),
            seed=derive(decoding.seed, "vllm", number) if seeded else None,
        )
        for number in numbers
    ]


def _completion(output: Any) -> Completion:
    """Our words for one of vLLM's outputs; with `logprobs=0` each position holds the sampled token's entry."""
    logprobs = tuple(entry[token].logprob for token, entry in zip(output.token_ids, output.logprobs, strict=True))
    return Completion(output.text, tuple(output.token_ids), logprobs, output.finish_reason)


def keep_linear_weights_on_cpu() -> None:
    """Make vLLM's CPU linear layers keep their plain weight, so that new weights can be loaded into them.

    vLLM 0.31 packs each layer's weight for its own kernel after loading and drops the original; a later
    `load_weights` then fails ("'Parameter' object has no attribute 'weight_loader'"). With torch's own linear the
    parameter stays what it was. Costs a little speed; without it no training is possible on a CPU.
    """
    from vllm.model_executor.layers import utils

    def plain_linear(layer: Any, remove_weight: bool) -> None:
        del remove_weight
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain_linear


def prepare_environment(cpu_cache_gib: int) -> None:
    """What vLLM reads from the environment: one process, its cache, quiet logs and a rendezvous of its own."""
    defaults = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(cpu_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if "MASTER_PORT" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["MASTER_PORT"] = str(free.getsockname()[1])
