"""Linear layers for decoding on a CPU: weights kept in the layout the matrix kernel wants.

With a plain weight the kernel rearranges the whole matrix on every call, and decoding is a call per token. torch's
compiler packs weights once for the same reason; these are the operators it uses (torch 2.13, pinned).
"""

from __future__ import annotations

import platform
from collections import defaultdict
from typing import Any

import torch

ROWS = 64
"""Rows for which the layout is chosen; measured to serve 1 to 512 rows equally well."""


class PackedLinears:
    """The linear layers of `model`, computing from packed weights. The plain weight of a layer is given up.

    A weight that something else reads too (a tied embedding) is kept beside its packed copy.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.weights = dict(model.named_parameters())
        names = {id(parameter): name for name, parameter in self.weights.items()}
        readers: defaultdict[int, list[torch.nn.Module]] = defaultdict(list)
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                readers[id(parameter)].append(module)
        self.layers: defaultdict[str, list[Any]] = defaultdict(list)
        self.kept: set[str] = set()
        for identity, modules in readers.items():
            # A subclass may compute something else.
            linears = [m for m in modules if type(m) is torch.nn.Linear and id(m.weight) == identity]
            if linears:
                self.layers[names[identity]] = linears
            if len(linears) < len(modules):
                self.kept.add(names[identity])
        for name in self.layers:
            self._pack(name, self.weights[name].detach())

    @torch.no_grad()
    def load(self, name: str, value: torch.Tensor) -> bool:
        """Pack a new weight; False where plain memory has to take it as well, or instead."""
        if name not in self.layers:
            return False
        parameter = self.weights[name]
        if name in self.kept:
            parameter.copy_(value)
            value = parameter
        self._pack(name, value.to(parameter.dtype))
        return True

    def _pack(self, name: str, value: torch.Tensor) -> None:
        packed = torch.ops.mkldnn._reorder_linear_weight(value.detach(), ROWS)
        for layer in self.layers[name]:
            layer.forward = _linear(packed, layer.bias)
        if name not in self.kept:
            self.weights[name].data = value.new_empty(0)


def can_pack(model: Any) -> bool:
    """Whether the packed kernel serves this model: fp32, or bf16 where the CPU computes in it, on x86."""
    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if model.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return model.dtype == torch.float32 and platform.machine() in ("x86_64", "AMD64")


def _linear(packed: torch.Tensor, bias: torch.Tensor | None) -> Any:
    def forward(hidden: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(hidden, packed, bias, "none", [], "")

    return forward
