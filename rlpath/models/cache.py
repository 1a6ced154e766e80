"""A key-value cache that writes a new token into reserved room, instead of copying everything for it.

transformers' own cache joins old and new keys at every token: for 64 sequences of 300 tokens in a 0.5B model that moves
as many bytes as reading all weights.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Tokens that are reserved at a time."""


class ReservedLayer(DynamicLayer):
    """The keys and values of one layer, [B, heads, tokens, head size], at the front of two larger tensors."""

    def __init__(self, filled: DynamicLayer) -> None:
        super().__init__()
        assert filled.keys is not None and filled.values is not None
        self.dtype, self.device, self.is_initialized = filled.keys.dtype, filled.keys.device, True
        self._reserve(filled.keys, filled.values)

    def _reserve(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self._stores = [_with_room(part) for part in (keys, values)]
        self._show(keys.shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (store[:, :, :length] for store in self._stores)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the keys and values of new tokens; returns all of them."""
        assert self.keys is not None and self.values is not None
        begin = self.keys.shape[-2]
        end = begin + key_states.shape[-2]
        if end > self._stores[0].shape[-2]:
            self._reserve(self.keys, self.values)
        for store, new in zip(self._stores, (key_states, value_states), strict=True):
            store[:, :, begin:end] = new
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the sequences `indices` alone."""
        assert self.keys is not None and self.values is not None
        self._reserve(self.keys[indices], self.values[indices])


def _with_room(part: torch.Tensor) -> torch.Tensor:
    batch, heads, length, size = part.shape
    store = part.new_zeros(batch, heads, length + ROOM, size)
    store[:, :, :length] = part
    return store


def reserve(cache: Any) -> None:
    """Give every layer of a filled cache room for more tokens; layers of another kind (sliding windows) stay."""
    cache.layers = [ReservedLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]
