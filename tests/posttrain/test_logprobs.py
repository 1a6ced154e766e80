"""Log-probabilities of given tokens equal a plain log-softmax, in value, gradient and entropy."""

import math

import pytest
import torch

from rlpath.posttrain.packing.logprobs import token_logprobs


def inputs(
    count: int = 11, width: int = 8, vocabulary: int = 23, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(count, width, generator=generator).to(dtype)
    weight = torch.randn(vocabulary, width, generator=generator).to(dtype)
    return hidden, weight, torch.randint(0, vocabulary, (count,), generator=generator)


def plain(hidden: torch.Tensor, weight: torch.Tensor, target: torch.Tensor, temperature: float) -> torch.Tensor:
    return (hidden @ weight.T / temperature).float().log_softmax(-1).gather(-1, target[:, None])[:, 0]


def test_two_tokens_by_hand() -> None:
    """Logits (0, ln 3): p = ¼ and ¾, entropy 2 ln 2 − ¾ ln 3; at temperature ½ the odds are 1 : 9."""
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(3)]])

    for target, p, p_half in ((0, 0.25, 0.1), (1, 0.75, 0.9)):
        logprob, entropy = token_logprobs(hidden, weight, torch.tensor([target]))
        assert logprob.item() == pytest.approx(math.log(p), abs=1e-6)
        assert entropy.item() == pytest.approx(2 * math.log(2) - 0.75 * math.log(3), abs=1e-6)
        logprob, entropy = token_logprobs(hidden, weight, torch.tensor([target]), temperature=0.5)
        assert logprob.item() == pytest.approx(math.log(p_half), abs=1e-6)
        assert entropy.item() == pytest.approx(-0.1 * math.log(0.1) - 0.9 * math.log(0.9), abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 10, 11, 12, 512])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("trained", ["hidden", "weight", "both"])
def test_values_and_gradients_equal_log_softmax(chunk: int, temperature: float, trained: str) -> None:
    """For every chunk length, a frozen or a trained output matrix, and another temperature than 1."""
    hidden, weight, target = inputs()
    hidden.requires_grad_(trained != "weight")
    weight.requires_grad_(trained != "hidden")
    upstream = torch.linspace(-1, 2, len(target))
    expected = plain(hidden, weight, target, temperature)
    (expected * upstream).sum().backward()
    wanted = [None if tensor.grad is None else tensor.grad.clone() for tensor in (hidden, weight)]
    hidden.grad = weight.grad = None

    logprob, entropy = token_logprobs(hidden, weight, target, temperature=temperature, chunk=chunk)
    (logprob * upstream).sum().backward()

    torch.testing.assert_close(logprob, expected, rtol=1e-5, atol=1e-5)
    for tensor, want in zip((hidden, weight), wanted, strict=True):
        if want is None:
            assert tensor.grad is None
        else:
            torch.testing.assert_close(tensor.grad, want, rtol=1e-5, atol=1e-5)
    distribution = torch.distributions.Categorical(logits=hidden.detach() @ weight.detach().T / temperature)
    torch.testing.assert_close(entropy, distribution.entropy(), rtol=1e-5, atol=5e-5)
    assert not entropy.requires_grad


def test_nothing_is_kept_where_nothing_trains() -> None:
    """Without gradients (evaluation, a reference model) the result is the same and needs no backward."""
    hidden, weight, target = inputs()

    logprob, entropy = token_logprobs(hidden, weight, target)

    assert not logprob.requires_grad
    assert not entropy.requires_grad
    torch.testing.assert_close(logprob, plain(hidden, weight, target, 1.0))


def test_bf16_projection_keeps_an_fp32_log_sum_exp() -> None:
    """Inputs in bf16 give fp32 log-probabilities within bf16's rounding of the logits (3 decimal digits)."""
    hidden, weight, target = inputs(64, 32, 1000, torch.bfloat16)
    exact = plain(hidden.double(), weight.double(), target, 1.0)

    logprob, _ = token_logprobs(hidden, weight, target)

    assert logprob.dtype is torch.float32
    assert (logprob - exact).abs().max() < 0.1
    assert (logprob - exact).abs().mean() < 0.02


def test_a_trained_bf16_matrix_gathers_its_gradient_in_fp32() -> None:
    """Over 64 chunks the gradient is as near to the exact one as over a single chunk."""
    hidden, weight, target = inputs(512, 16, 50, torch.bfloat16)
    exact = weight.double().requires_grad_()
    plain(hidden.double(), exact, target, 1.0).sum().backward()
    assert exact.grad is not None

    def error(chunk: int) -> float:
        trained = weight.clone().requires_grad_()
        token_logprobs(hidden, trained, target, chunk=chunk)[0].sum().backward()
        assert trained.grad is not None and exact.grad is not None
        return ((trained.grad.double() - exact.grad).norm() / exact.grad.norm()).item()

    assert error(8) < 1.5 * error(512)
