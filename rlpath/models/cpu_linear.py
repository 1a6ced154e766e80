"""Linear layers for decoding on a CPU: weights kept in the layout the matrix kernel wants.

With a plain weight oneDNN rearranges the whole matrix on every call, and decoding is a call per token. torch's
compiler packs weights once for the same reason; these are the operators it uses (torch 2.13, pinned).
"""

from __future__ import annotations

from typing import Any

import torch


class PackedLinears:
    """The linear layers of `model`, computing from packed copies; `refresh` packs again after weights changed."""

    def __init__(self, model: torch.nn.Module, batch: int) -> None:
        self.layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        self.batch = batch
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        for layer in self.layers:
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), self.batch)
            layer.forward = _linear(packed, layer.bias)


def can_pack(model: Any) -> bool:
    """Whether the packed kernel serves this model: bf16 weights on a CPU that computes in bf16."""
    return model.device.type == "cpu" and model.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _linear(packed: torch.Tensor, bias: torch.Tensor | None) -> Any:
    def forward(hidden: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(hidden, packed, bias, "none", [], "")

    return forward
