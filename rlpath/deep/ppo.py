"""Proximal policy optimization for discrete actions (Schulman et al. 2017, arXiv:1707.06347), on one page.

    ratio   = π(a|s) / π_old(a|s)
    policy  = −mean min(ratio·A, clip(ratio, 1−ε, 1+ε)·A)            A: GAE, normalized per minibatch
    value   = ½ mean max((V−G)², (clip(V, V_old−ε, V_old+ε)−G)²)     G = A + V_old
    loss    = policy − c_H·entropy + c_V·value

The details that matter, after Huang et al. 2022, "The 37 Implementation Details of PPO"; without any one of them a
test fails (tests/deep/test_mutations.py), and all but the shuffling can be switched off:
    vectorized environments               `collect`          orthogonal weights, gains √2, 0.01, 1    `Agent`
    GAE; truncation bootstraps            `make_batch`       Adam's ε of 1e-5                         `iterate`
    learning rate annealed to zero        `annealed`         shuffled minibatches, several epochs     `update`
    advantages normalized by minibatch    `policy_loss`      clipped surrogate                        `policy_loss`
    clipped value loss                    `value_loss`       entropy bonus                            `loss_terms`
    gradient norm clipped over all        `update`           stop at a KL divergence                  `update`

The defaults are CleanRL's, but a truncated episode bootstraps. Where Stable-Baselines3 differs a switch makes this file
do as it does: the table is in rlpath/deep/README.md, and the tests hold the file to both, step for step.

Arrays are time first, (T, N, …) for T steps of N environments. Environments are acted in with NumPy on the network's
own weights (networks.py says why); what the losses need is computed by torch for a whole rollout at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.deep.parts.evaluate import acting_policy
from rlpath.deep.parts.images import observation_network
from rlpath.deep.parts.networks import MakeNetwork, choose_parts, custom_network, endless_rows, numpy_forward
from rlpath.deep.parts.training import Result, RolloutArgs, Training, explained_variance, require_space
from rlpath.deep.parts.vec import Environments, MakeEnv, Spaces, VectorEnv, refuse_endless
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
Act = Callable[[Array], Array]
KL_MARGIN = 1.5  # Stable-Baselines3's, where it tests every minibatch


@dataclass(frozen=True)
class Args(RolloutArgs):
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
    """Normalize the advantages of a minibatch."""
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
    """Widths of the hidden layers of policy and value network; for images, of those above the convolutions."""
    clip_reward: bool = False
    """Learn from the sign of a reward (Atari); returns are counted as they are."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense, sizes do not divide or there is nothing to do."""
        super().check()
        self.require_positive("learning_rate", "num_minibatches", "update_epochs")
        self.require_positive("clip_coef", "max_grad_norm", "adam_eps")
        self.require_share("gamma", "gae_lambda")
        if self.batch_size % self.num_minibatches:
            rows = f"{self.num_envs} environments × {self.num_steps} steps = {self.batch_size} rows"
            raise InputError(f"{rows} do not divide into {self.num_minibatches} minibatches")
        if self.norm_adv and self.batch_size == self.num_minibatches:
            raise InputError("minibatches of one row have no spread to normalize by; use fewer, or --no-norm-adv")


class Agent(nn.Module):
    """Policy and value network, separate, for Discrete and MultiDiscrete actions.

    Layers have tanh between them; for images there are convolutions below, with ReLU throughout (images.py).

    An action has one part or several, drawn independently; `sizes` are the choices of each. With `orthogonal`, weights
    are orthogonal with gain √2, the value's last layer with gain 1 and the policy's with 0.01, so that actions begin
    equally likely; without, torch's own initialization. `make_network`, where it is given, makes both networks instead.
    """

    def __init__(
        self, envs: Spaces, hidden: Sequence[int], orthogonal: bool, seed: int, make_network: MakeNetwork | None = None
    ) -> None:
        super().__init__()
        self.shape = envs.single_action_space.shape or ()
        self.start = getattr(envs.single_action_space, "start", 0)
        outputs, space = self.outputs(envs), envs.single_observation_space
        if make_network is not None:
            self.critic = custom_network(make_network, space, 1, derive(seed, "critic"))
            self.actor = custom_network(make_network, space, outputs, derive(seed, "actor"))
            return
        generator = torch.Generator().manual_seed(derive(seed, "weights"))
        gain = 2**0.5 if orthogonal else None
        self.critic = observation_network(space, hidden, 1, nn.Tanh, generator, gain=gain, last_gain=1.0)
        self.actor = observation_network(space, hidden, outputs, nn.Tanh, generator, gain=gain, last_gain=0.01)

    def outputs(self, envs: Spaces) -> int:
        """How many numbers the policy network gives: a logit for each choice of each part of an action."""
        space = envs.single_action_space
        if isinstance(space, gymnasium.spaces.MultiDiscrete):
            self.sizes = tuple(map(int, space.nvec))
        else:
            remedy = "use ppo_continuous for continuous actions"
            self.sizes = (int(require_space(space, gymnasium.spaces.Discrete, "the action space", remedy).n),)
        return sum(self.sizes)

    def value(self, obs: Tensor) -> Tensor:
        """V(s), (…, inputs) → (…,)."""
        return self.critic(obs).squeeze(-1)

    def logprob_and_entropy(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a|s) and the entropy of π(·|s), both (B,), for (B, inputs) and (B, *action)."""
        logprobs = [logits.log_softmax(-1) for logits in self.actor(obs).split(self.sizes, -1)]
        parts = action.reshape(len(action), -1).unbind(-1)
        chosen = [rows.gather(-1, part[:, None]).squeeze(-1) for rows, part in zip(logprobs, parts, strict=True)]
        entropy = [-(rows.exp() * rows).sum(-1) for rows in logprobs]
        return functools.reduce(torch.add, chosen), functools.reduce(torch.add, entropy)

    def sampler(self, rng: Generator, num_envs: int, steps: int) -> Act:
        """A function from (N, inputs) to N drawn actions; random numbers are drawn for `steps` calls at once."""
        logits = numpy_forward(self.actor)
        uniform = endless_rows(lambda: rng.random((steps, num_envs, len(self.sizes)), np.float32))
        return lambda obs: choose_parts(logits(obs), self.sizes, next(uniform)).reshape(-1, *self.shape)

    def greedy_action(self, obs: Array) -> Array:
        """The most probable action of each row, (N, inputs) → (N, *action)."""
        return choose_parts(numpy_forward(self.actor)(obs), self.sizes, None).reshape(-1, *self.shape)

    def clip_action(self, action: Array) -> Array:
        """`action` as the environment may see it: counted from where its space starts."""
        return action + self.start if np.any(self.start) else action


def make_agent(envs: Spaces, args: Args, make_network: MakeNetwork | None = None) -> Agent:
    """The untrained agent of `args.seed`. Raises `InputError` where actions or observations are of another kind."""
    return Agent(envs, args.hidden, args.orthogonal_init, args.seed, make_network)


class Rollout(NamedTuple):
    """What T steps of every environment gave, time first: (T, N, …). `action` is what was drawn, unclipped."""

    obs: Array
    final_obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array

    @property
    def done(self) -> Array:
        """Whether the episode ended, for either reason, (T, N) bool."""
        return self.terminated | self.truncated


class Batch(NamedTuple):
    """Rows for the update, (B, …): a flattened rollout, or a minibatch of it."""

    obs: Tensor
    action: Tensor
    logprob: Tensor
    advantage: Tensor
    return_: Tensor
    value: Tensor

    def rows(self, index: Tensor) -> Batch:
        """The rows `index`."""
        return Batch(*(column[index] for column in self))


def collect(
    envs: Environments, agent: Agent, rng: Generator, training: Training, steps: int, episodes: int | None = None
) -> Rollout:
    """Act with the current policy: `steps` steps of every environment, or until `episodes` have ended."""
    draw = agent.sampler(rng, envs.num_envs, steps)
    taken, ended = [], 0
    while len(taken) < steps if episodes is None else ended < episodes:
        if episodes is not None and not ended:
            refuse_endless(len(taken))
        obs = envs.obs.astype(np.float32, copy=False)
        action = draw(obs)
        step = envs.step(agent.clip_action(action))
        training.advance(envs.num_envs, step.episodes)
        ended += len(step.episodes)
        final_obs = step.final_obs.astype(np.float32, copy=False)
        taken.append((obs, final_obs, action, step.reward, step.terminated, step.truncated))
    return Rollout(*(np.stack(column) for column in zip(*taken, strict=True)))


def estimate_advantages(
    reward_t: Array, value_t: Array, value_tp1: Array, done_t: Array, gamma: float, gae_lambda: float
) -> Array:
    """Generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16), (T, N).

    delta_t = r_t + γ·V(s_{t+1}) − V(s_t),   A_t = delta_t + γλ·(1 − done_t)·A_{t+1}

    `value_tp1` is the value of where step t led: zero where it terminated, the value of the final observation where it
    was truncated. `done_t` is either: nothing flows back across the end of an episode.
    """
    delta_t = reward_t + gamma * value_tp1 - value_t
    decay_t = (gamma * gae_lambda) * (1.0 - done_t.astype(delta_t.dtype))
    advantage_t = np.empty_like(delta_t)
    running = np.zeros_like(delta_t[0])
    for t in reversed(range(len(delta_t))):
        running = delta_t[t] + decay_t[t] * running
        advantage_t[t] = running
    return advantage_t


@torch.no_grad()
def values_along(agent: Agent, rollout: Rollout, bootstrap_truncated: bool) -> tuple[Array, Array]:
    """V of every step's state and of where the step led, both (T, N).

    The second is zero where the step terminated, and where it was truncated unless `bootstrap_truncated`.
    """
    value_t = agent.value(torch.from_numpy(rollout.obs).flatten(0, 1)).view(rollout.reward.shape).numpy()
    value_tp1 = np.concatenate([value_t[1:], np.zeros_like(value_t[:1])])
    # Where an episode was truncated, and after the last step, the next row is not where the action led.
    led_elsewhere = rollout.truncated.copy()
    led_elsewhere[-1] = True
    value_tp1[led_elsewhere] = agent.value(torch.from_numpy(rollout.final_obs[led_elsewhere])).numpy()
    value_tp1[rollout.terminated if bootstrap_truncated else rollout.done] = 0.0
    return value_t, value_tp1


@torch.no_grad()
def make_batch(agent: Agent, rollout: Rollout, gamma: float, gae_lambda: float, bootstrap: bool) -> Batch:
    """Log probabilities, values, GAE and returns (advantage + value) of a rollout, flattened in time-major order."""
    value_t, value_tp1 = values_along(agent, rollout, bootstrap)
    advantage = estimate_advantages(rollout.reward, value_t, value_tp1, rollout.done, gamma, gae_lambda)
    obs, action = (torch.from_numpy(column).flatten(0, 1) for column in (rollout.obs, rollout.action))
    logprob, _ = agent.logprob_and_entropy(obs, action)
    columns = [torch.from_numpy(column).flatten() for column in (advantage, advantage + value_t, value_t)]
    return Batch(obs, action, logprob, *columns)


def normalize_advantages(advantage: Tensor) -> Tensor:
    """(A − mean) / (standard deviation + 1e-8), the deviation unbiased, over the rows given."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def policy_loss(ratio: Tensor, advantage: Tensor, args: Args) -> Tensor:
    """The clipped surrogate, to be minimized, from (B,) ratios and advantages."""
    if args.norm_adv:
        advantage = normalize_advantages(advantage)
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


class LossTerms(NamedTuple):
    """What the loss of one minibatch is made of, and two figures to watch; scalars without gradient."""

    policy_loss: Tensor
    value_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clipfrac: Tensor


def loss_terms(agent: Agent, batch: Batch, args: Args) -> tuple[Tensor, LossTerms]:
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
        return loss, LossTerms(pg_loss.detach(), v_loss.detach(), entropy.mean(), approx_kl, clipfrac)


def update(
    agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, args: Args, rng: Generator
) -> dict[str, float]:
    """All epochs over one rollout; the figures of the last minibatch, and the clip fraction over all of them."""
    weights = list(agent.parameters())
    kl_limit = math.inf if args.target_kl is None else args.target_kl * (KL_MARGIN if args.kl_per_minibatch else 1)
    seen: list[LossTerms] = []
    for _ in range(args.update_epochs):
        for index in torch.from_numpy(rng.permutation(len(batch.obs))).chunk(args.num_minibatches):
            loss, terms = loss_terms(agent, batch.rows(index), args)
            seen.append(terms)
            if args.kl_per_minibatch and terms.approx_kl.item() > kl_limit:
                return figures(seen, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, args.max_grad_norm)
            optimizer.step()
        if seen[-1].approx_kl.item() > kl_limit:
            break
    return figures(seen, batch)


def figures(seen: list[LossTerms], batch: Batch) -> dict[str, float]:
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


def train(
    args: Args,
    run: RunFolder | None = None,
    *,
    make_env: MakeEnv | None = None,
    make_network: MakeNetwork | None = None,
) -> Result:
    """Train `args.total_timesteps` steps, rounded down to whole rollouts.

    With `run`, episodes, losses and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. `make_env` makes the environment, wrapped as you like, instead of `args.env_id`, and
    `make_network(observation space, outputs)` the networks. Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = VectorEnv(make_env or args.env_id, args.num_envs, args.seed)
    agent = make_agent(envs, args, make_network)
    training = iterate(args, envs, agent, run)
    return training.result(agent, acting_policy(agent, args.seed))


def iterate(args: Args, envs: Environments, agent: Agent, run: RunFolder | None) -> Training:
    """The loop of `train`, for any agent: collect a rollout, estimate its advantages, update."""
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=args.adam_eps, fused=True)
    rng = np.random.default_rng(derive(args.seed, "ppo"))
    training = Training(args, run, agent=agent, optimizer=optimizer, envs=envs, rng=rng)
    for iteration in training.iterations(args.num_iterations):
        now = annealed(args, iteration)
        optimizer.param_groups[0]["lr"] = now.learning_rate
        rollout = collect(envs, agent, rng, training, steps=args.num_steps)
        if args.clip_reward:
            rollout = rollout._replace(reward=np.sign(rollout.reward))
        batch = make_batch(agent, rollout, args.gamma, args.gae_lambda, args.bootstrap_truncated)
        training.log(update(agent, optimizer, batch, now, rng) | {"charts/learning_rate": now.learning_rate})
    envs.close()
    return training
