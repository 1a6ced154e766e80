"""Implicit Q-learning for discrete actions (Kostrikov et al. 2022, arXiv:2110.06169).

    V      mean |τ − [u < 0]|·u²,  u = min_i Q'_i(s, a) − V(s)              an upper expectile of the recorded actions
    Q_i    mean (Q_i(s, a) − r − γ·(1 − terminated)·V(s'))²                 two critics
    π      −mean min(exp(β·(min_i Q'_i(s, a) − V(s))), 100)·log π(a|s)
    Q'_i   ← (1 − τ')·Q'_i + τ'·Q_i

No value of an action that nobody took is ever asked for. With τ = ½, V is the value of the recording policy; towards 1
it becomes that of the best of its actions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.offline.cloning import Learned, OfflineArgs, network
from rlpath.deep.offline.episodes import batches
from rlpath.deep.parts.off_policy import adam, descend, follow
from rlpath.deep.parts.replay import Transitions

LARGEST_WEIGHT = 100.0


@dataclass(frozen=True)
class IQLArgs(OfflineArgs):
    """The settings of IQL, the paper's for locomotion."""

    expectile: float = 0.7
    """τ: ½ is the mean, towards 1 the largest."""
    beta: float = 3.0
    """How much more an action counts that was better than usual; 0 is behavior cloning."""


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """mean |τ − [u < 0]|·u², (B,) → scalar."""
    weight = torch.where(error < 0, 1 - expectile, expectile)
    return (weight * error.square()).mean()


def smaller(critics: nn.ModuleList, batch: Transitions) -> Tensor:
    """The smaller value of the recorded actions, (B,)."""
    rows = torch.stack([critic(batch.obs) for critic in critics]).min(0).values
    return rows.gather(-1, batch.action[:, None]).squeeze(-1)


def train(data: Transitions, actions: int, args: IQLArgs) -> Learned:
    """Learn values of recorded actions, and a policy that prefers those that did better than usual."""
    value, policy = network(data, 1, args, "value"), network(data, actions, args, "policy")
    critics = nn.ModuleList(network(data, actions, args, f"q{i}") for i in range(2))
    targets = copy.deepcopy(critics)
    of_value, of_policy, of_critics = (adam(part.parameters(), args.learning_rate) for part in (value, policy, critics))
    losses: dict[str, float] = {}
    for batch in batches(data, args.updates, args.batch_size, derive(args.seed, "batches")):
        with torch.no_grad():
            q = smaller(targets, batch)
        advantage = q - value(batch.obs).squeeze(-1)
        value_loss = expectile_loss(advantage, args.expectile)
        descend(of_value, value_loss)
        with torch.no_grad():
            y = batch.reward + args.gamma * (1 - batch.terminated) * value(batch.final_obs).squeeze(-1)
        taken = torch.stack([critic(batch.obs).gather(-1, batch.action[:, None]).squeeze(-1) for critic in critics])
        q_loss = (taken - y).square().mean(-1).sum()
        descend(of_critics, q_loss)
        weight = (args.beta * advantage.detach()).exp().clamp(max=LARGEST_WEIGHT)
        logprob = policy(batch.obs).log_softmax(-1).gather(-1, batch.action[:, None]).squeeze(-1)
        policy_loss = -(weight * logprob).mean()
        descend(of_policy, policy_loss)
        follow(targets, critics, args.tau)
        losses = {"value_loss": value_loss.item(), "q_loss": q_loss.item(), "policy_loss": policy_loss.item()}
    return Learned(policy, losses)
