"""Sums, means and whitening over the completions of every process."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from rlpath.losses import whiten


class AllProcesses:
    """Every method is called by all processes at the same point, and gives all of them the same answer."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.count = accelerator.num_processes
        self.rank = accelerator.process_index
        self.device = accelerator.device

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """The values of all processes, joined in order of rank; each has as many."""
        gathered: Any = self.accelerator.gather(values.to(self.device))
        return gathered

    def mean(self, values: torch.Tensor) -> float:
        """The mean of the values that are not NaN; NaN where there are none."""
        return self.gather(values.flatten()).nanmean().item()

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over processes of tensors of one shape."""
        return self.gather(values[None]).sum(0)

    def largest(self, value: float) -> float:
        """The largest number any process has."""
        return self.gather(torch.tensor([value])).max().item()

    def objects(self, found: list[Any]) -> list[Any]:
        """The lists of all processes, joined."""
        return gather_object(found)

    def mine(self, values: torch.Tensor) -> torch.Tensor:
        """This process's share of what `gather` joined."""
        each = len(values) // self.count
        return values[self.rank * each : (self.rank + 1) * each]

    def gather_tokens(self, values_B_T: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, whose longest completions may differ in length."""
        padded: Any = self.accelerator.pad_across_processes(values_B_T, dim=1)
        return self.gather(padded)

    def whiten(self, values_B_T: torch.Tensor, mask_B_T: torch.Tensor, *, shift_mean: bool = True) -> torch.Tensor:
        """Whitened over the tokens of every process."""
        whitened = whiten(self.gather_tokens(values_B_T), self.gather_tokens(mask_B_T), shift_mean=shift_mean)
        return self.mine(whitened)[:, : values_B_T.shape[1]]
