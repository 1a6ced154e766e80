"""PPO for language models: a critic's advantages, and the loss of policy and critic; `loop` does the rest.

The details that decide whether it learns (Ziegler et al. 2019, arXiv 1909.08593; Huang et al. 2024, arXiv 2403.17031),
each marked as "detail N" where it happens, here, in `policy_model.py` or in `loop.py`:

 1. A completion is one episode: its score comes with its last token, and every token is penalized for its own KL
    divergence.
 2. The KL coefficient β is fixed, or moves by at most 2 % a step towards a target.
 3. A truncated completion can be given a fixed score, so that not ending is never rewarded.
 4. A value belongs to the state before its token; after the last token the value is 0, truncated or not.
 5. The value head starts at zero on the policy's own trunk: one forward gives both, and the reference is the same
    model with its adapter off, so PPO takes the memory of one model. The value loss reaches the adapter with a small
    weight; a separate critic would be independent of the policy but double model and compute.
 6. Rewards may be scaled, never shifted; advantages are whitened over the whole rollout, not a mini-batch.
 7. Old log-probabilities and values are the trainer's own, from before the first update: the sampler's rounding
    differs.
 8. Rollout and update use one temperature, and no dropout: without an update the ratio is exactly 1.
 9. Several epochs over mini-batches; ratio and value are clipped, the gradient's norm is clipped to 1, Adam has no
    weight decay.
10. A completion that the verifier cannot decide is left out of every mean.

Shapes: B completions of this process, T tokens of the longest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from rlpath.losses import clip_fraction, gae, kl_estimate, ppo_policy_loss, ppo_value_loss, sequence_logprobs
from rlpath.losses.tokens import average_tokens, masked_mean
from rlpath.posttrain.all_processes import AllProcesses
from rlpath.posttrain.objectives import Figures, Metrics, Whole, entropy_term
from rlpath.posttrain.rollout import Batch, Rollout
from rlpath.posttrain.settings import PPOSettings

KL_GAIN = 0.1


def token_rewards(
    scores_B: torch.Tensor, kl_B_T: torch.Tensor, mask_B_T: torch.Tensor, coefficient: float
) -> torch.Tensor:
    """-coefficient · KL (the k1 estimate) of every token, and the score with the last one, [B, T]."""
    rewards_B_T = -coefficient * kl_B_T * mask_B_T  # detail 1
    last_B_1 = (mask_B_T.sum(1, keepdim=True) - 1).clamp(min=0)
    return rewards_B_T.scatter_add(1, last_B_1, (scores_B * mask_B_T[:, 0])[:, None])


def next_kl_coefficient(coefficient: float, kl: float, target: float | None) -> float:
    """The KL coefficient of the next step (Ziegler et al. 2019, section 2.2): larger where `kl` is above `target`.

    β(1 + 0.1 · clip(kl/target - 1, -0.2, 0.2)); unchanged without a target. `kl` is in nats per completion.
    """
    if target is None:
        return coefficient
    return coefficient * (1 + KL_GAIN * max(-0.2, min(0.2, kl / target - 1)))  # detail 2


def explained_variance(values_B_T: torch.Tensor, returns_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over tokens: 1 is a perfect critic, 0 a constant one, below is worse."""
    kept = mask_B_T.bool()
    if not kept.any() or not (variance := returns_B_T[kept].var(correction=0)) > 0:
        return math.nan
    return (1 - (returns_B_T - values_B_T)[kept].var(correction=0) / variance).item()


class CriticObjective:
    """PPO: one advantage a token, from a value head that is trained along."""

    critic = True
    needs_old = True  # detail 7

    def __init__(self, settings: PPOSettings) -> None:
        self.settings = settings
        self.kl_coefficient = settings.kl
        self.needs_reference = settings.kl > 0

    def complete(self, rollout: Rollout, everyone: AllProcesses) -> tuple[Rollout, Metrics]:
        """Token rewards, advantages and returns; what was not decided counts nowhere."""
        old_B_T, values_B_T = rollout.old_B_T, rollout.values_B_T
        assert old_B_T is not None
        assert values_B_T is not None
        reference_B_T = old_B_T if rollout.reference_B_T is None else rollout.reference_B_T
        mask_B_T = rollout.mask_B_T * ~rollout.rewards_B.isnan()[:, None]  # detail 10
        kl_B_T = kl_estimate(old_B_T, reference_B_T, "k1")
        rewards_B_T = token_rewards(rollout.rewards_B.nan_to_num(), kl_B_T, mask_B_T, self.kl_coefficient)
        if self.settings.whiten_rewards:
            rewards_B_T = everyone.whiten(rewards_B_T, mask_B_T, shift_mean=False)  # detail 6
        advantages_B_T = gae(rewards_B_T, values_B_T, mask_B_T, gamma=1.0, lam=self.settings.lam)
        returns_B_T = advantages_B_T + values_B_T
        metrics = {
            "kl/completion": everyone.mean(sequence_logprobs(kl_B_T, rollout.written_B_T)),
            "value/mean": everyone.mean(masked_mean(values_B_T, mask_B_T)),
            "return/mean": everyone.mean(masked_mean(returns_B_T, mask_B_T)),
            "explained_variance": explained_variance(values_B_T, returns_B_T, mask_B_T),
        }
        if self.settings.kl:
            metrics["kl/coefficient"] = self.kl_coefficient
        advantages_B_T = everyone.whiten(advantages_B_T, mask_B_T)  # detail 6
        return rollout.with_(mask_B_T=mask_B_T, advantages=advantages_B_T, returns_B_T=returns_B_T), metrics

    def has_gradient(self, rollout: Rollout) -> torch.Tensor:
        """Every completion that was decided, [B]."""
        return rollout.mask_B_T.any(1)

    def loss(self, new: Batch, part: Rollout, whole: Whole) -> tuple[torch.Tensor, Figures]:
        """The policy's loss and the critic's, means over the tokens of the mini-batch."""
        settings, mask_B_T = self.settings, part.mask_B_T
        old_B_T, old_values_B_T, returns_B_T = part.old_B_T, part.values_B_T, part.returns_B_T
        assert old_B_T is not None
        assert old_values_B_T is not None
        assert returns_B_T is not None
        assert part.advantages is not None
        policy = ppo_policy_loss(
            new["logprobs"], old_B_T, part.advantages, mask_B_T, epsilon=settings.clip, tokens=whole.tokens
        )
        value = ppo_value_loss(
            new["values"], old_values_B_T, returns_B_T, mask_B_T, clip=settings.clip, tokens=whole.tokens
        )  # detail 9
        clipped = clip_fraction(new["logprobs"], old_B_T, part.advantages, mask_B_T, epsilon=settings.clip)
        moved_B_T = kl_estimate(new["logprobs"].detach(), old_B_T, "k2")
        figures = {
            "loss/policy": policy.detach(),
            "loss/value": value.detach(),
            "clip_ratio": clipped * mask_B_T.sum() / max(whole.tokens, 1),
            "kl/update": average_tokens(moved_B_T, mask_B_T, "token", tokens=whole.tokens),
        }
        return policy + settings.value_coefficient * value - entropy_term(new, part, settings, whole), figures

    def after(self, metrics: Mapping[str, float]) -> None:
        """The KL coefficient follows its target."""
        self.kl_coefficient = next_kl_coefficient(
            self.kl_coefficient, metrics["kl/completion"], self.settings.kl_target
        )

    def state(self) -> dict[str, float]:
        return {"kl_coefficient": self.kl_coefficient}

    def load(self, state: Mapping[str, float]) -> None:
        self.kl_coefficient = state["kl_coefficient"]
