"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4), over whole episodes.

    G_t     = r_t + γ·r_{t+1} + γ²·r_{t+2} + …           to the end of the episode
    policy  = −mean (G_t − V(s_t))·log π(a_t|s_t) − c_H·entropy
    value   = ½ mean (V(s_t) − G_t)²

One environment is played until `episodes_per_update` episodes have ended, so that a short episode counts as often as
a long one; then the policy takes one step and the baseline a few. Nothing is bootstrapped but the end of an episode
that was truncated. As everywhere in practice the factor γ^t of the textbook's update is left out: states late in an
episode count as much as early ones.

    the baseline only lowers the variance                 baseline=False leaves it out
    advantages normalized over the episodes             norm_adv
    the rest of a truncated episode is its last value     bootstrap_truncated
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import MakeNetwork
from rlpath.deep.parts.normalize import Normalize, make_envs
from rlpath.deep.parts.training import Args as Common
from rlpath.deep.parts.training import Result, Training, explained_variance
from rlpath.deep.parts.vec import MakeEnv
from rlpath.deep.ppo import Agent, Rollout, collect, normalize_advantages, values_along
from rlpath.deep.ppo_continuous import agent_for, policy_on
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
DRAWN_AT_ONCE = 512


@dataclass(frozen=True)
class Args(Common):
    """Settings that learn CartPole."""

    learning_rate: float = 1e-2
    """Adam's step size for the policy."""
    baseline_learning_rate: float = 1e-2
    """Adam's step size for the baseline."""
    episodes_per_update: int = 8
    """Episodes played between two steps of the policy."""
    baseline_updates: int = 10
    """Steps of the baseline on these episodes, after the policy's."""
    gamma: float = 0.99
    """Discount."""
    baseline: bool = True
    """Subtract the learned value of the state from the return."""
    norm_adv: bool = True
    """Normalize the advantages of an update."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: float = 0.5
    """Largest gradient norm of the policy; infinity switches it off."""
    bootstrap_truncated: bool = True
    """Give a truncated episode the value of its last state; otherwise it counts as terminated. Needs the baseline."""
    orthogonal_init: bool = True
    """Orthogonal weights with gains √2, 0.01, 1; otherwise torch's own."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value network."""
    normalize: Normalize = "none"
    """Whether observations and rewards are normalized by running statistics; shared and per_env differ in detail."""
    log_std: float = 0.0
    """Logarithm of the standard deviation of continuous actions at the start."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense."""
        super().check()
        self.require_positive("learning_rate", "baseline_learning_rate", "episodes_per_update", "max_grad_norm")
        self.require("not negative", lambda value: value >= 0, "baseline_updates")
        self.require_share("gamma")


class Batch(NamedTuple):
    """The steps of some whole episodes, (T, …)."""

    obs: Tensor
    action: Tensor
    return_: Tensor
    value: Tensor


def discounted_returns(reward_t: Array, done_t: Array, bootstrap_t: Array, discount: float) -> Array:
    """G_t = r_t + γ·G_{t+1} within an episode, (T, N).

    Where step t ends an episode, and after the last step, the rest is `bootstrap_t`: zero where it terminated, else
    the value of where it led.
    """
    returns_t = np.empty(reward_t.shape, np.result_type(reward_t, bootstrap_t, np.float32))
    following = bootstrap_t[-1]
    for t in reversed(range(len(reward_t))):
        following = reward_t[t] + discount * np.where(done_t[t], bootstrap_t[t], following)
        returns_t[t] = following
    return returns_t


@torch.no_grad()
def make_batch(agent: Agent, rollout: Rollout, args: Args) -> Batch:
    """Returns to the end of the episode, and the baseline before it is fitted to them (zero without one)."""
    value_t, value_tp1 = values_along(agent, rollout, args.bootstrap_truncated and args.baseline)
    return_t = discounted_returns(rollout.reward, rollout.done, value_tp1, args.gamma)
    columns = (rollout.obs, rollout.action, return_t, value_t if args.baseline else np.zeros_like(value_t))
    return Batch(*(torch.from_numpy(column).flatten(0, 1) for column in columns))


def policy_parameters(agent: Agent) -> list[nn.Parameter]:
    """All weights but the baseline's."""
    return [weight for name, weight in agent.named_parameters() if not name.startswith("critic.")]


def policy_loss(agent: Agent, batch: Batch, args: Args) -> tuple[Tensor, Tensor]:
    """The loss of the policy and its mean entropy."""
    logprob, entropy = agent.logprob_and_entropy(batch.obs, batch.action)
    advantage = batch.return_ - batch.value
    # A single step has no spread to normalize by.
    if args.norm_adv and len(advantage) > 1:
        advantage = normalize_advantages(advantage)
    return -(advantage * logprob).mean() - args.ent_coef * entropy.mean(), entropy.mean().detach()


def value_loss(agent: Agent, batch: Batch) -> Tensor:
    """Half the mean squared error of the baseline."""
    return 0.5 * (agent.value(batch.obs) - batch.return_).square().mean()


def update(
    agent: Agent, optimizer: torch.optim.Optimizer, baseline: torch.optim.Optimizer, batch: Batch, args: Args
) -> dict[str, float]:
    """One step of the policy, then the baseline's; returns the figures before them, under CleanRL's names."""
    loss, entropy = policy_loss(agent, batch, args)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy_parameters(agent), args.max_grad_norm)
    optimizer.step()
    figures = {"losses/policy_loss": loss.item(), "losses/entropy": entropy.item()}
    if not args.baseline:
        return figures
    before = value_loss(agent, batch).item()
    for _ in range(args.baseline_updates):
        baseline.zero_grad()
        value_loss(agent, batch).backward()
        baseline.step()
    explained = explained_variance(batch.value, batch.return_)
    return figures | {"losses/value_loss": before, "losses/explained_variance": explained}


def train(
    args: Args,
    run: RunFolder | None = None,
    *,
    make_env: MakeEnv | None = None,
    make_network: MakeNetwork | None = None,
) -> Result:
    """Train until at least `args.total_timesteps` steps have been taken: the last episodes are played to their end.

    With `run`, episodes, losses and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = make_envs(make_env or args.env_id, 1, args.seed, args.normalize, args.gamma)
    agent = agent_for(envs, args.hidden, args.orthogonal_init, args.seed, args.log_std, make_network)
    optimizer = torch.optim.Adam(policy_parameters(agent), args.learning_rate, fused=True)
    baseline = torch.optim.Adam(agent.critic.parameters(), args.baseline_learning_rate, fused=True)
    rng = np.random.default_rng(derive(args.seed, "reinforce"))
    training = Training(args, run, agent=agent, optimizer=optimizer, baseline=baseline, envs=envs, rng=rng)
    for _ in training.iterations():
        rollout = collect(envs, agent, rng, training, steps=DRAWN_AT_ONCE, episodes=args.episodes_per_update)
        training.log(update(agent, optimizer, baseline, make_batch(agent, rollout, args), args))
    envs.close()
    return training.result(agent, policy_on(envs, agent, args.seed))
