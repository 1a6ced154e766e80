"""Log-probabilities of labeled tokens for TRL's SFT and DPO trainers, computed packed.

Since 1.16 these trainers ask the model itself: `model(input_ids, attention_mask, labels, fused_lm_head=True)`. TRL's
answer projects every position onto the vocabulary on a CPU, prompt and padding included, in fp32. Here rows are packed
without padding, a prompt that two rows share is read once, and only labeled positions are projected. Losses, metrics
and optimizer stay TRL's; tests compare value and gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

from rlpath.models.layers import attention_width
from rlpath.posttrain.packing.blocks import best_completions_per_block, pack_padded
from rlpath.posttrain.packing.forward import PACKING_TOLERANCE, attention_window, packing_gap, patch_packed_forward
from rlpath.posttrain.tokens import UNLABELED


def patch_labeled_forward(causal_lm: Any, *, rows_per_prompt: int, device: torch.device) -> float:
    """Answer `fused_lm_head=True` packed; any other call is as before. Returns the packing gap that was measured.

    `rows_per_prompt` is how many rows of a batch may have the same prompt (2 for pairs). Where the model cannot be
    packed (gap above `PACKING_TOLERANCE`), or a row is longer than its attention window, TRL's own answer is given.
    """
    patch_packed_forward(causal_lm, 1.0)
    config = causal_lm.config.get_text_config()
    was_training = causal_lm.training
    causal_lm.eval()
    gap = packing_gap(causal_lm, min(config.vocab_size, 1000), device)
    causal_lm.train(was_training)
    if gap >= PACKING_TOLERANCE:
        return gap
    window = attention_window(causal_lm)
    weights = causal_lm.num_parameters(exclude_embeddings=True)
    width = attention_width(config)
    theirs = causal_lm.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        asked = kwargs.get("fused_lm_head", False) and "labels" in kwargs and "attention_mask" in kwargs
        if not asked:
            return theirs(*args, **kwargs)
        ids_B_L, mask_B_L, labels_B_L = kwargs["input_ids"], kwargs["attention_mask"], kwargs["labels"]
        labeled = labels_B_L[:, 1:] != UNLABELED
        lengths_B = mask_B_L.sum(1)
        if lengths_B.max() > window or not labeled.any(1).all():
            return theirs(*args, **kwargs)
        starts_B = labeled.int().argmax(1) + 1
        prompt, completion = starts_B.float().mean().item(), (lengths_B - starts_B).float().mean().item()
        share = best_completions_per_block(prompt, completion, rows_per_prompt, weights, width)
        packed, row_N, token_N = pack_padded(ids_B_L, mask_B_L, starts_B, share)
        # The prediction of column c stands at column c - 1 of TRL's flattened [B, L - 1].
        cell_N = row_N * labeled.shape[1] + starts_B[row_N] + token_N - 1
        return _laid_out(theirs(packed=packed), cell_N, labeled)

    causal_lm.forward = forward
    return gap


def _laid_out(output: dict[str, torch.Tensor], cell_N: torch.Tensor, labeled: torch.Tensor) -> FusedCausalLMOutput:
    def rectangle(values_N: torch.Tensor) -> torch.Tensor:
        flat = values_N.new_zeros(labeled.numel()).index_copy(0, cell_N, values_N)
        return flat.view(labeled.shape).masked_fill(~labeled, 0)

    logprobs = rectangle(output["logprobs"])
    return FusedCausalLMOutput(
        loss=-logprobs.sum() / labeled.sum().clamp(min=1),
        log_probs=logprobs,
        entropy=rectangle(output["entropy"]),
        # Not computed here; what the trainers' metrics make of them is not logged.
        mean_logits=torch.zeros_like(logprobs),
        is_top1=torch.zeros_like(labeled),
        label_mask=labeled,
    )
