"""Small networks for control: made from a generator of their own, and acted with in NumPy on the same memory.

Torch needs some 150 µs to push four observations through a 64-64 network and to sample, nearly all of it overhead;
NumPy on the same weights needs 20. So the environments are acted in with NumPy, and what the losses need (log
probabilities, values) is computed by torch, for a whole rollout at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError

Array = np.ndarray[Any, Any]
MakeNetwork = Callable[["gymnasium.Space[Any]", int], nn.Module]
"""A function of the user's own: from the observation space and the number of outputs to a network on batches of
observations, float32 on the CPU, (B, *observation) → (B, outputs)."""
ACTIVATIONS: dict[type[nn.Module], Callable[[Array], Array]] = {
    nn.Tanh: np.tanh,
    nn.ReLU: lambda x: np.maximum(x, 0.0),
}
FAST = (nn.Linear, *ACTIVATIONS)
"""Modules that `numpy_forward` runs without torch."""


def mlp(
    sizes: Sequence[int],
    activation: type[nn.Module],
    generator: torch.Generator,
    *,
    gain: float | None = None,
    last_gain: float | None = None,
) -> nn.Sequential:
    """Linear layers from `sizes[0]` inputs to `sizes[-1]` outputs with `activation` between them.

    With `gain` (and `last_gain` for the last layer) weights are orthogonal (Saxe et al. 2014, arXiv:1312.6120) and
    biases zero; without, both are uniform in ±1/sqrt(inputs), torch's own initialization.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        # Made without torch's initialization, which would draw from the global generator.
        made = nn.utils.skip_init(nn.Linear, inputs, outputs)
        last = len(modules) == 2 * (len(sizes) - 2)
        initialize(made, generator, last_gain if last and gain is not None and last_gain is not None else gain)
        modules += [made] if last else [made, activation()]
    return nn.Sequential(*modules)


def initialize(layer: nn.Module, generator: torch.Generator, gain: float | None) -> None:
    """Draw the weights of a linear or convolutional layer: orthogonal with `gain`, or torch's own initialization."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    if gain is None:
        limit = weight[0].numel() ** -0.5
        nn.init.uniform_(weight, -limit, limit, generator=generator)
        nn.init.uniform_(bias, -limit, limit, generator=generator)
    else:
        nn.init.orthogonal_(weight, gain, generator=generator)
        nn.init.zeros_(bias)


def custom_network(make_network: MakeNetwork, space: gymnasium.Space[Any], outputs: int, seed: int) -> nn.Module:
    """A network of the user's own, its weights drawn by torch from `seed`; torch's generator is left as it was.

    Raises `InputError` where it does not give `outputs` numbers for each observation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make_network(space, outputs)
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, *(space.shape or ()))).shape)
    if shape != (2, outputs):
        raise InputError(f"make_network gave a network from {space} to {shape[1:]}, and {(outputs,)} is needed")
    return network


def numpy_forward(network: nn.Module) -> Callable[[Array], Array]:
    """`network` as a function from (N, *observation) to (N, outputs), both arrays.

    Linear layers with tanh or ReLU between them run in NumPy on the same weights, shared, not copied: an optimizer's
    in-place step is seen at once. Any other network runs in torch.
    """
    if not isinstance(network, nn.Sequential) or any(type(module) not in FAST for module in network):
        return lambda x: _torch_forward(network, x)
    stages: list[Callable[[Array], Array]] = []
    for module in network:
        if isinstance(module, nn.Linear):
            weight, bias = module.weight.detach().numpy().T, module.bias.detach().numpy()
            stages.append(lambda x, weight=weight, bias=bias: x @ weight + bias)
        else:
            stages.append(ACTIVATIONS[type(module)])

    def forward(x: Array) -> Array:
        for stage in stages:
            x = stage(x)
        return x

    return forward


@torch.no_grad()
def _torch_forward(network: nn.Module, x: Array) -> Array:
    return network(torch.from_numpy(x.astype(np.float32, copy=False))).numpy()


def sample_categorical(logits: Array, uniform: Array) -> Array:
    """One action a row from softmax(logits), (N, A) → (N,), by inverting its cumulative sum at `uniform`, (N,)."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    cumulative = weights.cumsum(-1)
    chosen = (uniform[:, None] * cumulative[:, -1:] >= cumulative).sum(-1)
    # A uniform next to 1 can round up to the whole sum.
    return np.minimum(chosen, logits.shape[-1] - 1)


def choose_parts(logits: Array, sizes: Sequence[int], uniform: Array | None) -> Array:
    """A choice for each part of an action, (N, Σ sizes) → (N, parts): drawn at `uniform`, (N, parts), or greedy."""
    parts = np.split(logits, np.cumsum(sizes[:-1]), axis=-1) if len(sizes) > 1 else [logits]
    if uniform is None:
        return np.stack([part.argmax(-1) for part in parts], -1)
    return np.stack([sample_categorical(part, uniform[:, i]) for i, part in enumerate(parts)], -1)


def endless_rows(draw: Callable[[], Array]) -> Iterator[Array]:
    """Rows of blocks, without end: as many calls of the generator as steps would cost more than the policy."""
    while True:
        yield from draw()


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names and bytes of all weights: equal only where every bit is."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().numpy().tobytes()
