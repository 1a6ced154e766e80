"""Apply a method of `quantize.py` or `prune.py` to a whole model, block after block.

The inputs of a block are those that come out of the blocks before it after they were compressed, so that a method which
makes up for errors sees the errors that were made. Only the linear layers inside the blocks are touched; embedding,
norms and the output projection stay. The weights are written back in full precision: what is measured is what the
method does to the model's answers. Size is counted in the method's own format; speed needs kernels that read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rlpath.trunk.quantize import InputStatistics

Method = Callable[[Tensor, InputStatistics], Tensor]
"""A weight matrix (O by I) and what is known of its inputs, to the matrix that replaces it."""


class _Stop(Exception):
    """Ends a forward pass once the first block's inputs are known."""


def compress(
    model: Any, ids_B_T: Tensor, method: Method, progress: Callable[[int, int], None] | None = None
) -> dict[str, float]:
    """Replace the weights of every linear layer inside the blocks, in place; each layer's share of zeros by name.

    `model` is a causal language model of transformers; `ids_B_T` are calibration tokens without padding. `progress` is
    told blocks done and blocks. Raises ValueError where the model keeps its blocks nowhere known.
    """
    blocks = blocks_of(model)
    inputs, extra = _inputs_of_the_first(model, blocks[0], ids_B_T)
    zeros = {}
    with torch.inference_mode(False), torch.no_grad():
        for index, block in enumerate(blocks):
            seen, hooks = {}, []
            for name, layer in linear_layers(block):
                seen[name] = InputStatistics.none_yet(layer.in_features)
                hooks.append(layer.register_forward_pre_hook(_counter(seen[name])))
            for x in inputs:
                block(x, **extra)
            for hook in hooks:
                hook.remove()
            for name, layer in linear_layers(block):
                layer.weight.copy_(method(layer.weight.float(), seen[name]).to(layer.weight.dtype))
                zeros[f"{index}.{name}"] = float((layer.weight == 0).float().mean())
            inputs = [_hidden(block(x, **extra)) for x in inputs]
            if progress is not None:
                progress(index + 1, len(blocks))
    return zeros


def blocks_of(model: Any) -> nn.ModuleList:
    """The decoder blocks of a transformers model (Llama, Qwen2, SmolLM and others that name them `model.layers`)."""
    found = getattr(getattr(model, "model", None), "layers", None)
    if not isinstance(found, nn.ModuleList) or not len(found):
        raise ValueError(f"{type(model).__name__} keeps no blocks in model.layers: it cannot be compressed here")
    return found


def linear_layers(block: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers of a block with their names, in a fixed order."""
    for name, layer in block.named_modules():
        if isinstance(layer, nn.Linear):
            yield name, layer


def megabytes(model: Any, bits_per_weight: float) -> float:
    """Size of the model in 10⁶ bytes: the blocks' matrices at so many bits a weight, all the rest in 16 bits."""
    inside = sum(layer.weight.numel() for block in blocks_of(model) for _, layer in linear_layers(block))
    rest = sum(parameter.numel() for parameter in model.parameters()) - inside
    return (inside * bits_per_weight + rest * 16) / 8e6


def _inputs_of_the_first(model: Any, block: nn.Module, ids_B_T: Tensor) -> tuple[list[Tensor], dict[str, Any]]:
    """What the first block is called with: the hidden states of every sequence, and the other arguments, which are the
    same for sequences of one length."""
    inputs: list[Tensor] = []
    extra: dict[str, Any] = {}

    def catch(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        extra.update({name: value for name, value in named.items() if name not in ("hidden_states", "past_key_values")})
        inputs.append((positional[0] if positional else named["hidden_states"]).detach().clone())
        raise _Stop

    hook = block.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        for row_T in ids_B_T:
            try:
                with torch.no_grad():
                    model(row_T[None], use_cache=False)
            except _Stop:
                continue
    finally:
        hook.remove()
    return inputs, {**extra, "use_cache": False}


def _counter(statistics: InputStatistics) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def count(_: nn.Module, positional: tuple[Any, ...]) -> None:
        statistics.add(positional[0])

    return count


def _hidden(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
