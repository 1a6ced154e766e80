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
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch.distributed.tensor import DTensor


@torch.no_grad()
def sampler_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and value of every weight that training can have changed, as the plain model names it.

    For a LoRA model these are the adapted matrices, merged; otherwise all parameters. Every process of a sharded
    model must iterate to the end. Raises `TypeError` where an adapter holds anything that is not a LoRA matrix of a
    linear layer (DoRA, biases, embeddings, whole modules), trained or only loaded: the sampler would never see it.
    """
    if not isinstance(model, PeftModel):
        for name, parameter in model.named_parameters():
            yield name, _whole(parameter)
        return
    layers = plain_layers(model)
    merged = {
        id(part.weight) for _, layer in layers for parts in (layer.lora_A, layer.lora_B) for part in parts.values()
    }
    for name, parameter in _adapted(model):
        if id(parameter) not in merged:
            raise TypeError(f"{name} cannot be merged: only LoRA matrices of linear layers can")
    for name, layer in layers:
        yield f"{name}.weight", merged_weight(layer)


def plain_layers(model: PeftModel) -> list[tuple[str, LoraLinear]]:
    """The linear layers that plain LoRA adapts, without variants such as DoRA or a bias, by the plain model's names."""
    return [
        (name, layer)
        for name, layer in model.get_base_model().named_modules()
        if isinstance(layer, LoraLinear) and not layer.lora_variant and not any(layer.lora_bias.values())
    ]


def _adapted(model: PeftModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Every parameter that an adapter adds or replaces, and whatever else trains."""
    wrappers = [
        name for name, part in model.named_modules() if isinstance(part, BaseTunerLayer | AuxiliaryTrainingWrapper)
    ]
    biases = any(getattr(config, "bias", "none") != "none" for config in model.peft_config.values())
    for name, parameter in model.named_parameters():
        inside = [name.removeprefix(wrapper) for wrapper in wrappers if name.startswith(f"{wrapper}.")]
        added = bool(inside) and not min(inside, key=len).startswith((".base_layer.", ".original_module."))
        if parameter.requires_grad or added or (biases and name.endswith(".bias")):
            yield name, parameter


def merged_weight(layer: LoraLinear) -> torch.Tensor:
    """base + Σ scale · B A over the active adapters, in fp32, rounded once to the base's precision."""
    base: Any = layer.get_base_layer().weight
    merged = _whole(base).float()
    for adapter in layer.active_adapters:
        up, down = _whole(layer.lora_B[adapter].weight).float(), _whole(layer.lora_A[adapter].weight).float()
        # Layers that keep their weight as [in, out] (GPT-2's) take the product transposed.
        left, right = (down.T, up.T) if layer.fan_in_fan_out else (up, down)
        merged = torch.addmm(merged, left, right, alpha=layer.scaling[adapter])
    return merged.to(base.dtype)


def _whole(parameter: Any) -> torch.Tensor:
    """The full tensor of a parameter that FSDP may have sharded."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
