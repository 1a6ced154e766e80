"""The precision that this machine's processor or GPU computes fast in."""

from __future__ import annotations

from typing import Literal

import torch

AMPERE = (8, 0)
"""The first generation of NVIDIA GPUs with bf16 units; before it (V100, T4, RTX 20) bf16 is emulated or refused."""


def fast_dtype() -> Literal["bfloat16", "float32"]:
    """bf16 where every visible GPU, or the processor on a machine without one, has units for it."""
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())]
        fast = torch.version.hip is not None or min(cards) >= AMPERE
    else:
        fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"
