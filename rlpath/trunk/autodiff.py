"""Reverse-mode differentiation on arrays (a scalar is an array without axes), in NumPy.

Every operation records its inputs and a rule: given the gradient of a final scalar L with respect to its output, the
rule returns L's gradient with respect to each input. `backward` visits the graph once, from L to the leaves, in reverse
topological order, and adds up what arrives along every path: the chain rule of several variables (Griewank and Walther,
"Evaluating Derivatives", ch. 3).

One gradient by hand. A neuron z = w·x + b with label y = ±1 has the logistic loss L = log(1 + exp(-y z)). Then
dL/dz = -y / (1 + exp(y z)), dL/dw = x · dL/dz and dL/db = dL/dz. For w = 0.5, x = 2, b = -1, y = 1, z is 0:

>>> w, b = Tensor(0.5), Tensor(-1.0)
>>> loss = ((-(w * 2.0 + b)).exp() + 1.0).log()
>>> loss.backward()
>>> float(w.grad), float(b.grad)  # 2 · (-1/2) and -1/2
(-1.0, -0.5)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Rule: TypeAlias = Callable[[Array], tuple[Array, ...]]
Axis: TypeAlias = int | tuple[int, ...] | None


class Tensor:
    """An array with a gradient. `data` and `grad` have the same shape; `grad` is zero until `backward`."""

    __array_priority__ = 1.0  # so that `array + tensor` asks the tensor

    def __init__(self, data: Any, parents: tuple[Tensor, ...] = (), rule: Rule | None = None) -> None:
        self.data: Array = np.asarray(data, dtype=np.float64)
        self.grad: Array = np.zeros_like(self.data)
        self.parents = parents
        self.rule = rule

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes' lengths."""
        return self.data.shape

    def __repr__(self) -> str:
        return f"Tensor({self.data})"

    def backward(self) -> None:
        """Add the gradient of this scalar to `grad` of everything it was computed from.

        Raises ValueError where this tensor is not a single number.
        """
        if self.data.size != 1:
            raise ValueError(f"only a single number has a gradient to send back, not an array of shape {self.shape}")
        arriving = {id(self): np.ones_like(self.data)}
        for node in reversed(topological_order(self)):
            gradient = arriving.pop(id(node))
            node.grad = node.grad + gradient
            if node.rule is None:
                continue
            for parent, share in zip(node.parents, node.rule(gradient), strict=True):
                share = sum_to_shape(share, parent.shape)
                arriving[id(parent)] = arriving[id(parent)] + share if id(parent) in arriving else share

    # Arithmetic. Shapes broadcast as NumPy's do; `backward` sums a gradient over the axes that were stretched.

    def __add__(self, other: Any) -> Tensor:
        other = as_tensor(other)
        return Tensor(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other: Any) -> Tensor:
        other = as_tensor(other)
        return Tensor(self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data))

    def __truediv__(self, other: Any) -> Tensor:
        return self * as_tensor(other) ** -1.0

    def __rtruediv__(self, other: Any) -> Tensor:
        return as_tensor(other) * self**-1.0

    def __pow__(self, exponent: float) -> Tensor:
        return Tensor(self.data**exponent, (self,), lambda g: (g * exponent * self.data ** (exponent - 1.0),))

    def __neg__(self) -> Tensor:
        return self * -1.0

    def __sub__(self, other: Any) -> Tensor:
        return self + -as_tensor(other)

    def __rsub__(self, other: Any) -> Tensor:
        return as_tensor(other) + -self

    __radd__ = __add__
    __rmul__ = __mul__

    def __matmul__(self, other: Tensor) -> Tensor:
        """Matrix product of arrays of at least two axes; leading axes broadcast."""

        def rule(g: Array) -> tuple[Array, ...]:
            return g @ np.swapaxes(other.data, -1, -2), np.swapaxes(self.data, -1, -2) @ g

        return Tensor(self.data @ other.data, (self, other), rule)

    # Functions of every element.

    def exp(self) -> Tensor:
        """e to the power of each element."""
        value = np.exp(self.data)
        return Tensor(value, (self,), lambda g: (g * value,))

    def log(self) -> Tensor:
        """Natural logarithm."""
        return Tensor(np.log(self.data), (self,), lambda g: (g / self.data,))

    def tanh(self) -> Tensor:
        """Hyperbolic tangent; its derivative is 1 - tanh²."""
        value = np.tanh(self.data)
        return Tensor(value, (self,), lambda g: (g * (1.0 - value**2),))

    def relu(self) -> Tensor:
        """max(x, 0); the derivative at 0 is taken as 0, as torch does."""
        return Tensor(np.maximum(self.data, 0.0), (self,), lambda g: (g * (self.data > 0.0),))

    # Sums and shapes.

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis`, or over everything."""

        def rule(g: Array) -> tuple[Array, ...]:
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return (np.broadcast_to(g, self.shape),)

        return Tensor(self.data.sum(axis=axis, keepdims=keepdims), (self,), rule)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Mean over `axis`, or over everything."""
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)

    def reshape(self, *shape: int) -> Tensor:
        """The same elements in the same order under other axes."""
        return Tensor(self.data.reshape(shape), (self,), lambda g: (g.reshape(self.shape),))

    def transpose(self, *axes: int) -> Tensor:
        """Axes in another order."""
        return Tensor(self.data.transpose(axes), (self,), lambda g: (g.transpose(np.argsort(axes)),))

    def __getitem__(self, index: Any) -> Tensor:
        """Any NumPy index. An element taken twice receives both gradients."""

        def rule(g: Array) -> tuple[Array, ...]:
            whole = np.zeros_like(self.data)
            np.add.at(whole, index, g)
            return (whole,)

        return Tensor(self.data[index], (self,), rule)


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is; a number or an array as a constant."""
    return value if isinstance(value, Tensor) else Tensor(value)


def topological_order(last: Tensor) -> list[Tensor]:
    """Every tensor that `last` depends on, each after its inputs. A stack, not recursion: graphs are deep."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(last, False)]
    while stack:
        node, inputs_are_done = stack.pop()
        if inputs_are_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order


def sum_to_shape(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum over the axes along which an array of this shape was repeated."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    stretched = tuple(i for i, length in enumerate(shape) if length == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def cross_entropy(logits_N_V: Tensor, targets_N: Sequence[int] | np.ndarray[Any, Any]) -> Tensor:
    """Mean over N rows of -log softmax(logits)[target], in nats; the row's maximum is subtracted first.

    The gradient with respect to the logits is (softmax - one-hot) / N.
    """
    targets = np.asarray(targets_N)
    rows = np.arange(len(targets))
    shifted = logits_N_V.data - logits_N_V.data.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def rule(g: Array) -> tuple[Array, ...]:
        gradient = np.exp(log_softmax)
        gradient[rows, targets] -= 1.0
        return (g * gradient / len(targets),)

    return Tensor(-log_softmax[rows, targets].mean(), (logits_N_V,), rule)


def main() -> None:
    """Fit a line to three points by gradient descent and print how the loss falls."""
    x, y = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0])
    slope, intercept = Tensor(0.0), Tensor(0.0)
    for step in range(101):
        slope.grad, intercept.grad = np.zeros(()), np.zeros(())
        loss = ((slope * x + intercept - y) ** 2.0).mean()
        loss.backward()
        if step % 20 == 0:
            print(f"step {step:3d}  loss {loss.data:.6f}  line {slope.data:.3f} x + {intercept.data:.3f}")
        slope.data = slope.data - 0.2 * slope.grad
        intercept.data = intercept.data - 0.2 * intercept.grad


if __name__ == "__main__":
    main()
