"""Attention for sequences of unequal length laid end to end in one row: no padding, and a shared prefix read once.

transformers hands every layer's queries, keys and values to the function that is registered here, together with a
`reading`: what the tokens of this forward may look at. Prompts are read several at a time, each looking at itself and
at the prefix that all share; after that every sequence gets one token a forward.

Shapes: N tokens of the forward, R sequences, H query heads over K shared key heads, G = H / K, D numbers a head,
S tokens of the shared prefix, T tokens of the longest sequence after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

RAGGED = "rlpath_ragged"

KeyValues = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values [K, tokens, D] of one text, by layer."""


@dataclass(frozen=True, slots=True)
class AttentionScoring:
    """How a layer scores: the scale; a window of tokens back; a soft cap (Gemma 2); a sink for each head (gpt-oss)."""

    scale: float
    window: int | None
    softcap: float | None
    sinks: torch.Tensor | None


class AttentionPlan(Protocol):
    """What the tokens of one forward look at."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: AttentionScoring
    ) -> torch.Tensor:
        """Outputs [N, H, D] of queries [H, N, D] with the new tokens' keys and values [K, N, D]."""
        ...


def ragged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    *,
    reading: AttentionPlan,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function (its names, its shapes [1, heads, N, D]) that asks the reading."""
    terms = AttentionScoring(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap, s_aux)
    layer: Any = module.layer_idx
    return reading.attend(layer, query[0], key[0], value[0], terms)[None], None


# Registered without a mask function: transformers then builds none.
AttentionInterface.register(RAGGED, ragged_attention)


@contextmanager
def ragged(model: Any) -> Iterator[None]:
    """Within this, `model` attends as its `reading` says."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(RAGGED)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


def length(text: KeyValues) -> int:
    """Tokens in `text`; 0 where nothing was read."""
    return next(iter(text.values()))[0].shape[1] if text else 0


def join(first: KeyValues, second: KeyValues) -> KeyValues:
    """Two texts, one after the other."""
    if not first or not second:
        return first or second
    return {
        layer: (torch.cat([first[layer][0], key], 1), torch.cat([first[layer][1], value], 1))
        for layer, (key, value) in second.items()
    }


class PromptReading:
    """Several texts end to end, `counts` tokens each; each looks at what comes `before` it and at itself.

    Afterwards `read` holds the new keys and values of each.
    """

    def __init__(self, before: Sequence[KeyValues], counts: Sequence[int]) -> None:
        self.before, self.counts = before, list(counts)
        self.read: list[KeyValues] = [{} for _ in counts]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: AttentionScoring
    ) -> torch.Tensor:
        """As `AttentionPlan` says."""
        parts = zip(*(whole.split(self.counts, 1) for whole in (query, key, value)), strict=True)
        outputs = []
        for before, read, (query_P, key_P, value_P) in zip(self.before, self.read, parts, strict=True):
            # A copy, so that a short text does not keep the tensor of all alive.
            read[layer] = key_P.clone(), value_P.clone()
            if before:
                key_P = torch.cat([before[layer][0], key_P], 1)
                value_P = torch.cat([before[layer][1], value_P], 1)
            outputs.append(_attend_text(query_P, key_P, value_P, terms))
        return torch.cat(outputs, 1).transpose(0, 1)


def _attend_text(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: AttentionScoring) -> torch.Tensor:
    """Outputs [H, P, D] of the last P tokens of a text."""
    heads, count, size = query.shape
    shared, total, _ = key.shape
    plain = total == count and (terms.window is None or terms.window >= total)
    mask = None if plain else _visible(total - count, count, total, terms.window, query.device)
    if terms.softcap is None and terms.sinks is None:
        one = (query[None], key[None], value[None])
        gqa = heads != shared
        return scaled_dot_product_attention(*one, mask, is_causal=plain, scale=terms.scale, enable_gqa=gqa)[0]
    if mask is None:
        mask = _visible(0, count, total, None, query.device)
    grouped = query.view(shared, heads // shared, count, size)
    scores = torch.matmul(grouped, key[:, None].transpose(2, 3)).float()
    blocked = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -torch.inf)
    sinks = None if terms.sinks is None else terms.sinks.view(shared, -1, 1, 1)
    weights = _weights(scores, blocked, terms, sinks).to(value.dtype)
    return torch.matmul(weights, value[:, None]).view(heads, count, -1)


def _visible(first: int, count: int, total: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Whether each of `count` tokens from position `first` on sees each of the `total` positions."""
    back = torch.arange(first, first + count, device=device)[:, None] - torch.arange(total, device=device)
    return (back >= 0) if window is None else (back >= 0) & (back < window)


def _weights(
    scores: torch.Tensor, blocked: torch.Tensor | None, terms: AttentionScoring, sinks: torch.Tensor | None
) -> torch.Tensor:
    """Softmax of raw fp32 scores; `blocked` is added to them, `sinks` take their share and are left out."""
    scores = scores * terms.scale
    if terms.softcap is not None:
        scores = torch.tanh(scores / terms.softcap) * terms.softcap
    if blocked is not None:
        scores = scores + blocked
    if sinks is None:
        return scores.softmax(-1)
    column = sinks.to(scores.dtype).expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], -1).softmax(-1)[..., :-1]


class Store:
    """Keys and values of the sequences under way, [R, K, room, D] a layer: a new token is written, nothing is copied.

    `limit` is the longest that a sequence can become; room for it is taken in steps.
    """

    def __init__(self, rows: int, limit: int) -> None:
        self.rows, self.limit, self.room = rows, limit, 0
        self.layers: KeyValues = {}

    def reserve(self, tokens: int) -> None:
        """Have room for `tokens` tokens in every sequence."""
        if tokens <= self.room:
            return
        self.room = min(self.limit, max(tokens, self.room + 64, self.room * 3 // 2))
        for layer, pair in self.layers.items():
            self.layers[layer] = self._with_room(pair[0]), self._with_room(pair[1])

    def _with_room(self, part: torch.Tensor) -> torch.Tensor:
        wide = part.new_zeros(self.rows, part.shape[1], self.room, part.shape[3])
        wide[:, :, : part.shape[2]] = part
        return wide

    def put(self, rows: torch.Tensor, text: KeyValues) -> None:
        """Let the sequences `rows` begin with `text`."""
        count = length(text)
        self.reserve(count)
        for layer, pair in text.items():
            if layer not in self.layers:
                shapes = [(self.rows, part.shape[0], self.room, part.shape[2]) for part in pair]
                self.layers[layer] = pair[0].new_zeros(shapes[0]), pair[1].new_zeros(shapes[1])
            for store, part in zip(self.layers[layer], pair, strict=True):
                store[rows, :, :count] = part

    def move(self, to: torch.Tensor, origin: torch.Tensor) -> None:
        """Put the sequences `origin` in the places `to`."""
        for pair in self.layers.values():
            for store in pair:
                store[to] = store[origin]


class TokenReading:
    """One token of each sequence: it looks at the prefix all share, at its own sequence in the store, and at itself.

    `lengths_R` are the tokens that each sequence has in the store already.
    """

    def __init__(self, store: Store, prefix: KeyValues, lengths_R: torch.Tensor) -> None:
        self.store, self.prefix, self.lengths = store, prefix, lengths_R
        self.rows = torch.arange(len(lengths_R), device=lengths_R.device)
        self.longest = int(lengths_R.max()) + 1
        self.equal = bool((lengths_R == self.longest - 1).all())
        self.masks: dict[int | None, torch.Tensor | None] = {}
        store.reserve(self.longest)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: AttentionScoring
    ) -> torch.Tensor:
        """As `AttentionPlan` says."""
        count, shared = len(self.rows), key.shape[0]
        own = []
        for store, new in zip(self.store.layers[layer], (key, value), strict=True):
            store[self.rows, :, self.lengths] = new.transpose(0, 1)
            own.append(store[:count, :, : self.longest])
        query_R_K_G = query.view(shared, -1, count, query.shape[-1]).permute(2, 0, 1, 3)
        scores = torch.matmul(query_R_K_G, own[0].transpose(2, 3))
        before = self.prefix.get(layer)
        if before is not None:
            # One product for all sequences: the prefix is read once, not once a sequence.
            query_K_RG = query_R_K_G.transpose(0, 1).flatten(1, 2)
            seen = torch.matmul(query_K_RG, before[0].transpose(1, 2))
            scores = torch.cat([seen.unflatten(1, (count, -1)).transpose(0, 1), scores], -1)
        sinks = None if terms.sinks is None else terms.sinks.view(shared, -1, 1)
        weights = _weights(scores.float(), self._mask(terms.window), terms, sinks).to(value.dtype)
        prefix = weights.shape[-1] - self.longest
        output = torch.matmul(weights[..., prefix:], own[1])
        if before is not None:
            far = torch.matmul(weights[..., :prefix].transpose(0, 1).flatten(1, 2), before[1])
            output = output + far.unflatten(1, (count, -1)).transpose(0, 1)
        return output.reshape(count, -1, output.shape[-1])

    def _mask(self, window: int | None) -> torch.Tensor | None:
        """What is added to scores [R, K, G, S + T] in every layer: minus infinity where a token is not seen."""
        if window not in self.masks:
            before = length(self.prefix)
            total = before + self.longest
            if self.equal and (window is None or window >= total):
                self.masks[window] = None
            else:
                positions = torch.arange(total, device=self.lengths.device)
                back = (before + self.lengths)[:, None] - positions
                unseen = (back < 0) if window is None else (back < 0) | (back >= window)
                mask = torch.zeros(unseen.shape, device=unseen.device).masked_fill_(unseen, -torch.inf)
                self.masks[window] = mask[:, None, None]
        return self.masks[window]
