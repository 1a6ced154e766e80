"""Small networks: initial weights, acting in NumPy on the same memory, sampling, the digest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rlpath.deep.parts.networks import mlp, numpy_forward, sample_categorical, weights_digest


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(network: nn.Module, layer: int) -> torch.Tensor:
    return network.get_parameter(f"{layer}.weight").detach()


def test_layers_and_activations() -> None:
    """An activation between the layers and none after the last."""
    network = mlp((3, 5, 4, 2), nn.ReLU, generator())

    assert [type(module) for module in network] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert [tuple(weights(network, i).shape) for i in (0, 2, 4)] == [(5, 3), (4, 5), (2, 4)]


def test_a_single_layer() -> None:
    """No hidden layers: one linear map, with the last layer's gain."""
    network = mlp((4, 2), nn.Tanh, generator(), gain=2.0, last_gain=0.5)

    torch.testing.assert_close(weights(network, 0) @ weights(network, 0).T, 0.25 * torch.eye(2))


def test_orthogonal_weights() -> None:
    """Rows (or columns, whichever are fewer) are orthogonal and as long as the gain."""
    network = mlp((3, 8, 8, 2), nn.Tanh, generator(), gain=2.0, last_gain=0.1)

    torch.testing.assert_close(weights(network, 0).T @ weights(network, 0), 4 * torch.eye(3))
    torch.testing.assert_close(weights(network, 2) @ weights(network, 2).T, 4 * torch.eye(8))
    torch.testing.assert_close(weights(network, 4) @ weights(network, 4).T, 0.01 * torch.eye(2))
    assert all((network.get_parameter(f"{i}.bias") == 0).all() for i in (0, 2, 4))


def test_weights_without_a_gain_have_torchs_distribution() -> None:
    """Uniform in ±1/√inputs, weights and biases: the same bound and spread as nn.Linear's own."""
    network = mlp((100, 400, 1), nn.Tanh, generator())
    own = nn.Linear(100, 400)

    for name in ("weight", "bias"):
        ours, torchs = network.get_parameter(f"0.{name}").detach(), own.get_parameter(name).detach()
        assert ours.abs().max() <= 0.1
        assert ours.std().item() == pytest.approx(torchs.std().item(), rel=0.1)


def test_the_generator_alone_decides() -> None:
    """Equal seeds give equal weights, and the global generator is neither read nor moved."""
    state = torch.random.get_rng_state()
    first = mlp((3, 8, 2), nn.Tanh, generator(1), gain=1.0)
    torch.manual_seed(5)
    second = mlp((3, 8, 2), nn.Tanh, generator(1), gain=1.0)
    torch.random.set_rng_state(state)

    assert weights_digest(first) == weights_digest(second)
    mlp((3, 8, 2), nn.Tanh, generator(1))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_numpy_computes_what_torch_computes(activation: type[nn.Module]) -> None:
    """To rounding, for one row and many."""
    network = mlp((4, 64, 64, 3), activation, generator(), gain=1.4)
    for rows in (1, 4, 257):
        obs = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
        expected = network(torch.from_numpy(obs)).detach().numpy()
        np.testing.assert_allclose(numpy_forward(network)(obs), expected, atol=2e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_numpy_sees_a_step_of_the_optimizer(fused: bool) -> None:
    """The weights are shared, so that a function made before the step is up to date after it."""
    network = mlp((4, 8, 3), nn.Tanh, generator())
    forward = numpy_forward(network)
    obs = np.ones((2, 4), np.float32)
    before = forward(obs)
    network(torch.from_numpy(obs)).sum().backward()
    torch.optim.Adam(network.parameters(), 0.1, fused=fused).step()

    assert np.abs(forward(obs) - before).max() > 0.01
    np.testing.assert_allclose(forward(obs), network(torch.from_numpy(obs)).detach().numpy(), atol=1e-6)


def test_numpy_sees_loaded_weights() -> None:
    """Restoring a checkpoint fills the same memory."""
    network, other = mlp((4, 8, 3), nn.Tanh, generator(0)), mlp((4, 8, 3), nn.Tanh, generator(1))
    forward = numpy_forward(network)
    network.load_state_dict(other.state_dict())

    np.testing.assert_array_equal(
        forward(np.ones((2, 4), np.float32)), numpy_forward(other)(np.ones((2, 4), np.float32))
    )


def test_sampling_inverts_the_cumulative_sum() -> None:
    """Probabilities ¼, ½, ¼: below ¼ is 0, below ¾ is 1, else 2."""
    logits = np.log(np.array([[0.25, 0.5, 0.25]], np.float32)).repeat(6, 0)
    uniform = np.array([0.0, 0.24, 0.26, 0.74, 0.76, 0.9999999], np.float32)

    assert sample_categorical(logits, uniform).tolist() == [0, 0, 1, 1, 2, 2]


def test_sampled_frequencies() -> None:
    """100 000 draws come within four standard errors of softmax(logits), far from zero logits too."""
    logits = np.array([[1000.0, 1001.0, 998.0]], np.float32)
    chosen = sample_categorical(logits.repeat(100_000, 0), np.random.default_rng(0).random(100_000, np.float32))

    expected = torch.from_numpy(logits[0]).softmax(0).numpy()
    error = np.sqrt(expected * (1 - expected) / 100_000)
    assert (np.abs(np.bincount(chosen, minlength=3) / 100_000 - expected) < 4 * error).all()


def test_an_impossible_action_is_never_drawn() -> None:
    """A logit of −∞ has no share, at either end of the row and of the uniform numbers."""
    logits = np.array([[-np.inf, 0.0, -np.inf]], np.float32).repeat(2, 0)

    assert sample_categorical(logits, np.array([0.0, np.nextafter(1, 0, dtype=np.float32)])).tolist() == [1, 1]


def test_the_digest_sees_one_bit() -> None:
    """The smallest change of one weight changes it; the same weights in another object do not."""
    network, same = mlp((3, 4, 2), nn.Tanh, generator()), mlp((3, 4, 2), nn.Tanh, generator())
    assert weights_digest(network) == weights_digest(same)

    with torch.no_grad():
        weight = same.get_parameter("0.weight")
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(10.0))
    assert weights_digest(network) != weights_digest(same)
