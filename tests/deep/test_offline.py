"""Behavior cloning, CQL and IQL: losses by hand, what each believes of actions that nobody took, and Minari's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.deep.offline import cloning, cql, iql
from rlpath.deep.offline.cloning import OfflineArgs
from rlpath.deep.offline.episodes import read_minari, record, returns, transitions, write_minari
from rlpath.deep.parts.replay import Transitions

SMALL: Any = {"updates": 100, "batch_size": 32, "hidden": (16,), "learning_rate": 3e-2}


def bandit(actions: list[int], rewards: list[float]) -> Transitions:
    """One state whose episodes end at once, an action and its reward a row."""
    rows = len(actions)
    obs = torch.ones(rows, 1)
    return Transitions(obs, torch.tensor(actions), torch.tensor(rewards), obs, torch.ones(rows))


COMMON_IS_BAD = bandit([0] * 6 + [1] * 2, [0.0] * 6 + [1.0] * 2)
"""Three in four recordings take the worse of three actions, none the third."""
OBS = np.ones((1, 1), np.float32)


def test_cloning_takes_what_was_common_and_learners_what_was_good() -> None:
    """Action 0 was taken most, action 1 earned most; nobody took action 2."""
    assert cloning.train(COMMON_IS_BAD, 3, OfflineArgs(**SMALL)).act(OBS).tolist() == [0]
    assert cql.train(COMMON_IS_BAD, 3, cql.CQLArgs(**SMALL, alpha=0.1)).act(OBS).tolist() == [1]
    assert iql.train(COMMON_IS_BAD, 3, iql.IQLArgs(**SMALL)).act(OBS).tolist() == [1]
    assert iql.train(COMMON_IS_BAD, 3, iql.IQLArgs(**SMALL, beta=0.0)).act(OBS).tolist() == [0]


def test_conservatism_pushes_down_what_nobody_tried() -> None:
    """The value of the untried action is below that of every tried one; without the term it is left where it was."""
    seen = torch.ones(1, 1)
    careful, careless = (cql.train(COMMON_IS_BAD, 3, cql.CQLArgs(**SMALL, alpha=a)).network(seen)[0] for a in (1, 0))

    assert careful[2] < careful[:2].min() - 1
    assert careless[:2].tolist() == pytest.approx([0, 1], abs=0.05)


def test_losses_by_hand() -> None:
    """log(e⁰ + e⁰) − 0 = log 2; errors 2 and −2 at τ = 0.9 weigh 0.9 and 0.1."""
    assert cql.conservative_loss(torch.zeros(3, 2), torch.tensor([0, 1, 1])).item() == pytest.approx(np.log(2))
    assert iql.expectile_loss(torch.tensor([2.0, -2.0]), 0.9).item() == pytest.approx((0.9 * 4 + 0.1 * 4) / 2)


def test_the_double_target() -> None:
    """Online prefers action 1, which the target values at 5: y = 1 + 0.5·5, and 1 where the episode ended."""
    online, target = torch.nn.Linear(1, 2), torch.nn.Linear(1, 2)
    for layer, bias in ((online, [0.0, 1.0]), (target, [9.0, 5.0])):
        torch.nn.init.zeros_(layer.weight)
        layer.bias.data = torch.tensor(bias)
    obs = torch.zeros(2, 1)
    batch = Transitions(obs, torch.zeros(2).long(), torch.ones(2), obs, torch.tensor([0.0, 1.0]))

    assert cql.double_target(online, target, batch, 0.5).tolist() == [3.5, 1.0]


@pytest.mark.parametrize("expectile", [0.5, 0.9])
def test_the_value_is_an_expectile(expectile: float) -> None:
    """Of rewards 0 (three in four) and 1: the mean ¼ at ½, and ¾ at 0.9 where ¾·0.1·V = ¼·0.9·(1 − V)."""
    value = torch.zeros((), requires_grad=True)
    for _ in range(300):
        loss = iql.expectile_loss(COMMON_IS_BAD.reward - value, expectile)
        (slope,) = torch.autograd.grad(loss, value)
        value = (value - slope).detach().requires_grad_()

    expected = 0.25 if expectile == 0.5 else 0.75
    assert value.item() == pytest.approx(expected, abs=1e-3)


def test_a_seed_fixes_everything() -> None:
    """The same seed gives the same losses, another one others."""
    losses = [
        iql.train(COMMON_IS_BAD, 3, iql.IQLArgs(**{**SMALL, "updates": 5}, seed=seed)).losses for seed in (1, 1, 2)
    ]

    assert losses[0] == losses[1] != losses[2]


def recorded(steps: int = 60) -> Any:
    return record("CartPole-v1", lambda _: lambda obs, rng: int(rng.integers(2)), steps, seed=7)


def test_episodes_are_whole_and_become_transitions() -> None:
    """Each leads from row to row; the last state of an episode is no start of the next."""
    episodes = recorded()
    data = transitions(episodes)

    assert sum(len(episode.action) for episode in episodes) == len(data.reward) >= 60
    assert data.terminated.sum() == len(episodes) == len(returns(episodes))
    inside = data.terminated[:-1] == 0
    assert torch.equal(data.final_obs[:-1][inside], data.obs[1:][inside])
    assert not torch.equal(data.final_obs[:-1][~inside], data.obs[1:][~inside])
    assert np.array_equal(recorded()[0].obs, episodes[0].obs)


@pytest.mark.needs("envs")
def test_minari_gives_back_what_was_written(tmp_path: Path) -> None:
    """Every number of every episode, twice at the same place; Minari itself knows the environment."""
    minari: Any = pytest.importorskip("minari")
    episodes = recorded()
    paths = [write_minari(tmp_path, "cartpole/test-v0", "CartPole-v1", episodes, "random") for _ in range(2)]
    path = paths[-1]
    again = read_minari(path)

    assert len(again) == len(episodes)
    for one, other in zip(episodes, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    data = minari.MinariDataset(path / "data")
    assert data.spec.env_spec.id == "CartPole-v1" and data.total_steps == len(transitions(episodes).reward)
