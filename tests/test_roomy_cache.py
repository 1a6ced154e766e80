"""The cache with room: what transformers' own holds, without being copied at every step."""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from rlpath.roomy_cache import ROOM, RoomyLayer, give_room


def states(tokens: int, seed: int, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn((2, batch, 2, tokens, 4), generator=generator)
    return keys, values


def filled() -> tuple[DynamicLayer, RoomyLayer]:
    """A plain layer with five tokens, and a roomy one that goes on from it."""
    plain = DynamicLayer()
    plain.update(*states(5, seed=0))
    return plain, RoomyLayer.of(plain)


def test_it_holds_what_the_plain_layer_holds() -> None:
    """Bit by bit, over more tokens than one stretch of room, with rows leaving and repeated on the way."""
    plain, roomy = filled()
    for t in range(2 * ROOM + 3):
        if t == 7:
            plain.batch_repeat_interleave(2)
            roomy.batch_repeat_interleave(2)
        if t == ROOM:
            keep = torch.tensor([0, 3, 5])
            plain.batch_select_indices(keep)
            roomy.batch_select_indices(keep)
        new = states(1, seed=t + 1, batch=6 if 7 <= t < ROOM else 3)
        for one, other in zip(plain.update(*new), roomy.update(*new), strict=True):
            assert torch.equal(one, other)
    assert roomy.get_seq_length() == 5 + 2 * ROOM + 3


def test_a_token_does_not_copy_the_others() -> None:
    """The first makes room; for the next ROOM the keys stay where they are, and the one after needs new room."""
    _, roomy = filled()
    places = [roomy.update(*states(1, seed=t))[0].data_ptr() for t in range(ROOM + 2)]

    assert len(set(places[: ROOM + 1])) == 1
    assert places[-1] != places[0]


def test_only_plain_layers_get_room() -> None:
    """A layer of another kind stays as it is."""

    class Other(DynamicLayer):
        pass

    cache = DynamicCache()
    plain, _ = filled()
    cache.layers = [plain, other := Other()]
    give_room(cache)

    assert type(cache.layers[0]) is RoomyLayer
    assert cache.layers[1] is other
