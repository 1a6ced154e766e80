"""The settings of experiments that learn from their own samples: GRPO and its relatives, and PPO with a critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rlpath.core.errors import InputError
from rlpath.posttrain.training_settings import CompletionSettings
from rlpath.rewards.combine.named import VerifierName

Loss = Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "gspo", "luspo", "sapo", "vespo", "rloo", "reinforce_pp"]
IN_REWARD = ("rloo", "reinforce_pp")
"""Losses whose KL divergence is a part of the reward, as in their papers."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings(CompletionSettings):
    """What every experiment has that samples from a policy, verifies and updates it."""

    prompts_per_step: int = 8
    """prompts in one step, over all processes"""
    group_size: int = 8
    """completions of each prompt"""
    mini_batch: int = 0
    """completions in one optimizer step, over all processes, in whole groups; 0: all of a step"""
    epochs: int = 1
    """passes over the completions of one rollout (TRL's num_iterations)"""
    micro_batch: int = 64
    """completions of full length in one forward of one process, shorter ones more: lower it where memory is short"""
    max_completion_length: int = 24
    """tokens after which a completion is truncated; the verifier is told so"""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """of the learning rate after warm-up: held, or falling to zero at the last step"""
    max_grad_norm: float = 1.0
    """the gradient's norm is clipped to this; 0: never"""
    temperature: float = 1.0
    """of rollouts"""
    top_p: float = 1.0
    """of rollouts; below 1 the sampler is another policy than the one that trains, so --correction must be none"""
    top_k: int = 0
    """of rollouts, 0: off; as with --top-p"""
    system: str = ""
    """system prompt of training and evaluation; empty: the chat template's own"""
    entropy_bonus: float = 0.0
    """weight of the mean entropy of tokens, which is added to what is maximized"""
    truncated_score: float | None = None
    """reward of a truncated completion, whatever its verifier says; without it the verifier decides"""
    overlong_buffer: int = 0
    """the last so many tokens before the limit cost up to 1 (DAPO's soft overlong punishment); 0: nothing"""
    mask_truncated: bool = False
    """leave truncated completions out of the loss; their rewards still enter the baseline"""
    train_verifier: VerifierName = "own"
    """what rewards training: the verifier that belongs to the problems, or another"""
    eval_verifier: VerifierName = "own"
    """verifier of the evaluation: choose another than training's to see what was learned besides its weaknesses"""
    eval_every: int = 0
    """steps between evaluations while training, whose best model is kept beside the last; 0: none"""

    def check(self, processes: int) -> None:
        """Refuse impossible sizes before anything is loaded; raises `InputError` naming the field."""
        super().check(processes)
        if not self.temperature > 0 or not 0 < self.top_p <= 1:
            raise InputError("--temperature must be positive, and --top-p above 0 and at most 1")
        if self.prompts_per_step % processes:
            raise InputError(f"--prompts-per-step {self.prompts_per_step} is not divisible by {processes} processes")
        size = self.mini_batch or self.completions
        if size % (self.group_size * processes) or self.completions % size:
            raise InputError(
                f"--mini-batch {self.mini_batch} must hold whole groups of {self.group_size} on each of {processes} "
                f"processes and divide the {self.completions} completions of a step: try {self.completions}"
            )
        if self.overlong_buffer > self.max_completion_length:
            raise InputError(
                f"--overlong-buffer {self.overlong_buffer} must be at most --max-completion-length "
                f"{self.max_completion_length}"
            )

    def least(self) -> Mapping[str, float]:
        ones = dict.fromkeys(("prompts_per_step", "group_size", "micro_batch", "epochs"), 1)
        zeros = ("mini_batch", "max_grad_norm", "top_k", "entropy_bonus", "overlong_buffer", "eval_every")
        return {**super().least(), **ones, **dict.fromkeys(zeros, 0)}

    @property
    def completions(self) -> int:
        """Completions of one step, over all processes."""
        return self.prompts_per_step * self.group_size

    @property
    def mini_batches(self) -> int:
        """Optimizer steps in one pass over a rollout."""
        return self.completions // (self.mini_batch or self.completions)

    @property
    def filters(self) -> bool:
        """Whether the sampler leaves out improbable tokens, and so draws from another policy."""
        return self.top_p < 1 or self.top_k > 0


@dataclass(frozen=True, kw_only=True)
class GRPOSettings(PolicySettings):
    """Settings of the GRPO family; a group's mean reward is its baseline, so a group has at least two completions."""

    loss: Loss = "dapo"
    """how the loss is averaged and clipped; dapo is token-level, dr_grpo free of length bias"""
    advantage: Literal["auto", "group", "batch", "centered", "leave-one-out", "whitened"] = "auto"
    """the reward less its group's mean, divided by the group's or the batch's deviation or not at all (centered); less
    the mean of the others (leave-one-out); or each token's reward to go, whitened; auto is that of the loss's paper"""
    clip: float | None = None
    """how far the probability ratio may fall below 1, and rise above it; auto is 0.2, 3e-4 for gspo and luspo"""
    clip_higher: float | None = None
    """how far it may rise, where that is another (DAPO's clip-higher, say 0.28); for cispo the largest ratio less 1"""
    beta: float = 0.0
    """weight of the KL divergence to the starting model; 0 needs no reference"""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """of the divergence in the loss; k1 and k3 are weighted by the importance ratio (rloo, reinforce_pp: k1 in the
    reward)"""
    correction: Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = "token_truncate"
    """how the ratio of trainer to sampler, whose rounding differs, enters the loss: by token or completion,
    truncated at the cap or masked above it"""
    correction_cap: float = 2.0
    """largest weight of the correction"""
    dynamic_sampling: int = 0
    """times that groups without signal are replaced by new prompts (DAPO), at most, in one step; 0: never"""
    reward: Literal["true", "random", "format", "wrong", "majority"] = "true"
    """true is the verifier's; the others are controls: a coin, any answer that can be read, another problem's gold
    answer, or the answer that most of the group give"""
    random_probability: float = 0.5
    """chance of a reward under --reward random"""

    def least(self) -> Mapping[str, float]:
        return {**super().least(), "group_size": 2, "beta": 0, "dynamic_sampling": 0}

    def check(self, processes: int) -> None:
        super().check(processes)
        if (
            not all(given is None or given > 0 for given in (self.clip, self.clip_higher))
            or not self.correction_cap > 0
        ):
            raise InputError("--clip, --clip-higher and --correction-cap must be positive")
        if not 0 < self.random_probability < 1:
            raise InputError(
                f"--random-probability {self.random_probability} must lie between 0 and 1: else no completion of a "
                "group differs from another"
            )
        if self.filters and self.correction != "none":
            raise InputError(
                "--top-p and --top-k draw from a renormalized distribution, whose ratio to the policy is no rounding: "
                "choose --correction none (the loss is then biased), or leave them off"
            )
        if self.loss == "rloo" and self.correction.startswith("token"):
            raise InputError(
                "--loss rloo has one weight a completion: choose --correction sequence_truncate, sequence_mask or none"
            )
        if self.loss == "rloo" and self.advantage == "whitened":
            raise InputError("--loss rloo takes one advantage a completion, not --advantage whitened")
        if self.beta and self.kl_estimator != "k1" and self.loss in IN_REWARD:
            raise InputError(f"--loss {self.loss} has its KL divergence in the reward: choose --kl-estimator k1")


@dataclass(frozen=True, kw_only=True)
class PPOSettings(PolicySettings):
    """Settings of PPO for language models; defaults after Huang et al. 2024 (arXiv 2403.17031) where they give one."""

    mini_batch: int = 32
    """completions in one optimizer step, over all processes, in whole groups; 0: all of a step"""
    epochs: int = 2
    """passes over the completions of one rollout"""
    kl: float = 0.05
    """KL coefficient β against the starting model, per token; 0 needs no reference"""
    kl_target: float | None = None
    """KL divergence in nats per completion that β is adapted to (Ziegler et al. 2019); without it β is fixed"""
    lam: float = 0.95
    """λ of generalized advantage estimation; γ is 1"""
    clip: float = 0.2
    """how far the probability ratio of a token, and a value, may move in one rollout's updates"""
    value_coefficient: float = 0.1
    """weight of the value loss, whose gradient reaches the policy's adapter"""
    value_learning_rate: float = 1e-3
    """of the value head alone"""
    whiten_rewards: bool = False
    """scale token rewards to variance 1 over the rollout; their mean stays"""

    def least(self) -> Mapping[str, float]:
        return {**super().least(), "lora_rank": 1, "kl": 0, "lam": 0, "value_coefficient": 0}

    def check(self, processes: int) -> None:
        super().check(processes)
        if not 0 <= self.lam <= 1 or not self.clip > 0 or not self.value_learning_rate > 0:
            raise InputError("--lam must lie between 0 and 1; --clip and --value-learning-rate must be positive")
        if self.kl_target is not None and not (self.kl_target > 0 and self.kl > 0):
            raise InputError("--kl-target must be positive, and needs a --kl above 0 to start from")
