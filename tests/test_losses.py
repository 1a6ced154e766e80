"""The sampler's correction: hand-worked weights, and TRL's formulas on random numbers."""

import math

import pytest
import torch

from rlpath.losses import CORRECTIONS, correction_weights


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
    """It multiplies the loss and must not be optimised itself."""
    trainer = TRAINER.clone().requires_grad_()
    assert not correction_weights(trainer, SAMPLER, MASK, "token_truncate", 2.0).requires_grad


def test_an_unknown_mode_is_refused() -> None:
    """The message lists the four modes."""
    with pytest.raises(ValueError, match="token_truncate, token_mask, sequence_truncate, sequence_mask, not 'none'"):
        correction_weights(TRAINER, SAMPLER, MASK, "none", 2.0)
