"""Losses on preferences: a reward model's, and those that need no reward model.

Log-probabilities are of whole completions, [B], summed over their tokens (`tokens.sequence_logprobs`); `ref_` marks
those of the frozen model that training started from.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid


def bradley_terry_loss(
    chosen_B: torch.Tensor,
    rejected_B: torch.Tensor,
    *,
    margin_B: torch.Tensor | None = None,
    centering: float = 0.0,
) -> torch.Tensor:
    """Minus the log-probability that the chosen completion wins: -log σ(r_chosen - r_rejected - margin), mean over B.

    Bradley and Terry 1952, for reward models Stiennon et al. 2020 (arXiv 2009.01325). `margin_B` asks for more
    distance where annotators were surer (Llama 2, arXiv 2307.09288, eq. 2). The loss does not change when a constant
    is added to every reward; `centering` times the mean of (r_chosen + r_rejected)² holds them around zero (Eisenstein
    et al. 2023, arXiv 2312.09244).
    """
    distance = chosen_B - rejected_B if margin_B is None else chosen_B - rejected_B - margin_B
    return -logsigmoid(distance).mean() + centering * (chosen_B + rejected_B).square().mean()


def dpo_loss(
    chosen_B: torch.Tensor,
    rejected_B: torch.Tensor,
    ref_chosen_B: torch.Tensor,
    ref_rejected_B: torch.Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290, eq. 7): -log σ(β · margin), mean over B.

    The margin is log π/π_ref of the chosen completion less that of the rejected one. With `label_smoothing` ε a
    share ε of the labels is taken to be wrong: (1 - ε) · -log σ(βm) + ε · -log σ(-βm) (cDPO, Mitchell 2023,
    ericmitchell.ai/cdpo.pdf); the margin then stays finite at its optimum.
    """
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must lie in [0, 0.5), not {label_smoothing}")
    logit_B = beta * ((chosen_B - ref_chosen_B) - (rejected_B - ref_rejected_B))
    return (-(1 - label_smoothing) * logsigmoid(logit_B) - label_smoothing * logsigmoid(-logit_B)).mean()


def ipo_loss(
    chosen_B: torch.Tensor,
    rejected_B: torch.Tensor,
    ref_chosen_B: torch.Tensor,
    ref_rejected_B: torch.Tensor,
    chosen_length_B: torch.Tensor,
    rejected_length_B: torch.Tensor,
    *,
    beta: float = 0.1,
) -> torch.Tensor:
    """Identity preference optimization (Azar et al. 2023, arXiv 2310.12036, eq. 17), mean over B.

    The squared distance of the margin from 1/(2β): unlike DPO's it does not favor a margin beyond that. Log-ratios
    are divided by the number of tokens [B] of their completion, as TRL does: the sum would make the target depend on
    the length.
    """
    chosen = (chosen_B - ref_chosen_B) / chosen_length_B.clamp(min=1)
    rejected = (rejected_B - ref_rejected_B) / rejected_length_B.clamp(min=1)
    return (chosen - rejected - 1 / (2 * beta)).square().mean()


def kto_loss(
    logprobs_B: torch.Tensor,
    ref_B: torch.Tensor,
    desirable_B: torch.Tensor,
    mismatched_B: torch.Tensor,
    ref_mismatched_B: torch.Tensor,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> torch.Tensor:
    """Kahneman–Tversky optimization (Ethayarajh et al. 2024, arXiv 2402.01306, eq. 7 and 8), mean over B.

    Each completion is labeled alone, `desirable_B` true or false. Its log-ratio to the reference is held against a
    common point z, the KL divergence from the reference estimated on mismatched pairs (the completion of another
    prompt; both [B]), at least 0 and without gradient: 1 - σ(β(log-ratio - z)) where desirable,
    1 - σ(β(z - log-ratio)) where not.
    """
    z = (mismatched_B - ref_mismatched_B).mean().detach().clamp(min=0)
    gain_B = beta * (logprobs_B - ref_B - z)
    desirable = desirable_weight * (1 - gain_B.sigmoid())
    undesirable = undesirable_weight * (1 - (-gain_B).sigmoid())
    return torch.where(desirable_B.bool(), desirable, undesirable).mean()
