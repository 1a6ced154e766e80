"""What is maximized: how rewards become advantages, and advantages a loss. Everything numeric is `rlpath.losses`.

`GroupObjective` is GRPO and its relatives: a group is its own baseline. `CriticObjective` is PPO. The loop asks an
objective four things: what it needs to know of a rollout, to complete it, which completions have a gradient, and for
the loss of a part.

Shapes: B completions of this process, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from rlpath.core.errors import InputError
from rlpath.losses import (
    cispo_loss,
    clip_fraction,
    correction_weights,
    dapo_loss,
    dr_grpo_loss,
    group_advantages,
    grpo_loss,
    gspo_loss,
    importance_ratio,
    kl_estimate,
    kl_penalty,
    luspo_loss,
    ppo_policy_loss,
    reinforce_pp_advantages,
    rloo_advantages,
    rloo_loss,
    sapo_loss,
    sequence_logprobs,
    vespo_loss,
)
from rlpath.losses.tokens import average_tokens
from rlpath.posttrain.all_processes import AllProcesses
from rlpath.posttrain.rollout import Batch, Rollout
from rlpath.posttrain.settings import IN_REWARD, GRPOSettings, PolicySettings

Metrics = dict[str, float]
Figures = dict[str, torch.Tensor]
PolicyLoss = Callable[..., torch.Tensor]
"""Called with `logprobs_B_T`, `old_B_T`, `advantages`, `mask_B_T` and the keywords of `rlpath.losses.Terms`."""


@dataclass(frozen=True)
class Whole:
    """What a loss is averaged over, over all processes: the mini-batch that a part belongs to, and the rollout.

    `computed` counts the tokens of those completions of the mini-batch that go through the forward; `rollout_tokens`
    is the mean number of tokens of the rollout's mini-batches.
    """

    completions: float
    tokens: float
    computed: float
    rollout_tokens: float


class Objective(Protocol):
    """An algorithm, to the loop."""

    critic: bool
    needs_old: bool
    needs_reference: bool

    def complete(self, rollout: Rollout, everyone: AllProcesses) -> tuple[Rollout, Metrics]:
        """The rollout with its advantages, and figures about it."""
        ...

    def has_gradient(self, rollout: Rollout) -> torch.Tensor:
        """Which completions can have a gradient, [B]: the others are not computed."""
        ...

    def loss(self, new: Batch, part: Rollout, whole: Whole) -> tuple[torch.Tensor, Figures]:
        """The part's share of the mini-batch's loss, and of figures about it: the shares of all parts add up."""
        ...

    def after(self, metrics: Mapping[str, float]) -> None:
        """After a step, with its metrics."""
        ...

    def state(self) -> dict[str, float]:
        """What the next step depends on."""
        ...

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from `state`."""
        ...


def policy_loss_of(settings: GRPOSettings) -> PolicyLoss:
    """The loss that the settings name, with its clips."""
    low, high = settings.clip, settings.clip_higher
    token_low, sequence_low = (0.2 if low is None else low), (3e-4 if low is None else low)
    token_high = token_low if high is None else high
    sequence_high = high if high is not None else 4e-4 if low is None else low
    sides = {"epsilon": token_low, "epsilon_high": token_high}
    return {
        "grpo": partial(grpo_loss, **sides),
        "dr_grpo": partial(dr_grpo_loss, max_length=settings.max_completion_length, **sides),
        "dapo": partial(dapo_loss, epsilon_low=token_low, epsilon_high=token_high),
        "bnpo": partial(ppo_policy_loss, **sides),
        "reinforce_pp": partial(ppo_policy_loss, **sides),
        "cispo": partial(cispo_loss, largest_ratio=5.0 if high is None else 1 + high),
        "gspo": partial(gspo_loss, epsilon_low=sequence_low, epsilon_high=sequence_high),
        "luspo": partial(luspo_loss, epsilon_low=sequence_low, epsilon_high=sequence_high),
        "sapo": sapo_loss,
        "vespo": vespo_loss,
        "rloo": partial(rloo_loss, **sides),
    }[settings.loss]


ADVANTAGE_OF = {"dr_grpo": "centered", "rloo": "leave-one-out", "reinforce_pp": "whitened"}
"""Where a loss's own advantage is not the group's, scaled by its deviation."""
OVER_ROLLOUT = ("dapo", "cispo", "vespo")
"""Losses that divide by the tokens of the rollout, not by those of a mini-batch."""
BY_SEQUENCE = ("gspo", "luspo")


class WithoutState:
    """What an objective has of its own from step to step: nothing."""

    def after(self, metrics: Mapping[str, float]) -> None:
        """Nothing moves."""

    def state(self) -> dict[str, float]:
        return {}

    def load(self, state: Mapping[str, float]) -> None:
        if state:
            raise InputError("this checkpoint is of another algorithm: start again in another folder")


class GroupObjective(WithoutState):
    """GRPO, Dr. GRPO, DAPO, BNPO, CISPO, GSPO, LUSPO, SAPO, VESPO, RLOO and REINFORCE++, by `settings.loss`.

    `loss` takes the place of the named one; it is called as the losses of `rlpath.losses` are.
    """

    critic = False

    def __init__(self, settings: GRPOSettings, loss: PolicyLoss | None = None) -> None:
        self.settings = settings
        self.policy_loss = loss or policy_loss_of(settings)
        self.advantage = settings.advantage
        if self.advantage == "auto":
            self.advantage = ADVANTAGE_OF.get(settings.loss, "group")
        self.kl_in_reward = bool(settings.beta) and settings.loss in IN_REWARD
        self.kl_in_loss = bool(settings.beta) and not self.kl_in_reward
        self.needs_reference = settings.beta > 0
        self.needs_old = settings.epochs * settings.mini_batches > 1 or self.kl_in_reward

    def complete(self, rollout: Rollout, everyone: AllProcesses) -> tuple[Rollout, Metrics]:
        """Rewards, less the KL penalty where it belongs there, less the baseline."""
        rewards_B, metrics = rollout.rewards_B, Metrics()
        kl_B_T = torch.zeros_like(rollout.sampled_B_T)
        if rollout.old_B_T is not None and rollout.reference_B_T is not None:
            kl_B_T = kl_estimate(rollout.old_B_T, rollout.reference_B_T, "k1")
            metrics["kl/completion"] = everyone.mean(sequence_logprobs(kl_B_T, rollout.written_B_T))
        if self.advantage == "whitened":
            return rollout.with_(advantages=self._whitened(rollout, kl_B_T, everyone)), metrics
        if self.kl_in_reward:
            rewards_B = rewards_B - self.settings.beta * sequence_logprobs(kl_B_T, rollout.written_B_T)
        # Of the whole step, for its deviation may be asked for.
        advantages_B = everyone.mine(self._advantages(everyone.gather(rewards_B)))
        return rollout.with_(advantages=advantages_B), metrics

    def _advantages(self, rewards_B: torch.Tensor) -> torch.Tensor:
        if self.advantage == "leave-one-out":
            return rloo_advantages(rewards_B, self.settings.group_size)
        scale = {"group": "group", "batch": "batch", "centered": "none"}[self.advantage]
        return group_advantages(rewards_B, self.settings.group_size, scale=scale)  # type: ignore[arg-type]

    def _whitened(self, rollout: Rollout, kl_B_T: torch.Tensor, everyone: AllProcesses) -> torch.Tensor:
        beta = self.settings.beta if self.kl_in_reward else 0.0
        given = (rollout.rewards_B, kl_B_T, rollout.mask_B_T)
        rewards_B, kl_B_T, mask_B_T = (
            everyone.gather_tokens(each) if each.dim() > 1 else everyone.gather(each) for each in given
        )
        advantages_B_T = reinforce_pp_advantages(rewards_B, kl_B_T, mask_B_T, beta=beta)
        return everyone.mine(advantages_B_T)[:, : rollout.mask_B_T.shape[1]]

    def has_gradient(self, rollout: Rollout) -> torch.Tensor:
        """Those with an advantage; all where the KL divergence or the entropy is in the loss."""
        counts_B = rollout.mask_B_T.any(1)
        if self.kl_in_loss or self.settings.entropy_bonus:
            return counts_B
        assert rollout.advantages is not None
        advantages = rollout.advantages
        return counts_B & (advantages != 0 if advantages.dim() == 1 else (advantages != 0).any(1))

    def loss(self, new: Batch, part: Rollout, whole: Whole) -> tuple[torch.Tensor, Figures]:
        """The policy loss with the sampler's correction and the KL penalty, less the entropy bonus."""
        settings, logprobs, mask_B_T = self.settings, new["logprobs"], part.mask_B_T
        old = logprobs.detach() if part.old_B_T is None else part.old_B_T
        assert part.advantages is not None
        figures: Figures = {}
        weights = penalty = None
        if settings.correction != "none":
            weights = correction_weights(old, part.sampled_B_T, mask_B_T, settings.correction, settings.correction_cap)
            figures["correction/mean"] = (weights * mask_B_T).sum() / max(whole.computed, 1)
        if self.kl_in_loss:
            assert part.reference_B_T is not None
            level = "sequence" if settings.loss in BY_SEQUENCE else "token"
            ratio = importance_ratio(logprobs, old, mask_B_T, level)
            kl_B_T = kl_penalty(logprobs, part.reference_B_T, ratio, kind=settings.kl_estimator)
            penalty = settings.beta * kl_B_T
            figures["kl"] = average_tokens(kl_B_T.detach(), mask_B_T, "token", tokens=whole.tokens)
        loss = self.policy_loss(
            logprobs,
            old,
            part.advantages,
            mask_B_T,
            weights=weights,
            penalty_B_T=penalty,
            completions=whole.completions,
            tokens=whole.rollout_tokens if settings.loss in OVER_ROLLOUT else whole.tokens,
        )
        low = 0.2 if settings.clip is None else settings.clip
        clipped = clip_fraction(logprobs, old, part.advantages, mask_B_T, epsilon=low, high=settings.clip_higher)
        figures["clip_ratio"] = clipped * mask_B_T.sum() / max(whole.tokens, 1)
        return loss - entropy_term(new, part, settings, whole), figures


def entropy_term(new: Batch, part: Rollout, settings: PolicySettings, whole: Whole) -> torch.Tensor | float:
    """The entropy bonus: its weight times the mean entropy of the mini-batch's tokens."""
    if not settings.entropy_bonus:
        return 0.0
    return settings.entropy_bonus * average_tokens(new["entropy"], part.mask_B_T, "token", tokens=whole.tokens)
