"""PPO for discrete actions, all seeds in one process: `ppo.py` several times faster, for many seeds at once.

The algorithm is `ppo`'s: its arguments, its weights, its random numbers in its order. What differs is where the
arithmetic is done: in NumPy, with the gradient written out, on arrays with the seeds in front. A seed gives the same
bits alone and among others. From `ppo.train`'s its figures differ by rounding alone, which training amplifies: the
first rollouts agree action by action, the learning curves in distribution.

The gradient by a row of a minibatch of M rows, with A the normalized advantage and p = softmax(logits):
    log π(a|s)   −A·ratio / M where the unclipped term of the surrogate is the smaller, else 0
    logits       (the above)·(onehot(a) − p) + c_H·p·(log p + entropy) / M
    V            c_V·(V − G) / M where V is inside the clip range or its unclipped error the larger, else 0
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.deep.batched.stacked import StackedAdam, StackedMLP, clip_gradients, count_weights, stack_weights
from rlpath.deep.batched.vec_seeds import SeedEnvs, make_seed_envs
from rlpath.deep.parts.evaluate import acting_policy
from rlpath.deep.parts.images import is_image
from rlpath.deep.parts.networks import numpy_forward, sample_categorical
from rlpath.deep.parts.training import Result, Training, explained_variance
from rlpath.deep.ppo import KL_MARGIN, Agent, Args, annealed, estimate_advantages, make_agent
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
SEEDS_AT_ONCE = 10
"""More gain little: the arithmetic outweighs the calls by then. Further seeds are trained afterwards."""


class Learners:
    """K agents whose weights are the rows of one array, and their optimizer."""

    def __init__(self, agents: Sequence[Agent], args: Args) -> None:
        self.agents = agents
        self.weights = stack_weights(agents)
        self.gradient = np.empty_like(self.weights)
        critic, actor = agents[0].critic, agents[0].actor
        assert isinstance(critic, nn.Sequential) and isinstance(actor, nn.Sequential)
        split = count_weights(critic)
        self.critic = StackedMLP(critic, self.weights[:, :split], self.gradient[:, :split])
        self.actor = StackedMLP(actor, self.weights[:, split:], self.gradient[:, split:])
        self.adam = StackedAdam(self.weights, args.adam_eps)

    def values(self, obs: Array) -> Array:
        """V(s), (K, B, inputs) → (K, B)."""
        return self.critic.forward(obs)[..., 0]


class Rollout(NamedTuple):
    """What `num_steps` steps of every environment of every seed gave, time first: (T, K, N, …)."""

    obs: Array
    final_obs: Array
    logits: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array


class Batch(NamedTuple):
    """Rows for the update, (K, B, …): a rollout flattened in time-major order, or a part of it."""

    obs: Array
    chosen: Array
    """The actions one-hot, (K, B, A) float32."""
    logprob: Array
    advantage: Array
    return_: Array
    value: Array

    def shuffled(self, order: Array) -> Batch:
        """Each seed's rows in its own order, (K, B)."""
        k, b = order.shape
        index = (order + np.arange(k)[:, None] * b).ravel()
        return Batch(*(column.reshape(k * b, *column.shape[2:])[index].reshape(column.shape) for column in self))

    def chunks(self, count: int) -> Iterator[Batch]:
        """The rows in `count` minibatches."""
        for columns in zip(*(np.split(column, count, axis=1) for column in self), strict=True):
            yield Batch(*columns)


def collect(
    envs: SeedEnvs, learners: Learners, args: Args, rngs: Sequence[np.random.Generator], trainings: Sequence[Training]
) -> Rollout:
    """Act with each seed's current policy for `num_steps` steps of every environment."""
    uniform = np.stack([rng.random((args.num_steps, args.num_envs), np.float32) for rng in rngs], axis=1)
    counted = [0] * len(rngs)
    steps = []
    for t in range(args.num_steps):
        obs = envs.obs.astype(np.float32, copy=False)
        logits = learners.actor.forward(obs)
        action = sample_categorical(logits.reshape(-1, logits.shape[-1]), uniform[t].ravel())
        action = action.reshape(len(rngs), args.num_envs)
        step = envs.step(action)
        for k, episode in zip(np.nonzero(step.done)[0], step.episodes, strict=True) if step.episodes else ():
            trainings[k].advance((t + 1 - counted[k]) * args.num_envs, [episode])
            counted[k] = t + 1
        final_obs = step.final_obs.astype(np.float32, copy=False)
        steps.append((obs, final_obs, logits, action, step.reward, step.terminated, step.truncated))
    for training, done in zip(trainings, counted, strict=True):
        training.advance((args.num_steps - done) * args.num_envs, [])
    return Rollout(*(np.stack(column) for column in zip(*steps, strict=True)))


def make_batch(learners: Learners, rollout: Rollout, args: Args) -> Batch:
    """Values, log probabilities, GAE and returns of a rollout."""
    obs = by_seed(rollout.obs)
    value = learners.values(obs)
    value_t = value.reshape(-1, args.num_steps, args.num_envs).swapaxes(0, 1)
    value_tp1 = np.concatenate([value_t[1:], np.zeros_like(value_t[:1])])
    # Where an episode was cut, and after the last step, the next row is not where the action led.
    led_elsewhere = rollout.truncated.copy()
    led_elsewhere[-1] = True
    for k, agent in enumerate(learners.agents):
        rows = led_elsewhere[:, k]
        value_tp1[:, k][rows] = numpy_forward(agent.critic)(rollout.final_obs[:, k][rows])[:, 0]
    ended = rollout.terminated | rollout.truncated
    value_tp1[rollout.terminated if args.bootstrap_truncated else ended] = 0.0
    advantage = by_seed(estimate_advantages(rollout.reward, value_t, value_tp1, ended, args.gamma, args.gae_lambda))
    logits = by_seed(rollout.logits)
    chosen = np.eye(logits.shape[-1], dtype=np.float32)[by_seed(rollout.action)]
    return Batch(obs, chosen, (log_softmax(logits) * chosen).sum(-1), advantage, advantage + value, value)


def log_softmax(logits: Array) -> Array:
    """Over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def by_seed(column: Array) -> Array:
    """(T, K, N, …) → (K, T·N, …)."""
    t, k, n = column.shape[:3]
    return column.swapaxes(0, 1).reshape(k, t * n, *column.shape[3:])


def policy_gradient(learners: Learners, rows: Batch, args: Args) -> dict[str, Array]:
    """Write the policy's part of the gradient; the figures of the minibatch, (K,) each."""
    logprobs = log_softmax(learners.actor.forward(rows.obs))
    logprob = (logprobs * rows.chosen).sum(-1)
    logratio = logprob - rows.logprob
    ratio = np.exp(logratio)
    advantage = rows.advantage
    if args.norm_adv:
        centered = advantage - advantage.mean(-1, keepdims=True)
        advantage = centered / (centered.std(-1, ddof=1, keepdims=True) + 1e-8)
    unclipped = advantage * ratio
    clipped = advantage * ratio.clip(1 - args.clip_coef, 1 + args.clip_coef)
    probability = np.exp(logprobs)
    entropy = -(probability * logprobs).sum(-1)

    by_logprob = np.where(unclipped <= clipped, -unclipped, 0.0) / logprob.shape[-1]
    by_entropy = (args.ent_coef / logprob.shape[-1]) * probability * (logprobs + entropy[..., None])
    learners.actor.backward(by_logprob[..., None] * (rows.chosen - probability) + by_entropy)
    return {
        "policy_loss": -np.minimum(unclipped, clipped).mean(-1),
        "entropy": entropy.mean(-1),
        # The k3 estimator: http://joschu.net/blog/kl-approx.html
        "approx_kl": (ratio - 1 - logratio).mean(-1),
        "clipfrac": (np.abs(ratio - 1) > args.clip_coef).mean(-1),
    }


def value_gradient(learners: Learners, rows: Batch, args: Args) -> dict[str, Array]:
    """Write the critic's part of the gradient; its loss, (K,)."""
    value = learners.values(rows.obs)
    error = value - rows.return_
    squared = np.square(error)
    if args.clip_vloss:
        moved = value - rows.value
        inside = np.abs(moved) <= args.clip_coef
        clipped = rows.value + moved.clip(-args.clip_coef, args.clip_coef)
        clipped_squared = np.square(clipped - rows.return_)
        error = np.where(inside | (args.vloss_max & (squared >= clipped_squared)), error, 0.0)
        squared = np.maximum(squared, clipped_squared) if args.vloss_max else clipped_squared
    learners.critic.backward((args.vf_coef / value.shape[-1]) * error[..., None])
    return {"value_loss": 0.5 * squared.mean(-1)}


def update(learners: Learners, batch: Batch, args: Args, rngs: Sequence[np.random.Generator]) -> list[dict[str, float]]:
    """All epochs over one rollout; each seed's figures, as `ppo.update` gives them."""
    seen: list[dict[str, Array]] = []
    for _ in range(args.update_epochs):
        order = np.stack([rng.permutation(args.batch_size) for rng in rngs])
        for rows in batch.shuffled(order).chunks(args.num_minibatches):
            seen.append(value_gradient(learners, rows, args) | policy_gradient(learners, rows, args))
            if args.kl_per_minibatch and too_far(seen[-1], args, KL_MARGIN):
                return figures(seen, batch)
            clip_gradients(learners.gradient, args.max_grad_norm)
            learners.adam.step(learners.gradient, args.learning_rate)
        if not args.kl_per_minibatch and too_far(seen[-1], args, 1.0):
            break
    return figures(seen, batch)


def too_far(terms: dict[str, Array], args: Args, margin: float) -> bool:
    """Whether the policy has moved further than `target_kl`, with which seeds are trained one by one."""
    return args.target_kl is not None and terms["approx_kl"][0] > margin * args.target_kl


def figures(seen: list[dict[str, Array]], batch: Batch) -> list[dict[str, float]]:
    """What is logged of an update, for each seed: the last minibatch, and the clip fraction over all of them."""
    terms = seen[-1] | {"clipfrac": np.mean([terms["clipfrac"] for terms in seen], axis=0)}
    return [
        {f"losses/{name}": float(term[k]) for name, term in terms.items()}
        | {"losses/explained_variance": explained_variance(torch.from_numpy(value), torch.from_numpy(return_))}
        for k, (value, return_) in enumerate(zip(batch.value, batch.return_, strict=True))
    ]


def train_batched(
    args: Args, seeds: Sequence[int], runs: Sequence[RunFolder] | None = None, *, at_once: int = SEEDS_AT_ONCE
) -> list[Result]:
    """`ppo.train` for each of `seeds`, in their order; `args.seed` plays no part.

    At most `at_once` seeds are trained together, which does not change their bits. With `runs`, one folder a seed,
    episodes, losses and checkpoints are written and an earlier start is continued with the same bits. Wall times are
    those of all seeds trained together. Start the process with OMP_NUM_THREADS=1: matrices this small are multiplied
    faster by one thread. Raises `InputError` for what the user can mend.
    """
    for seed in seeds:
        replace(args, seed=seed).check()
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds must be given, and each once, got {list(seeds)}")
    folders: Sequence[RunFolder | None] = runs if runs is not None else [None] * len(seeds)
    if args.target_kl is not None:
        # Seeds stop their epochs at different times: nothing is left to do together.
        at_once = 1
    results: dict[int, Result] = {}
    # Killed between two seeds' checkpoints, a run has seeds that are further than others.
    pairs = sorted(zip(seeds, folders, strict=True), key=lambda pair: _saved_step(pair[1]))
    for _, group in groupby(pairs, key=lambda pair: _saved_step(pair[1])):
        members = list(group)
        for start in range(0, len(members), at_once):
            together = members[start : start + at_once]
            chosen = [seed for seed, _ in together]
            trained = _train_together(args, chosen, [folder for _, folder in together])
            results |= zip(chosen, trained, strict=True)
    return [results[seed] for seed in seeds]


def _saved_step(run: RunFolder | None) -> int:
    checkpoint = run.last_checkpoint() if run is not None else None
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def _train_together(args: Args, seeds: Sequence[int], runs: Sequence[RunFolder | None]) -> list[Result]:
    envs = make_seed_envs(args.env_id, args.num_envs, seeds)
    agents = [make_agent(envs, replace(args, seed=seed)) for seed in seeds]
    if is_image(envs.single_observation_space):
        raise InputError(f"--batched needs observed vectors, not {envs.single_observation_space}; leave it out")
    if agents[0].shape or agents[0].start:
        raise InputError(f"--batched needs Discrete actions from 0, not {envs.single_action_space}; leave it out")
    learners = Learners(agents, args)
    rngs = [np.random.default_rng(derive(seed, "ppo")) for seed in seeds]
    trainings = [
        Training(replace(args, seed=seed), run, agent=agent, adam=adam, envs=copies, rng=rng)
        for seed, run, agent, adam, copies, rng in zip(
            seeds, runs, agents, learners.adam.parts, envs.parts, rngs, strict=True
        )
    ]
    # Strict, so that every seed comes to its end and not the first alone.
    for iteration, *_ in zip(*(training.iterations(args.num_iterations) for training in trainings), strict=True):
        now = annealed(args, iteration)
        rollout = collect(envs, learners, args, rngs, trainings)
        if args.clip_reward:
            rollout = rollout._replace(reward=np.sign(rollout.reward))
        batch = make_batch(learners, rollout, args)
        for training, row in zip(trainings, update(learners, batch, now, rngs), strict=True):
            training.log(row | {"charts/learning_rate": now.learning_rate})
    envs.close()
    return [
        training.result(agent, acting_policy(agent, seed))
        for seed, agent, training in zip(seeds, agents, trainings, strict=True)
    ]
