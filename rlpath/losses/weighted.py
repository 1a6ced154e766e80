"""Policy losses that weigh a token by how far the policy has moved, where others clip it: CISPO, SAPO, VESPO.

Signature and shapes are those of `policy`.
"""

from __future__ import annotations

import math
from typing import Unpack

import torch

from rlpath.losses.policy import Terms, averaged, by_token, importance_ratio
from rlpath.losses.tokens import sequence_logprobs

LOWEST_LOG_WEIGHT = math.log(1e-8)
HIGHEST_LOG_WEIGHT = 20.0


def cispo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    largest_ratio: float = 5.0,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """CISPO (MiniMax-M1, arXiv 2506.13585, eq. 4): clip the weight of a token and never drop its gradient.

    -sg(min(r, `largest_ratio`)) A log π, mean over all tokens. PPO's clip silences the tokens it binds on; here they
    keep a gradient with a bounded weight.
    """
    ratio_B_T = importance_ratio(logprobs_B_T, old_B_T, mask_B_T).detach().clamp(max=largest_ratio)
    return averaged(-ratio_B_T * by_token(advantages_B) * logprobs_B_T, mask_B_T, "token", **terms)


def sapo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    sharpness_positive: float = 1.0,
    sharpness_negative: float = 1.05,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """SAPO, as in TRL 1.16: the ratio through a sigmoid in place of a clip, mean over tokens, then completions.

    -A · 4/τ · sigmoid(τ (r - 1)), whose slope at r = 1 is A and falls off smoothly to both sides; τ is larger where
    the advantage is not positive.
    """
    ratio_B_T = importance_ratio(logprobs_B_T, old_B_T, mask_B_T)
    advantages_B_T = by_token(advantages_B)
    sharpness = torch.where(advantages_B_T > 0, sharpness_positive, sharpness_negative)
    soft_B_T = torch.sigmoid(sharpness * (ratio_B_T - 1)) * 4 / sharpness
    return averaged(-soft_B_T * advantages_B_T, mask_B_T, "sequence", **terms)


def vespo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    k_positive: float = 2.0,
    lambda_positive: float = 3.0,
    k_negative: float = 3.0,
    lambda_negative: float = 2.0,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """VESPO, as in TRL 1.16: -φ(w) A log π, mean over all tokens, with w the ratio of the whole completion.

    φ(w) = w^k exp(λ (1 - w)) has no gradient and is 1 at w = 1; k and λ depend on the advantage's sign. The
    correction for the sampler is a part of w, so `weights` do not multiply the loss.
    """
    weights = terms.pop("weights", None)
    with torch.no_grad():
        log_w_B = sequence_logprobs((logprobs_B_T - old_B_T).clamp(-HIGHEST_LOG_WEIGHT, HIGHEST_LOG_WEIGHT), mask_B_T)
        if weights is not None:
            log_w_B = log_w_B + weights.log().clamp(LOWEST_LOG_WEIGHT, HIGHEST_LOG_WEIGHT).sum(-1)
        log_w_B_1 = log_w_B.clamp(LOWEST_LOG_WEIGHT, HIGHEST_LOG_WEIGHT)[:, None]
        positive = by_token(advantages_B) >= 0
        k = torch.where(positive, k_positive, k_negative)
        scale = torch.where(positive, lambda_positive, lambda_negative)
        phi = (scale + k * log_w_B_1 - scale * log_w_B_1.exp()).exp()
    return averaged(-phi * by_token(advantages_B) * logprobs_B_T, mask_B_T, "token", **terms)
