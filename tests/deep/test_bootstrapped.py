"""Bootstrapped DQN on DeepSea: heads, priors and masks by hand, and the treasure that ε-greedy does not find."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from rlpath.deep.exploration.bootstrapped import BootstrappedArgs, Ensemble, Heads, loss, train
from rlpath.deep.exploration.deep_sea import DeepSea
from rlpath.deep.parts.replay import Transitions
from rlpath.deep.parts.vec import VectorEnv
from rlpath.tabular.deep_sea import deep_sea
from rlpath.tabular.dp import optimum

ARGS = BootstrappedArgs(heads=3, hidden=(8,), episodes=4)


def test_the_sea_is_that_of_the_tables() -> None:
    """The way to the right earns 1 − 0.01 in N steps, which is the optimum; any other way at most nothing."""
    env = DeepSea(4)
    env.reset(seed=0)
    steps = [env.step(1) for _ in range(4)]
    model = deep_sea(4)

    assert sum(step[1] for step in steps) == pytest.approx(0.99)
    assert [step[2] for step in steps] == [False, False, False, True]
    assert optimum(model) == pytest.approx(0.99)
    env.reset()
    assert sum(env.step(action)[1] for action in (0, 1, 1, 1)) < 0
    VectorEnv(lambda: DeepSea(3), 1, 0).check_repeatable()


def test_heads_are_separate_and_the_same_alone() -> None:
    """Together and one by one in NumPy they give the same; no two begin alike."""
    heads = Heads(3, (5, 8, 2), torch.Generator().manual_seed(0))
    obs = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    out = heads(obs)

    assert out.shape == (3, 4, 2)
    for head in range(3):
        alone = np.stack([heads.alone(head)(row) for row in obs.numpy()])
        assert np.allclose(out[head].detach().numpy(), alone, atol=1e-6)
    assert not torch.allclose(out[0], out[1])


def test_priors_are_added_and_never_learn() -> None:
    """Q_k = f_k + β·p_k; training moves the first alone."""
    ensemble = Ensemble(9, 2, ARGS)
    obs = torch.eye(9)[:2]
    assert torch.allclose(ensemble(obs), ensemble.learned(obs) + 3 * ensemble.prior(obs))

    trained, earned = train(replace(ARGS, episodes=60, learning_starts=20, batch_size=16), lambda: DeepSea(3))

    assert all(torch.equal(a, b) for a, b in zip(trained.prior.parameters(), ensemble.prior.parameters(), strict=True))
    assert not torch.equal(trained.learned.weights[0], ensemble.learned.weights[0])
    assert len(earned) == 60


def test_a_mask_hides_a_transition_from_a_head_and_targets_are_its_own() -> None:
    """A head that is masked everywhere has no gradient; another head's target does not move its loss."""
    online = Ensemble(2, 2, ARGS)
    target = copy.deepcopy(online)
    batch = Transitions(torch.eye(2), torch.tensor([0, 1]), torch.ones(2), torch.eye(2), torch.tensor([0.0, 1.0]))
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    before = loss(online, target, batch, mask, 0.5)
    before.backward()

    gradient = online.learned.weights[0].grad
    assert gradient is not None and [bool(rows.any()) for rows in gradient] == [True, False, True]
    target.learned.biases[-1].data[1] += 100
    assert loss(online, target, batch, mask, 0.5).item() == before.item()
    y = 1 + 0.5 * target(batch.final_obs)[0, 0].max() - online(batch.obs)[0, 0, 0]
    one = loss(online, target, batch, torch.tensor([[1.0, 0], [0, 0], [0, 0]]), 0.5)
    assert one.item() == pytest.approx(y.item() ** 2 / 2, rel=1e-5)


def test_a_head_acts_for_a_whole_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is drawn at the start and after each episode, and not always the same."""
    drawn: list[int] = []
    greedy = Ensemble.greedy
    monkeypatch.setattr(Ensemble, "greedy", lambda self, head: drawn.append(head) or greedy(self, head))
    train(replace(ARGS, episodes=9, learning_starts=1000), lambda: DeepSea(4))

    assert len(drawn) == 10 and len(set(drawn)) > 1


def test_the_treasure_is_found_and_kept() -> None:
    """Six steps to the right, which chance takes once in 64 episodes: the last of 80 episodes all end there."""
    args = replace(ARGS, heads=5, episodes=80, learning_starts=64, batch_size=64, hidden=(32,))
    (_, earned), (_, same) = (train(args, lambda: DeepSea(6)) for _ in range(2))

    assert earned == same
    assert min(earned[-5:]) > 0.5
