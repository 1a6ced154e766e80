"""Quantization and pruning: by hand, against an independent derivation, and on a whole model."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import Tensor

from rlpath.trunk.compress import blocks_of, compress, linear_layers, megabytes
from rlpath.trunk.prune import magnitude, wanda, wanda_n_of_m
from rlpath.trunk.quantize import Format, InputStatistics, awq, gptq, output_error, round_to_nearest


def correlated_inputs(width: int, seed: int = 0) -> InputStatistics:
    """Inputs that depend on one another and differ in size, as those of a language model do."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(500, width // 4, generator=generator) @ torch.randn(width // 4, width, generator=generator)
    noise = torch.randn(500, width, generator=generator)
    inputs = InputStatistics.none_yet(width)
    inputs.add((factors + 0.3 * noise) * torch.logspace(0.5, -0.5, width))
    return inputs


def a_matrix(rows: int, columns: int) -> Tensor:
    """Weights of a normal distribution."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1))


def test_rounding_by_hand() -> None:
    """Two bits over [-1, 2]: a step of 1 with the zero at 1; a second group with a step of its own."""
    weight = torch.tensor([[-1.0, 0.4, 0.6, 2.0, 0.0, 3.0, 30.0, 14.0]])
    assert round_to_nearest(weight, Format(2, 4)).tolist() == [[-1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 30.0, 10.0]]
    assert Format(4, 64).bits_per_weight == 4.5


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_is_within_half_a_step(bits: int) -> None:
    """And twice rounded is once rounded."""
    weight, form = a_matrix(6, 32), Format(bits, 16)
    rounded = round_to_nearest(weight, form)
    spread = weight.view(6, 2, 16).amax(2) - weight.view(6, 2, 16).amin(2)
    half = (spread / (2**bits - 1) / 2).repeat_interleave(16, 1)
    assert ((weight - rounded).abs() <= 1.01 * half).float().mean() > 0.95
    torch.testing.assert_close(round_to_nearest(rounded, form), rounded)


def test_gptq_moves_what_is_left_to_the_least_squares_optimum() -> None:
    """With the first columns fixed at their rounded values, the best later columns solve a least-squares problem.

    The last group before rounding is that solution: rounding it gives GPTQ's last group.
    """
    weight, inputs, form = a_matrix(5, 8), correlated_inputs(8), Format(3, 4)
    found = gptq(weight, inputs, form, damping=1e-6)
    gram = inputs.gram_I_I.double()
    error = (weight - found)[:, :4].double()
    optimum = weight[:, 4:].double() + error @ gram[:4, 4:] @ torch.linalg.inv(gram[4:, 4:])
    first_column = round_to_nearest(optimum.float(), Format(3, 4))[:, 0]
    torch.testing.assert_close(found[:, 4], first_column, rtol=1e-3, atol=1e-3)


def test_gptq_and_awq_change_the_output_less() -> None:
    """On correlated inputs of different sizes: GPTQ under a half of round-to-nearest's error, AWQ below it."""
    weight, inputs, form = a_matrix(32, 64), correlated_inputs(64), Format(4, 32)
    nearest = output_error(weight - round_to_nearest(weight, form), inputs)
    scaled, exponent = awq(weight, inputs, form)
    assert output_error(weight - gptq(weight, inputs, form), inputs) < 0.5 * nearest
    assert output_error(weight - scaled, inputs) < nearest
    assert exponent > 0


def test_inputs_that_do_not_depend_on_one_another_leave_gptq_nothing_to_do() -> None:
    """With G the identity, no column can make up for another: GPTQ is rounding to the nearest."""
    inputs = InputStatistics(torch.eye(16), torch.ones(16), 1)
    weight, form = a_matrix(4, 16), Format(4, 8)
    torch.testing.assert_close(gptq(weight, inputs, form), round_to_nearest(weight, form))


def test_pruning_by_hand() -> None:
    """Magnitude drops 1 and 2; Wanda, with the second input ten times as large, drops 1 and 3."""
    weight = torch.tensor([[1.0, -2.0, 3.0, 4.0]])
    inputs = InputStatistics(torch.diag(torch.tensor([1.0, 100.0, 1.0, 1.0])), torch.ones(4), 1)
    assert magnitude(weight, 0.5).tolist() == [[0.0, 0.0, 3.0, 4.0]]
    assert wanda(weight, inputs, 0.5).tolist() == [[0.0, -2.0, 0.0, 4.0]]
    assert wanda_n_of_m(weight, inputs, 1, 2).tolist() == [[0.0, -2.0, 0.0, 4.0]]


def test_two_of_four_are_kept_everywhere() -> None:
    """And the output changes less than by dropping the smallest."""
    weight, inputs = a_matrix(8, 32), correlated_inputs(32)
    found = wanda_n_of_m(weight, inputs)
    assert ((found != 0).view(8, 8, 4).sum(2) == 2).all()
    by_size = magnitude(weight, 0.5)
    assert output_error(weight - wanda(weight, inputs, 0.5), inputs) < output_error(weight - by_size, inputs)


def test_what_cannot_be_done_is_refused() -> None:
    """Groups that do not fill a row, and a share that is none."""
    with pytest.raises(ValueError, match="groups of a size that divides them"):
        round_to_nearest(a_matrix(2, 10), Format(4, 4))
    with pytest.raises(ValueError, match="cannot be dropped"):
        magnitude(a_matrix(2, 4), 1.0)
    with pytest.raises(ValueError, match="cannot be kept"):
        wanda_n_of_m(a_matrix(2, 6), correlated_inputs(6))
    with pytest.raises(ValueError, match="keeps no blocks"):
        blocks_of(torch.nn.Linear(2, 2))


@pytest.fixture(scope="module")
def a_llama() -> transformers.LlamaForCausalLM:
    """Two blocks with random weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    return transformers.LlamaForCausalLM(config).eval()


def test_a_whole_model_is_compressed_block_by_block(a_llama: transformers.LlamaForCausalLM) -> None:
    """Eight bits change the logits by under a hundredth of their size; half the weights pruned are zeros."""
    ids = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = a_llama(ids).logits
    eight = transformers.LlamaForCausalLM(a_llama.config).eval()
    eight.load_state_dict(a_llama.state_dict())
    compress(eight, ids, lambda weight, inputs: gptq(weight, inputs, Format(8, 16)))
    with torch.no_grad():
        after = eight(ids).logits
    assert 0 < (after - before).norm() / before.norm() < 0.01
    zeros = compress(eight, ids, lambda weight, inputs: wanda(weight, inputs, 0.5))
    assert set(zeros.values()) == {0.5}
    assert len(zeros) == 2 * 7


def test_later_blocks_see_what_earlier_ones_became(a_llama: transformers.LlamaForCausalLM) -> None:
    """The statistics of the last layer are those of a forward pass through the compressed model."""
    ids = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))
    model = transformers.LlamaForCausalLM(a_llama.config).eval()
    model.load_state_dict(a_llama.state_dict())
    seen: list[Tensor] = []

    def keep_the_last_block(weight: Tensor, inputs: InputStatistics) -> Tensor:
        seen.append(inputs.gram_I_I)
        return weight if len(seen) > 7 else 0.9 * weight

    compress(model, ids, keep_the_last_block)
    name, last = list(linear_layers(blocks_of(model)[1]))[-1]
    expected = InputStatistics.none_yet(last.in_features)
    hook = last.register_forward_pre_hook(lambda _, positional: expected.add(positional[0]))
    with torch.no_grad():
        model(ids)
    hook.remove()
    assert name == "mlp.down_proj"
    torch.testing.assert_close(seen[-1], expected.gram_I_I, rtol=1e-4, atol=1e-5)


def test_size(a_llama: transformers.LlamaForCausalLM) -> None:
    """Blocks of 2 · (4 · 32² + 3 · 32 · 64) weights at 4.5 bits; the rest at 16."""
    inside = 2 * (4 * 32 * 32 + 3 * 32 * 64)
    rest = sum(parameter.numel() for parameter in a_llama.parameters()) - inside
    assert megabytes(a_llama, 4.5) == pytest.approx((4.5 * inside + 16 * rest) / 8e6)
