"""Sampling with a Hugging Face model: works wherever torch does, and is the fastest choice on a small CPU.

On a CPU sequences are batched continuously (`continuous`); on a GPU, and for models that attend in a way of their own,
in padded batches (`padded`). Either way a prompt is read once for all its completions, a token costs one uniform
variate, and what is drawn does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding
from rlpath.models.chat import ChatOptions, check_options, encode_chat, stop_token_ids
from rlpath.models.continuous import ContinuousDecoder, serves
from rlpath.models.cpu_linear import PackedLinears, can_pack
from rlpath.models.layers import caps_attention, foreign_layers
from rlpath.models.padded import PaddedDecoder
from rlpath.models.stopping import Stops


class HFSampler:
    """Samples from its own copy of a causal language model; `load_weights` brings that copy up to date.

    `model` must not be shared with a trainer: on a CPU its linear layers keep their weights in another layout alone.
    At most `max_batch` sequences are decoded at once; `options` go to the chat template. Raises `InputError` for a
    model with recurrent layers.
    """

    backend = "hf"
    stops_at_text = True
    """Whether `generate` takes strings to stop at."""
    takes_numbers = True
    """Whether `generate` takes a number for each prompt."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        system: str | None = None,
        options: ChatOptions | None = None,
        max_batch: int = 256,
    ) -> None:
        refuse_state(model)
        check_options(tokenizer, options)
        self.model = model.eval().requires_grad_(False)
        if caps_attention(model.config.get_text_config()):
            # torch's fused kernel knows no soft cap and would leave it out.
            self.model.set_attn_implementation("eager")
        self.linears = PackedLinears(self.model) if can_pack(self.model) else None
        self.tokenizer = tokenizer
        self.system = system
        self.options = options
        self.decoder = (
            ContinuousDecoder(self.model, max_batch)
            if serves(self.model)
            else PaddedDecoder(self.model, max_batch, tokenizer.pad_token_id)
        )
        self.device = model.device
        self.stop_ids = stop_token_ids(model.generation_config.eos_token_id, tokenizer)

    def encode(self, prompt: str) -> list[int]:
        return encode_chat(self.tokenizer, prompt, self.system, self.options)

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Copy named weights (names as in `state_dict`) into the sampler's model."""
        own = dict(self.model.named_parameters())
        for name, value in weights:
            if self.linears is None or not self.linears.load(name, value):
                own[name].copy_(value)
        self.decoder.forget()

    def sleep(self) -> None:
        """Give the GPU's memory back until `wake`; nothing on a CPU."""
        self.device = self.model.device
        self.model.to("cpu")

    def wake(self) -> None:
        """Undo `sleep`."""
        self.model.to(self.device)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        first: int = 0,
        stop: Sequence[str] = (),
        numbers: Sequence[int] | None = None,
    ) -> list[list[Completion]]:
        """Complete each prompt `decoding.n` times; draws depend on the seed and the prompt's number alone.

        Prompts are numbered from `first`: where processes share a call, each has a part of it; or by `numbers`, where
        some of an earlier call go on. A completion that has
        come to hold one of the strings `stop` goes on no further; its text holds the string.
        """
        if not prompts:
            return []
        numbers = range(first, first + len(prompts)) if numbers is None else numbers
        uniforms_B_T = torch.cat([_uniforms(decoding, number) for number in numbers])
        stops = Stops(self.stop_ids, stop, self.tokenizer)
        rows = self.decoder.decode(prompts, decoding, uniforms_B_T, stops)
        completions = [self._completion(tokens, logprobs, stops) for tokens, logprobs in rows]
        return [completions[at : at + decoding.n] for at in range(0, len(completions), decoding.n)]

    def _completion(self, tokens: Sequence[int], logprobs: Sequence[float], stops: Stops) -> Completion:
        stopped = tokens[-1] in self.stop_ids or stops.within(tokens)
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return Completion(text, tuple(tokens), tuple(logprobs), "stop" if stopped else "length")


def refuse_state(model: Any) -> None:
    """Raise `InputError` for a model with layers whose state is not keys and values."""
    foreign = foreign_layers(model)
    if foreign:
        raise InputError(
            f"a model of {', '.join(foreign)} keeps more than keys and values, which this sampler cannot share among "
            "completions: choose --rollouts vllm, or a model of plain attention layers"
        )


def _uniforms(decoding: Decoding, prompt_index: int) -> torch.Tensor:
    """Uniform variates of one prompt, [n, max_tokens]: the same whatever else is in the batch."""
    if decoding.temperature == 0:
        return torch.zeros(1, 1).expand(decoding.n, decoding.max_tokens)
    generator = torch.Generator().manual_seed(derive(decoding.seed, prompt_index))
    return torch.rand((decoding.n, decoding.max_tokens), generator=generator)
