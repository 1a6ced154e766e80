"""Muon equals torch.optim.Muon, moves singular values close to 1, and trains the small GPT."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rlpath.trunk.gpt import GPT, Shape, TrainingSchedule, train
from rlpath.trunk.muon import Muon, held_out_loss, muon, orthogonalize

SHAPE = Shape(vocabulary=32, width=16, layers=1, heads=2, hidden=32, context=16)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (8, 8)])
def test_ten_steps_equal_torch(shape: tuple[int, int]) -> None:
    """The same weights and gradients give the same bits."""
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(shape, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    inputs, targets = torch.randn(20, shape[0], generator=generator), torch.randn(20, shape[1], generator=generator)
    mine = Muon([ours], lr=0.02, weight_decay=0.1, momentum=0.95)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95)
    for _ in range(10):
        for weight, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            F.mse_loss(inputs @ weight, targets).backward()
            optimizer.step()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(40, 10), (10, 40)])
def test_singular_values_end_near_one(shape: tuple[int, int]) -> None:
    """Between 0.6 and 1.3, from a spread of a factor of 16, with the singular vectors kept."""
    u, _, vh = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(1)), full_matrices=False)
    matrix = u @ torch.logspace(0, 1.2, 10).diag() @ vh
    result = orthogonalize(matrix).float()
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6 and values.max() < 1.3
    along = u.T @ result @ vh.T
    assert (along - torch.diag(along.diagonal())).abs().max() < 0.1


def test_a_vector_is_refused() -> None:
    """A bias or a scale belongs to AdamW."""
    with pytest.raises(ValueError, match=r"not for a parameter of shape \(3,\)"):
        Muon([torch.zeros(3, requires_grad=True)])


def test_every_parameter_has_one_optimizer() -> None:
    """Matrices inside the blocks are Muon's, all the rest AdamW's."""
    model = GPT(SHAPE)
    inside, others = (
        [p for group in part.param_groups for p in group["params"]] for part in muon(model, TrainingSchedule())
    )
    assert len(inside) == 7
    assert {id(p) for p in inside} | {id(p) for p in others} == {id(p) for p in model.parameters()}
    assert len(inside) + len(others) == len(list(model.parameters()))


def test_a_repeated_sequence_is_learned() -> None:
    """The loss of a cycle of 8 tokens falls from log 32 to under a tenth of it."""
    tokens = list(range(8)) * 600
    model = GPT(SHAPE)
    assert held_out_loss(model, tokens[:200]) == pytest.approx(3.47, abs=0.1)
    train(model, tokens, TrainingSchedule(batch=4, learning_rate=1e-2, warmup=5), optimizers=muon)
    assert held_out_loss(model, tokens[:200]) < 0.35
