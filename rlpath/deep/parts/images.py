"""Networks for what an environment shows: an MLP for vectors, convolutions below it for images.

An image is a Box of three dimensions, channels first (a smaller last dimension is taken for the channels). From 36
pixels a side on it goes through the three convolutions of Mnih et al. 2015 (doi:10.1038/nature14236); a smaller one, as
MinAtar's of 10 × 10, through one of 16 channels (Young & Tian 2019, arXiv:1903.03176).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.deep.parts.networks import initialize, mlp
from rlpath.deep.parts.training import box_size

NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""Channels, side and stride of each convolution."""
SMALL = ((16, 3, 1),)
NATURE_SIDE = 36
"""The smallest side that `NATURE` leaves a pixel of."""


class Pixels(nn.Module):
    """An image as its network takes it: channels first, numbers divided by `high`, the largest there is."""

    def __init__(self, high: float, channels_last: bool) -> None:
        super().__init__()
        self.high = high
        self.channels_last = channels_last

    def forward(self, obs: Tensor) -> Tensor:
        """(B, *image) → (B, channels, height, width)."""
        obs = obs.movedim(-1, -3) if self.channels_last else obs
        return obs / self.high


def is_image(space: gymnasium.Space[Any]) -> bool:
    """Whether `space` holds arrays of three dimensions."""
    return isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 3


def observation_network(
    space: gymnasium.Space[Any],
    hidden: Sequence[int],
    outputs: int,
    activation: type[nn.Module],
    generator: torch.Generator,
    *,
    gain: float | None = None,
    last_gain: float | None = None,
) -> nn.Sequential:
    """A network from observations to `outputs` numbers: `mlp`, with convolutions and ReLU below it for an image.

    `activation` is that of the MLP of vectors. Raises `InputError` where `space` is neither, or an image too small.
    """
    if not is_image(space):
        inputs = box_size(space, "the observation space")
        return mlp((inputs, *hidden, outputs), activation, generator, gain=gain, last_gain=last_gain)
    modules, features = convolutions(space, generator, gain)
    head = mlp((features, *hidden, outputs), nn.ReLU, generator, gain=gain, last_gain=last_gain)
    return nn.Sequential(*modules, *head)


def convolutions(
    space: gymnasium.Space[Any], generator: torch.Generator, gain: float | None
) -> tuple[list[nn.Module], int]:
    """The layers from an image to a vector, and the vector's length."""
    assert isinstance(space, gymnasium.spaces.Box)
    channels_last = space.shape[2] < space.shape[0]
    channels, *sides = (space.shape[2], *space.shape[:2]) if channels_last else space.shape
    high = float(np.max(space.high))
    modules: list[nn.Module] = [Pixels(high if np.isfinite(high) and high > 0 else 1.0, channels_last)]
    for out, side, stride in NATURE if min(sides) >= NATURE_SIDE else SMALL:
        layer = nn.utils.skip_init(nn.Conv2d, channels, out, side, stride)
        initialize(layer, generator, gain)
        modules += [layer, nn.ReLU()]
        channels, sides = out, [(length - side) // stride + 1 for length in sides]
    if min(sides) < 1:
        raise InputError(f"the image of {space.shape} is too small for a convolution; flatten the observation")
    return [*modules, nn.Flatten()], channels * sides[0] * sides[1]
