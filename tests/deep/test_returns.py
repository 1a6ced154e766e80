"""Returns and advantages: worked by hand, against the definition summed term by term, against Stable-Baselines3."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from rlpath.deep.ppo import estimate_advantages as gae
from rlpath.deep.reinforce import discounted_returns


def column(*values: float) -> Any:
    return np.array(values, np.float32)[:, None]


def ends(*values: int) -> Any:
    return np.array(values, bool)[:, None]


def test_gae_by_hand() -> None:
    """γ = ½, λ = ½, so that δ' counts a quarter: δ = 2, 1, −3; A = 2 + ¼·¼, 1 + ¼·(−3), −3."""
    advantage = gae(column(2, 1, 1), column(1, 2, 4), column(2, 4, 0), ends(0, 0, 1), 0.5, 0.5)

    np.testing.assert_array_equal(advantage, column(2.0625, 0.25, -3))


def test_an_end_stops_what_flows_back() -> None:
    """The same with an end after the first step, whose last state is worth 2 as before: a truncation."""
    advantage = gae(column(2, 1, 1), column(1, 2, 4), column(2, 4, 0), ends(1, 0, 1), 0.5, 0.5)

    np.testing.assert_array_equal(advantage, column(2, 0.25, -3))


def random_rollout(steps: int = 40, envs: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    done = rng.random((steps, envs)) < 0.15
    value = rng.normal(size=(steps + 1, envs)).astype(np.float32)
    return {
        "reward": rng.normal(size=(steps, envs)).astype(np.float32),
        "value": value[:-1],
        "next": np.where(done, 0, value[1:]).astype(np.float32),
        "done": done,
    }


@pytest.mark.parametrize("lambda_", [0.0, 0.9, 1.0])
def test_gae_is_its_definition(lambda_: float) -> None:
    """Σ (γλ)^k δ_{t+k} to the end of the episode, by a double loop."""
    data, gamma = random_rollout(), 0.95
    advantage = gae(data["reward"], data["value"], data["next"], data["done"], gamma, lambda_)

    delta = data["reward"] + gamma * data["next"] - data["value"]
    for n in range(3):
        for t in range(40):
            total = 0.0
            for k in range(40 - t):
                total += (gamma * lambda_) ** k * delta[t + k, n]
                if data["done"][t + k, n]:
                    break
            assert advantage[t, n] == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.9, 1.0])
def test_gae_is_that_of_stable_baselines3(lambda_: float) -> None:
    """Terminations and rollouts that are cut; truncations are compared in test_equal_sb3_onpolicy.py."""
    data = random_rollout()
    box = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    buffer = RolloutBuffer(40, box, gymnasium.spaces.Discrete(2), "cpu", gae_lambda=lambda_, gamma=0.95, n_envs=3)
    starts = np.vstack([np.ones((1, 3), bool), data["done"][:-1]])
    nothing = np.zeros((3, 1), np.float32)
    for t in range(40):
        value = torch.from_numpy(data["value"][t])
        buffer.add(nothing, nothing, data["reward"][t], starts[t], value, torch.zeros(3))
    buffer.compute_returns_and_advantage(torch.from_numpy(data["next"][-1]), data["done"][-1])

    advantage = gae(data["reward"], data["value"], data["next"], data["done"], 0.95, lambda_)

    np.testing.assert_allclose(advantage, buffer.advantages, atol=1e-6)
    assert advantage.dtype == np.float32


def test_returns_by_hand() -> None:
    """γ = ½; the first episode terminates, the second is truncated where 8 is left, the third is cut at 16."""
    returns = discounted_returns(column(1, 2, 4, 4, 2), ends(0, 1, 0, 1, 0), column(9, 0, 9, 8, 16), 0.5)

    np.testing.assert_array_equal(returns, column(2, 2, 8, 8, 10))


def test_returns_are_advantages_of_lambda_one() -> None:
    """G − V is GAE with λ = 1, whatever V is."""
    data = random_rollout()
    returns = discounted_returns(data["reward"], data["done"], data["next"], 0.95)
    advantage = gae(data["reward"], data["value"], data["next"], data["done"], 0.95, 1.0)

    np.testing.assert_allclose(returns - data["value"], advantage, atol=1e-5)


def test_environments_do_not_mix() -> None:
    """Each column alone gives what it gives among others."""
    data = random_rollout()
    together = gae(data["reward"], data["value"], data["next"], data["done"], 0.95, 0.9)
    for n in range(3):
        reward, value, following, done = (data[name][:, n : n + 1] for name in ("reward", "value", "next", "done"))
        np.testing.assert_array_equal(gae(reward, value, following, done, 0.95, 0.9), together[:, n : n + 1])


def test_whole_rewards_have_fractional_returns() -> None:
    """Integers are not cut to integers."""
    whole = np.array([[1], [1]])

    assert discounted_returns(whole, ends(0, 1), np.zeros((2, 1)), 0.5).ravel().tolist() == [1.5, 1.0]
