"""The networks of several seeds in one array, with gradients and Adam by hand in NumPy.

Control networks are so small that torch spends its time on bookkeeping, not on arithmetic. K networks of one shape
are stacked instead: every operation covers all of them, and matrix products run one per seed, so that a seed's bits
do not depend on how many others are beside it. Torch stays the reference: the tests compare gradients and steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray[Any, Any]


def stack_weights(modules: Sequence[nn.Module]) -> Array:
    """Move the weights of K modules of one shape into the rows of one array, (K, P) float32, in `parameters` order.

    The modules keep their weights, as views of the rows: what changes here changes there.
    """
    stacked = np.stack([torch.cat([p.detach().flatten() for p in module.parameters()]).numpy() for module in modules])
    for module, row in zip(modules, stacked, strict=True):
        start = 0
        for parameter in module.parameters():
            end = start + parameter.numel()
            parameter.data = torch.from_numpy(row[start:end]).view_as(parameter)
            start = end
    return stacked


def count_weights(module: nn.Module) -> int:
    """How many numbers `module` learns."""
    return sum(parameter.numel() for parameter in module.parameters())


class StackedMLP:
    """K multilayer perceptrons with tanh between the layers, their weights and gradients views of (K, P) arrays.

    `like` is one of the networks, for its shape; `weights` and `gradient` are (K, P) in the order of its parameters.
    """

    def __init__(self, like: nn.Sequential, weights: Array, gradient: Array) -> None:
        linear = [module for module in like if isinstance(module, nn.Linear)]
        assert all(isinstance(module, nn.Linear | nn.Tanh) for module in like)
        self.layers = _views(linear, weights)
        self.gradients = _views(linear, gradient)
        self._inputs: list[Array] = []
        self._scratch: dict[tuple[str, int, int], Array] = {}

    def forward(self, x: Array) -> Array:
        """(K, B, inputs) → (K, B, outputs); what `backward` needs is kept until the next call."""
        self._inputs = [x]
        for depth, (weight, bias) in enumerate(self.layers):
            last = depth == len(self.layers) - 1
            out = None if last else self._buffer("hidden", depth, x.shape[1], weight.shape[1])
            x = np.matmul(x, weight.swapaxes(1, 2), out=out)
            x += bias[:, None]
            if not last:
                np.tanh(x, out=x)
                self._inputs.append(x)
        return x

    def backward(self, error: Array) -> None:
        """Write the gradient, given the loss's by the outputs of the last `forward`, (K, B, outputs)."""
        for depth in reversed(range(len(self.layers))):
            weight, _ = self.layers[depth]
            weight_gradient, bias_gradient = self.gradients[depth]
            x = self._inputs[depth]
            np.matmul(error.swapaxes(1, 2), x, out=weight_gradient)
            error.sum(1, out=bias_gradient)
            if depth:
                error = np.matmul(error, weight, out=self._buffer("error", depth, x.shape[1], weight.shape[2]))
                # tanh' = 1 − tanh², in place: nobody needs tanh any more.
                np.multiply(x, x, out=x)
                np.subtract(1.0, x, out=x)
                error *= x

    def _buffer(self, purpose: str, depth: int, rows: int, columns: int) -> Array:
        """Memory that is used again: fresh pages would cost a tenth of the whole training."""
        key = (purpose, depth, rows)
        if key not in self._scratch:
            self._scratch[key] = np.empty((len(self.layers[0][0]), rows, columns), np.float32)
        return self._scratch[key]


def _views(layers: Sequence[nn.Linear], flat: Array) -> list[tuple[Array, Array]]:
    """Weights (K, out, in) and biases (K, out) of each layer, in (K, P)."""
    views = []
    start = 0
    for layer in layers:
        inputs, outputs = layer.in_features, layer.out_features
        middle = start + inputs * outputs
        weight = flat[:, start:middle].reshape(len(flat), outputs, inputs)
        start = middle + outputs
        views.append((weight, flat[:, middle:start]))
    return views


def clip_gradients(gradient: Array, max_norm: float) -> None:
    """Scale each row of (K, P) down to `max_norm` in place, as `torch.nn.utils.clip_grad_norm_` does."""
    norm = np.sqrt(np.vecdot(gradient, gradient))
    gradient *= np.minimum(max_norm / (norm + 1e-6), 1.0)[:, None]


class StackedAdam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) on the rows of (K, P) weights, as `torch.optim.Adam` steps."""

    BETAS = (0.9, 0.999)

    def __init__(self, weights: Array, eps: float) -> None:
        self.weights = weights
        self.eps = eps
        self.mean = np.zeros_like(weights)
        self.square = np.zeros_like(weights)
        self.steps = 0
        self.parts = [_Row(self, k) for k in range(len(weights))]
        """The state of each row, as its checkpoint holds it."""

    def step(self, gradient: Array, learning_rate: float) -> None:
        """Take one step in place."""
        beta1, beta2 = self.BETAS
        self.steps += 1
        change = gradient - self.mean
        change *= 1 - beta1
        self.mean += change
        np.multiply(gradient, gradient, out=change)
        change -= self.square
        change *= 1 - beta2
        self.square += change
        # Both bias corrections in the step size and in ε, so that they cost no pass over the weights.
        root = (1 - beta2**self.steps) ** 0.5
        np.sqrt(self.square, out=change)
        change += self.eps * root
        np.divide(self.mean, change, out=change)
        change *= learning_rate * root / (1 - beta1**self.steps)
        self.weights -= change


class _Row:
    """Adam's state for one seed."""

    def __init__(self, adam: StackedAdam, k: int) -> None:
        self.adam = adam
        self.k = k

    def state_dict(self) -> dict[str, Any]:
        """Both moments and the steps taken."""
        mean, square = (torch.from_numpy(rows[self.k].copy()) for rows in (self.adam.mean, self.adam.square))
        return {"mean": mean, "square": square, "steps": self.adam.steps}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from it; the rows of one `StackedAdam` must have taken the same number of steps."""
        self.adam.mean[self.k] = state["mean"].numpy()
        self.adam.square[self.k] = state["square"].numpy()
        self.adam.steps = state["steps"]
