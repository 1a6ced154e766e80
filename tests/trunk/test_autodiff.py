"""Gradients equal a derivation by hand and torch's on random graphs; the example in the page runs."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlpath.trunk import autodiff
from rlpath.trunk.autodiff import Tensor, cross_entropy

OPERATIONS = ("add", "multiply", "divide", "subtract", "matmul", "tanh", "relu", "exp", "log", "power", "mean", "take")


def apply(name: str, x: Any, y: Any, library: Any) -> Any:
    """One operation on two 3 by 3 arrays, in words that Tensor and torch share; values stay moderate."""
    match name:
        case "add":
            return x + y[0:1]
        case "multiply":
            return x * y[:, 0:1]
        case "divide":
            return x / (y * y + 1.0)
        case "subtract":
            return 1.0 - x - y
        case "matmul":
            return x @ y.transpose(1, 0) * 0.3
        case "tanh":
            return x.tanh() + y
        case "relu":
            return x.relu() - y.relu()
        case "exp":
            return x.tanh().exp() * y
        case "log":
            return (x * x + y * y + 1.0).log()
        case "power":
            return (x * x + 0.5) ** 0.5 + y
        case "mean":
            return x * y.mean(1, True) if library is autodiff else x * y.mean(dim=1, keepdim=True)
    return x[[0, 0, 2]] + y[[2, 1, 1]]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), names=st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=8))
def test_gradients_equal_torch_on_random_graphs(seed: int, names: list[str]) -> None:
    """Random graphs of up to eight operations, each on two earlier results: gradients agree to 1e-9."""
    rng = np.random.default_rng(seed)
    leaves = [rng.normal(size=(3, 3)) for _ in range(2)]
    ours: list[Any] = [Tensor(leaf) for leaf in leaves]
    theirs: list[Any] = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    for name in names:
        i, j = rng.integers(len(ours), size=2)
        ours.append(apply(name, ours[i], ours[j], autodiff))
        theirs.append(apply(name, theirs[i], theirs[j], torch))
    for results in (ours, theirs):
        total: Any = sum(tensor.sum() for tensor in results)
        total.backward()

    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_the_neuron_by_hand() -> None:
    """The docstring's example, run as it stands."""
    assert doctest.testmod(autodiff).failed == 0
    assert doctest.testmod(autodiff).attempted == 4


def test_cross_entropy_equals_torch() -> None:
    """Value and gradient, with logits that overflow without the shift."""
    logits = np.array([[1000.0, 0.0, -5.0], [0.1, 0.2, 0.3]])
    ours, theirs = Tensor(logits), torch.tensor(logits, requires_grad=True)
    loss = cross_entropy(ours, [1, 2])
    loss.backward()
    reference = torch.nn.functional.cross_entropy(theirs, torch.tensor([1, 2]))
    reference.backward()

    assert theirs.grad is not None
    assert float(loss.data) == pytest.approx(reference.item(), rel=1e-12)
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), atol=1e-15)


def test_gradients_add_up_over_paths_and_calls() -> None:
    """x·x + x has the derivative 2x + 1; a second backward adds a second time."""
    x = Tensor(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0
    (x * x + x).backward()
    assert x.grad == 14.0


def test_a_deep_graph_needs_no_recursion() -> None:
    """50,000 additions in a row."""
    x = Tensor(1.0)
    y = x
    for _ in range(50_000):
        y = y + 1e-6
    y.backward()
    assert x.grad == 1.0


def test_an_array_has_no_gradient_of_its_own() -> None:
    """backward of an array is refused by name and shape."""
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        Tensor([1.0, 2.0]).backward()


def test_main_prints_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Three points on y = 2x + 1."""
    autodiff.main()
    assert capsys.readouterr().out.splitlines()[-1].endswith("line 2.000 x + 1.000")
