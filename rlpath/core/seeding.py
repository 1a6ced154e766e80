"""One seed fixes everything: named child seeds, and the global generators set in one call.

A seed for each purpose (sampling, data order, dropout, …) is derived by name, so that adding a purpose later leaves
the draws of the others as they were.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Sequence

from rlpath.core.errors import InputError


def parse_seeds(text: str) -> list[int]:
    """The seeds that a command line names: "10" is 0 … 9, "0-9" the same, "1,2,5" these three, "0-3,7" five.

    Raises `InputError` for anything else, and for a seed named twice.
    """
    parts = text.split(",")
    if text.isdecimal():
        parts = [f"0-{int(text) - 1}"]
    seeds = [seed for part in parts for seed in _seed_range(part.strip(), text)]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise InputError(f"--seeds {text} names seed {twice[0]} twice")
    return seeds


def _seed_range(part: str, text: str) -> range:
    first, dash, last = part.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
        raise InputError(f"--seeds {text} is not a number of seeds (10), a range (0-9) or a list (1,2,5)")
    return range(int(first), int(last if dash else first) + 1)


def seeds_flag(seeds: Sequence[int]) -> str:
    """The seeds as `parse_seeds` reads them; one alone as a range, since a number would say how many."""
    return ",".join(map(str, seeds)) if len(seeds) > 1 else f"{seeds[0]}-{seeds[0]}"


def split(seeds: Sequence[int], parts: int) -> list[list[int]]:
    """The seeds dealt out to at most `parts` groups of nearly equal size, in order."""
    parts = min(parts, len(seeds))
    return [list(seeds[i * len(seeds) // parts : (i + 1) * len(seeds) // parts]) for i in range(parts)]


def derive(seed: int, *path: int | str) -> int:
    """A child seed of `seed` for the purpose named by `path`, in [0, 2**63).

    The same arguments give the same number on every machine and every version of Python (SHA-256, not `hash`).
    `derive(0, "a", 1)` and `derive(0, "a1")` are different purposes.
    """
    digest = hashlib.sha256(json.dumps([seed, *path]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(seed: int, *, torch: bool | None = None) -> None:
    """Seed `random`, numpy's legacy generator and torch (CPU and every GPU).

    `torch=None` seeds torch where it is already imported; pass True to import it. Raises `ValueError` on a negative
    seed.
    """
    if seed < 0:
        raise ValueError(f"a seed is not negative, got {seed}")
    random.seed(seed)
    import numpy

    numpy.random.seed(seed % 2**32)
    if torch or (torch is None and "torch" in sys.modules):
        import torch as torch_module

        torch_module.manual_seed(seed)
