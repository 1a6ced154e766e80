"""Supervised fine-tuning: cross-entropy on the tokens of the completion, and on no others."""

from __future__ import annotations

import torch

from rlpath.losses.tokens import masked_mean


def next_token_logprobs(logits_B_T_V: torch.Tensor, tokens_B_T: torch.Tensor) -> torch.Tensor:
    """Log-probability of tokens 1 … T-1 given those before them, [B, T-1], fp32: the logits at t predict token t+1."""
    logits = logits_B_T_V[:, :-1].float()
    chosen = logits.gather(-1, tokens_B_T[:, 1:, None])[..., 0]
    return chosen - logits.logsumexp(-1)


def sft_loss(logits_B_T_V: torch.Tensor, tokens_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood in nats of the tokens whose mask is 1, over all of them in the batch.

    The mask is 1 on the completion and 0 on the prompt and the padding, so that the model learns to answer and not to
    ask (Ouyang et al. 2022, arXiv 2203.02155, section 3.5). The first token has no prediction and never counts.
    """
    return -masked_mean(next_token_logprobs(logits_B_T_V, tokens_B_T), mask_B_T[:, 1:])
