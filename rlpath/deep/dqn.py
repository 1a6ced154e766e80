"""Deep Q-learning (Mnih et al. 2015, doi:10.1038/nature14236), with double, dueling and prioritized as flags.

    y    = r + γ·(1 − terminated)·max_a Q'(s', a)                 Q': a copy of Q, renewed now and then
    y    = r + γ·(1 − terminated)·Q'(s', argmax_a Q(s', a))       double (van Hasselt et al. 2016, arXiv:1509.06461)
    Q    = V + A − mean_a A                                       dueling (Wang et al. 2016, arXiv:1511.06581)
    loss = mean w·(Q(s, a) − y)²,  or Huber's with a slope of at most 1;  w = 1, or of prioritized replay

The details that matter; a test fails without each:
    ε falls linearly, then stays         `epsilon`     uniform or prioritized replay         `train`
    timeouts bootstrap, ends do not      `td_target`   squared or Huber loss                 `td_loss`
    a target network                     `td_target`   gradient norm clipped                 `update`
    random actions before learning       `explore`     target renewed every so many steps    `renewals`

Where the two references differ, both are a flag; the defaults are CleanRL's:
                            CleanRL                      Stable-Baselines3
    `huber`                 no                           yes
    `max_grad_norm`         infinity                     10
    `target_first`          no: gradient step, then      yes: the target is renewed as the environment is stepped,
                            the target at the same step  before the gradient steps of the same round
    `random_start`          no: ε alone decides          yes: at random until learning starts
Without a flag: with several environments both draw once whether all of them act at random, here each draws its own.
Gradient steps come at the end of a round, as in Stable-Baselines3; CleanRL makes them one environment step later.
Stable-Baselines3's very first action is greedy where nothing is random before learning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.deep.parts.images import observation_network
from rlpath.deep.parts.networks import MakeNetwork, custom_network, mlp, numpy_forward
from rlpath.deep.parts.off_policy import LOG_EVERY, OffPolicyArgs, adam, follow
from rlpath.deep.parts.prioritized import PrioritizedReplayBuffer
from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.training import Result, Training, require_space
from rlpath.deep.parts.vec import MakeEnv, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
Space = gymnasium.Space[Any]


@dataclass(frozen=True)
class Args(OffPolicyArgs):
    """CleanRL's defaults for classic control."""

    buffer_size: int = 10_000
    batch_size: int = 128
    tau: float = 1.0
    learning_starts: int = 10_000
    train_frequency: int = 10
    hidden: tuple[int, ...] = (120, 84)
    learning_rate: float = 2.5e-4
    """Adam's step size."""
    start_e: float = 1.0
    """ε at the start: the share of random actions."""
    end_e: float = 0.05
    """ε once it has fallen."""
    exploration_fraction: float = 0.5
    """Share of the steps over which ε falls."""
    random_start: bool = False
    """Act at random until learning starts, whatever ε is."""
    target_frequency: int = 500
    """Environment steps between two renewals of the target network."""
    target_first: bool = False
    """Renew the target before the gradient steps of the same round, not after."""
    double: bool = False
    """Choose the next action by the online network, value it by the target."""
    dueling: bool = False
    """Learn a value and advantages instead of action values."""
    prioritized: bool = False
    """Draw transitions by their last error."""
    priority_alpha: float = 0.6
    """How much the error counts in drawing: 0 is uniform."""
    priority_beta: float = 0.4
    """How much of the uneven drawing is made up for at the start; rises to 1 over the run."""
    huber: bool = False
    """Huber's loss instead of the squared error."""
    max_grad_norm: float = float("inf")
    """Largest gradient norm; infinity switches it off."""
    clip_reward: bool = False
    """Learn from the sign of a reward (Atari); returns are counted as they are."""

    def check(self) -> None:
        """Raise `InputError` where a field makes no sense or leaves nothing to do."""
        super().check()
        self.require_positive("learning_rate", "target_frequency", "max_grad_norm")
        self.require_share("start_e", "end_e", "exploration_fraction", "priority_beta")
        self.require("not negative", lambda value: value >= 0, "priority_alpha")

    def epsilon(self, step: int) -> float:
        """The share of random actions at environment step `step`."""
        fallen = min(step / max(self.exploration_fraction * self.total_timesteps, 1), 1.0)
        return self.start_e + fallen * (self.end_e - self.start_e)

    def beta(self, step: int) -> float:
        """The exponent of the importance weights at `step`."""
        return self.priority_beta + (1 - self.priority_beta) * min(step / self.total_timesteps, 1.0)

    def renewals(self, step: int) -> int:
        """How often the target is renewed in the round that ends at `step`."""
        return step // self.target_frequency - (step - self.round_steps) // self.target_frequency


class QNetwork(nn.Module):
    """Q(s, ·), with ReLU between the layers; the streams of a dueling network share all but their last layer.

    `made` is a network of the user's own in its place.
    """

    def __init__(
        self, space: Space, actions: int, args: Args, generator: torch.Generator, made: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.net = made or observation_network(space, args.hidden, actions, nn.ReLU, generator)
        """Action values; the advantages of a dueling network, which have the same largest action."""
        self.value: nn.Sequential | None = None
        if args.dueling:
            if not isinstance(self.net, nn.Sequential) or not isinstance(last := self.net[-1], nn.Linear):
                raise InputError("dueling needs a network that is an nn.Sequential and ends with a linear layer")
            self.value = mlp((last.in_features, 1), nn.ReLU, generator)

    def forward(self, obs: Tensor) -> Tensor:
        """(B, *observation) → (B, actions)."""
        if self.value is None or not isinstance(self.net, nn.Sequential):
            return self.net(obs)
        features = self.net[:-1](obs)
        advantage = self.net[-1](features)
        return self.value(features) + advantage - advantage.mean(-1, keepdim=True)


class Agent(nn.Module):
    """The online network and its target, equal at first."""

    def __init__(
        self,
        space: Space,
        actions: int,
        args: Args,
        generator: torch.Generator,
        make_network: MakeNetwork | None = None,
    ) -> None:
        super().__init__()
        seed = derive(args.seed, "network")
        made = [custom_network(make_network, space, actions, seed) if make_network else None for _ in range(2)]
        self.online = QNetwork(space, actions, args, generator, made[0])
        self.target = QNetwork(space, actions, args, generator, made[1])
        self.target.load_state_dict(self.online.state_dict())


def explore(q: Callable[[Array], Array], obs: Array, actions: int, epsilon: float, rng: np.random.Generator) -> Array:
    """For each row of `obs` the best of `actions`, or with probability `epsilon` any of them, (N,) int64."""
    at_random = rng.random(len(obs)) < epsilon
    return np.where(at_random, rng.integers(actions, size=len(obs)), q(obs).argmax(-1))


@torch.no_grad()
def td_target(agent: Agent, batch: Transitions, args: Args) -> Tensor:
    """y, (B,)."""
    q_t = agent.target(batch.final_obs)
    best = (agent.online(batch.final_obs) if args.double else q_t).argmax(-1, keepdim=True)
    return batch.reward + args.gamma * (1 - batch.terminated) * q_t.gather(-1, best).squeeze(-1)


def td_loss(q_tm1: Tensor, target: Tensor, weight: Tensor | None, args: Args) -> Tensor:
    """The loss of the values (B,) of the actions taken, rows weighted where `weight` is given."""
    loss = (F.smooth_l1_loss if args.huber else F.mse_loss)(q_tm1, target, reduction="none")
    return (loss if weight is None else weight * loss).mean()


def update(
    agent: Agent, optimizer: torch.optim.Optimizer, batch: Transitions, weight: Tensor | None, args: Args
) -> tuple[dict[str, Tensor], Tensor]:
    """One gradient step; its figures, and the TD errors (B,)."""
    target = td_target(agent, batch, args)
    q_tm1 = agent.online(batch.obs).gather(-1, batch.action[:, None]).squeeze(-1)
    loss = td_loss(q_tm1, target, weight, args)
    optimizer.zero_grad()
    loss.backward()
    if args.max_grad_norm < float("inf"):
        nn.utils.clip_grad_norm_(agent.online.parameters(), args.max_grad_norm)
    optimizer.step()
    return {"losses/td_loss": loss, "losses/q_values": q_tm1.mean()}, (q_tm1 - target).detach()


def train(
    args: Args,
    run: RunFolder | None = None,
    *,
    make_env: MakeEnv | None = None,
    make_network: MakeNetwork | None = None,
) -> Result:
    """Train `args.total_timesteps` steps, rounded up to whole rounds of `num_envs` × `train_frequency`.

    With `run`, episodes, figures and checkpoints go to its folder and an earlier start of the same configuration is
    continued with the same bits. `make_env` makes the environment, wrapped as you like, in place of `args.env_id`, and
    `make_network(observation space, actions)` the network. Raises `InputError` for what the user can mend.
    """
    args.check()
    envs = VectorEnv(make_env or args.env_id, args.num_envs, args.seed)
    remedy = "use ddpg, td3 or sac for continuous actions"
    choices = require_space(envs.single_action_space, gymnasium.spaces.Discrete, "the action space", remedy)
    actions, start, space = int(choices.n), int(choices.start), envs.single_observation_space
    agent = Agent(space, actions, args, torch.Generator().manual_seed(derive(args.seed, "weights")), make_network)
    optimizer = adam(agent.online.parameters(), args.learning_rate)
    buffer = replay_buffer(space, args)
    rng = np.random.default_rng(derive(args.seed, "dqn"))
    training = Training(args, run, agent=agent, optimizer=optimizer, envs=envs, buffer=buffer, rng=rng)
    q = numpy_forward(agent.online.net)
    for iteration in training.iterations():
        for _ in range(args.train_frequency):
            obs = envs.obs
            warming_up = args.random_start and training.step < args.learning_starts
            action = explore(q, obs, actions, 1.0 if warming_up else args.epsilon(training.step), rng)
            step = envs.step(action + start)
            training.advance(args.num_envs, step.episodes)
            buffer.add(obs, action, replace(step, reward=np.sign(step.reward)) if args.clip_reward else step)
        if args.target_first:
            renew(agent, training.step, args)
        for number in args.gradient_numbers(iteration):
            figures = learn(agent, optimizer, buffer, training.step, args)
            if number % LOG_EVERY == 0:
                training.log({name: value.item() for name, value in figures.items()})
        if not args.target_first:
            renew(agent, training.step, args)
    envs.close()
    act = policy(agent, actions, args)
    return training.result(agent, lambda obs, deterministic: start + act(obs, deterministic))


def learn(
    agent: Agent, optimizer: torch.optim.Optimizer, buffer: ReplayBuffer, step: int, args: Args
) -> dict[str, Tensor]:
    """One gradient step on a batch drawn from `buffer`; its figures."""
    if not isinstance(buffer, PrioritizedReplayBuffer):
        return update(agent, optimizer, buffer.sample(args.batch_size), None, args)[0]
    batch, index, weight = buffer.draw(args.batch_size, args.beta(step))
    figures, error = update(agent, optimizer, batch, weight, args)
    buffer.set_priorities(index, error.numpy())
    return figures


def renew(agent: Agent, step: int, args: Args) -> None:
    """Bring the target network up to where it should be at environment step `step`."""
    for _ in range(args.renewals(step)):
        follow(agent.target, agent.online, args.tau)


def replay_buffer(space: Space, args: Args) -> ReplayBuffer:
    """The kind of buffer that `args` ask for."""
    seed = derive(args.seed, "replay")
    if args.prioritized:
        return PrioritizedReplayBuffer(args.buffer_size, space, None, seed, alpha=args.priority_alpha)
    return ReplayBuffer(args.buffer_size, space, None, seed)


def policy(agent: Agent, actions: int, args: Args) -> Callable[[Array, bool], Array]:
    """The trained policy on (N, *observation), and whether to take the best action always (else `end_e`)."""
    q = numpy_forward(agent.online.net)
    rng = np.random.default_rng(derive(args.seed, "act"))

    def act(obs: Array, deterministic: bool) -> Array:
        return explore(q, obs, actions, 0.0 if deterministic else args.end_e, rng)

    return act
