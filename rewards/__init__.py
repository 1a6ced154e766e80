"""Is it right? Verifiers that read a completion beside the gold answer; importing them needs no torch."""

from rlpath.rewards.number import NumberVerifier
from rlpath.rewards.trl import as_trl_reward
from rlpath.rewards.validate import validate

__all__ = ["NumberVerifier", "as_trl_reward", "validate"]
