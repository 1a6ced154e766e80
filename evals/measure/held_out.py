"""The one place that opens a test split: what is asked here must never be trained on, nor used to choose anything."""

from __future__ import annotations

import random

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.files import data_file, read_jsonl
from rlpath.envs.gsm8k import FIELDS, HUB_ID, from_hub, gsm8k_problems, take
from rlpath.envs.load import problem_set
from rlpath.rewards.verifiers.number import NumberVerifier


def gsm8k_test(*, size: int | None = None, seed: int = 0) -> ProblemSet:
    """GSM8K's test split (1,319 problems), or `size` of them drawn by `seed`, from RLPATH_DATA, else the hub.

    Raises InputError where it is in neither place, or a row is malformed.
    """
    path = data_file("gsm8k/test.jsonl")
    rows, source = (read_jsonl(path, FIELDS), str(path)) if path else (from_hub("test"), f"hub:{HUB_ID}")
    problems = gsm8k_problems(rows, source, "test")
    random.Random(f"{seed}/test").shuffle(problems)
    return ProblemSet("gsm8k", "test", tuple(take(problems, size, "gsm8k")), NumberVerifier(), source)


def held_out(
    name: str, *, split: str = "validation", size: int | None = None, seed: int = 0, held_out_fraction: float = 0.25
) -> ProblemSet:
    """Problems that training on `name` never sees: the validation side of a set, or the test split of `gsm8k`."""
    if split == "validation":
        return problem_set(name, "validation", size=size, seed=seed, held_out_fraction=held_out_fraction)
    if split == "test" and name == "gsm8k":
        return gsm8k_test(size=size, seed=seed)
    raise InputError(f"{name} has no {split} split: procedural sets hold out their validation side, gsm8k has test too")
