"""Is it right? Verifiers that read a completion beside the gold answer; importing them needs no torch.

Every name below is loaded when it is first used: `from rlpath.rewards import NumberVerifier` imports neither the
arithmetic of `MathVerifier` nor the schemas of `JSONVerifier`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlpath.rewards.audit.validate import validate
    from rlpath.rewards.combine.batch import BatchVerifier, verify_completions
    from rlpath.rewards.combine.compose import Gated, Weighted, WithGold
    from rlpath.rewards.combine.penalties import (
        cosine_length_reward,
        group_length_rewards,
        repetition_penalty,
        soft_overlong_penalty,
    )
    from rlpath.rewards.combine.reward_model import RewardModelReward
    from rlpath.rewards.combine.trl import as_trl_reward
    from rlpath.rewards.sandbox import Limits
    from rlpath.rewards.verifiers.choice import ChoiceVerifier
    from rlpath.rewards.verifiers.code import CodeVerifier
    from rlpath.rewards.verifiers.countdown import CountdownVerifier
    from rlpath.rewards.verifiers.exact import ExactVerifier
    from rlpath.rewards.verifiers.format import FormatVerifier
    from rlpath.rewards.verifiers.instruction import InstructionVerifier
    from rlpath.rewards.verifiers.math import MathVerifier
    from rlpath.rewards.verifiers.number import NumberVerifier
    from rlpath.rewards.verifiers.schema import JSONVerifier

__all__ = [
    "BatchVerifier",
    "ChoiceVerifier",
    "CodeVerifier",
    "CountdownVerifier",
    "ExactVerifier",
    "FormatVerifier",
    "Gated",
    "InstructionVerifier",
    "JSONVerifier",
    "Limits",
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
    "verify_completions",
]

_MODULES = {
    "audit.validate": ("validate",),
    "combine.batch": ("BatchVerifier", "verify_completions"),
    "combine.compose": ("Gated", "Weighted", "WithGold"),
    "combine.penalties": (
        "cosine_length_reward",
        "group_length_rewards",
        "repetition_penalty",
        "soft_overlong_penalty",
    ),
    "combine.reward_model": ("RewardModelReward",),
    "combine.trl": ("as_trl_reward",),
    "sandbox": ("Limits",),
    "verifiers.choice": ("ChoiceVerifier",),
    "verifiers.code": ("CodeVerifier",),
    "verifiers.countdown": ("CountdownVerifier",),
    "verifiers.exact": ("ExactVerifier",),
    "verifiers.format": ("FormatVerifier",),
    "verifiers.instruction": ("InstructionVerifier",),
    "verifiers.math": ("MathVerifier",),
    "verifiers.number": ("NumberVerifier",),
    "verifiers.schema": ("JSONVerifier",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
