"""Attention in tiles equals plain attention, forward and backward, and moves fewer bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rlpath.trunk.attention import bytes_moved, plain_attention, tiled_attention, tiled_gradients

CASES = [
    (50, 50, True, 16),
    (50, 50, False, 16),
    (7, 50, True, 16),
    (33, 64, True, 64),
    (5, 5, True, 1),
    (1, 90, True, 7),
]


@pytest.mark.parametrize(("queries", "keys", "causal", "tile"), CASES)
def test_outputs_and_gradients_equal_torch(queries: int, keys: int, causal: bool, tile: int) -> None:
    """To 1e-12 in double precision, scores large enough that a softmax without the running maximum would overflow."""
    rng = np.random.default_rng(queries)
    q, k, v, gradient = 4 * rng.normal(size=(4, keys, 8))
    q, gradient = 200 * q[:queries], gradient[:queries]
    tensors = [torch.tensor(part, requires_grad=True) for part in (q, k, v)]
    mask = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries) if causal else None
    expected = F.scaled_dot_product_attention(*(part[None, None] for part in tensors), attn_mask=mask)[0, 0]
    expected.backward(torch.tensor(gradient))
    out, normalizer = tiled_attention(q, k, v, causal, tile)
    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(plain_attention(q, k, v, causal), out, rtol=1e-12, atol=1e-12)
    found = tiled_gradients(q, k, v, out, normalizer, gradient, causal, tile)
    for mine, theirs in zip(found, tensors, strict=True):
        assert theirs.grad is not None
        np.testing.assert_allclose(mine, theirs.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_the_order_of_keys_does_not_matter_without_a_mask() -> None:
    """Keys and values permuted together give the same output."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 40, 8))
    order = rng.permutation(40)
    there, _ = tiled_attention(q, k, v, causal=False, tile=8)
    permuted, _ = tiled_attention(q, k[order], v[order], causal=False, tile=8)
    np.testing.assert_allclose(there, permuted, rtol=1e-12)


def test_bytes_moved_by_hand() -> None:
    """4 tokens of 2 numbers of 2 bytes; 32 bytes of fast memory hold tiles of 2 rows, so keys are read twice."""
    moved = bytes_moved(4, 2, fast_memory=32)
    assert moved.plain == 2 * (4 * 4 * 2 + 4 * 4 * 4)
    assert moved.tiled == 2 * (2 * 4 * 2 + 2 * 4 * 2 * 2)


def test_tiles_move_fewer_bytes_and_more_memory_helps() -> None:
    """At 8,192 tokens and 64 numbers a head, over ten times fewer; twice the memory, about half the rest."""
    small, large = bytes_moved(8192, 64, 100_000), bytes_moved(8192, 64, 200_000)
    assert small.plain / small.tiled > 5
    assert 1.7 < small.tiled / large.tiled < 2.0


def test_what_cannot_be_computed_is_refused() -> None:
    """More queries than keys under a mask, and a fast memory that holds no row."""
    with pytest.raises(ValueError, match="the first would see nothing"):
        tiled_attention(np.zeros((3, 2)), np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="cannot hold"):
        bytes_moved(8, 64, fast_memory=100)
