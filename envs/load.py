"""Problem sets by name, as recipes take them: `gsm8k`, `arithmetic:add-2`, `word-problems`, `countdown:3`,
`reasoning-gym:gsm_symbolic`; and environments of several turns: `calculator`, `number-guessing:15`, `python`."""

from __future__ import annotations

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.adapters.gem_text import gem_problems
from rlpath.envs.adapters.gymnasium_text import gymnasium_problems
from rlpath.envs.adapters.verifiers_tasks import verifiers_problems
from rlpath.envs.arithmetic import LEVELS, arithmetic
from rlpath.envs.calculator import calculator
from rlpath.envs.code_tasks import code_tasks, own_code_tasks
from rlpath.envs.countdown import countdown
from rlpath.envs.gsm8k import gsm8k
from rlpath.envs.number_guessing import number_guessing
from rlpath.envs.python_tool import python_questions
from rlpath.envs.reasoning_gym import reasoning_gym
from rlpath.envs.splits import Side
from rlpath.envs.text_search import text_search
from rlpath.envs.word_problems import word_problems

NAMES = (
    *(f"arithmetic:{level}" for level in LEVELS),
    "gsm8k",
    "word-problems",
    "countdown:<2 to 6>",
    "reasoning-gym:<task>",
)
ENVIRONMENTS = (
    "calculator",
    "number-guessing",
    "python",
    "mbpp-turns",
    "own-code",
    "text-search",
    "gymnasium",
    "gem",
    "verifiers",
)
"""Families of environments: a completion is an episode of several turns."""


def problem_set(
    name: str, split: Side, *, size: int | None = None, seed: int = 0, held_out_fraction: float = 0.25
) -> ProblemSet:
    """The named problems in an order fixed by `seed`. GSM8K's validation slice is fixed: `held_out_fraction` is unused.

    Raises InputError for an unknown name, and whatever the set itself refuses.
    """
    family, _, variant = name.partition(":")
    if family == "arithmetic":
        level = variant or "add-1"
        return arithmetic(split, level, size=size, seed=seed, held_out_fraction=held_out_fraction)
    if family == "reasoning-gym" and variant:
        return reasoning_gym(variant, split, size=size or 500, seed=seed, held_out_fraction=held_out_fraction)
    if family == "countdown" and (variant or "3").isdecimal():
        count = int(variant or 3)
        return countdown(split, count=count, size=size or 1000, seed=seed, held_out_fraction=held_out_fraction)
    if family == "verifiers" and variant:
        return verifiers_problems(variant, split, size=size, seed=seed, held_out_fraction=held_out_fraction)
    if family == "word-problems":
        size = size or 1000
        return word_problems(split, variant or "mixed", size=size, seed=seed, held_out_fraction=held_out_fraction)
    if name == "gsm8k":
        return gsm8k(split, size=size, seed=seed)
    if family in ENVIRONMENTS:
        return environment_named(name, split, size=size, seed=seed, held_out_fraction=held_out_fraction)
    raise InputError(f"{name!r} is no problem set: one of {', '.join((*NAMES, *ENVIRONMENTS))}")


def environment_named(
    name: str, split: Side, *, size: int | None = None, seed: int = 0, held_out_fraction: float = 0.25
) -> ProblemSet:
    """The named environment's problems. Raises InputError for an unknown name, and whatever the environment refuses."""
    family, _, variant = name.partition(":")
    if family == "calculator":
        drawn = {"size": size or 1000, "seed": seed, "held_out_fraction": held_out_fraction}
        return calculator(split, variant or "mixed", **drawn)
    if family == "mbpp-turns":
        return code_tasks(split, size=size, seed=seed, partial=variant == "partial")
    if family == "own-code":
        return own_code_tasks(split, partial=variant == "partial")
    drawn = {"size": size or 200, "seed": seed, "held_out_fraction": held_out_fraction}
    if family == "gymnasium" and variant:
        return gymnasium_problems(variant, split, **drawn)
    if family == "gem" and variant:
        return gem_problems(variant, split, **drawn)
    if family == "number-guessing" and (variant or "15").isdecimal():
        return number_guessing(split, numbers=int(variant or 15), **drawn)
    if family == "python":
        return python_questions(split, **drawn)
    if family == "text-search":
        return text_search(split, **drawn)
    if family == "verifiers" and variant:
        found = verifiers_problems(variant, split, size=size, seed=seed, held_out_fraction=held_out_fraction)
        if found.environment is not None:
            return found
        raise InputError(f"{name!r} has no tools: it is a problem set, not an environment")
    raise InputError(f"{name!r} is no environment: one of {', '.join(ENVIRONMENTS)}")
