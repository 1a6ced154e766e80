"""The arithmetic of policy-gradient losses on token log-probabilities: tensors in, tensor out.

Shapes: B completions, T tokens of the longest one; masks are 1 for a token that counts.
"""

from __future__ import annotations

import torch

CORRECTIONS = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


def correction_weights(
    trainer_B_T: torch.Tensor, sampler_B_T: torch.Tensor, mask_B_T: torch.Tensor, mode: str, cap: float
) -> torch.Tensor:
    """Importance weights p_trainer / p_sampler of sampled tokens, without gradient.

    The sampler rounds differently from the trainer, so its tokens come from a slightly different policy. `token_*`
    weights each token [B, T]; `sequence_*` each completion by its product [B, 1]. `*_truncate` caps a weight at `cap`
    (truncated importance sampling, Ionides 2008; for rollouts Yao et al. 2025); `*_mask` sets one above `cap` to 0.
    Truncating single tokens is biased but keeps every completion; masking whole sequences drops long ones first. A
    token whose sampler log-probability is NaN (vLLM could not tell it) counts as equally likely under both.
    """
    if mode not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, not {mode!r}")
    level, above = mode.split("_")
    log_ratio = torch.where(mask_B_T.bool(), trainer_B_T.detach() - sampler_B_T, 0.0).nan_to_num(nan=0.0)
    ratio = (log_ratio.sum(-1, keepdim=True) if level == "sequence" else log_ratio).exp()
    return ratio.clamp(max=cap) if above == "truncate" else ratio.masked_fill(ratio > cap, 0.0)
