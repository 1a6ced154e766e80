"""Proximal policy optimisation for discrete actions (Schulman et al. 2017, arXiv:1707.06347), on one page.

    ratio   = π(a|s) / π_old(a|s)
    policy  = −mean min(ratio·A, clip(ratio, 1−ε, 1+ε)·A)            A: GAE, standardised per minibatch
    value   = ½ mean max((V−G)², (clip(V, V_old−ε, V_old+ε)−G)²)     G = A + V_old
    loss    = policy − c_H·entropy + c_V·value

The details that matter, after Huang et al. 2022, "The 37 Implementation Details of PPO"; each has a flag, and a test
that fails without it:
    vectorised environments               `collect`          orthogonal weights, gains √2, 0.01, 1    `Agent`
    GAE; truncation bootstraps            `advantages`       Adam's ε of 1e-5                         `train`
    learning rate annealed to zero        `train`            shuffled minibatches, several epochs     `update`
    advantages standardised by minibatch  `policy_loss`      clipped surrogate                        `policy_loss`
    clipped value loss                    `value_loss`       entropy bonus                            `update`
    gradient norm clipped over all        `update`           stop at a KL divergence                  `update`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.deep.networks import mlp, numpy_forward, sample_categorical
from rlpath.deep.training import Args as Common
from rlpath.deep.training import Result, Training, box_size, require_space
from rlpath.deep.vec import Environments, VectorEnv
from rlpath.errors import InputError
from rlpath.returns import gae
from rlpath.runs import RunFolder
from rlpath.seeding import derive

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Args(Common):
    """CleanRL's defaults for classic control."""

    learning_rate: float = 2.5e-4
    """Adam's step size."""
    anneal_lr: bool = True
    """Bring the step size down to zero, linearly over the updates."""
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
    ent_coef: float = 0.01
    """Weight of the entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Largest gradient norm, over all weights together; infinity switches it off."""
    target_kl: float | None = None
    """Stop a rollout's updates once the approximate KL divergence exceeds this."""
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

    def check(self) -> None:
        """Raise `InputError` where sizes do not divide or leave nothing to do."""
        if self.num_minibatches < 1 or self.batch_size % self.num_minibatches:
            rows = f"{self.num_envs} environments × {self.num_steps} steps = {self.batch_size} rows"
            raise InputError(f"{rows} do not divide into {self.num_minibatches} minibatches")
        if self.norm_adv and self.batch_size == self.num_minibatches:
            raise InputError("minibatches of one row have no spread to standardise by; use fewer, or --no-norm-adv")
        if self.total_timesteps < self.batch_size:
            raise InputError(f"{self.total_timesteps} steps are fewer than one rollout of {self.batch_size}")


class Agent(nn.Module):
    """Policy and value network, separate, with tanh between the layers."""

    def __init__(self, inputs: int, actions: int, args: Args, generator: torch.Generator) -> None:
        super().__init__()

        gain = 2**0.5 if args.orthogonal_init else None
        self.critic = mlp((inputs, *args.hidden, 1), nn.Tanh, generator, gain=gain, last_gain=1.0)
        self.actor = mlp((inputs, *args.hidden, actions), nn.Tanh, generator, gain=gain, last_gain=0.01)

    def value(self, obs: Tensor) -> Tensor:
        """V(s), (…, inputs) → (…,)."""
        return self.critic(obs).squeeze(-1)

    def logprob_and_entropy(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a|s) and the entropy of π(·|s), both (B,), for (B, inputs) and (B,)."""
        logprobs = self.actor(obs).log_softmax(-1)
        chosen = logprobs.gather(-1, action[:, None]).squeeze(-1)
        return chosen, -(logprobs.exp() * logprobs).sum(-1)


class Rollout(NamedTuple):
    """What `num_steps` steps of every environment gave, time first: (T, N, …)."""

    obs: Array
    final_obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array


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


def collect(envs: Environments, agent: Agent, args: Args, rng: np.random.Generator, training: Training) -> Rollout:
    """Act with the current policy for `num_steps` steps of every environment."""
    logits = numpy_forward(agent.actor)
    # One draw for the rollout: as many calls of the generator as steps would cost more than the policy.
    uniform = rng.random((args.num_steps, envs.num_envs), np.float32)
    steps = []
    for t in range(args.num_steps):
        obs = envs.obs
        action = sample_categorical(logits(obs), uniform[t])
        step = envs.step(action)
        training.advance(envs.num_envs, step.episodes)
        steps.append((obs, step.final_obs, action, step.reward, step.terminated, step.truncated))
    return Rollout(*(np.stack(column) for column in zip(*steps, strict=True)))


@torch.no_grad()
def advantages(agent: Agent, rollout: Rollout, args: Args) -> Batch:
    """Values, log probabilities, GAE and returns of a rollout, flattened in time-major order."""
    obs, action = torch.from_numpy(rollout.obs), torch.from_numpy(rollout.action)
    value_t = agent.value(obs).numpy()
    value_tp1 = np.concatenate([value_t[1:], np.zeros_like(value_t[:1])])
    # Where an episode was cut, and after the last step, the next row is not where the action led.
    led_elsewhere = rollout.truncated.copy()
    led_elsewhere[-1] = True
    value_tp1[led_elsewhere] = agent.value(torch.from_numpy(rollout.final_obs[led_elsewhere])).numpy()
    ended = rollout.terminated | rollout.truncated
    value_tp1[rollout.terminated if args.bootstrap_truncated else ended] = 0.0
    advantage = gae(rollout.reward, value_t, value_tp1, ended, args.gamma, args.gae_lambda)
    obs, action = obs.flatten(0, 1), action.flatten(0, 1)
    logprob, _ = agent.logprob_and_entropy(obs, action)
    columns = [torch.from_numpy(column).flatten() for column in (advantage, advantage + value_t, value_t)]
    return Batch(obs, action, logprob, *columns)


def policy_loss(ratio: Tensor, advantage: Tensor, args: Args) -> Tensor:
    """The clipped surrogate, to be minimised, from (B,) ratios and advantages."""
    if args.norm_adv:
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
    return -torch.min(advantage * ratio, advantage * clipped).mean()


def value_loss(value: Tensor, batch: Batch, args: Args) -> Tensor:
    """Half the squared error, the larger of unclipped and clipped where `clip_vloss`; from (B,) values."""
    error = (value - batch.return_).square()
    if args.clip_vloss:
        clipped = batch.value + (value - batch.value).clamp(-args.clip_coef, args.clip_coef)
        error = torch.max(error, (clipped - batch.return_).square())
    return 0.5 * error.mean()


def update(
    agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, args: Args, rng: np.random.Generator
) -> dict[str, float]:
    """All epochs over one rollout; the figures of the last minibatch, and the clip fraction over all of them."""
    clipfracs = []
    terms: dict[str, Tensor] = {}
    weights = list(agent.parameters())
    for _ in range(args.update_epochs):
        order = torch.from_numpy(rng.permutation(args.batch_size))
        for index in order.chunk(args.num_minibatches):
            rows = batch.rows(index)
            logprob, entropy = agent.logprob_and_entropy(rows.obs, rows.action)
            logratio = logprob - rows.logprob
            ratio = logratio.exp()
            pg_loss = policy_loss(ratio, rows.advantage, args)
            v_loss = value_loss(agent.value(rows.obs), rows, args)
            loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, args.max_grad_norm)
            optimizer.step()
            with torch.no_grad():
                clipfracs.append(((ratio - 1).abs() > args.clip_coef).float().mean())
                # The k3 estimator: http://joschu.net/blog/kl-approx.html
                approx_kl = (ratio - 1 - logratio).mean()
            terms = {"value_loss": v_loss, "policy_loss": pg_loss, "entropy": entropy.mean(), "approx_kl": approx_kl}
        if args.target_kl is not None and terms["approx_kl"] > args.target_kl:
            break
    terms["clipfrac"] = torch.stack(clipfracs).mean()
    figures = {f"losses/{name}": term.item() for name, term in terms.items()}
    return figures | {"losses/explained_variance": explained_variance(batch.value, batch.return_)}


def explained_variance(value: Tensor, return_: Tensor) -> float:
    """1 − Var(G − V) / Var(G): 1 is a perfect critic, 0 one that predicts the mean; 0 where returns do not vary."""
    variance = return_.var(correction=0).item()
    return 1 - (return_ - value).var(correction=0).item() / variance if variance else 0.0


def make_agent(envs: Environments, args: Args) -> Agent:
    """The untrained agent of `args.seed`. Raises `InputError` where actions or observations are of another kind."""
    remedy = "use ppo_continuous for continuous actions"
    space = require_space(envs.single_action_space, gymnasium.spaces.Discrete, "the action space", remedy)
    inputs = box_size(envs.single_observation_space, "the observation space")
    generator = torch.Generator().manual_seed(derive(args.seed, "weights"))
    return Agent(inputs, int(space.n), args, generator)


def train(args: Args, run: RunFolder | None = None) -> Result:
    """Train `args.total_timesteps` steps, rounded down to whole rollouts.

    With `run`, episodes, losses and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = VectorEnv(args.env_id, args.num_envs, args.seed)
    agent = make_agent(envs, args)
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=args.adam_eps, fused=True)
    rng = np.random.default_rng(derive(args.seed, "ppo"))
    training = Training(args, run, agent=agent, optimizer=optimizer, envs=envs, rng=rng)
    num_iterations = args.total_timesteps // args.batch_size
    for iteration in training.iterations(num_iterations):
        if args.anneal_lr:
            optimizer.param_groups[0]["lr"] = (1 - iteration / num_iterations) * args.learning_rate
        rollout = collect(envs, agent, args, rng, training)
        batch = advantages(agent, rollout, args)
        figures = update(agent, optimizer, batch, args, rng)
        training.log(figures | {"charts/learning_rate": optimizer.param_groups[0]["lr"]})
    envs.close()
    return training.result(agent, policy(agent, args.seed))


def policy(agent: Agent, seed: int) -> Callable[[Array, bool], Array]:
    """The trained policy as a function of (N, inputs) and whether to take the likeliest action."""
    logits = numpy_forward(agent.actor)
    rng = np.random.default_rng(derive(seed, "act"))

    def act(obs: Array, deterministic: bool) -> Array:
        if deterministic:
            return logits(obs).argmax(-1)
        return sample_categorical(logits(obs), rng.random(len(obs), np.float32))

    return act
