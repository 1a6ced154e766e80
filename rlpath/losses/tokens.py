"""Sums and means over the tokens that count: where the variants of one objective differ."""

from __future__ import annotations

from typing import Literal

import torch

Average = Literal["sequence", "token", "constant", "sum"]


def masked_mean(values_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> torch.Tensor:
    """The mean of the values where the mask is 1; 0 where it is nowhere."""
    return _kept(values_B_T, mask_B_T).sum() / mask_B_T.sum().clamp(min=1)


def sequence_logprobs(logprobs_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> torch.Tensor:
    """Log-probability of each whole completion [B]: the sum over its tokens."""
    return _kept(logprobs_B_T, mask_B_T).sum(-1)


def average_tokens(
    values_B_T: torch.Tensor,
    mask_B_T: torch.Tensor,
    how: Average,
    *,
    length: int | None = None,
    completions: float | torch.Tensor | None = None,
    tokens: float | torch.Tensor | None = None,
) -> torch.Tensor:
    """One number from a loss on every token; the choice decides what a long completion weighs.

    - `sequence`: the mean over a completion's tokens, then over completions: a token of a long completion weighs less
      (GRPO, arXiv 2402.03300);
    - `token`: the mean over all tokens: a long completion weighs more (DAPO, arXiv 2503.14476);
    - `constant`: the sum divided by B · `length`, the largest length there can be: every token weighs the same
      whatever was sampled beside it (Dr. GRPO, arXiv 2503.20783);
    - `sum`: the sum over a completion's tokens, then the mean over completions.

    `completions` and `tokens` are the numbers to divide by where these rows are only a part of those averaged over:
    the results of all parts then add up to the average.
    """
    kept = _kept(values_B_T, mask_B_T)
    if how == "token":
        return kept.sum() / torch.as_tensor(mask_B_T.sum() if tokens is None else tokens).clamp(min=1)
    count = len(kept) if completions is None else completions
    if how == "sequence":
        return (kept.sum(-1) / mask_B_T.sum(-1).clamp(min=1)).sum() / count
    if how == "sum":
        return kept.sum() / count
    if how == "constant":
        if length is None:
            raise ValueError("averaging by a constant needs the largest length of a completion")
        return kept.sum() / (count * length)
    raise ValueError(f"tokens are averaged by sequence, token, constant or sum, not by {how!r}")


def _kept(values_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> torch.Tensor:
    # Not a product with the mask: infinity or NaN at padding times 0 is NaN.
    return torch.where(mask_B_T.bool(), values_B_T, 0.0)
