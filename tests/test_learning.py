"""PPO learns CartPole within seconds, judged by what 50 recorded seeds earned; see scripts/calibrate_learning.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.deep.ppo import Args, train

RECORD: dict[str, Any] = json.loads((Path(__file__).parent / "calibration" / "ppo_cartpole.json").read_text())
SEEDS = (0, 1, 2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the record was made."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def threshold() -> float:
    """The 5th percentile of the means of all triples of recorded seeds."""
    triples = np.array(list(combinations(RECORD["scores"], len(SEEDS))))
    return float(np.percentile(triples.mean(1), 5))


def score(**changes: Any) -> float:
    training = {**RECORD["training"], **changes}
    return float(np.mean([train(Args(**training, seed=seed, checkpoint_every=0)).last(100) for seed in SEEDS]))


def test_the_threshold_is_calibrated() -> None:
    """Fifty seeds, of which three seldom earn less; a policy by chance earns 22."""
    assert len(RECORD["scores"]) >= 50
    assert 60 < threshold() < np.mean(RECORD["scores"])


def test_ppo_learns() -> None:
    """The mean of three seeds is not below the threshold."""
    assert score() >= threshold()


def test_what_learns_badly_is_below_the_threshold() -> None:
    """A step size a fifth as large is noticed."""
    assert score(learning_rate=2e-4) < threshold()
