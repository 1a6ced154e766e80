"""Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783), synchronous, for discrete and continuous actions.

    policy  = −mean A·log π(a|s)              A: GAE over n steps; with λ = 1 the n-step return minus the value
    value   = ½ mean (V − G)²                 G = A + V_old
    loss    = policy − c_H·entropy + c_V·value

One step on all the rows of a short rollout, and the rollout is thrown away: PPO with one epoch, one minibatch and
nothing to clip, whose gradient this is (Huang et al. 2022, arXiv:2205.09123; tests/deep/test_a2c.py).

Stable-Baselines3's A2C is the reference, and the defaults are its own. What it does and where:
    RMSprop, decay 0.99, ε 1e-5 added to the root; Adam on request     use_rms_prop, optimizer_eps
    value loss not halved, coefficient 0.5                             vf_coef, doubled
    a truncated episode's last value is added                          bootstrap_truncated
    a schedule counts the rollout as done before its update            anneal_lr, with anneal_late
    advantages are not normalized                                    norm_adv
The original adds ε inside the root, begins the mean square at 1 and shares the networks' first layers: none is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import MakeNetwork
from rlpath.deep.parts.normalize import Normalize, make_envs
from rlpath.deep.parts.training import Result, RolloutArgs, Training, explained_variance
from rlpath.deep.parts.vec import MakeEnv
from rlpath.deep.ppo import Agent, Batch, collect, make_batch, normalize_advantages
from rlpath.deep.ppo_continuous import agent_for, policy_on
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
RMS_DECAY = 0.99


@dataclass(frozen=True)
class Args(RolloutArgs):
    """Stable-Baselines3's defaults, with eight environments."""

    learning_rate: float = 7e-4
    """The optimizer's step size."""
    anneal_lr: bool = False
    """Bring the step size down to zero, linearly over the updates."""
    anneal_late: bool = True
    """Count a rollout as done before its update: the last step size is then zero (Stable-Baselines3)."""
    num_envs: int = 8
    """Environments stepped together."""
    num_steps: int = 5
    """Steps of each environment in a rollout: n of the n-step return."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 1.0
    """λ of GAE: 1 is the n-step return."""
    norm_adv: bool = False
    """Normalize the advantages of a rollout."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus."""
    vf_coef: float = 1.0
    """Weight of the value loss, which is half the squared error: twice Stable-Baselines3's number."""
    max_grad_norm: float = 0.5
    """Largest gradient norm, over all weights together; infinity switches it off."""
    bootstrap_truncated: bool = True
    """Give a truncated episode the value of its last state; otherwise it counts as terminated."""
    orthogonal_init: bool = True
    """Orthogonal weights with gains √2, 0.01, 1; otherwise torch's own."""
    use_rms_prop: bool = True
    """RMSprop; otherwise Adam."""
    optimizer_eps: float = 1e-5
    """The optimizer's ε."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value network."""
    normalize: Normalize = "none"
    """Statistics that observations and rewards are normalized by: shared (VecNormalize), per_env, none."""
    log_std: float = 0.0
    """Logarithm of the standard deviation of continuous actions at the start."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense or there is nothing to do."""
        super().check()
        self.require_positive("learning_rate", "max_grad_norm", "optimizer_eps")
        self.require_share("gamma", "gae_lambda")
        if self.norm_adv and self.batch_size == 1:
            raise InputError("one row has no spread to normalize by; take more steps, or --no-norm-adv")


def loss_terms(agent: Agent, batch: Batch, args: Args) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss to step on, and its terms without gradient."""
    logprob, entropy = agent.logprob_and_entropy(batch.obs, batch.action)
    advantage = normalize_advantages(batch.advantage) if args.norm_adv and len(batch.advantage) > 1 else batch.advantage
    pg_loss = -(advantage * logprob).mean()
    v_loss = 0.5 * (agent.value(batch.obs) - batch.return_).square().mean()
    loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss
    terms = {"policy_loss": pg_loss, "value_loss": v_loss, "entropy": entropy.mean()}
    return loss, {name: term.detach() for name, term in terms.items()}


def update(agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, args: Args) -> dict[str, float]:
    """One step on the whole rollout; returns its figures, under CleanRL's names."""
    loss, terms = loss_terms(agent, batch, args)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
    optimizer.step()
    return {f"losses/{name}": term.item() for name, term in terms.items()}


def make_optimizer(agent: Agent, args: Args) -> torch.optim.Optimizer:
    """RMSprop or Adam over all weights."""
    if args.use_rms_prop:
        return torch.optim.RMSprop(agent.parameters(), args.learning_rate, alpha=RMS_DECAY, eps=args.optimizer_eps)
    return torch.optim.Adam(agent.parameters(), args.learning_rate, eps=args.optimizer_eps, fused=True)


def train(
    args: Args,
    run: RunFolder | None = None,
    *,
    make_env: MakeEnv | None = None,
    make_network: MakeNetwork | None = None,
) -> Result:
    """Train `args.total_timesteps` steps, rounded down to whole rollouts; losses are logged a hundred times or so.

    With `run`, episodes, losses and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = make_envs(make_env or args.env_id, args.num_envs, args.seed, args.normalize, args.gamma)
    agent = agent_for(envs, args.hidden, args.orthogonal_init, args.seed, args.log_std, make_network)
    optimizer = make_optimizer(agent, args)
    rng = np.random.default_rng(derive(args.seed, "a2c"))
    training = Training(args, run, agent=agent, optimizer=optimizer, envs=envs, rng=rng)
    # Updates are short and many: a line for each would be a file of hundreds of thousands.
    log_every = max(1, args.num_iterations // 100)
    for iteration in training.iterations(args.num_iterations):
        if args.anneal_lr:
            left = 1 - (iteration + args.anneal_late) / args.num_iterations
            optimizer.param_groups[0]["lr"] = left * args.learning_rate
        rollout = collect(envs, agent, rng, training, steps=args.num_steps)
        batch = make_batch(agent, rollout, args.gamma, args.gae_lambda, args.bootstrap_truncated)
        figures = update(agent, optimizer, batch, args)
        if (iteration + 1) % log_every == 0:
            explained = {"losses/explained_variance": explained_variance(batch.value, batch.return_)}
            training.log(figures | explained | {"charts/learning_rate": optimizer.param_groups[0]["lr"]})
    envs.close()
    return training.result(agent, policy_on(envs, agent, args.seed))
