"""One way to sample from a language model, used by training and by evaluation: Hugging Face or vLLM underneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rlpath.types import Completion


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to sample. `temperature` 0 is greedy; `n` completions per prompt; `seed` fixes every draw of one call."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1
    seed: int = 0


class Sampler(Protocol):
    """A model that completes prompts."""

    backend: str

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a user turn, chat template applied, ready for the assistant to answer."""
        ...

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        """For each prompt (token ids), `decoding.n` completions in a fixed order."""
        ...
