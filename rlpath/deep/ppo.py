"""Proximal policy optimisation for discrete actions (Schulman et al. 2017, arXiv:1707.06347), on one page.

    ratio   = π(a|s) / π_old(a|s)
    policy  = −mean min(ratio·A, clip(ratio, 1−ε, 1+ε)·A)            A: GAE, standardised per minibatch
    value   = ½ mean max((V−G)², (clip(V, V_old−ε, V_old+ε)−G)²)     G = A + V_old
    loss    = policy − c_H·entropy + c_V·value

The details that matter, after Huang et al. 2022, "The 37 Implementation Details of PPO"; without any one of them a
test fails (tests/deep/test_mutations.py), and all but the shuffling can be switched off:
    vectorised environments               `collect`          orthogonal weights, gains √2, 0.01, 1    `ActorCritic`
    GAE; truncation bootstraps            `make_batch`       Adam's ε of 1e-5                         `iterate`
    learning rate annealed to zero        `annealed`         shuffled minibatches, several epochs     `update`
    advantages standardised by minibatch  `policy_loss`      clipped surrogate                        `policy_loss`
    clipped value loss                    `value_loss`       entropy bonus                            `loss_terms`
    gradient norm clipped over all        `update`           stop at a KL divergence                  `update`

Where the two libraries that people compare with differ, and what makes this file do as either (the tests hold it to
both, step for step). CleanRL's choice is the default but for the first row:
    what                                CleanRL                       Stable-Baselines3             here
    a truncated episode's last value    dropped (treated as the end)  γ·V(final state) is added     bootstrap_truncated
    value loss                          ½ mean squared error          mean squared error            vf_coef, doubled
    value clipping, where used          max(clipped, unclipped)       clipped alone                 vloss_max
    update u of U runs at (from 0)      lr·(1 − u/U)                  lr·(1 − (u+1)/U)              anneal_late
    clip range                          constant                      constant or a schedule        anneal_clip
    target_kl is tested                 after an epoch, on its last   before every step, against    kl_per_minibatch
                                        minibatch                     1.5 × target_kl
    a last, smaller minibatch           none: sizes must divide       taken                         sizes must divide
    steps that are not whole rollouts   rounded down                  rounded up                    total_timesteps
    losses in the log                   of the last minibatch         mean over minibatches         as CleanRL
    rows of a rollout, and shuffling    by time, cumulative           by environment, afresh        by time, afresh
The last row changes no distribution, only which numbers a seed gives. Equal in both: Adam's ε, the initial weights'
distribution, the standardisation of advantages (unbiased deviation + 1e-8), environments seeded seed + i.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.deep.parts.actor_critic import (
    ActorCritic,
    Batch,
    agent_for,
    collect,
    explained_variance,
    make_batch,
    policy,
    standardised,
)
from rlpath.deep.parts.training import Args as Common
from rlpath.deep.parts.training import Result, Training, require_space
from rlpath.deep.parts.vec import Environments, Spaces, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
KL_MARGIN = 1.5  # Stable-Baselines3's, where it tests every minibatch


@dataclass(frozen=True)
class Args(Common):
    """CleanRL's defaults for classic control, with bootstrapped truncations."""

    learning_rate: float = 2.5e-4
    """Adam's step size."""
    anneal_lr: bool = True
    """Bring the step size down to zero, linearly over the updates."""
    anneal_clip: bool = False
    """Bring clip_coef down in the same way."""
    anneal_late: bool = False
    """Count a rollout as done before its update: the last step size is then zero (Stable-Baselines3)."""
    num_envs: int = 4
    """Environments stepped together."""
    num_steps: int = 128
    """Steps of each environment in a rollout."""
    num_minibatches: int = 4
    """Minibatches a rollout is cut into."""
    update_epochs: int = 4
    """Passes over a rollout."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """λ of GAE: 0 is one-step, 1 Monte Carlo."""
    norm_adv: bool = True
    """Standardise the advantages of a minibatch."""
    clip_coef: float = 0.2
    """ε of the clipped surrogate and of the clipped value loss; infinity switches both off."""
    clip_vloss: bool = True
    """Clip the value loss too."""
    vloss_max: bool = True
    """Of the clipped and the unclipped value error take the larger; otherwise the clipped (Stable-Baselines3)."""
    ent_coef: float = 0.01
    """Weight of the entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value loss, which is half the squared error: twice Stable-Baselines3's number."""
    max_grad_norm: float = 0.5
    """Largest gradient norm, over all weights together; infinity switches it off."""
    target_kl: float | None = None
    """Stop a rollout's updates once the approximate KL divergence exceeds this."""
    kl_per_minibatch: bool = False
    """Test before every step, against 1.5 × target_kl (Stable-Baselines3); otherwise after every epoch."""
    bootstrap_truncated: bool = True
    """Give a truncated episode the value of its last state. CleanRL treats it as terminated (False)."""
    orthogonal_init: bool = True
    """Orthogonal weights with gains √2, 0.01, 1; otherwise torch's own."""
    adam_eps: float = 1e-5
    """Adam's ε; torch's own is 1e-8."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value network."""

    @property
    def batch_size(self) -> int:
        """Environment steps in a rollout."""
        return self.num_envs * self.num_steps

    @property
    def num_iterations(self) -> int:
        """Whole rollouts in `total_timesteps`."""
        return self.total_timesteps // self.batch_size

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense, sizes do not divide or there is nothing to do."""
        super().check()
        self.require_positive("learning_rate", "num_envs", "num_steps", "num_minibatches", "update_epochs")
        self.require_positive("clip_coef", "max_grad_norm", "adam_eps")
        self.require_share("gamma", "gae_lambda")
        if self.batch_size % self.num_minibatches:
            rows = f"{self.num_envs} environments × {self.num_steps} steps = {self.batch_size} rows"
            raise InputError(f"{rows} do not divide into {self.num_minibatches} minibatches")
        if self.norm_adv and self.batch_size == self.num_minibatches:
            raise InputError("minibatches of one row have no spread to standardise by; use fewer, or --no-norm-adv")
        if self.total_timesteps < self.batch_size:
            raise InputError(f"{self.total_timesteps} steps are fewer than one rollout of {self.batch_size}")


def policy_loss(ratio: Tensor, advantage: Tensor, args: Args) -> Tensor:
    """The clipped surrogate, to be minimised, from (B,) ratios and advantages."""
    if args.norm_adv:
        advantage = standardised(advantage)
    clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
    return -torch.min(advantage * ratio, advantage * clipped).mean()


def value_loss(value: Tensor, batch: Batch, args: Args) -> Tensor:
    """Half the mean squared error of (B,) values, clipped about the old ones where `clip_vloss`."""
    error = (value - batch.return_).square()
    if args.clip_vloss:
        clipped = batch.value + (value - batch.value).clamp(-args.clip_coef, args.clip_coef)
        clipped_error = (clipped - batch.return_).square()
        error = torch.max(error, clipped_error) if args.vloss_max else clipped_error
    return 0.5 * error.mean()


class Terms(NamedTuple):
    """What the loss of one minibatch is made of, and two figures to watch; scalars without gradient."""

    policy_loss: Tensor
    value_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clipfrac: Tensor


def loss_terms(agent: ActorCritic, batch: Batch, args: Args) -> tuple[Tensor, Terms]:
    """The loss to step on, and its terms."""
    logprob, entropy = agent.logprob_and_entropy(batch.obs, batch.action)
    logratio = logprob - batch.logprob
    ratio = logratio.exp()
    pg_loss = policy_loss(ratio, batch.advantage, args)
    v_loss = value_loss(agent.value(batch.obs), batch, args)
    loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss
    with torch.no_grad():
        # The k3 estimator: http://joschu.net/blog/kl-approx.html
        approx_kl = (ratio - 1 - logratio).mean()
        clipfrac = ((ratio - 1).abs() > args.clip_coef).float().mean()
        return loss, Terms(pg_loss.detach(), v_loss.detach(), entropy.mean(), approx_kl, clipfrac)


def update(
    agent: ActorCritic, optimizer: torch.optim.Optimizer, batch: Batch, args: Args, rng: np.random.Generator
) -> dict[str, float]:
    """All epochs over one rollout; the figures of the last minibatch, and the clip fraction over all of them."""
    weights = list(agent.parameters())
    seen: list[Terms] = []
    for _ in range(args.update_epochs):
        for index in torch.from_numpy(rng.permutation(len(batch.obs))).chunk(args.num_minibatches):
            loss, terms = loss_terms(agent, batch.rows(index), args)
            seen.append(terms)
            if args.kl_per_minibatch and exceeds(terms.approx_kl, args.target_kl, KL_MARGIN):
                return figures(seen, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, args.max_grad_norm)
            optimizer.step()
        if not args.kl_per_minibatch and exceeds(seen[-1].approx_kl, args.target_kl, 1.0):
            break
    return figures(seen, batch)


def exceeds(approx_kl: Tensor, target: float | None, margin: float) -> bool:
    """Whether there is a target and the divergence is above `margin` times it."""
    return target is not None and approx_kl.item() > margin * target


def figures(seen: list[Terms], batch: Batch) -> dict[str, float]:
    """What is logged of an update, under CleanRL's names."""
    last = {f"losses/{name}": value.item() for name, value in seen[-1]._asdict().items()}
    return last | {
        "losses/clipfrac": torch.stack([terms.clipfrac for terms in seen]).mean().item(),
        "losses/explained_variance": explained_variance(batch.value, batch.return_),
    }


def annealed(args: Args, iteration: int) -> Args:
    """`args` with the step size and clip range of update `iteration`, counted from 0."""
    left = 1 - (iteration + args.anneal_late) / args.num_iterations
    learning_rate = args.learning_rate * (left if args.anneal_lr else 1)
    return replace(args, learning_rate=learning_rate, clip_coef=args.clip_coef * (left if args.anneal_clip else 1))


def make_agent(envs: Spaces, args: Args) -> ActorCritic:
    """The untrained agent of `args.seed`. Raises `InputError` where actions or observations are of another kind."""
    remedy = "use ppo_continuous for continuous actions"
    require_space(envs.single_action_space, gymnasium.spaces.Discrete, "the action space", remedy)
    return agent_for(envs, args.hidden, args.orthogonal_init, args.seed)


def train(args: Args, run: RunFolder | None = None) -> Result:
    """Train `args.total_timesteps` steps, rounded down to whole rollouts.

    With `run`, episodes, losses and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = VectorEnv(args.env_id, args.num_envs, args.seed)
    agent = make_agent(envs, args)
    training = iterate(args, envs, agent, run)
    return training.result(agent, policy(agent, args.seed))


def iterate(args: Args, envs: Environments, agent: ActorCritic, run: RunFolder | None) -> Training:
    """The loop of `train`, for any agent: collect a rollout, estimate its advantages, update."""
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=args.adam_eps, fused=True)
    rng = np.random.default_rng(derive(args.seed, "ppo"))
    training = Training(args, run, agent=agent, optimizer=optimizer, envs=envs, rng=rng)
    for iteration in training.iterations(args.num_iterations):
        now = annealed(args, iteration)
        optimizer.param_groups[0]["lr"] = now.learning_rate
        rollout = collect(envs, agent, rng, training, steps=args.num_steps)
        batch = make_batch(agent, rollout, args.gamma, args.gae_lambda, args.bootstrap_truncated)
        training.log(update(agent, optimizer, batch, now, rng) | {"charts/learning_rate": now.learning_rate})
    envs.close()
    return training
