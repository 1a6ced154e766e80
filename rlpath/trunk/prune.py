"""Weights that are left out: by size, and by Wanda, each on one matrix.

Magnitude pruning sets the smallest weights of a matrix to zero. Wanda (arXiv 2306.11695) scores a weight by what it
adds to the output, |w_ij| · ‖x_j‖, with the norm of the j-th input over calibration tokens, and compares it with the
others of its row. Nothing is trained afterwards. `n` of every `m` (2:4) is the pattern that GPUs can skip; zeros
anywhere save memory only where they are stored as such, and time almost nowhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlpath.trunk.quantize import InputStatistics


def magnitude(weight_O_I: Tensor, sparsity: float) -> Tensor:
    """The matrix without its smallest weights, a share `sparsity` of all. Raises ValueError outside [0, 1)."""
    kept = _kept(weight_O_I.abs().flatten()[None], sparsity)
    return torch.where(kept.view(weight_O_I.shape), weight_O_I, 0.0)


def wanda(weight_O_I: Tensor, inputs: InputStatistics, sparsity: float) -> Tensor:
    """Each row without the weights that add least to its output. Raises ValueError outside [0, 1)."""
    return torch.where(_kept(_importance(weight_O_I, inputs), sparsity), weight_O_I, 0.0)


def wanda_n_of_m(weight_O_I: Tensor, inputs: InputStatistics, n: int = 2, m: int = 4) -> Tensor:
    """The `n` weights that add most out of every `m` beside one another. Raises ValueError where m divides no row."""
    if not 0 < n <= m or weight_O_I.shape[1] % m:
        raise ValueError(f"{n} of every {m} cannot be kept in rows of {weight_O_I.shape[1]} weights")
    groups = _importance(weight_O_I, inputs).unflatten(1, (-1, m)).flatten(0, 1)
    return torch.where(_kept(groups, 1 - n / m).view(weight_O_I.shape), weight_O_I, 0.0)


def _importance(weight_O_I: Tensor, inputs: InputStatistics) -> Tensor:
    return weight_O_I.abs() * inputs.gram_I_I.diagonal().sqrt()


def _kept(score_R_C: Tensor, sparsity: float) -> Tensor:
    """Which entries of each row are among its largest; of equal ones, the first are dropped."""
    if not 0.0 <= sparsity < 1.0:
        raise ValueError(f"a share of {sparsity} of the weights cannot be dropped; it is 0 or more and below 1")
    dropped = round(score_R_C.shape[1] * sparsity)
    kept = torch.ones_like(score_R_C, dtype=torch.bool)
    return kept.scatter(1, score_R_C.argsort(dim=1, stable=True)[:, :dropped], False)
