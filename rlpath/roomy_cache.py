"""A cache of keys and values with room for the tokens to come.

transformers' own cache joins the new token to all the old ones at every step, so a step copies the whole cache: with 32
sequences of 400 tokens of a 135M model some 300 MB, more than the weights it reads.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Tokens for which room is made at a time."""


class RoomyLayer(DynamicLayer):
    """A `DynamicLayer` whose keys and values [B, K, S, D] are views of tensors that are longer than S."""

    @classmethod
    def of(cls, layer: DynamicLayer) -> RoomyLayer:
        """A layer that goes on where `layer` is."""
        roomy = cls()
        assert layer.keys is not None and layer.values is not None
        roomy.lazy_initialization(layer.keys, layer.values)
        roomy.keys, roomy.values = layer.keys, layer.values
        return roomy

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new states behind the old ones, and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        held = self.get_seq_length()
        end = held + key_states.shape[-2]
        if self.room is None or end > self.room[0].shape[-2]:
            self.room = _with_room(self.keys, key_states, end), _with_room(self.values, value_states, end)
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[..., held:end, :] = new
        self.keys, self.values = self.room[0][..., :end, :], self.room[1][..., :end, :]
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every sequence."""
        super().batch_repeat_interleave(repeats)
        self.room = None

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the sequences at `indices`."""
        super().batch_select_indices(indices)
        self.room = None


def _with_room(held: torch.Tensor, new: torch.Tensor, end: int) -> torch.Tensor:
    room = new.new_empty((*new.shape[:-2], end + ROOM, new.shape[-1]))
    if held.numel():
        room[..., : held.shape[-2], :] = held
    return room


def give_room(cache: Any) -> None:
    """Let the plain layers of a filled cache of transformers grow in place; layers of other kinds stay as they are."""
    layers = [RoomyLayer.of(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    cache.layers = layers
