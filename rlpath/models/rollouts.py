"""One `generate()` over Hugging Face and vLLM, used by training and by evaluation alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Sampler
from rlpath.models.chat import ChatOptions

__all__ = ["Backend", "Decoding", "LoadedSampler", "PolicySampler", "Sampler", "choose_backend", "load_sampler"]

Backend = Literal["hf", "vllm"]


class PolicySampler(Sampler, Protocol):
    """A sampler whose weights follow a trainer's."""

    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, first: int = 0
    ) -> list[list[Completion]]:
        """For each prompt `decoding.n` completions; `first` is the number of the first prompt where this is a part."""
        ...

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Replace the named weights (names as in the model's `state_dict`)."""
        ...


class LoadedSampler(PolicySampler, Protocol):
    """A sampler that this module loaded: it can give its GPU memory back while a trainer needs it."""

    def sleep(self) -> None:
        """Give the GPU's memory back until `wake`; nothing may be asked in between."""
        ...

    def wake(self) -> None:
        """Undo `sleep`."""
        ...


def choose_backend(asked: Literal["auto", "hf", "vllm"]) -> Backend:
    """`auto` is vLLM on a GPU where it is installed, else Hugging Face.

    On a small CPU the Hugging Face sampler is the faster of the two and starts at once. Raises `InputError` where
    vLLM is asked for and missing.
    """
    import torch

    from rlpath.models.vllm_sampler import vllm_installed

    if asked == "vllm" and not vllm_installed():
        raise InputError("rollouts 'vllm' need vLLM: install it with `make setup`, or choose rollouts 'hf'")
    if asked != "auto":
        return asked
    return "vllm" if torch.cuda.is_available() and vllm_installed() else "hf"


def load_sampler(
    backend: Backend,
    path: Path,
    *,
    max_length: int,
    dtype: str = "bfloat16",
    device: str = "cpu",
    gpu_memory: float = 0.3,
    system: str | None = None,
    options: ChatOptions | None = None,
    template: str | None = None,
    needs_chat: bool = True,
    max_batch: int = 256,
) -> LoadedSampler:
    """A sampler with the weights in `path`; `max_length` bounds prompt plus completion in tokens (vLLM only).

    `template` takes the place of the tokenizer's chat template, `options` are what it reads beside the messages
    (`thinking_options`), `max_batch` is how many sequences are decoded at once. Raises `InputError` where the
    tokenizer has no chat template, unless `needs_chat` is off; and for a model that the sampler cannot serve.
    """
    from rlpath.models.load import load_model, load_tokenizer

    tokenizer = load_tokenizer(path, needs_chat=needs_chat and template is None)
    if template is not None:
        tokenizer.chat_template = template
    shared: Any = {"system": system, "options": options, "max_batch": max_batch}
    if backend == "vllm":
        from rlpath.models.vllm_sampler import VLLMSampler

        return VLLMSampler(path, tokenizer, max_length=max_length, dtype=dtype, gpu_memory=gpu_memory, **shared)
    from rlpath.models.hf_sampler import HFSampler

    model: Any = load_model(path, dtype)
    return HFSampler(model.to(device), tokenizer, **shared)
