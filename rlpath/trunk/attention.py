"""Exact attention in tiles: the T by T matrix of weights is never held (FlashAttention, arXiv 2205.14135, 2307.08691).

For queries q, keys k and values v, each T by K, attention is O = softmax(q kᵀ / √K) v. A row needs all its scores
before the first of them can be normalized, unless three running values are kept: the largest score so far m, the sum
l = Σ exp(s - m), and the unnormalized output. When a tile brings a larger m, what was summed is scaled by
exp(m_old - m_new), and the result is exact (Milakov and Gimelshein, arXiv 1805.02867).

Backward, with L = m + log l kept from the forward pass, the weights of a tile are computed again, p = exp(s - L), and

    dv += pᵀ dO      dp = dO vᵀ      ds = p (dp - D)      dq += ds k / √K      dk += dsᵀ q / √K

where D_i = Σ_j p_ij dp_ij = dO_i · O_i, which needs no tile.

What this is for: a processor computes faster than its memory delivers. Plain attention moves the T by T scores to slow
memory and back; the tiles fit into fast memory. `bytes_moved` counts both.

    python -m rlpath.trunk.attention
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def plain_attention(q_T_K: Array, k_S_K: Array, v_S_K: Array, causal: bool = True) -> Array:
    """softmax(q kᵀ / √K) v with all scores at once, T by K. `causal`: the last query sees all keys."""
    scores = q_T_K @ k_S_K.T / math.sqrt(q_T_K.shape[1])
    if causal:
        scores = np.where(_visible(0, len(q_T_K), 0, len(k_S_K), len(k_S_K) - len(q_T_K)), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v_S_K


def tiled_attention(
    q_T_K: Array, k_S_K: Array, v_S_K: Array, causal: bool = True, tile: int = 64
) -> tuple[Array, Array]:
    """The same output, T by K, and the log of each row's normalizer, T, which the backward pass needs.

    Raises ValueError for more queries than keys under a causal mask: the first of them would see nothing.
    """
    queries, keys = len(q_T_K), len(k_S_K)
    if causal and queries > keys:
        raise ValueError(f"{queries} queries over {keys} keys: under a causal mask the first would see nothing")
    out, normalizer = np.zeros_like(q_T_K), np.empty(queries)
    for top in range(0, queries, tile):
        q = q_T_K[top : top + tile]
        largest = np.full(len(q), -np.inf)
        total, mixed = np.zeros(len(q)), np.zeros_like(q)
        for left in range(0, keys, tile):
            scores = _scores(q, k_S_K[left : left + tile], top, left, keys - queries, causal)
            if scores is None:
                break
            new = np.maximum(largest, scores.max(axis=1))
            weights = np.exp(scores - new[:, None])
            scale = np.exp(largest - new)
            total = total * scale + weights.sum(axis=1)
            mixed = mixed * scale[:, None] + weights @ v_S_K[left : left + tile]
            largest = new
        out[top : top + tile] = mixed / total[:, None]
        normalizer[top : top + tile] = largest + np.log(total)
    return out, normalizer


def tiled_gradients(
    q_T_K: Array,
    k_S_K: Array,
    v_S_K: Array,
    out_T_K: Array,
    normalizer_T: Array,
    gradient_T_K: Array,
    causal: bool = True,
    tile: int = 64,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to queries, keys and values, from the forward pass's two results and the output's."""
    root, offset = math.sqrt(q_T_K.shape[1]), len(k_S_K) - len(q_T_K)
    dq, dk, dv = np.zeros_like(q_T_K), np.zeros_like(k_S_K), np.zeros_like(v_S_K)
    delta = (gradient_T_K * out_T_K).sum(axis=1)
    for top in range(0, len(q_T_K), tile):
        rows = slice(top, top + tile)
        for left in range(0, len(k_S_K), tile):
            columns = slice(left, left + tile)
            scores = _scores(q_T_K[rows], k_S_K[columns], top, left, offset, causal)
            if scores is None:
                break
            weights = np.exp(scores - normalizer_T[rows, None])
            dv[columns] += weights.T @ gradient_T_K[rows]
            dscores = weights * (gradient_T_K[rows] @ v_S_K[columns].T - delta[rows, None])
            dq[rows] += dscores @ k_S_K[columns] / root
            dk[columns] += dscores.T @ q_T_K[rows] / root
    return dq, dk, dv


def _scores(q: Array, k: Array, top: int, left: int, offset: int, causal: bool) -> Array | None:
    """A tile's scores, -∞ where a key comes after its query; None where all of them do."""
    if causal and left > top + len(q) - 1 + offset:
        return None
    scores = q @ k.T / math.sqrt(q.shape[1])
    return np.where(_visible(top, len(q), left, len(k), offset), scores, -np.inf) if causal else scores


def _visible(top: int, rows: int, left: int, columns: int, offset: int) -> np.ndarray[Any, Any]:
    """Whether query top + i, which stands at position top + i + offset, sees key left + j."""
    return np.arange(left, left + columns)[None, :] <= np.arange(top, top + rows)[:, None] + offset


@dataclass(frozen=True, slots=True)
class BytesMoved:
    """Bytes between slow and fast memory in one forward pass of one head without a mask."""

    plain: int
    tiled: int


def bytes_moved(length: int, width: int, fast_memory: int, bytes_per_number: int = 2) -> BytesMoved:
    """As in section 3.2 of arXiv 2205.14135: T tokens, K numbers a head, `fast_memory` bytes on the chip.

    Plain attention reads q, k and v, writes and reads the scores, writes and reads the weights, and writes the output.
    In tiles, keys and values are read once for every tile of queries; a tile of queries and one of keys, values and
    outputs share the fast memory. Raises ValueError where it cannot hold one row of each.
    """
    plain = 4 * length * width + 4 * length * length
    rows = fast_memory // (4 * width * bytes_per_number)
    if rows < 1:
        raise ValueError(f"{fast_memory} bytes of fast memory cannot hold four rows of {width} numbers")
    passes = math.ceil(length / rows)
    tiled = 2 * length * width + 2 * length * width * passes
    return BytesMoved(plain * bytes_per_number, tiled * bytes_per_number)


def main() -> None:
    """Print the bytes that both move, and how far their outputs differ."""
    rng = np.random.default_rng(0)
    for length in (512, 2048, 8192):
        moved = bytes_moved(length, width=64, fast_memory=128 * 1024)
        times = moved.plain / moved.tiled
        print(
            f"{length:5d} tokens: plain {moved.plain / 1e6:7.1f} MB  tiled {moved.tiled / 1e6:6.1f} MB  {times:.1f} x"
        )
    q, k, v = rng.normal(size=(3, 1000, 64))
    difference = np.abs(plain_attention(q, k, v) - tiled_attention(q, k, v)[0]).max()
    print(f"largest difference of the outputs at 1,000 tokens: {difference:.1e}")


if __name__ == "__main__":
    main()
