"""One seed fixes everything: named child seeds, and the global generators set in one call.

A seed for each purpose (sampling, data order, dropout, …) is derived by name, so that adding a purpose later leaves
the draws of the others as they were.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys


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
