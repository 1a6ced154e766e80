"""Optimizers equal torch.optim step for step; initialization keeps variance; the finder tells too low from too high."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rlpath.trunk.autodiff import Tensor, cross_entropy
from rlpath.trunk.mlp import MLP, SGD, AdamW, find_rate, rate_curves, two_spirals

PAIRS = {
    "SGD": (lambda p: SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (lambda p: SGD(p, 0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    "Adam": (lambda p: AdamW(p, 0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "AdamW": (lambda p: AdamW(p, 0.01, decay=0.1), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_optimizers_equal_torch_for_twenty_steps(name: str) -> None:
    """The same network, data and settings: all weights agree to 1e-10 after every step."""
    ours_of, theirs_of = PAIRS[name]
    x, labels = two_spirals(np.random.default_rng(0), 40)
    model = MLP((2, 8, 2), np.random.default_rng(1))
    copies = [torch.tensor(p.data, requires_grad=True) for p in model.parameters]
    ours, theirs = ours_of(model.parameters), theirs_of(copies)
    for _ in range(20):
        cross_entropy(model(Tensor(x)), labels).backward()
        ours.step()
        hidden = torch.tanh(torch.tensor(x) @ copies[0] + copies[1])
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(hidden @ copies[2] + copies[3], torch.tensor(labels)).backward()
        theirs.step()
        for mine, other in zip(model.parameters, copies, strict=True):
            np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_initialization_keeps_the_signal(activation: str) -> None:
    """Through ten layers of 256 units the mean square neither vanishes nor explodes."""
    rng = np.random.default_rng(0)
    model = MLP((256,) * 11, rng, activation)
    out = model(Tensor(rng.normal(size=(64, 256)))).data

    assert 0.05 < float((out**2).mean()) < 3.0


def test_the_learning_rate_curves() -> None:
    """Too low barely moves, right separates the spirals, too high ends worse than chance or not at all."""
    low, right, high = rate_curves(steps=300).values()

    assert low[-1] > 0.55
    assert right[-1] < 0.1
    assert not np.isfinite(high[-1]) or high[-1] > 2 * right[-1]


def test_the_finder_says_where_nothing_falls() -> None:
    """A loss that only rises is an error, not a rate."""
    losses = iter(np.linspace(1.0, 2.0, 100))
    with pytest.raises(ValueError, match="never fell"):
        find_rate(lambda _: float(next(losses)))


@pytest.mark.parametrize("bad", [((3,), "tanh"), ((2, 2), "sine")])
def test_a_wrong_network_is_named(bad: Any) -> None:
    """One size, or an activation that does not exist."""
    with pytest.raises(ValueError, match="two sizes"):
        MLP(bad[0], np.random.default_rng(0), bad[1])
