"""Conservative Q-learning for discrete actions (Kumar et al. 2020, arXiv:2006.04779, equation 4).

    y    = r + γ·(1 − terminated)·Q'(s', argmax_a Q(s', a))            double Q-learning's target
    loss = α·mean (log Σ_a exp Q(s, a) − Q(s, a_recorded)) + ½ mean (Q(s, a_recorded) − y)²
    Q'   ← (1 − τ)·Q' + τ·Q

Q-learning alone believes in actions that nobody tried: it can only guess their values, and it takes the largest.
The first term pushes down every action's value and up that of the recorded one. With α = 0 it is DQN on a fixed set.
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


@dataclass(frozen=True)
class CQLArgs(OfflineArgs):
    """The settings of CQL."""

    alpha: float = 1.0
    """How conservative the values are: 0 is DQN."""


def conservative_loss(q: Tensor, action: Tensor) -> Tensor:
    """log Σ_a exp Q(s, a) − Q(s, a_recorded), the mean over rows; (B, A) and (B,). Never negative."""
    return (q.logsumexp(-1) - q.gather(-1, action[:, None]).squeeze(-1)).mean()


@torch.no_grad()
def double_target(online: nn.Module, target: nn.Module, batch: Transitions, gamma: float) -> Tensor:
    """y, (B,)."""
    best = online(batch.final_obs).argmax(-1, keepdim=True)
    return batch.reward + gamma * (1 - batch.terminated) * target(batch.final_obs).gather(-1, best).squeeze(-1)


def train(data: Transitions, actions: int, args: CQLArgs) -> Learned:
    """Learn action values from recorded transitions; the policy takes the largest."""
    online = network(data, actions, args, "q")
    target = copy.deepcopy(online)
    optimizer = adam(online.parameters(), args.learning_rate)
    losses: dict[str, float] = {}
    for batch in batches(data, args.updates, args.batch_size, derive(args.seed, "batches")):
        y = double_target(online, target, batch, args.gamma)
        q = online(batch.obs)
        taken = q.gather(-1, batch.action[:, None]).squeeze(-1)
        td_loss = 0.5 * (taken - y).square().mean()
        gap = conservative_loss(q, batch.action)
        descend(optimizer, args.alpha * gap + td_loss)
        follow(target, online, args.tau)
        losses = {"td_loss": td_loss.item(), "conservative_loss": gap.item(), "value": q.max(-1).values.mean().item()}
    return Learned(online, losses)
