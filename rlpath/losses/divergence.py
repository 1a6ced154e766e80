"""How far apart two policies are on sampled tokens: the KL divergence, and weights that make up for the distance."""

from __future__ import annotations

from typing import Literal

import torch

from rlpath.losses.tokens import average_tokens

CORRECTIONS = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


def kl_estimate(
    logprobs: torch.Tensor, reference: torch.Tensor, kind: Literal["k1", "k2", "k3"] = "k3"
) -> torch.Tensor:
    """An estimate of KL(policy ‖ reference) from each token that the policy sampled, in nats, of the same shape.

    With l = log π - log π_ref: k1 = l is unbiased, of high variance, and often negative; k2 = l²/2 is biased and
    small in variance; k3 = exp(-l) - 1 + l is unbiased and never negative (Schulman 2020, joschu.net/blog/kl-approx).
    As a loss only k2 has the gradient of the divergence on average; k1's is 0 and k3's is that of the reversed
    divergence (arXiv 2506.09477), so k1 and k3 belong into the reward or need the importance ratio as a weight.
    """
    log_ratio = logprobs - reference
    if kind == "k1":
        return log_ratio
    if kind == "k2":
        return log_ratio.square() / 2
    if kind == "k3":
        return (-log_ratio).exp() - 1 + log_ratio
    raise ValueError(f"an estimator of the KL divergence is k1, k2 or k3, not {kind!r}")


def kl_penalty(
    logprobs_B_T: torch.Tensor,
    reference_B_T: torch.Tensor,
    ratio: torch.Tensor,
    *,
    kind: Literal["k1", "k2", "k3"] = "k3",
) -> torch.Tensor:
    """The KL estimate as a term of the loss, [B, T]: weighted by the importance ratio, with its gradient.

    With the weight, the gradient of k1 and k3 is that of the divergence on average (arXiv 2506.09477; TRL's
    `use_bias_correction_kl`); k2 has it by itself and gets none. `ratio` from `importance_ratio`.
    """
    estimate_B_T = kl_estimate(logprobs_B_T, reference_B_T, kind)
    return estimate_B_T if kind == "k2" else estimate_B_T * ratio


def distillation_loss(
    logprobs_B_T: torch.Tensor,
    teacher_B_T: torch.Tensor,
    ratio_B_T: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    kind: Literal["k1", "k2", "k3"] = "k3",
    weights: torch.Tensor | None = None,
    tokens: float | torch.Tensor | None = None,
) -> torch.Tensor:
    """KL(student ‖ teacher) of the student's own tokens, the mean over tokens: on-policy distillation.

    Agarwal et al. 2023 (arXiv 2306.13649) with the reverse divergence, estimated from the sampled token in place of
    the sum over the vocabulary: on average loss and gradient are those of that sum. `ratio_B_T` as in `kl_penalty`;
    `weights` correct for a sampler that rounds differently; `tokens` is the number to divide by.
    """
    kl_B_T = kl_penalty(logprobs_B_T, teacher_B_T, ratio_B_T, kind=kind)
    return average_tokens(kl_B_T if weights is None else weights * kl_B_T, mask_B_T, "token", tokens=tokens)


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
