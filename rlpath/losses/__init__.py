"""The arithmetic of post-training: tensors in, a tensor out, no model, no trainer.

Shapes: B completions (or pairs), T tokens of the longest one, V words of the vocabulary. Masks are 1 for a token that
counts. A log-probability at position t is that of token t itself given what is before it.

- `supervised`: fine-tuning on completions;
- `preference`: Bradley–Terry, DPO and IPO, KTO;
- `advantages`: groups, leave-one-out, whitening, generalized advantage estimation over tokens;
- `policy`: the clipped objectives of PPO, GRPO and its relatives, and the value loss;
- `weighted`: those that weigh a token in place of clipping it: CISPO, SAPO, VESPO;
- `divergence`: estimators of the KL divergence, distillation, and the correction for a sampler that differs from the
  trainer.
"""

from rlpath.losses.advantages import (
    gae,
    group_advantages,
    reinforce_pp_advantages,
    rloo_advantages,
    whiten,
)
from rlpath.losses.divergence import CORRECTIONS, correction_weights, distillation_loss, kl_estimate, kl_penalty
from rlpath.losses.policy import (
    Terms,
    clip_fraction,
    dapo_loss,
    dr_grpo_loss,
    grpo_loss,
    gspo_loss,
    importance_ratio,
    luspo_loss,
    policy_loss,
    ppo_policy_loss,
    ppo_value_loss,
    rloo_loss,
)
from rlpath.losses.preference import bradley_terry_loss, dpo_loss, ipo_loss, kto_loss
from rlpath.losses.supervised import next_token_logprobs, sft_loss
from rlpath.losses.tokens import average_tokens, masked_mean, sequence_logprobs
from rlpath.losses.weighted import cispo_loss, sapo_loss, vespo_loss

__all__ = [
    "CORRECTIONS",
    "Terms",
    "average_tokens",
    "bradley_terry_loss",
    "cispo_loss",
    "clip_fraction",
    "correction_weights",
    "dapo_loss",
    "distillation_loss",
    "dpo_loss",
    "dr_grpo_loss",
    "gae",
    "group_advantages",
    "grpo_loss",
    "gspo_loss",
    "importance_ratio",
    "ipo_loss",
    "kl_estimate",
    "kl_penalty",
    "kto_loss",
    "luspo_loss",
    "masked_mean",
    "next_token_logprobs",
    "policy_loss",
    "ppo_policy_loss",
    "ppo_value_loss",
    "reinforce_pp_advantages",
    "rloo_advantages",
    "rloo_loss",
    "sapo_loss",
    "sequence_logprobs",
    "sft_loss",
    "vespo_loss",
    "whiten",
]
