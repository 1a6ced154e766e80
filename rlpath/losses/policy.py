"""Policy losses that clip: how far one batch of completions may move the policy that wrote them.

`logprobs_B_T` are the policy's, with gradient; `old_B_T` those at the time the completions were sampled. Advantages are
[B] (one for a completion) or [B, T] (one for a token). All of them have one signature, so that a trainer can be given
any of them, or one of your own.
"""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack

import torch

from rlpath.losses.tokens import Average, average_tokens, masked_mean, sequence_logprobs

Level = Literal["token", "sequence"]


class Terms(TypedDict, total=False):
    """What every policy loss takes beside its own numbers.

    `weights` ([B, 1] or [B, T]) multiply the objective: the correction for the sampler. `penalty_B_T` is added to it:
    see `kl_penalty`. `completions` and `tokens` are those of the whole batch where these rows are a part of it (see
    `average_tokens`).
    """

    weights: torch.Tensor | None
    penalty_B_T: torch.Tensor | None
    completions: float | torch.Tensor | None
    tokens: float | torch.Tensor | None


def policy_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    low: float = 0.2,
    high: float | None = None,
    level: Level = "token",
    average: Average = "sequence",
    length: int | None = None,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """The clipped objective that PPO, GRPO, Dr. GRPO, DAPO and GSPO share (arXiv 1707.06347, eq. 7), as a loss.

    -min(r A, clip(r, 1 - low, 1 + high) A) for every token, averaged as `average` says (see `average_tokens`); `high`
    is `low` where it isn't given.
    """
    ratio = importance_ratio(logprobs_B_T, old_B_T, mask_B_T, level)
    advantages_B_T = by_token(advantages)
    clipped = ratio.clamp(1 - low, 1 + (low if high is None else high))
    loss_B_T = -torch.minimum(ratio * advantages_B_T, clipped * advantages_B_T)
    return averaged(loss_B_T, mask_B_T, average, length, **terms)


def importance_ratio(
    logprobs_B_T: torch.Tensor, old_B_T: torch.Tensor, mask_B_T: torch.Tensor, level: Level = "token"
) -> torch.Tensor:
    """π/π_old: of each token [B, T], or of each completion [B, 1] as the geometric mean over its tokens (GSPO)."""
    log_ratio_B_T = logprobs_B_T - old_B_T
    if level == "token":
        return torch.where(mask_B_T.bool(), log_ratio_B_T, 0.0).exp()
    mean_B = sequence_logprobs(log_ratio_B_T, mask_B_T) / mask_B_T.sum(-1).clamp(min=1)
    return mean_B.exp()[:, None]


def grpo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """GRPO (arXiv 2402.03300, eq. 3): clipped, mean over a completion's tokens, then over completions.

    `advantages_B` from `group_advantages`; the paper's penalty is β times the k3 estimate of the KL divergence.
    """
    return policy_loss(logprobs_B_T, old_B_T, advantages_B, mask_B_T, low=epsilon, high=epsilon_high, **terms)


def dr_grpo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    max_length: int,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """Dr. GRPO (arXiv 2503.20783, section 3.2): summed over tokens and divided by a constant, `max_length`.

    GRPO's division by a completion's own length favors short right answers and long wrong ones. `advantages_B` are
    group-centered and not scaled.
    """
    return policy_loss(
        logprobs_B_T,
        old_B_T,
        advantages_B,
        mask_B_T,
        low=epsilon,
        high=epsilon_high,
        average="constant",
        length=max_length,
        **terms,
    )


def dapo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.28,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """DAPO (arXiv 2503.14476, eq. 8): a higher upper clip, so that rare tokens can grow; mean over all tokens.

    Dynamic sampling and the overlong penalty are no part of the loss.
    """
    return policy_loss(
        logprobs_B_T, old_B_T, advantages_B, mask_B_T, low=epsilon_low, high=epsilon_high, average="token", **terms
    )


def gspo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon_low: float = 3e-4,
    epsilon_high: float = 4e-4,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """GSPO (arXiv 2507.18071, eq. 5 and 7): one ratio for a completion, the geometric mean of its tokens'; clip it."""
    return policy_loss(
        logprobs_B_T, old_B_T, advantages_B, mask_B_T, low=epsilon_low, high=epsilon_high, level="sequence", **terms
    )


def luspo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon_low: float = 3e-4,
    epsilon_high: float = 4e-4,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """LUSPO, as in TRL 1.16: GSPO's objective times the completion's length, so that no length is favored."""
    return policy_loss(
        logprobs_B_T,
        old_B_T,
        advantages_B,
        mask_B_T,
        low=epsilon_low,
        high=epsilon_high,
        level="sequence",
        average="sum",
        **terms,
    )


def rloo_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """RLOO (arXiv 2402.14740): the whole completion is one action, its ratio the product over its tokens; clipped.

    On completions of the present policy (ratio 1) the gradient is that of REINFORCE with `rloo_advantages`. There is
    one loss a completion, so `weights` are [B, 1] and there is no penalty on tokens (raises ValueError).
    """
    weights, completions = terms.get("weights"), terms.get("completions")
    if terms.get("penalty_B_T") is not None or (weights is not None and weights.shape[1] != 1):
        raise ValueError("RLOO has one loss a completion: no penalty on tokens, and one weight a completion")
    ratio_B = (sequence_logprobs(logprobs_B_T, mask_B_T) - sequence_logprobs(old_B_T, mask_B_T)).exp()
    clipped_B = ratio_B.clamp(1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high))
    loss_B = -torch.minimum(ratio_B * advantages_B, clipped_B * advantages_B)
    if weights is not None:
        loss_B = loss_B * weights[:, 0]
    return loss_B.sum() / (len(loss_B) if completions is None else completions)


def ppo_policy_loss(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages_B_T: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    **terms: Unpack[Terms],
) -> torch.Tensor:
    """PPO's clipped objective (arXiv 1707.06347, eq. 7), mean over all tokens; with `gae` one advantage a token.

    With `reinforce_pp_advantages` this is REINFORCE++, with `group_advantages` TRL's `bnpo`.
    """
    return policy_loss(
        logprobs_B_T, old_B_T, advantages_B_T, mask_B_T, low=epsilon, high=epsilon_high, average="token", **terms
    )


def ppo_value_loss(
    values_B_T: torch.Tensor,
    old_values_B_T: torch.Tensor,
    returns_B_T: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    clip: float | None = 0.2,
    tokens: float | torch.Tensor | None = None,
) -> torch.Tensor:
    """Half the mean squared distance of values from returns, over tokens (`tokens` of them where this is a part).

    With `clip` the larger of that distance and that of the value held within `clip` of the old one (OpenAI Baselines'
    ppo2; Huang et al. 2024, arXiv 2403.17031): a value that would move too far has no gradient.
    """
    distance_B_T = (values_B_T - returns_B_T).square()
    if clip is not None:
        held_B_T = old_values_B_T + (values_B_T - old_values_B_T).clamp(-clip, clip)
        distance_B_T = torch.maximum(distance_B_T, (held_B_T - returns_B_T).square())
    return 0.5 * average_tokens(distance_B_T, mask_B_T, "token", tokens=tokens)


def clip_fraction(
    logprobs_B_T: torch.Tensor,
    old_B_T: torch.Tensor,
    advantages: torch.Tensor,
    mask_B_T: torch.Tensor,
    *,
    epsilon: float = 0.2,
    high: float | None = None,
) -> torch.Tensor:
    """Share of tokens on which PPO's clip is active: their ratio has left the region in the advantage's direction."""
    ratio_B_T = importance_ratio(logprobs_B_T, old_B_T, mask_B_T)
    advantages_B_T = by_token(advantages)
    above = (ratio_B_T > 1 + (epsilon if high is None else high)) & (advantages_B_T > 0)
    below = (ratio_B_T < 1 - epsilon) & (advantages_B_T < 0)
    return masked_mean((above | below).float(), mask_B_T)


def by_token(advantages: torch.Tensor) -> torch.Tensor:
    """Advantages [B] as [B, 1], those of tokens as they are."""
    return advantages[:, None] if advantages.dim() == 1 else advantages


def averaged(
    loss_B_T: torch.Tensor, mask_B_T: torch.Tensor, average: Average, length: int | None = None, **terms: Unpack[Terms]
) -> torch.Tensor:
    """A loss on tokens, weighted, with its penalty, averaged."""
    weights, penalty_B_T = terms.get("weights"), terms.get("penalty_B_T")
    if weights is not None:
        loss_B_T = loss_B_T * weights
    if penalty_B_T is not None:
        loss_B_T = loss_B_T + penalty_B_T
    whole = {"completions": terms.get("completions"), "tokens": terms.get("tokens")}
    return average_tokens(loss_B_T.expand(mask_B_T.shape), mask_B_T, average, length=length, **whole)
