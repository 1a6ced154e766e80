"""On-policy distillation: a student samples, and a larger teacher scores every token that it wrote.

The loop is that of `loop`; the teacher stands where the reference model does, and the KL divergence to it is the whole
loss (Agarwal et al. 2023, arXiv 2306.13649). Rewards are verified and logged, and have no part in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from rlpath.core.errors import InputError
from rlpath.losses import correction_weights, distillation_loss, importance_ratio, sequence_logprobs
from rlpath.models.load import load_model, load_tokenizer, resolve_model
from rlpath.posttrain.all_processes import AllProcesses
from rlpath.posttrain.objectives import Figures, Metrics, Whole, WithoutState, entropy_term
from rlpath.posttrain.on_policy import Experiment
from rlpath.posttrain.policy_model import PolicyModel, frozen_model
from rlpath.posttrain.rollout import Batch, Rollout
from rlpath.posttrain.settings import PolicySettings


@dataclass(frozen=True, kw_only=True)
class DistillSettings(PolicySettings):
    teacher: str = "qwen2.5-coder-1.5b-instruct"
    """the model to learn from, with the student's tokenizer: a folder, a hub id or a packaged name"""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """of the divergence from the teacher"""
    correction_cap: float = 2.0
    """largest weight of a token for which trainer and sampler differ by rounding"""

    def check(self, processes: int) -> None:
        """Refuse impossible settings before anything is loaded; raises `InputError` naming the field."""
        super().check(processes)
        if self.filters:
            raise InputError("--top-p and --top-k would change the student that is compared: leave them at 1 and 0")
        if not self.correction_cap > 0:
            raise InputError(f"--correction-cap {self.correction_cap} must be positive")


class DistillObjective(WithoutState):
    """The KL divergence from the teacher, in place of rewards and advantages."""

    critic = False
    needs_reference = True

    def __init__(self, settings: DistillSettings) -> None:
        self.settings = settings
        self.needs_old = settings.epochs * settings.mini_batches > 1

    def complete(self, rollout: Rollout, everyone: AllProcesses) -> tuple[Rollout, Metrics]:
        """The rollout as it is: there are no advantages."""
        return rollout, {}

    def has_gradient(self, rollout: Rollout) -> torch.Tensor:
        """All completions, [B]."""
        return rollout.mask_B_T.any(1)

    def loss(self, new: Batch, part: Rollout, whole: Whole) -> tuple[torch.Tensor, Figures]:
        """The part's share of the mean divergence of a token, in nats, less the entropy bonus."""
        logprobs, mask_B_T = new["logprobs"], part.mask_B_T
        old = logprobs.detach() if part.old_B_T is None else part.old_B_T
        assert part.reference_B_T is not None
        weights = correction_weights(old, part.sampled_B_T, mask_B_T, "token_truncate", self.settings.correction_cap)
        loss = distillation_loss(
            logprobs,
            part.reference_B_T,
            importance_ratio(logprobs, old, mask_B_T),
            mask_B_T,
            kind=self.settings.kl_estimator,
            weights=weights,
            tokens=whole.tokens,
        )
        apart = sequence_logprobs(logprobs.detach() - part.reference_B_T, mask_B_T).sum() / max(whole.tokens, 1)
        return loss - entropy_term(new, part, self.settings, whole), {"kl/teacher": apart}


def teacher_model(experiment: Experiment, settings: DistillSettings) -> PolicyModel | None:
    """The teacher, frozen, on the trainer's device; None for a finished run, which needs none.

    Raises `InputError` where its tokenizer is another than the student's.
    """
    context = experiment.context
    if context is None:
        return None
    with context.state.main_process_first():
        path = resolve_model(settings.teacher)
    if load_tokenizer(path).get_vocab() != load_tokenizer(context.model).get_vocab():
        raise InputError(
            f"--teacher {settings.teacher} has another tokenizer than {settings.model}, so it cannot score the "
            "student's tokens: choose two models of one family"
        )
    device = torch.device(context.state.device or "cpu")
    return frozen_model(load_model(path, settings.dtype), settings.temperature, device)
