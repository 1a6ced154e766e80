"""The model equals transformers' Llama, a cache equals none, and order reaches attention through positions alone."""

from __future__ import annotations

import pytest
import torch

from rlpath.trunk.export import as_llama
from rlpath.trunk.gpt import GPT, Attention, Cache, Shape

SHAPE = Shape(vocabulary=50, width=32, layers=2, heads=4, hidden=48, context=24)
GROUPED = Shape(vocabulary=50, width=32, layers=2, heads=4, hidden=48, context=24, kv_heads=2)


@pytest.mark.parametrize("shape", [SHAPE, GROUPED], ids=["every head its own", "grouped queries"])
def test_logits_equal_llama(shape: Shape) -> None:
    """To 1e-5 with the same weights."""
    model = GPT(shape, seed=1)
    ids = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        assert torch.allclose(model(ids), as_llama(model, end_token=0)(ids).logits, atol=1e-5)


@pytest.mark.parametrize("pieces", [[20], [1] * 20, [7, 1, 5, 7]], ids=str)
@pytest.mark.parametrize("shape", [SHAPE, GROUPED], ids=["every head its own", "grouped queries"])
def test_a_cache_equals_none(shape: Shape, pieces: list[int]) -> None:
    """However the tokens are cut into pieces, their logits are those of one pass."""
    model = GPT(shape, seed=1)
    ids = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(0))
    cache = Cache.empty(shape, batch=3)

    with torch.no_grad():
        logits = torch.cat([model(piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
        assert torch.allclose(logits, model(ids), atol=1e-5)
    assert cache.length == 20


def test_attention_without_positions_does_not_know_order() -> None:
    """The last token's mix is the same when the tokens before it are permuted; with rotary positions it is not."""
    attention = Attention(SHAPE, 0)
    x = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(0))
    shuffled = x[:, [4, 2, 7, 0, 1, 6, 3, 5, 8]]
    still = torch.ones(9, 8), torch.zeros(9, 8)
    angle = torch.arange(9)[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001]).repeat(2)

    with torch.no_grad():
        without = [attention(part, *still, None)[:, -1] for part in (x, shuffled)]
        rotary = [attention(part, angle.cos(), angle.sin(), None)[:, -1] for part in (x, shuffled)]
    assert torch.allclose(*without, atol=1e-6)
    assert (rotary[0] - rotary[1]).abs().max() > 1e-2
