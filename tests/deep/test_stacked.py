"""Networks and Adam of several seeds in one array: torch's numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rlpath.deep.batched.stacked import StackedAdam, StackedMLP, clip_gradients, stack_weights
from rlpath.deep.parts.networks import mlp, weights_digest


def networks(count: int) -> list[nn.Sequential]:
    return [mlp((5, 16, 8, 3), nn.Tanh, torch.Generator().manual_seed(k), gain=1.0) for k in range(count)]


def test_modules_share_their_weights_with_the_stack() -> None:
    """Moving changes no weight; a change of a row is seen by its module alone."""
    modules = networks(3)
    digests = [weights_digest(module) for module in modules]
    stacked = stack_weights(modules)

    assert [weights_digest(module) for module in modules] == digests
    stacked[1] += 1.0
    assert [weights_digest(module) == digest for module, digest in zip(modules, digests, strict=True)] == [
        True,
        False,
        True,
    ]


def test_forward_and_backward_are_torchs() -> None:
    """Outputs and every gradient of three networks, batches of two sizes, one after the other."""
    modules = networks(3)
    weights = stack_weights(modules)
    gradient = np.full_like(weights, np.nan)
    stacked = StackedMLP(modules[0], weights, gradient)
    rng = np.random.default_rng(0)
    for rows in (7, 32):
        x, error = (rng.standard_normal((3, rows, width), np.float32) for width in (5, 3))
        outputs = stacked.forward(x)
        stacked.backward(error)
        for k, module in enumerate(modules):
            expected = module(torch.from_numpy(x[k]))
            torch.testing.assert_close(torch.from_numpy(outputs[k]), expected)
            gradients = torch.autograd.grad(expected, list(module.parameters()), torch.from_numpy(error[k]))
            flat = torch.cat([part.flatten() for part in gradients])
            torch.testing.assert_close(torch.from_numpy(gradient[k]), flat, rtol=1e-4, atol=1e-5)


def test_clipping_and_adam_are_torchs() -> None:
    """Twenty steps on gradients of all sizes, above and below the largest norm."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((2, 30), np.float32)
    parameters = [nn.Parameter(torch.from_numpy(row.copy())) for row in weights]
    optimizers = [torch.optim.Adam([parameter], 1e-2, eps=1e-5) for parameter in parameters]
    adam = StackedAdam(weights, 1e-5)
    for step in range(20):
        gradient = rng.standard_normal((2, 30), np.float32) * np.float32(10.0 ** (step % 7 - 5))
        for parameter, optimizer, row in zip(parameters, optimizers, gradient.copy(), strict=True):
            parameter.grad = torch.from_numpy(row)
            nn.utils.clip_grad_norm_([parameter], 0.5)
            optimizer.step()
        clip_gradients(gradient, 0.5)
        adam.step(gradient, 1e-2)
    for parameter, row in zip(parameters, weights, strict=True):
        torch.testing.assert_close(torch.from_numpy(row), parameter.detach(), rtol=1e-5, atol=1e-6)
