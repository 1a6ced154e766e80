"""The weights a sampler needs from a trainer: merged on the way out, never in place.

Merging an adapter into a bf16 model and taking it out again at every step rounds the frozen weights a little each
time; after a thousand steps they have drifted. Here the base is only read: base + scale · B A is computed in fp32
and rounded once, into the sampler's copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear


@torch.no_grad()
def sampler_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and value of every weight that training can have changed, as the plain model names it.

    For a LoRA model these are the adapted matrices, merged; otherwise all parameters. Every process of a sharded
    model must iterate to the end. Raises `TypeError` for an adapter of another kind.
    """
    if not isinstance(model, PeftModel):
        for name, parameter in model.named_parameters():
            yield name, _whole(parameter)
        return
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLinear):
            yield f"{name}.weight", _merged(module)
        elif hasattr(module, "lora_A"):
            raise TypeError(f"cannot merge the adapter of {name}: {type(module).__name__} is not a LoRA linear layer")


def _merged(layer: LoraLinear) -> torch.Tensor:
    """base + Σ scale · B A over the active adapters, in fp32, rounded once to the base's precision."""
    base = layer.get_base_layer().weight
    merged = _whole(base).float()
    for adapter in layer.active_adapters:
        up, down = _whole(layer.lora_B[adapter].weight), _whole(layer.lora_A[adapter].weight)
        merged = torch.addmm(merged, up.float(), down.float(), alpha=layer.scaling[adapter])
    return merged.to(base.dtype)


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """The full tensor of a parameter that FSDP may have sharded."""
    return parameter.full_tensor() if isinstance(parameter, torch.distributed.tensor.DTensor) else parameter
