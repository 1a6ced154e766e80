"""The scores of a reward model on pairs, computed packed: what two answers have in common is read once.

A reward model reads a conversation and scores its last token. The two conversations of a pair begin alike, in human
preferences often for hundreds of tokens.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

from rlpath.models.layers import attention_width, foreign_layers
from rlpath.posttrain.packing.blocks import best_completions_per_block, pack_padded
from rlpath.posttrain.packing.forward import as_fp32, attention_window, block_mask

SCORE_TOLERANCE = 1e-3
"""Of scores in fp32, relative to their spread, where rounding gives 1e-5."""


def patch_pooled_forward(classifier: Any, *, rows_per_prompt: int, device: torch.device) -> float:
    """Score batches of pairs [chosen, rejected] packed in training; any other call is as before.

    Returns the mean absolute difference of scores, relative to their spread, between packed and plain on a few random
    tokens; where it is above `SCORE_TOLERANCE` nothing is changed.
    """
    config = classifier.config.get_text_config()
    weights, width = classifier.num_parameters(exclude_embeddings=True), attention_width(config)
    window = attention_window(classifier)
    theirs = classifier.forward

    def packed_forward(ids_B_L: torch.Tensor, mask_B_L: torch.Tensor) -> torch.Tensor:
        # What is scored is the last token that is not padding by its id, as in the plain forward.
        columns_L = torch.arange(ids_B_L.shape[1], device=ids_B_L.device)
        lengths_B = (columns_L * (ids_B_L != config.pad_token_id) * mask_B_L).amax(1) + 1
        mask_B_L = (columns_L < lengths_B[:, None]).long()
        starts_B = common_prefixes(ids_B_L, lengths_B)
        prompt, completion = starts_B.float().mean().item(), (lengths_B - starts_B).float().mean().item()
        share = best_completions_per_block(prompt, completion, rows_per_prompt, weights, width)
        packed, row_N, token_N = pack_padded(ids_B_L, mask_B_L, starts_B, share)
        is_last = token_N == (lengths_B - starts_B)[row_N] - 1
        last_B = torch.empty_like(lengths_B)
        last_B[row_N[is_last]] = packed.predictor_N[is_last] + 1
        hidden = classifier.model(
            input_ids=packed.ids_R_L,
            attention_mask=block_mask(packed, classifier),
            position_ids=packed.positions_R_L,
            use_cache=False,
        ).last_hidden_state
        return classifier.score(hidden.flatten(0, 1)[last_B])

    def forward(*args: Any, **kwargs: Any) -> Any:
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        if not classifier.training or ids is None or mask is None or len(ids) % 2:
            return theirs(*args, **kwargs)
        if mask.sum(1).max() > window or mask.sum(1).min() < 3:
            return theirs(*args, **kwargs)
        return SequenceClassifierOutputWithPast(logits=packed_forward(ids, mask))  # type: ignore[arg-type]

    if foreign_layers(classifier):
        return math.inf
    gap = _gap(classifier, theirs, packed_forward, min(config.vocab_size, 1000), device)
    if gap < SCORE_TOLERANCE:
        classifier.forward = forward
    return gap


def score_exactly(classifier: Any) -> None:
    """Let the scoring head train and compute in fp32: in bf16 two scores near 4 differ by 0.03 or not at all."""
    head = classifier.score.float()
    theirs = head.forward

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return theirs(hidden.float())

    head.forward = forward


def common_prefixes(ids_B_L: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """How many leading tokens the two rows of each pair share, for every row [B]; at least two are left to each row.

    Two, because a packed row tells where a token lies by where its successor is predicted.
    """
    half = len(ids_B_L) // 2
    first, second = ids_B_L[:half], ids_B_L[half:]
    same = (first == second).long().cumprod(1).sum(1)
    shortest = torch.minimum(lengths_B[:half], lengths_B[half:])
    return torch.minimum(same, shortest - 2).clamp(min=1).repeat(2)


@torch.no_grad()
def _gap(classifier: Any, theirs: Any, ours: Any, vocabulary: int, device: torch.device) -> float:
    was_training = classifier.training
    classifier.eval()
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(1, vocabulary, (3, 9), generator=generator).repeat(2, 1)
    ids = torch.cat([prompts, torch.randint(1, vocabulary, (6, 7), generator=generator)], 1).to(device)
    mask = torch.ones_like(ids)
    with as_fp32(classifier), torch.autocast(device.type, enabled=False):
        packed = ours(ids, mask)[:, 0].float()
        plain = theirs(input_ids=ids, attention_mask=mask).logits[:, 0].float()
    classifier.train(was_training)
    return ((packed - plain).abs().mean() / plain.std().clamp(min=1e-6)).item()
