"""Weights in 4 or 8 bits: round to nearest, GPTQ and AWQ, each on one matrix.

A group of weights is held as integers q from 0 to 2ᵇ - 1 with a step and a zero point: w ≈ (q - zero) · step. The step
spans the group's smallest and largest weight, so one outlier coarsens its group, and smaller groups cost more bits:
b + 32 / group per weight with a step and a zero point of 16 bits each.

Round to nearest looks at weights alone. What matters is the layer's output: with inputs X (N by I) and the matrix
W (O by I), the squared error is tr((W - Ŵ) G (W - Ŵ)ᵀ), where G = XᵀX. Both other methods need only G, or the mean
size of each input, from a few thousand calibration tokens:

- GPTQ (arXiv 2210.17323) rounds one column after another, and moves the columns that are not yet rounded to where they
  make up for the error best. With H = G + damping and U the upper Cholesky factor of H⁻¹ (H⁻¹ = UᵀU), the error of
  column i, e = (w_i - ŵ_i) / U_ii, is taken off the later columns: W_:,j -= e U_ij.
- AWQ (arXiv 2306.00978) multiplies the columns whose inputs are large before rounding, and divides them after, so that
  their relative error is smaller: scale_j = (mean |x_j|)^α, with α from 0 to 1 in steps of 1/20 by the error above.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Format:
    """How weights are held: `bits` each, with a step and a zero point for every `group` weights of a row."""

    bits: int = 4
    group: int = 64

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight takes with its share of the group's step and zero point."""
        return self.bits + 32 / self.group


@dataclass(slots=True)
class InputStatistics:
    """What is known of a layer's inputs: Σ x xᵀ (I by I), Σ |x| (I), and how many there were."""

    gram_I_I: Tensor
    size_I: Tensor
    count: int = 0

    @classmethod
    def none_yet(cls, width: int) -> InputStatistics:
        """Before any input."""
        return cls(torch.zeros(width, width), torch.zeros(width))

    def add(self, inputs: Tensor) -> None:
        """Count inputs of any leading shape; the last axis is the layer's."""
        x_N_I = inputs.detach().float().flatten(0, -2)
        self.gram_I_I += x_N_I.T @ x_N_I
        self.size_I += x_N_I.abs().sum(0)
        self.count += len(x_N_I)


def output_error(change_O_I: Tensor, inputs: InputStatistics) -> float:
    """Mean over inputs of the squared change of the layer's output."""
    return float(((change_O_I @ inputs.gram_I_I) * change_O_I).sum() / inputs.count)


def _steps(weight_O_G: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Step and zero point of one group in each row, O by 1 both."""
    low = weight_O_G.amin(1, keepdim=True).clamp(max=0.0)
    high = weight_O_G.amax(1, keepdim=True).clamp(min=0.0)
    step = ((high - low) / (2**bits - 1)).clamp(min=1e-10)
    return step, (-low / step).round()


def _rounded(weight: Tensor, step: Tensor, zero: Tensor, bits: int) -> Tensor:
    return (((weight / step).round() + zero).clamp(0, 2**bits - 1) - zero) * step


def round_to_nearest(weight_O_I: Tensor, form: Format) -> Tensor:
    """Each weight at the nearest value that its group can hold. Raises ValueError where groups do not fill a row."""
    _check(weight_O_I, form)
    groups = weight_O_I.float().unflatten(1, (-1, form.group)).flatten(0, 1)
    step, zero = _steps(groups, form.bits)
    return _rounded(groups, step, zero, form.bits).view(weight_O_I.shape)


def gptq(weight_O_I: Tensor, inputs: InputStatistics, form: Format, damping: float = 0.01) -> Tensor:
    """Column by column, with the error made up for by the columns to come. `damping` is a share of G's mean diagonal.

    Raises ValueError where groups do not fill a row.
    """
    _check(weight_O_I, form)
    weight = weight_O_I.float().clone()
    hessian = inputs.gram_I_I / max(1, inputs.count)
    hessian = hessian + damping * hessian.diagonal().mean().clamp(min=1e-8) * torch.eye(len(hessian))
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    for start in range(0, weight.shape[1], form.group):
        columns = slice(start, start + form.group)
        step, zero = _steps(weight[:, columns], form.bits)
        errors = torch.zeros_like(weight[:, columns])
        for i in range(start, start + form.group):
            rounded = _rounded(weight[:, i : i + 1], step, zero, form.bits)
            error = (weight[:, i : i + 1] - rounded) / upper[i, i]
            errors[:, i - start] = error[:, 0]
            weight[:, i : i + 1] = rounded
            weight[:, i + 1 : columns.stop] -= error * upper[i, i + 1 : columns.stop]
        # The columns of later groups are moved once for the whole group: fewer, larger products.
        weight[:, columns.stop :] -= errors @ upper[columns, columns.stop :]
    return weight


def awq(weight_O_I: Tensor, inputs: InputStatistics, form: Format, grid: int = 20) -> tuple[Tensor, float]:
    """Rounded with the best scaling of columns on a grid, and its exponent α. Raises ValueError as the others do."""
    best, best_error, best_exponent = weight_O_I, float("inf"), 0.0
    size = (inputs.size_I / max(1, inputs.count)).clamp(min=1e-5)
    for k in range(grid + 1):
        scale = size ** (k / grid)
        scale = scale / (scale.max() * scale.min()).sqrt()
        found = round_to_nearest(weight_O_I.float() * scale, form) / scale
        error = output_error(weight_O_I.float() - found, inputs)
        if error < best_error:
            best, best_error, best_exponent = found, error, k / grid
    return best, best_exponent


def _check(weight_O_I: Tensor, form: Format) -> None:
    if form.bits < 2 or weight_O_I.shape[1] % form.group:
        raise ValueError(
            f"{form.bits} bits in groups of {form.group}: rows of {weight_O_I.shape[1]} weights need 2 bits or more, "
            "and groups of a size that divides them"
        )
