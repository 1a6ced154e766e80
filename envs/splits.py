"""Which side of a split a problem falls on, decided by a hash of its content.

A problem's side depends on nothing but its own text, so training and held-out problems are disjoint by construction:
for every seed, size and process, and between difficulty settings that share problems.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from rlpath.core.errors import InputError

Side = Literal["train", "validation"]
SIDES: tuple[Side, ...] = ("train", "validation")


def hash_fraction(key: str) -> float:
    """A number in [0, 1), uniform over keys and the same in every process (`hash()` is not)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def side_of(key: str, held_out_fraction: float) -> Side:
    """The side of the problem that `key` identifies; about `held_out_fraction` of all keys are held out."""
    return "validation" if hash_fraction(key) < held_out_fraction else "train"


def check_split(split: str, held_out_fraction: float = 0.5) -> None:
    """Refuse a split that is not offered here, and a held-out share outside (0, 1)."""
    if split not in SIDES:
        raise InputError(f"split {split!r} is not one of train and validation; test splits open in rlpath.evals alone")
    if not 0.0 < held_out_fraction < 1.0:
        raise InputError(f"held_out_fraction {held_out_fraction} must lie strictly between 0 and 1")
