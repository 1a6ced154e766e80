"""From rewards to advantages: how much better a completion, or a token, was than expected.

Nothing here has a gradient. A completion whose reward is NaN (its verifier could not decide) is left out of every
mean, and its advantage is 0.
"""

from __future__ import annotations

from typing import Literal

import torch

from rlpath.losses.tokens import masked_mean


def group_advantages(
    rewards_B: torch.Tensor,
    group_size: int,
    *,
    scale: Literal["group", "batch", "none"] = "group",
    epsilon: float = 1e-4,
) -> torch.Tensor:
    """Rewards less the mean of their group of `group_size` neighbors, [B] (GRPO, arXiv 2402.03300, section 4.1).

    `group` divides by the group's standard deviation (with Bessel's correction) plus `epsilon`; `batch` by that of
    the whole batch; `none` not at all, for division by the group's favors questions that are nearly always or nearly
    never answered (Dr. GRPO, arXiv 2503.20783, section 3.1).
    """
    groups_G_N = rewards_B.view(-1, group_size)
    centered_G_N = groups_G_N - groups_G_N.nanmean(1, keepdim=True)
    if scale == "group":
        centered_G_N = centered_G_N / (_std(groups_G_N, 1) + epsilon)
    elif scale == "batch":
        centered_G_N = centered_G_N / (_std(rewards_B, 0) + epsilon)
    return centered_G_N.flatten().nan_to_num(nan=0.0)


def rloo_advantages(rewards_B: torch.Tensor, group_size: int) -> torch.Tensor:
    """Rewards less the mean of the *others* of their group, [B] (RLOO, arXiv 2402.14740, eq. 6).

    The baseline of a completion does not depend on it, so the gradient is unbiased; it is the centered reward times
    group_size / (group_size - 1).
    """
    groups_G_N = rewards_B.view(-1, group_size)
    others_G_N = (~groups_G_N.isnan()).sum(1, keepdim=True) - 1
    baseline_G_N = (groups_G_N.nansum(1, keepdim=True) - groups_G_N) / others_G_N
    return (groups_G_N - baseline_G_N).flatten().nan_to_num(nan=0.0)


def reinforce_pp_advantages(
    rewards_B: torch.Tensor, kl_B_T: torch.Tensor, mask_B_T: torch.Tensor, *, beta: float = 0.0
) -> torch.Tensor:
    """REINFORCE++ (arXiv 2501.03262, section 3): each token's reward to go, whitened over the whole batch, [B, T].

    The reward comes with the last token, less β times the KL estimate (k1) of this token and all later ones; there is
    no critic and no group. With group-centered rewards this is the paper's REINFORCE++-baseline. A completion without
    a reward is left out of the whitening.
    """
    known_B_1 = (~rewards_B.isnan())[:, None]
    mask_B_T = mask_B_T * known_B_1
    kl_to_go_B_T = torch.where(mask_B_T.bool(), kl_B_T, 0.0).flip(1).cumsum(1).flip(1)
    to_go_B_T = rewards_B.nan_to_num(nan=0.0)[:, None] - beta * kl_to_go_B_T
    return whiten(to_go_B_T.detach(), mask_B_T)


def whiten(values_B_T: torch.Tensor, mask_B_T: torch.Tensor, *, shift_mean: bool = True) -> torch.Tensor:
    """Values of mean 0 (or their own, without `shift_mean`) and variance 1 over the masked tokens; 0 at padding.

    The variance has Bessel's correction and 1e-8 added to it.
    """
    mean = masked_mean(values_B_T, mask_B_T)
    count = mask_B_T.sum()
    variance = masked_mean((values_B_T - mean).square(), mask_B_T) * count / (count - 1).clamp(min=1)
    whitened = (values_B_T - mean) * (variance + 1e-8).rsqrt()
    return torch.where(mask_B_T.bool(), whitened if shift_mean else whitened + mean, 0.0)


def gae(
    rewards_B_T: torch.Tensor,
    values_B_T: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> torch.Tensor:
    """Generalized advantage estimation over the tokens of completions, [B, T] (arXiv 1506.02438, eq. 16).

    A state is what has been written so far, an action the next token, `values_B_T` the value of the state *before*
    each token. With δ_t = r_t + γ V_{t+1} - V_t, A_t = δ_t + γλ A_{t+1}. A completion ends with its last token,
    truncated or not: nothing is worth anything after it, so V_{T+1} = A_{T+1} = 0. A mask is a run of ones
    from the start. The return that a value is fitted to is A_t + V_t.
    """
    advantages_B_T = torch.zeros_like(values_B_T)
    advantage_B = next_value_B = values_B_T.new_zeros(len(values_B_T))
    for t in reversed(range(values_B_T.shape[1])):
        delta_B = rewards_B_T[:, t] + gamma * next_value_B - values_B_T[:, t]
        inside_B = mask_B_T[:, t].bool()
        advantage_B = torch.where(inside_B, delta_B + gamma * lam * advantage_B, 0.0)
        next_value_B = torch.where(inside_B, values_B_T[:, t], 0.0)
        advantages_B_T[:, t] = advantage_B
    return advantages_B_T.detach()


def _std(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Standard deviation with Bessel's correction over the values that are not NaN; NaN of fewer than two."""
    known = (~values.isnan()).sum(dim, keepdim=True)
    square = (values - values.nanmean(dim, keepdim=True)).square().nansum(dim, keepdim=True)
    return torch.where(known > 1, square / (known - 1).clamp(min=1), torch.nan).sqrt()
