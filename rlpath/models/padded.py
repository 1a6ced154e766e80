"""Decoding in padded batches with transformers' own attention: for a GPU, and for models that attend in their own way.

A prompt is read once per group, finished rows leave the batch, and new tokens are written into reserved room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rlpath.core.types import Decoding
from rlpath.models.cache import reserve
from rlpath.models.drawing import choose
from rlpath.models.stopping import Stops

Row = tuple[list[int], list[float]]


class PaddedDecoder:
    """Decodes with `model`, at most `max_batch` sequences at once; `pad_id` fills prompts up to one length."""

    def __init__(self, model: Any, max_batch: int, pad_id: int) -> None:
        self.model, self.max_batch, self.pad_id = model, max_batch, pad_id

    def forget(self) -> None:
        """Nothing is kept from call to call."""

    @torch.inference_mode()
    def decode(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, uniforms_B_T: torch.Tensor, stops: Stops
    ) -> list[Row]:
        """`decoding.n` completions of each prompt, in order; row B of the uniforms belongs to completion B."""
        per_batch = max(1, self.max_batch // decoding.n)
        rows: list[Row] = []
        for start in range(0, len(prompts), per_batch):
            batch = prompts[start : start + per_batch]
            uniforms = uniforms_B_T[start * decoding.n : (start + len(batch)) * decoding.n]
            rows += self._decode(batch, decoding, uniforms.to(self.model.device), stops)
        return rows

    def _decode(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, uniforms_B_T: torch.Tensor, stops: Stops
    ) -> list[Row]:
        """One batch: read the prompts once, then a token a step for the rows still going."""
        device = self.model.device
        ids_P, mask_P, positions_P = _left_pad(prompts, self.pad_id, device)
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
            going = ~stops.at(token_B)
            if stops.texts:
                tails = tokens[rows, max(0, t + 1 - stops.reach) : t + 1].tolist()
                going &= torch.tensor([not stops.within(tail) for tail in tails], device=device)
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
        made = (tokens >= 0).sum(1).tolist()
        pairs = zip(tokens.tolist(), logprobs.tolist(), made, strict=True)
        return [(row[:count], values[:count]) for row, values, count in pairs]


def _left_pad(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and positions, each [prompts, longest prompt], padded on the left."""
    longest = max(len(prompt) for prompt in prompts)
    ids = [[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    mask_B_P = torch.tensor(mask, device=device)
    return torch.tensor(ids, device=device), mask_B_P, (mask_B_P.cumsum(1) - 1).clamp(min=0)
