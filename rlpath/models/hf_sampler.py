"""Sampling with a Hugging Face model: works wherever torch does, and is the fastest choice on a small CPU.

`generate` of transformers repeats the prompt for every completion of a group, draws one exponential variate per
vocabulary entry and carries finished rows to the end. Here a prompt is read once per group, a token costs one uniform
variate (inversion of the cumulative distribution), and finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding
from rlpath.models.cache import reserve
from rlpath.models.chat import ChatOptions, check_options, encode_chat, stop_token_ids
from rlpath.models.cpu_linear import PackedLinears, can_pack
from rlpath.models.layers import caps_attention, foreign_layers

GROUPED = "rlpath_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for one new token a row that multiplies the query heads of a group with their shared keys at once.

    torch's fused kernel first repeats keys and values for every query head: four times slower for this shape on a
    CPU. Anything but a single query token goes to that kernel. Shapes are transformers': query [B, H, Q, D], key and
    value [B, K, S, D]; the result is [B, Q, H, D].
    """
    batch, heads, queries, dim = query.shape
    if queries > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    shared = key.shape[1]
    scale = dim**-0.5 if scaling is None else scaling
    scores = torch.matmul(query.view(batch, shared, heads // shared, dim), key.transpose(2, 3)).float() * scale
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    output = torch.matmul(scores.softmax(-1).to(value.dtype), value)
    return output.view(batch, 1, heads, dim), None


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


class HFSampler:
    """Samples from its own copy of a causal language model; `load_weights` brings that copy up to date.

    `model` must not be shared with a trainer. At most `max_batch` sequences are decoded at once; `options` go to the
    chat template. Raises `InputError` for a model with recurrent layers.
    """

    backend = "hf"

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
        elif model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
            # Only in place of torch's kernel: a model with attention of its own (sinks) keeps it.
            self.model.set_attn_implementation(GROUPED)
        self.linears = PackedLinears(self.model, max_batch) if can_pack(self.model) else None
        self.tokenizer = tokenizer
        self.system = system
        self.options = options
        self.max_batch = max_batch
        self.device = model.device
        self.stop_ids = stop_token_ids(model.generation_config.eos_token_id, tokenizer)

    def encode(self, prompt: str) -> list[int]:
        return encode_chat(self.tokenizer, prompt, self.system, self.options)

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Copy named weights (names as in `state_dict`) into the sampler's model."""
        own = dict(self.model.named_parameters())
        for name, value in weights:
            own[name].copy_(value)
        if self.linears is not None:
            self.linears.refresh()

    def sleep(self) -> None:
        """Give the GPU's memory back until `wake`; nothing on a CPU."""
        self.device = self.model.device
        self.model.to("cpu")

    def wake(self) -> None:
        """Undo `sleep`."""
        self.model.to(self.device)

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, first: int = 0
    ) -> list[list[Completion]]:
        """Complete each prompt `decoding.n` times; draws depend on the seed and the prompt's number alone.

        Prompts are numbered from `first`: where processes share a call, each has a part of it.
        """
        per_batch = max(1, self.max_batch // decoding.n)
        groups: list[list[Completion]] = []
        for start in range(0, len(prompts), per_batch):
            batch = prompts[start : start + per_batch]
            uniforms_B_T = torch.cat([_uniforms(decoding, first + start + index) for index in range(len(batch))])
            rows = self._decode(batch, decoding, uniforms_B_T.to(self.model.device))
            groups += [rows[i : i + decoding.n] for i in range(0, len(rows), decoding.n)]
        return groups

    def _decode(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, uniforms_B_T: torch.Tensor
    ) -> list[Completion]:
        """One batch: read the prompts once, then a token a step for the rows still going."""
        device = self.model.device
        stop = torch.tensor(sorted(self.stop_ids), device=device)
        ids_P, mask_P, positions_P = _left_pad(prompts, self.tokenizer.pad_token_id, device)
        output = self.model(
            input_ids=ids_P, attention_mask=mask_P, position_ids=positions_P, use_cache=True, logits_to_keep=1
        )
        cache = output.past_key_values
        cache.batch_repeat_interleave(decoding.n)
        reserve(cache)
        logits_B_V = output.logits[:, -1].repeat_interleave(decoding.n, 0)
        mask_B_S = mask_P.repeat_interleave(decoding.n, 0)
        position_B = mask_B_S.sum(1)
        rows = torch.arange(len(logits_B_V), device=device)
        tokens = torch.full((len(rows), decoding.max_tokens), -1, dtype=torch.long, device=device)
        logprobs = torch.zeros((len(rows), decoding.max_tokens), device=device)
        for t in range(decoding.max_tokens):
            token_B, logprob_B = choose(logits_B_V, uniforms_B_T[rows, t], decoding)
            tokens[rows, t], logprobs[rows, t] = token_B, logprob_B
            going = ~torch.isin(token_B, stop)
            if t + 1 == decoding.max_tokens or not going.any():
                break
            if not going.all():
                keep = going.nonzero().squeeze(1)
                cache.batch_select_indices(keep)
                rows, token_B, position_B, mask_B_S = rows[keep], token_B[keep], position_B[keep], mask_B_S[keep]
            mask_B_S = torch.cat([mask_B_S, mask_B_S.new_ones(len(rows), 1)], 1)
            output = self.model(
                input_ids=token_B[:, None],
                attention_mask=mask_B_S,
                position_ids=position_B[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            logits_B_V = output.logits[:, -1]
            position_B = position_B + 1
        return [self._completion(*row) for row in zip(tokens.tolist(), logprobs.tolist(), strict=True)]

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        token_ids = tuple(token for token in tokens if token >= 0)
        stopped = token_ids[-1] in self.stop_ids
        text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
        return Completion(text, token_ids, tuple(logprobs[: len(token_ids)]), "stop" if stopped else "length")


def refuse_state(model: Any) -> None:
    """Raise `InputError` for a model with layers whose state is not keys and values."""
    foreign = foreign_layers(model)
    if foreign:
        raise InputError(
            f"a model of {', '.join(foreign)} keeps more than keys and values, which this sampler cannot share among "
            "completions: choose --rollouts vllm, or a model of plain attention layers"
        )


def choose(logits_B_V: torch.Tensor, uniform_B: torch.Tensor, decoding: Decoding) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row and its log-probability under the distribution it was drawn from.

    Greedy decoding reports the log-probability at temperature 1. Raises `InputError` where a logit is not finite.
    """
    logits = logits_B_V.float()
    if decoding.temperature == 0:
        token_B = logits.argmax(-1)
        best_B = logits.gather(-1, token_B[:, None])[:, 0]
        _check_finite(best_B)
        return token_B, best_B - logits.logsumexp(-1)
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    logits = filter_logits(logits, decoding.top_k, decoding.top_p)
    top_B = logits.amax(-1, keepdim=True)
    _check_finite(top_B)
    weights = (logits - top_B).exp_()
    token_B, total_B = _invert(weights, uniform_B)
    return token_B, (logits.gather(-1, token_B[:, None]) - top_B)[:, 0] - total_B.log()


def _check_finite(largest_logits: torch.Tensor) -> None:
    # The largest of a row is NaN where any of it is.
    if not largest_logits.isfinite().all():
        raise InputError(
            "the model gives logits that are not finite, so its weights have diverged or are broken: start again with "
            "a lower --learning-rate, or from another model"
        )


def _invert(weights_B_V: torch.Tensor, uniform_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw from unnormalized weights by inversion, and the weights' sum; one pass over the vocabulary.

    The cumulative sum runs over blocks first and then inside the one block that holds the draw: it is the sum over
    the whole vocabulary, element by element, that is slow on a CPU.
    """
    block = 128
    padding = -weights_B_V.shape[1] % block
    blocks = torch.nn.functional.pad(weights_B_V, (0, padding)) if padding else weights_B_V
    blocks = blocks.unflatten(1, (-1, block))
    upto_B_K = blocks.sum(-1).cumsum(-1)
    target_B = uniform_B[:, None] * upto_B_K[:, -1:]
    chosen = torch.searchsorted(upto_B_K, target_B, right=True).clamp(max=upto_B_K.shape[1] - 1)
    before = torch.nn.functional.pad(upto_B_K, (1, 0)).gather(1, chosen)
    inside = blocks[torch.arange(len(blocks), device=blocks.device), chosen[:, 0]]
    upto = inside.cumsum(-1)
    # Rounding may put the target on the block's far edge: stay on the last entry that has any weight.
    last = block - 1 - (inside > 0).flip(-1).long().argmax(-1, keepdim=True)
    within = torch.minimum(torch.searchsorted(upto, target_B - before, right=True), last)
    return (chosen * block + within)[:, 0], upto_B_K[:, -1]


def filter_logits(logits_B_V: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Logits with everything outside the `top_k` likeliest and the nucleus of mass `top_p` set to minus infinity."""
    if top_k:
        least = logits_B_V.topk(min(top_k, logits_B_V.shape[-1]), -1).values[:, -1:]
        logits_B_V = logits_B_V.masked_fill(logits_B_V < least, -torch.inf)
    if top_p < 1:
        ordered, order = logits_B_V.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        outside = torch.zeros_like(logits_B_V, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits_B_V = logits_B_V.masked_fill(outside, -torch.inf)
    return logits_B_V


def _uniforms(decoding: Decoding, prompt_index: int) -> torch.Tensor:
    """Uniform variates of one prompt, [n, max_tokens]: the same whatever else is in the batch."""
    generator = torch.Generator().manual_seed(derive(decoding.seed, prompt_index))
    return torch.rand((decoding.n, decoding.max_tokens), generator=generator)


def _left_pad(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and positions, each [prompts, longest prompt], padded on the left."""
    longest = max(len(prompt) for prompt in prompts)
    ids = [[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    mask_B_P = torch.tensor(mask, device=device)
    return torch.tensor(ids, device=device), mask_B_P, (mask_B_P.cumsum(1) - 1).clamp(min=0)
