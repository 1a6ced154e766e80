"""A2C: its loss by hand, and that its gradient is PPO's with nothing to clip. Against Stable-Baselines3 elsewhere."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from rlpath.deep import a2c, ppo
from rlpath.deep.parts.vec import VectorEnv
from rlpath.deep.ppo import Batch
from rlpath.deep.ppo_continuous import agent_for


def agent_and_batch(rows: int = 16) -> tuple[Any, Batch]:
    agent = agent_for(VectorEnv("CartPole-v1", 1, 0), (8,), True, 0)
    generator = torch.Generator().manual_seed(0)
    obs, action = torch.randn(rows, 4, generator=generator), torch.arange(rows) % 2
    advantage, return_ = torch.randn(2, rows, generator=generator)
    with torch.no_grad():
        logprob, _ = agent.logprob_and_entropy(obs, action)
        return agent, Batch(obs, action, logprob, advantage, return_, agent.value(obs))


def test_the_loss_by_hand() -> None:
    """A policy that is uniform and a value of zero: −mean A·ln ½, entropy ln 2, half the mean square of G."""
    agent, batch = agent_and_batch()
    for network in (agent.actor, agent.critic):
        torch.nn.init.zeros_(network[-1].weight)

    loss, terms = a2c.loss_terms(agent, batch, a2c.Args(ent_coef=0.1, vf_coef=0.3))

    assert terms["policy_loss"].item() == pytest.approx(math.log(2) * batch.advantage.mean().item(), rel=1e-5)
    assert terms["entropy"].item() == pytest.approx(math.log(2), rel=1e-5)
    assert terms["value_loss"].item() == pytest.approx(0.5 * batch.return_.square().mean().item(), rel=1e-5)
    parts = terms["policy_loss"] - 0.1 * terms["entropy"] + 0.3 * terms["value_loss"]
    assert loss.item() == pytest.approx(parts.item(), rel=1e-5)


@pytest.mark.parametrize("norm_adv", [False, True])
def test_it_is_ppo_with_nothing_to_clip(norm_adv: bool) -> None:
    """Before the first step the ratio is 1 and its gradient that of log π: one PPO epoch of one batch is A2C."""
    gradients = []
    shared: dict[str, Any] = {"ent_coef": 0.01, "vf_coef": 0.5, "norm_adv": norm_adv}
    modules: tuple[Any, Any] = (a2c, ppo)
    for module in modules:
        agent, batch = agent_and_batch()
        module.loss_terms(agent, batch, module.Args(**shared))[0].backward()
        gradients.append([weight.grad for weight in agent.parameters()])

    for ours, ppos in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, ppos, rtol=1e-5, atol=1e-7)
