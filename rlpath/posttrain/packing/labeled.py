"""Log-probabilities of labeled tokens for TRL's SFT and DPO trainers, computed packed.

Since 1.16 these trainers ask the model itself: `model(input_ids, attention_mask, labels, fused_lm_head=True)`. TRL's
answer projects every position onto the vocabulary on a CPU, prompt and padding included, in fp32. Here rows are packed
without padding, a prompt that two rows share is read once, and only labeled positions are projected. Losses, metrics
and optimizer stay TRL's; tests compare value and gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from trl.trainer.utils import FusedCausalLMOutput

from rlpath.models.layers import attention_width
from rlpath.posttrain.packing.blocks import Packed, best_completions_per_block, pack
from rlpath.posttrain.packing.forward import PACKING_TOLERANCE, attention_window, install, packing_gap

UNLABELED = -100


def base_of(model: Any) -> Any:
    """The causal language model inside an adapter, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def let_autocast_cast(model: Any) -> None:
    """Keep PEFT from casting each adapter's input up to the adapter's fp32 where autocast will cast it to bf16."""
    module: Any
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False


def install_labeled(causal_lm: Any, *, rows_per_prompt: int, device: torch.device) -> float:
    """Answer `fused_lm_head=True` packed; any other call is as before. Returns the packing gap that was measured.

    `rows_per_prompt` is how many rows of a batch may have the same prompt (2 for pairs). Where the model cannot be
    packed (gap above `PACKING_TOLERANCE`), or a row is longer than its attention window, TRL's own answer is given.
    """
    install(causal_lm, 1.0)
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
        packed, cell_N = _pack_rows(ids_B_L, mask_B_L, starts_B, share)
        return _laid_out(theirs(packed=packed), cell_N, labeled)

    causal_lm.forward = forward
    return gap


def _pack_rows(
    ids_B_L: torch.Tensor, mask_B_L: torch.Tensor, starts_B: torch.Tensor, share: int
) -> tuple[Packed, torch.Tensor]:
    """Rows padded on the right, packed: what precedes column `starts_B` is the prompt, the rest the completion.

    The second tensor says where each predicted token lies in TRL's flattened [B, L - 1].
    """
    width = ids_B_L.shape[1]
    columns_L = torch.arange(width, device=ids_B_L.device)
    in_prompt = columns_L < starts_B[:, None]
    counts_B = (mask_B_L * ~in_prompt).sum(1, keepdim=True)
    shifted = (columns_L + starts_B[:, None]).clamp(max=width - 1)
    completion_mask = (columns_L < counts_B).long()
    packed = pack(ids_B_L, mask_B_L * in_prompt, ids_B_L.gather(1, shifted), completion_mask, share)
    row_N, token_N = packed.cell_N // width, packed.cell_N % width
    # The prediction of column c stands at column c - 1 of TRL's output.
    return packed, row_N * (width - 1) + starts_B[row_N] + token_N - 1


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
