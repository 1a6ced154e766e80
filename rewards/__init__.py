"""Is it right? Verifiers that read a completion beside the gold answer; importing them needs no torch."""

from rlpath.rewards.batch import BatchVerifier
from rlpath.rewards.choice import ChoiceVerifier
from rlpath.rewards.compose import Gated, Weighted, WithGold
from rlpath.rewards.exact import ExactVerifier
from rlpath.rewards.format import FormatVerifier
from rlpath.rewards.instruction import InstructionVerifier
from rlpath.rewards.maths import MathVerifier
from rlpath.rewards.number import NumberVerifier
from rlpath.rewards.penalties import (
    cosine_length_reward,
    group_length_rewards,
    repetition_penalty,
    soft_overlong_penalty,
)
from rlpath.rewards.reward_model import RewardModelReward
from rlpath.rewards.schema import JSONVerifier
from rlpath.rewards.trl import as_trl_reward
from rlpath.rewards.validate import validate

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
