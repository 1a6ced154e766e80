"""PPO learns CartPole within seconds, judged by what 50 recorded seeds earned; see scripts/calibrate_learning.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.core.stats import prediction_half_width
from rlpath.deep.ppo import Args, train

RECORD: dict[str, Any] = json.loads((Path(__file__).parent / "calibration" / "ppo_cartpole.json").read_text())
SEEDS = tuple(range(8))
FALSE_ALARM = 0.001


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the record was made."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def threshold() -> float:
    """Where the mean of new runs of the recorded kind falls below with probability `FALSE_ALARM`."""
    scores = np.array(RECORD["scores"])
    half = prediction_half_width(scores.std(ddof=1), len(scores), len(SEEDS), 2 * FALSE_ALARM)
    return float(scores.mean() - half)


def score(seeds: Sequence[int], **changes: Any) -> float:
    training = {**RECORD["training"], **changes}
    return float(np.mean([train(Args(**training, seed=seed, checkpoint_every=0)).last(100) for seed in seeds]))


def test_the_threshold_is_calibrated() -> None:
    """Fifty seeds; the threshold is far above the 22 of a policy by chance."""
    assert len(RECORD["scores"]) >= 50
    assert 100 < threshold() < np.mean(RECORD["scores"])


def test_ppo_learns() -> None:
    """The mean of eight seeds is not below the threshold."""
    assert score(SEEDS) >= threshold()


def test_what_learns_badly_is_below_the_threshold() -> None:
    """A step size a fifth as large is noticed."""
    assert score(SEEDS[:3], learning_rate=2e-4) < threshold()
