"""Is it right? Verifiers that read a completion beside the gold answer; importing them needs no torch."""

from rlpath.rewards.audit.validate import validate
from rlpath.rewards.combine.batch import BatchVerifier
from rlpath.rewards.combine.compose import Gated, Weighted, WithGold
from rlpath.rewards.combine.penalties import (
    cosine_length_reward,
    group_length_rewards,
    repetition_penalty,
    soft_overlong_penalty,
)
from rlpath.rewards.combine.reward_model import RewardModelReward
from rlpath.rewards.combine.trl import as_trl_reward
from rlpath.rewards.maths import MathVerifier
from rlpath.rewards.verifiers.choice import ChoiceVerifier
from rlpath.rewards.verifiers.exact import ExactVerifier
from rlpath.rewards.verifiers.format import FormatVerifier
from rlpath.rewards.verifiers.instruction import InstructionVerifier
from rlpath.rewards.verifiers.number import NumberVerifier
from rlpath.rewards.verifiers.schema import JSONVerifier

__all__ = [
    "BatchVerifier",
    "ChoiceVerifier",
    "ExactVerifier",
    "FormatVerifier",
    "Gated",
    "InstructionVerifier",
    "JSONVerifier",
    "MathVerifier",
    "NumberVerifier",
    "RewardModelReward",
    "Weighted",
    "WithGold",
    "as_trl_reward",
    "cosine_length_reward",
    "group_length_rewards",
    "repetition_penalty",
    "soft_overlong_penalty",
    "validate",
]
