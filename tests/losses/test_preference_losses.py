"""Supervised and preference losses worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from rlpath import losses

LOG2, LOG3 = math.log(2), math.log(3)


def batch(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def value(loss: torch.Tensor, expected: float) -> None:
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_sft_counts_the_completion_alone_and_shifts_by_one() -> None:
    """Two words. The logits at t predict token t+1, so those of the last position are never used.

    Odds 3 : 1 for word 0 after every token: p = 1/4 for the second token (word 1) and 3/4 for the third (word 0).
    """
    logits = torch.tensor([[[LOG3, 0.0], [LOG3, 0.0], [-50.0, 50.0]]])
    tokens = torch.tensor([[0, 1, 0]])

    value(losses.sft_loss(logits, tokens, torch.tensor([[0, 1, 1]])), (math.log(4) + math.log(4 / 3)) / 2)
    value(losses.sft_loss(logits, tokens, torch.tensor([[0, 0, 1]])), math.log(4 / 3))
    value(losses.sft_loss(logits, tokens, torch.tensor([[1, 0, 1]])), math.log(4 / 3))


def test_sft_weighs_tokens_and_not_completions_equally() -> None:
    """Three tokens at 1/4 and one at 3/4, in completions of three and one: the mean over four tokens."""
    logits = torch.tensor([LOG3, 0.0]).expand(2, 4, 2)
    tokens = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 0]])
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]])

    value(losses.sft_loss(logits, tokens, mask), (3 * math.log(4) + math.log(4 / 3)) / 4)


def test_bradley_terry_by_hand() -> None:
    """Distances log 3 and 0: probabilities 3/4 and 1/2. A margin of log 3 brings the first to 1/2."""
    chosen, rejected = batch(LOG3, 1.0), batch(0.0, 1.0)

    value(losses.bradley_terry_loss(chosen, rejected), (math.log(4 / 3) + LOG2) / 2)
    value(losses.bradley_terry_loss(chosen, rejected, margin_B=batch(LOG3, 0.0)), LOG2)
    centered = losses.bradley_terry_loss(chosen, rejected, centering=0.1)
    value(centered, (math.log(4 / 3) + LOG2) / 2 + 0.1 * (LOG3**2 + 4) / 2)


def test_centering_alone_sees_a_constant() -> None:
    """Adding 5 to every reward changes nothing but the centering term."""
    chosen, rejected = batch(2.0, -1.0), batch(0.5, 0.0)

    value(losses.bradley_terry_loss(chosen + 5, rejected + 5), losses.bradley_terry_loss(chosen, rejected).item())
    far, near = (losses.bradley_terry_loss(chosen + d, rejected + d, centering=0.1).item() for d in (5, 0))
    assert far > near + 1


def test_dpo_by_hand() -> None:
    """β = 0.5, log-ratios 2 log 3 and 0 against 0 and 2 log 3: β times the margins is log 3 and -log 3."""
    chosen, rejected = batch(2 * LOG3 - 5, -7.0), batch(-9.0, 2 * LOG3 - 4)
    reference = (batch(-5.0, -7.0), batch(-9.0, -4.0))

    value(losses.dpo_loss(chosen, rejected, *reference, beta=0.5), (math.log(4 / 3) + math.log(4)) / 2)
    smooth = losses.dpo_loss(
        chosen[:1], rejected[:1], reference[0][:1], reference[1][:1], beta=0.5, label_smoothing=0.1
    )
    value(smooth, 0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_dpo_starts_at_log_two_and_pushes_both_ways() -> None:
    """At the reference the gradient is -β/2 for the chosen and +β/2 for the rejected."""
    chosen, rejected = batch(-3.0).requires_grad_(), batch(-4.0).requires_grad_()

    loss = losses.dpo_loss(chosen, rejected, batch(-3.0), batch(-4.0), beta=0.2)
    loss.backward()

    value(loss, LOG2)
    torch.testing.assert_close((chosen.grad, rejected.grad), (batch(-0.1), batch(0.1)))


def test_label_smoothing_bounds_the_margin() -> None:
    """The optimum of β times the margin is log((1 - ε)/ε): beyond it the loss grows again."""
    zero = batch(0.0)
    at = [losses.dpo_loss(batch(m), zero, zero, zero, beta=1.0, label_smoothing=0.25).item() for m in (0.5, LOG3, 2.0)]

    assert at[1] < at[0]
    assert at[1] < at[2]
    for wrong in (0.5, -0.1):
        with pytest.raises(ValueError, match="label_smoothing"):
            losses.dpo_loss(zero, zero, zero, zero, label_smoothing=wrong)


def test_ipo_by_hand() -> None:
    """β = 0.25 asks for a margin of 2 per token: (6/2 - (-2)/4) = 3.5 is 1.5 too far."""
    loss = losses.ipo_loss(batch(6.0), batch(-2.0), batch(0.0), batch(0.0), batch(2), batch(4), beta=0.25)

    value(loss, 1.5**2)


def test_kto_by_hand() -> None:
    """β = 1, z = mean(1, 3) = 2: desirable at log-ratio 2 + log 3, undesirable at 2 - log 3: both 1 - 3/4."""
    logprobs, desirable = batch(2 + LOG3, 2 - LOG3), torch.tensor([True, False])
    zero = torch.zeros(2)

    value(losses.kto_loss(logprobs, zero, desirable, batch(1.0, 3.0), zero, beta=1.0), 0.25)
    weighted = losses.kto_loss(
        logprobs, zero, desirable, batch(1.0, 3.0), zero, beta=1.0, desirable_weight=2.0, undesirable_weight=3.0
    )
    value(weighted, (0.5 + 0.75) / 2)


def test_the_reference_point_of_kto_is_not_negative_and_has_no_gradient() -> None:
    mismatched = batch(-5.0, -3.0).requires_grad_()
    zero = torch.zeros(2)
    logprobs = batch(LOG3, -LOG3).requires_grad_()

    loss = losses.kto_loss(logprobs, zero, torch.tensor([True, False]), mismatched, zero, beta=1.0)
    loss.backward()

    value(loss, 0.25)
    assert mismatched.grad is None
