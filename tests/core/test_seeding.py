"""Seeds: derived by name, the same everywhere, and enough to repeat every draw."""

import random
import subprocess
import sys

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive, parse_seeds, seed_everything


def test_derived_seeds_are_pinned() -> None:
    """The derivation never changes silently: runs of last year must repeat."""
    assert derive(0) == 7520536977032167579
    assert derive(7, "sampler", 3) == 5306519552038911030


def test_derived_seeds_fit_a_signed_64_bit_integer_and_differ_by_path() -> None:
    """Every purpose has its own seed, and torch accepts each."""
    seeds = {derive(seed, name, step) for seed in range(10) for name in ("a", "b") for step in range(50)}

    assert len(seeds) == 10 * 2 * 50
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(0, "a", 1) != derive(0, "a1") != derive(0, "a", "1")


def test_a_derived_seed_does_not_depend_on_the_process() -> None:
    """Python's randomized string hash plays no part."""
    code = "from rlpath.core.seeding import derive; print(derive(3, 'data'))"

    assert int(subprocess.check_output([sys.executable, "-c", code])) == derive(3, "data")


def test_the_same_seed_repeats_every_generator() -> None:
    """random, numpy and torch give the same draws after the same seed, other draws after another."""
    torch = pytest.importorskip("torch")

    def draws(seed: int) -> tuple[float, float, float]:
        seed_everything(seed)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert draws(5) == draws(5)
    assert all(left != right for left, right in zip(draws(5), draws(6), strict=True))


def test_a_negative_seed_is_refused() -> None:
    """numpy and torch disagree on what a negative seed means, so there is none."""
    with pytest.raises(ValueError, match="not negative"):
        seed_everything(-1)


def test_seeding_imports_no_torch() -> None:
    """The words of the project stay light: torch is seeded only where it is in use."""
    code = (
        "import sys; from rlpath.core.seeding import seed_everything; seed_everything(0); print('torch' in sys.modules)"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_seeds_named_on_a_command_line() -> None:
    """A number is how many, a range and a list are which; what is none of these is refused in one sentence."""
    assert parse_seeds("3") == parse_seeds("0-2") == parse_seeds("0,1,2") == [0, 1, 2]
    assert parse_seeds("7-7") == [7] and parse_seeds("1,2,5") == [1, 2, 5] and parse_seeds("0-1, 7") == [0, 1, 7]
    for text in ("", "0", "a", "9-0", "1,,2", "-3", "1-", "2.5"):
        with pytest.raises(InputError, match="is not a number of seeds"):
            parse_seeds(text)
    with pytest.raises(InputError, match="names seed 1 twice"):
        parse_seeds("0-2,1")
