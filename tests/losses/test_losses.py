"""Distances of policies: KL estimates and the sampler's correction, by hand and against TRL's formulas."""

import math
from typing import Any

import pytest
import torch

from rlpath.losses import CORRECTIONS, correction_weights, kl_estimate


def logs(*probabilities: list[float]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


# Two completions, the second with a padded last token; ratios of trainer to sampler are 0.5, 3, 1 and 4.
TRAINER = logs([0.2, 0.6, 0.5], [0.4, 0.5, 0.9])
SAMPLER = logs([0.4, 0.2, 0.5], [0.1, 0.5, 0.3])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token_truncate", [[0.5, 2.0, 1.0], [2.0, 1.0, 1.0]]),
        ("token_mask", [[0.5, 0.0, 1.0], [0.0, 1.0, 1.0]]),
        ("sequence_truncate", [[1.5], [2.0]]),
        ("sequence_mask", [[1.5], [0.0]]),
    ],
)
def test_weights_by_hand(mode: str, expected: list[list[float]]) -> None:
    """Ratios 0.5, 3, 1 (product 1.5) and 4, 1 (product 4; the padded token's 3 does not count), capped at 2."""
    weights = correction_weights(TRAINER, SAMPLER, MASK, mode, 2.0)

    torch.testing.assert_close(weights, torch.tensor(expected))


def of_trl(trainer: torch.Tensor, sampler: torch.Tensor, mask: torch.Tensor, mode: str, cap: float) -> torch.Tensor:
    """What TRL 1.16 computes in `GRPOTrainer._generate_and_score_completions` for its vLLM correction."""
    difference = torch.nan_to_num((trainer - sampler) * mask, nan=0.0)
    if mode in ("sequence_mask", "sequence_truncate"):
        difference = difference.sum(dim=-1, keepdim=True)
    ratio = torch.exp(difference)
    if mode in ("sequence_truncate", "token_truncate"):
        return torch.clamp(ratio, max=cap)
    return ratio.masked_fill((ratio < -math.inf) | (ratio > cap), value=0.0)


@pytest.mark.parametrize("mode", CORRECTIONS)
@pytest.mark.parametrize("cap", [1.0, 2.0, 3.0])
def test_weights_are_those_of_trl(mode: str, cap: float) -> None:
    """On random log-probabilities with ragged masks and a token whose sampler log-probability is unknown."""
    generator = torch.Generator().manual_seed(3)
    trainer, sampler = -torch.rand(2, 6, 9, generator=generator) * 3
    mask = (torch.arange(9) < torch.tensor([9, 1, 4, 7, 2, 8])[:, None]).int()
    sampler[0, 2] = math.nan

    torch.testing.assert_close(
        correction_weights(trainer, sampler, mask, mode, cap), of_trl(trainer, sampler, mask, mode, cap)
    )


def test_equal_policies_have_weight_one() -> None:
    """A sampler that agrees with the trainer corrects nothing, in any mode."""
    for mode in CORRECTIONS:
        assert (correction_weights(TRAINER, TRAINER, MASK, mode, 2.0) == 1).all()


def test_the_weight_has_no_gradient() -> None:
    """It multiplies the loss and must not be optimized itself."""
    trainer = TRAINER.clone().requires_grad_()
    assert not correction_weights(trainer, SAMPLER, MASK, "token_truncate", 2.0).requires_grad


def test_an_unknown_mode_is_refused() -> None:
    """The message lists the four modes."""
    with pytest.raises(ValueError, match="token_truncate, token_mask, sequence_truncate, sequence_mask, not 'none'"):
        correction_weights(TRAINER, SAMPLER, MASK, "none", 2.0)


@pytest.mark.parametrize(("kind", "expected"), [("k1", math.log(2)), ("k2", math.log(2) ** 2 / 2), ("k3", None)])
def test_kl_estimates_by_hand(kind: Any, expected: float | None) -> None:
    """A token twice as likely as under the reference: log 2, its square halved, and 1/2 - 1 + log 2."""
    found = kl_estimate(torch.tensor([0.5]).log(), torch.tensor([0.25]).log(), kind)

    assert found.item() == pytest.approx(math.log(2) - 0.5 if expected is None else expected, rel=1e-5)


def test_k1_and_k3_are_unbiased_and_k3_is_never_negative() -> None:
    """Summed over all words with their probabilities they are the KL divergence exactly; k2 is not."""
    policy, reference = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    exact = (policy * (policy / reference).log()).sum()

    def mean(kind: Any) -> torch.Tensor:
        return (policy * kl_estimate(policy.log(), reference.log(), kind)).sum()

    torch.testing.assert_close((mean("k1"), mean("k3")), (exact, exact))
    assert abs(mean("k2") - exact) > 0.001
    assert (kl_estimate(policy.log(), reference.log(), "k3") >= 0).all()
    assert (kl_estimate(policy.log(), reference.log(), "k1") < 0).any()


def test_as_a_loss_only_k2_has_the_gradient_of_the_divergence() -> None:
    """Expected over the policy's own samples; k1's is zero, k3's that of the divergence the other way round."""
    logits, reference = torch.tensor([0.5, 0.1, -0.4]), torch.tensor([0.2, 0.2, 0.6]).log()

    def gradient(make: Any) -> torch.Tensor:
        leaf = logits.clone().requires_grad_()
        make(leaf.log_softmax(-1)).backward()
        assert leaf.grad is not None
        return leaf.grad

    def of(kind: Any) -> torch.Tensor:
        return gradient(lambda x: (x.detach().exp() * kl_estimate(x, reference, kind)).sum())

    forward = gradient(lambda x: (x.exp() * (x - reference)).sum())
    backward = gradient(lambda x: (reference.exp() * (reference - x)).sum())
    torch.testing.assert_close(of("k2"), forward)
    torch.testing.assert_close(of("k3"), backward)
    torch.testing.assert_close(of("k1"), torch.zeros(3))


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="k1, k2 or k3, not 'k4'"):
        kl_estimate(TRAINER, SAMPLER, "k4")  # type: ignore[arg-type]
