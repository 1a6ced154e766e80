"""REINFORCE: whole episodes, returns and losses by hand, and a gradient that is right on average."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import rlpath.deep.parts.probes  # noqa: F401
from rlpath.deep import reinforce
from rlpath.deep.parts.vec import VectorEnv
from rlpath.deep.ppo import Rollout, collect
from rlpath.deep.ppo_continuous import agent_for

UNCOUNTED: Any = SimpleNamespace(advance=lambda steps, episodes: None)


def column(*values: Any) -> Any:
    return np.array(values)[:, None]


# Values are the observations: 1 and 2, then terminated; 4 and 6, then truncated at 8.
ROLLOUT = Rollout(
    obs=column(1, 2, 4, 6).astype(np.float32)[..., None],
    final_obs=column(2, 3, 6, 8).astype(np.float32)[..., None],
    action=column(0, 1, 0, 1),
    reward=column(1, 2, 3, 4).astype(np.float32),
    terminated=column(False, True, False, False),
    truncated=column(False, False, False, True),
)
VALUED: Any = SimpleNamespace(value=lambda obs: obs[..., 0])


@pytest.mark.parametrize(
    ("fields", "returns", "values"),
    [
        ({}, [2, 2, 7, 8], [1, 2, 4, 6]),
        ({"bootstrap_truncated": False}, [2, 2, 5, 4], [1, 2, 4, 6]),
        ({"baseline": False}, [2, 2, 5, 4], [0, 0, 0, 0]),
    ],
    ids=["default", "no bootstrap", "no baseline"],
)
def test_returns_by_hand(fields: dict[str, Any], returns: list[float], values: list[float]) -> None:
    """γ = ½: 1 + ½·2 and 2; 3 + ½·8 and 4 + ½·8. Without a baseline nothing is known of what a truncation cuts off."""
    batch = reinforce.make_batch(VALUED, ROLLOUT, reinforce.Args(gamma=0.5, **fields))

    assert batch.return_.tolist() == returns
    assert batch.value.tolist() == values
    assert batch.obs.shape == (4, 1)
    assert batch.action.tolist() == [0, 1, 0, 1]


def test_episodes_are_played_to_their_end() -> None:
    """Three of them, the last step of the rollout ends the third; drawing runs on past one block."""
    envs = VectorEnv("CartPole-v1", 1, 0)
    agent = agent_for(envs, (8,), True, 0)
    rollout = collect(envs, agent, np.random.default_rng(0), UNCOUNTED, steps=7, episodes=3)

    assert rollout.done.sum() == 3
    assert rollout.done[-1, 0]
    assert len(rollout.obs) > 14


def test_the_gradient_is_that_of_the_expected_return() -> None:
    """One step, reward ±1 by the action: averaged over 10 000 draws it is dJ/dθ = 2·p·(1−p) at p = ½, baseline or not.

    J = p − (1 − p) with p = σ(θ₁ − θ₀), so dJ/dθ₁ = 2·p·(1−p).
    """
    envs = VectorEnv("probe/ActionReward-v0", 1, 0)
    for baseline in (False, True):
        agent: Any = agent_for(envs, (), True, 0)
        torch.nn.init.zeros_(agent.actor[0].weight)
        torch.nn.init.constant_(agent.critic[0].bias, 0.7)
        args = reinforce.Args(norm_adv=False, baseline=baseline)
        rollout = collect(envs, agent, np.random.default_rng(0), UNCOUNTED, steps=512, episodes=10_000)
        loss, _ = reinforce.policy_loss(agent, reinforce.make_batch(agent, rollout, args), args)
        loss.backward()
        # Four standard errors of ½·(R − b) over the draws.
        assert (-agent.actor[0].bias.grad).tolist() == pytest.approx([-0.5, 0.5], abs=4 * 0.5 / 10_000**0.5 * 1.3)


def test_the_baseline_is_fitted_after_the_policys_step() -> None:
    """Figures are those before it; the fit brings its error down and leaves the policy alone."""
    envs = VectorEnv("CartPole-v1", 1, 0)
    agent = agent_for(envs, (8,), True, 0)
    args = reinforce.Args(baseline_updates=20)
    rollout = collect(envs, agent, np.random.default_rng(0), UNCOUNTED, steps=64, episodes=2)
    batch = reinforce.make_batch(agent, rollout, args)
    before = reinforce.value_loss(agent, batch).item()
    policy = torch.optim.SGD(reinforce.policy_parameters(agent), 0.0)

    figures = reinforce.update(agent, policy, torch.optim.Adam(agent.critic.parameters(), 0.01), batch, args)

    assert figures["losses/value_loss"] == pytest.approx(before)
    assert reinforce.value_loss(agent, batch).item() < before
    assert {id(weight) for weight in reinforce.policy_parameters(agent)} == {
        id(weight) for weight in agent.actor.parameters()
    }
