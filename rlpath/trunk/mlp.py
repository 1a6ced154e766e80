"""A multilayer perceptron on `autodiff.py`: initialization, four optimizers, and a learning-rate finder.

Initialization. A layer's outputs keep the variance of its inputs if weights have variance 1 / fan_in (tanh; Glorot and
Bengio 2010) or 2 / fan_in (ReLU, which loses half; He et al., arXiv 1502.01852).

Optimizers. g is the gradient, η the learning rate. All agree with torch.optim step for step:

    SGD       w ← w - η g
    Momentum  v ← μ v + g;  w ← w - η v                              (torch's form: η is outside the average)
    Adam      m ← β₁ m + (1-β₁) g;  s ← β₂ s + (1-β₂) g²;
              w ← w - η (m / (1-β₁ᵗ)) / (√(s / (1-β₂ᵗ)) + ε)          (Kingma and Ba, arXiv 1412.6980)
    AdamW     w ← w - η λ w first, then Adam                          (Loshchilov and Hutter, arXiv 1711.05101)

Run it for a network that separates two spirals, and for the three curves of the learning-rate finder:

    python -m rlpath.trunk.mlp
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rlpath.trunk.autodiff import Array, Tensor, cross_entropy


class MLP:
    """Layers of x W + b with an activation between them; shapes N by sizes[0] → N by sizes[-1]."""

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator, activation: str = "tanh") -> None:
        """`activation` is "tanh" or "relu". Raises ValueError for another, or for fewer than two sizes."""
        if activation not in ("tanh", "relu") or len(sizes) < 2:
            raise ValueError(f"a network needs two sizes or more and tanh or relu, not {sizes} and {activation!r}")
        self.activation = activation
        after_relu = 2.0 if activation == "relu" else 1.0
        gains = [1.0] + [after_relu] * (len(sizes) - 2)
        layers = zip(gains, pairwise(sizes), strict=True)
        self.weights = [Tensor(rng.normal(0.0, np.sqrt(gain / m), (m, n))) for gain, (m, n) in layers]
        self.biases = [Tensor(np.zeros(n)) for n in sizes[1:]]

    @property
    def parameters(self) -> list[Tensor]:
        """Weights and biases, layer by layer."""
        return [part for layer in zip(self.weights, self.biases, strict=True) for part in layer]

    def __call__(self, x_N_I: Tensor) -> Tensor:
        x = x_N_I
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            if index < len(self.weights) - 1:
                x = x.tanh() if self.activation == "tanh" else x.relu()
        return x


class SGD:
    """Gradient descent; with `momentum`, along an average of past gradients."""

    def __init__(self, parameters: Sequence[Tensor], rate: float, momentum: float = 0.0) -> None:
        self.parameters, self.rate, self.momentum = list(parameters), rate, momentum
        self.velocity = [np.zeros_like(p.data) for p in self.parameters]

    def step(self) -> None:
        """Move every parameter by its gradient, and set the gradient to zero."""
        for i, p in enumerate(self.parameters):
            self.velocity[i] = self.momentum * self.velocity[i] + p.grad
            p.data = p.data - self.rate * self.velocity[i]
            p.grad = np.zeros_like(p.data)


class AdamW:
    """Adam with weight decay apart from the gradient; `decay=0` is Adam."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        decay: float = 0.0,
    ) -> None:
        self.parameters, self.rate, self.betas = list(parameters), rate, betas
        self.epsilon, self.decay, self.steps = epsilon, decay, 0
        self.first = [np.zeros_like(p.data) for p in self.parameters]
        self.second = [np.zeros_like(p.data) for p in self.parameters]

    def step(self) -> None:
        """Move every parameter, and set the gradient to zero."""
        self.steps += 1
        beta1, beta2 = self.betas
        for i, p in enumerate(self.parameters):
            self.first[i] = beta1 * self.first[i] + (1 - beta1) * p.grad
            self.second[i] = beta2 * self.second[i] + (1 - beta2) * p.grad**2
            mean = self.first[i] / (1 - beta1**self.steps)
            scale = np.sqrt(self.second[i] / (1 - beta2**self.steps)) + self.epsilon
            p.data = p.data * (1 - self.rate * self.decay) - self.rate * mean / scale
            p.grad = np.zeros_like(p.data)


Optimizer = SGD | AdamW


def train(model: MLP, optimizer: Optimizer, x_N_I: Array, labels_N: np.ndarray[Any, Any], steps: int) -> list[float]:
    """Full-batch training; the cross-entropy (nats) before every step. Stops where the loss is not finite."""
    losses: list[float] = []
    for _ in range(steps):
        loss = cross_entropy(model(Tensor(x_N_I)), labels_N)
        losses.append(float(loss.data))
        if not np.isfinite(losses[-1]):
            break
        loss.backward()
        optimizer.step()
    return losses


def find_rate(loss_at: Callable[[float], float], low: float = 1e-5, high: float = 10.0, steps: int = 100) -> float:
    """A learning rate by Smith's range test (arXiv 1506.01186): the rate grows geometrically from step to step.

    `loss_at(rate)` makes one training step at that rate and returns the loss before it. The smoothed loss falls, and
    turns upwards where the rate is too high; a tenth of the rate at its lowest point is returned. Raises ValueError
    where the loss never falls.
    """
    smooth, losses = 0.0, []
    rates = np.geomspace(low, high, steps)
    for i, rate in enumerate(rates):
        loss = loss_at(float(rate))
        if not np.isfinite(loss) or (losses and loss > 4 * min(losses)):
            break
        smooth = 0.8 * smooth + 0.2 * loss
        losses.append(smooth / (1 - 0.8 ** (i + 1)))
    if len(losses) < 2 or int(np.argmin(losses)) == 0:
        raise ValueError(
            f"the loss never fell between learning rates of {low} and {high}: look at data and model first"
        )
    return float(rates[int(np.argmin(losses))]) / 10


def two_spirals(rng: np.random.Generator, points: int = 200) -> tuple[Array, np.ndarray[Any, Any]]:
    """Points on two interleaved spirals with a little noise, and which spiral each is on."""
    labels = np.arange(points) % 2
    turn = rng.uniform(0.25, 1.5, points) * 2 * np.pi
    angle = turn + np.pi * labels
    x = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / 5.0
    return x + rng.normal(0.0, 0.03, x.shape), labels


def rate_curves(seed: int = 0, steps: int = 300) -> dict[str, list[float]]:
    """Losses at a hundredth of the rate that the finder chose, at the rate, and at a hundred times it."""
    x_y = two_spirals(np.random.default_rng(seed))

    def fresh() -> MLP:
        return MLP((2, 32, 32, 2), np.random.default_rng(seed + 1))

    model = fresh()
    optimizer = AdamW(model.parameters)

    def loss_at(rate: float) -> float:
        optimizer.rate = rate
        return train(model, optimizer, *x_y, steps=1)[0]

    rate = find_rate(loss_at)
    curves = {}
    for name, factor in (("too low", 0.01), ("right", 1.0), ("too high", 100.0)):
        model_of_arm = fresh()
        arm = AdamW(model_of_arm.parameters, rate * factor)
        curves[f"{name} ({rate * factor:.1e})"] = train(model_of_arm, arm, *x_y, steps=steps)
    return curves


def main() -> None:
    """Print every 50th loss of the three curves."""
    for name, losses in rate_curves().items():
        print(f"{name:20}", "  ".join(f"{loss:8.4f}" for loss in losses[::50]), f"  last {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
