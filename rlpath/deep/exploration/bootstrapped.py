"""Bootstrapped DQN (Osband et al. 2016, arXiv:1602.04621) with random priors (Osband et al. 2018, arXiv:1806.03335).

    Q_k(s, a) = f_k(s, a) + β·p_k(s, a)                 K heads, each with a random prior p_k that never learns
    act       = argmax_a Q_k(s, a)                       k drawn at the start of an episode, kept to its end
    y_k       = r + γ·(1 − terminated)·max_a Q'_k(s', a)
    loss      = Σ_k mean m_k·(Q_k(s, a) − y_k)²          m_k: drawn once a transition, 1 with probability p

Where nothing was seen the heads disagree, each by its prior, and one of them wants to go there; because a head acts for
a whole episode it goes there for many steps in a row, which ε-greedy does with a probability that halves at each step.

The details that matter; a test fails without each:
    a prior that never learns     `Ensemble`     a head for a whole episode      `train`
    a mask a transition and head  `loss`         every head has its own target   `loss`
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.seeding import derive
from rlpath.deep.parts.networks import mlp
from rlpath.deep.parts.off_policy import adam, descend
from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.training import box_size, require_space
from rlpath.deep.parts.vec import VectorEnv

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BootstrappedArgs:
    """bsuite's settings for DeepSea, with masks."""

    seed: int = 0
    """Fixes weights, priors, heads, masks and minibatches."""
    episodes: int = 1000
    """Episodes to train for."""
    heads: int = 10
    """K, networks that learn side by side."""
    prior_scale: float = 3.0
    """β, how far the heads disagree where nothing was seen; 0 is an ensemble without priors."""
    mask: float = 0.5
    """The probability that a head learns from a transition."""
    gamma: float = 0.99
    """Discount."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    batch_size: int = 128
    """Transitions in a gradient step."""
    learning_starts: int = 128
    """Environment steps before the first gradient step; one follows each step afterwards."""
    target_frequency: int = 4
    """Gradient steps between two renewals of the targets."""
    buffer_size: int = 10_000
    """Transitions kept."""
    hidden: tuple[int, ...] = (50, 50)
    """Widths of the hidden layers of every head and prior."""


class Heads(nn.Module):
    """K multilayer perceptrons with ReLU, computed together: (B, inputs) → (K, B, outputs)."""

    def __init__(self, heads: int, sizes: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            layers = [mlp((inputs, outputs), nn.ReLU, generator)[0] for _ in range(heads)]
            self.weights.append(torch.stack([layer.get_parameter("weight").detach().T for layer in layers]))
            self.biases.append(torch.stack([layer.get_parameter("bias").detach()[None] for layer in layers]))

    def forward(self, obs: Tensor) -> Tensor:
        """Every head's outputs."""
        x = obs.expand(len(self.weights[0]), *obs.shape)
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x.relu() if depth else x, weight)
        return x

    def alone(self, head: int) -> Callable[[Array], Array]:
        """One head on one observation, in NumPy on the same weights: (inputs,) → (outputs,)."""
        pairs = zip(self.weights, self.biases, strict=True)
        layers = [(weight.detach()[head].numpy(), bias.detach()[head, 0].numpy()) for weight, bias in pairs]

        def forward(x: Array) -> Array:
            for depth, (weight, bias) in enumerate(layers):
                x = (np.maximum(x, 0) if depth else x) @ weight + bias
            return x

        return forward


class Ensemble(nn.Module):
    """K action values, each the sum of a network that learns and of a scaled prior that does not."""

    def __init__(self, inputs: int, actions: int, args: BootstrappedArgs) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(derive(args.seed, "weights"))
        sizes = (inputs, *args.hidden, actions)
        self.learned = Heads(args.heads, sizes, generator)
        self.prior = Heads(args.heads, sizes, generator).requires_grad_(False)
        self.scale = args.prior_scale

    def forward(self, obs: Tensor) -> Tensor:
        """(B, inputs) → (K, B, actions)."""
        return self.learned(obs) + self.scale * self.prior(obs)

    def greedy(self, head: int) -> Callable[[Array], int]:
        """The best action of one head, from an observation (inputs,)."""
        learned, prior = self.learned.alone(head), self.prior.alone(head)
        return lambda obs: int((learned(obs) + self.scale * prior(obs)).argmax())


def loss(online: Ensemble, target: Ensemble, batch: Transitions, mask: Tensor, gamma: float) -> Tensor:
    """The masked squared errors, the mean over rows and the sum over heads; `mask` is (K, B)."""
    with torch.no_grad():
        y = batch.reward + gamma * (1 - batch.terminated) * target(batch.final_obs).max(-1).values
    q = online(batch.obs).gather(-1, batch.action.expand(len(mask), -1)[..., None]).squeeze(-1)
    return (mask * (q - y).square()).mean(-1).sum()


def train(args: BootstrappedArgs, make_env: Callable[[], gymnasium.Env[Any, Any]]) -> tuple[Ensemble, list[float]]:
    """The trained heads, and the return of every episode. `make_env` makes an environment of Discrete actions."""
    envs = VectorEnv(make_env, 1, args.seed)
    remedy = "bootstrapped DQN takes the best of finitely many"
    choices = require_space(envs.single_action_space, gymnasium.spaces.Discrete, "the action space", remedy)
    inputs, actions = box_size(envs.single_observation_space, "the observation space"), int(choices.n)
    online = Ensemble(inputs, actions, args)
    target = copy.deepcopy(online)
    optimizer = adam(online.learned.parameters(), args.learning_rate)
    rng = np.random.default_rng(derive(args.seed, "bootstrapped"))
    buffer = ReplayBuffer(args.buffer_size, inputs, None, derive(args.seed, "replay"))
    masks = np.zeros((args.buffer_size, args.heads), np.float32)
    earned: list[float] = []
    act, gradient_steps = online.greedy(int(rng.integers(args.heads))), 0
    while len(earned) < args.episodes:
        obs = envs.obs
        action = np.array([act(obs[0])])
        step = envs.step(action)
        masks[buffer.add(obs, action, step)] = rng.random(args.heads) < args.mask
        if buffer.added >= args.learning_starts:
            index = rng.integers(len(buffer), size=args.batch_size)
            mask = torch.from_numpy(masks[index].T.copy())
            descend(optimizer, loss(online, target, buffer.rows(index), mask, args.gamma))
            gradient_steps += 1
            if gradient_steps % args.target_frequency == 0:
                target.load_state_dict(online.state_dict())
        for episode in step.episodes:
            earned.append(episode.return_)
            act = online.greedy(int(rng.integers(args.heads)))
    envs.close()
    return online, earned
