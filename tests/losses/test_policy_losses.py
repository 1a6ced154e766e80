"""Policy and value losses worked out by hand, and what would be lost without the mask, the clip or the division."""

from __future__ import annotations

import math

import pytest
import torch

from rlpath import losses

LOG2, LOG4 = math.log(2), math.log(4)
# Two completions, of two tokens and of one. Ratios: 2 and 1/2; 4 (the padded token's 1/16 must not count).
NEW = torch.tensor([[LOG2, -LOG2], [LOG4, -4 * LOG2]])
OLD = torch.zeros(2, 2)
MASK = torch.tensor([[1, 1], [1, 0]])
ADVANTAGES = torch.tensor([1.0, -1.0])
# Clipped at 0.2: min(2, 1.2) and min(0.5, 0.8) times 1; min(-4, -1.2) = -4.
OBJECTIVE = ([1.2, 0.5], [-4.0])


def value(loss: torch.Tensor, expected: float) -> None:
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_grpo_is_the_mean_over_completions_of_the_mean_over_tokens() -> None:
    value(losses.grpo_loss(NEW, OLD, ADVANTAGES, MASK), -(0.85 - 4) / 2)


def test_dr_grpo_divides_by_the_largest_length() -> None:
    value(losses.dr_grpo_loss(NEW, OLD, ADVANTAGES, MASK, max_length=10), -(1.2 + 0.5 - 4) / 20)


def test_dapo_clips_higher_and_averages_over_tokens() -> None:
    """The upper clip at 0.28 lets the first token reach 1.28; three tokens in this batch, or six in the whole one."""
    value(losses.dapo_loss(NEW, OLD, ADVANTAGES, MASK), -(1.28 + 0.5 - 4) / 3)
    value(losses.dapo_loss(NEW, OLD, ADVANTAGES, MASK, tokens=6), -(1.28 + 0.5 - 4) / 6)


def test_gspo_takes_the_geometric_mean_of_a_completion() -> None:
    """√(2 · 1/2) = 1 and 4: nothing to clip for the first, and the second is pushed down from 4."""
    value(losses.gspo_loss(NEW, OLD, ADVANTAGES, MASK), -(1 - 4) / 2)
    value(losses.gspo_loss(NEW, OLD, -ADVANTAGES, MASK, epsilon_high=0.5), -(-1 + 1.5) / 2)


def test_rloo_takes_the_product_over_a_completion() -> None:
    """2 · 1/2 = 1 and 4; with advantages the other way the second is clipped to 1.2."""
    value(losses.rloo_loss(NEW, OLD, ADVANTAGES, MASK), -(1 - 4) / 2)
    value(losses.rloo_loss(NEW, OLD, -ADVANTAGES, MASK), -(-1 + 1.2) / 2)


def test_cispo_bounds_the_weight_and_keeps_the_gradient() -> None:
    """Weights min(2, 3), 1/2 and min(4, 3) on A log π; each token's gradient is -weight · A / 3 tokens."""
    logprobs = NEW.clone().requires_grad_()

    loss = losses.cispo_loss(logprobs, OLD, ADVANTAGES, MASK, largest_ratio=3.0)
    loss.backward()

    value(loss, -(2 * LOG2 + 0.5 * -LOG2 - 3 * LOG4) / 3)
    torch.testing.assert_close(logprobs.grad, -torch.tensor([[2.0, 0.5], [-3.0, 0.0]]) / 3)


def test_a_token_beyond_the_clip_has_no_gradient() -> None:
    """Ratio 2 with a positive advantage is silent; 1/2 with a positive one and 4 with a negative one are not."""
    logprobs = NEW.clone().requires_grad_()

    losses.ppo_policy_loss(logprobs, OLD, ADVANTAGES[:, None].expand(2, 2), MASK).backward()

    torch.testing.assert_close(logprobs.grad, -torch.tensor([[0.0, 0.5], [-4.0, 0.0]]) / 3)


def test_ppo_takes_an_advantage_for_each_token() -> None:
    """-(min(2, 1.2)·1 + max(1/2, 0.8)·(-2) + min(4, 1.2)·3) / 3."""
    advantages = torch.tensor([[1.0, -2.0], [3.0, 99.0]])

    value(losses.ppo_policy_loss(NEW, OLD, advantages, MASK), -(1.2 - 1.6 + 3.6) / 3)


def test_weights_and_penalty_enter_every_token() -> None:
    """Twice the objective of the first completion, half that of the second, and 0.1 on each of three tokens."""
    weights, penalty = torch.tensor([[2.0], [0.5]]), torch.full((2, 2), 0.1)

    loss = losses.policy_loss(NEW, OLD, ADVANTAGES, MASK, average="token", weights=weights, penalty_B_T=penalty)

    value(loss, -(2 * (1.2 + 0.5) + 0.5 * -4) / 3 + 0.1)


def test_the_share_of_clipped_tokens() -> None:
    """Of three tokens the clip binds on the first: the third's ratio is high, but its advantage is negative."""
    value(losses.clip_fraction(NEW, OLD, ADVANTAGES, MASK), 1 / 3)
    value(losses.clip_fraction(NEW, OLD, -ADVANTAGES, MASK), 2 / 3)
    value(losses.clip_fraction(NEW, OLD, ADVANTAGES, MASK, epsilon=1.5), 0.0)


def test_value_loss_by_hand() -> None:
    """Values 1, 1, 3 were 0; returns 2, 0.5, 3. Held within 0.2: 0.2 each.

    Distances 1, 0.25, 0; held 3.24, 0.09, 7.84; the larger 3.24, 0.25, 7.84; half their mean over three tokens.
    """
    values, returns = torch.tensor([[1.0, 1.0], [3.0, 7.0]]), torch.tensor([[2.0, 0.5], [3.0, -9.0]])

    value(losses.ppo_value_loss(values, OLD, returns, MASK, clip=0.2), 0.5 * (3.24 + 0.25 + 7.84) / 3)
    value(losses.ppo_value_loss(values, OLD, returns, MASK, clip=None), 0.5 * 1.25 / 3)


def test_a_value_that_moved_too_far_has_no_gradient() -> None:
    """The first of two moved by 1 towards its return; the second by 0.1."""
    values = torch.tensor([[1.0, 0.1]], requires_grad=True)

    losses.ppo_value_loss(values, torch.zeros(1, 2), torch.tensor([[2.0, 2.0]]), torch.ones(1, 2), clip=0.2).backward()

    torch.testing.assert_close(values.grad, torch.tensor([[0.0, (0.1 - 2) / 2]]))


@pytest.mark.parametrize("padding", [math.nan, math.inf, 1e30])
def test_padding_never_counts(padding: float) -> None:
    """Whatever stands at a padded token, value and gradient are finite and the same."""
    advantages_B_T = ADVANTAGES[:, None].expand(2, 2)
    rewards = torch.ones(2, 2)
    for loss in (
        lambda x: losses.grpo_loss(x, OLD, ADVANTAGES, MASK),
        lambda x: losses.dr_grpo_loss(x, OLD, ADVANTAGES, MASK, max_length=4),
        lambda x: losses.dapo_loss(x, OLD, ADVANTAGES, MASK),
        lambda x: losses.gspo_loss(x, OLD, ADVANTAGES, MASK),
        lambda x: losses.rloo_loss(x, OLD, ADVANTAGES, MASK),
        lambda x: losses.ppo_policy_loss(x, OLD, advantages_B_T, MASK),
        lambda x: losses.ppo_value_loss(x, OLD, rewards, MASK),
    ):
        results = []
        for filling in (-4 * LOG2, padding):
            logprobs = torch.where(MASK.bool(), NEW, filling).requires_grad_()
            found = loss(logprobs)
            found.backward()
            assert logprobs.grad is not None
            results.append((found.detach(), logprobs.grad[MASK.bool()]))
        torch.testing.assert_close(results[0], results[1])


def test_without_the_mask_every_loss_is_another() -> None:
    """The padded token of the second completion carries an objective: a forgotten mask shows."""
    every = torch.ones_like(MASK)
    for loss in (losses.grpo_loss, losses.dapo_loss, losses.gspo_loss, losses.rloo_loss, losses.cispo_loss):
        assert loss(NEW, OLD, ADVANTAGES, MASK).item() != pytest.approx(loss(NEW, OLD, ADVANTAGES, every).item())


def test_an_empty_completion_is_no_division_by_zero() -> None:
    empty = torch.tensor([[1, 1], [0, 0]])
    assert math.isfinite(losses.grpo_loss(NEW, OLD, ADVANTAGES, empty).item())
    assert losses.masked_mean(NEW, torch.zeros_like(MASK)).item() == 0


def test_an_unknown_way_to_average_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence, token, constant or sum, not by 'batch'"):
        losses.average_tokens(NEW, MASK, "batch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="largest length"):
        losses.average_tokens(NEW, MASK, "constant")
