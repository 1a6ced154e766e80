"""PPO and A2C take the very steps of Stable-Baselines3's, and PPO those of CleanRL's published formulas.

Ours trains first, and the actions it drew and the orders of its minibatches are written down. Then Stable-Baselines3
runs its own `learn` from the same weights on the same environments, told only which actions to draw and how to
shuffle: its rollout buffer, bootstrapping, advantages, schedules, losses and optimizer are its own. After several
rollouts of several epochs all weights agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from rlpath.deep import a2c, ppo, ppo_continuous
from rlpath.deep.parts.training import Result
from rlpath.deep.parts.vec import VectorEnv, reset_seeds
from rlpath.deep.ppo import Agent, Rollout
from rlpath.deep.ppo_continuous import agent_for

ROLLOUTS = 3
# Episodes so short that every rollout holds ends of both kinds.
gymnasium.register("short/CartPole-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=17)
gymnasium.register("short/Pendulum-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=13)
ENV = "short/CartPole-v0"
BATCH: dict[str, Any] = {"num_envs": 4, "num_steps": 32, "total_timesteps": 4 * 32 * ROLLOUTS, "seed": 3}


@dataclass
class Recording:
    """What ours did: rollouts, their minibatch orders, and what its updates returned."""

    rollouts: list[Rollout] = field(default_factory=list)
    orders: list[Any] = field(default_factory=list)
    figures: list[dict[str, float]] = field(default_factory=list)

    def actions(self) -> Iterator[Any]:
        return (action for rollout in self.rollouts for action in rollout.action)


@dataclass
class Shuffler:
    """A generator that writes down its permutations."""

    rng: np.random.Generator
    orders: list[Any]

    def permutation(self, count: int) -> Any:
        self.orders.append(self.rng.permutation(count))
        return self.orders[-1]


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Writes down every rollout and update of PPO and A2C."""
    kept = Recording()
    collect, update = ppo.collect, ppo.update

    def collected(*args: Any, **named: Any) -> Rollout:
        kept.rollouts.append(collect(*args, **named))
        return kept.rollouts[-1]

    def updated(agent: Any, optimizer: Any, batch: Any, args: Any, rng: Any) -> dict[str, float]:
        kept.figures.append(update(agent, optimizer, batch, args, cast(Any, Shuffler(rng, kept.orders))))
        return kept.figures[-1]

    monkeypatch.setattr(ppo, "collect", collected)
    monkeypatch.setattr(a2c, "collect", collected)
    monkeypatch.setattr(ppo, "update", updated)
    return kept


def layers(policy: Any) -> dict[str, Any]:
    """Stable-Baselines3's layers by the names of ours."""
    nets = policy.mlp_extractor
    return {
        "actor.0": nets.policy_net[0],
        "actor.2": nets.policy_net[2],
        "actor.4": policy.action_net,
        "critic.0": nets.value_net[0],
        "critic.2": nets.value_net[2],
        "critic.4": policy.value_net,
    }


def their_weights(policy: Any) -> dict[str, torch.Tensor]:
    weights = {f"{ours}.{kind}": getattr(layer, kind) for ours, layer in layers(policy).items() for kind in KINDS}
    return weights | ({"log_std": policy.log_std} if hasattr(policy, "log_std") else {})


KINDS = ("weight", "bias")


class OurSeeds(DummyVecEnv):
    """Copies that start where ours do."""

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Remember what each copy will be reset with."""
        assert seed is not None
        self._seeds = [*reset_seeds(seed, self.num_envs)]
        return self._seeds


def their_envs(args: Any) -> Any:
    envs: Any = OurSeeds([lambda: gymnasium.make(args.env_id)] * args.num_envs)
    if getattr(args, "normalize", "none") == "shared":
        envs = VecNormalize(envs, gamma=args.gamma)
    return envs


def start(args: Any) -> Agent:
    """The untrained agent that `train(args)` begins with."""
    envs = VectorEnv(args.env_id, args.num_envs, args.seed)
    return agent_for(envs, args.hidden, args.orthogonal_init, args.seed, getattr(args, "log_std", 0.0))


def learn(model: Any, args: Any, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stable-Baselines3's `learn` from our first weights with our draws."""
    ours = dict(start(args).named_parameters())
    with torch.no_grad():
        for name, weight in their_weights(model.policy).items():
            weight.copy_(ours[name])
    actions, orders = recording.actions(), iter(recording.orders)

    def forward(obs: torch.Tensor, deterministic: bool = False) -> Any:
        action = torch.from_numpy(next(actions))
        value, logprob, _ = model.policy.evaluate_actions(obs, action)
        return action, value, logprob

    def permutation(count: int) -> Any:
        # Ours counts rows by time, theirs by environment.
        by_time = next(orders, np.arange(count))
        return by_time % args.num_envs * args.num_steps + by_time // args.num_envs

    monkeypatch.setattr(model.policy, "forward", forward)
    monkeypatch.setattr(np.random, "permutation", permutation)
    model.learn(args.total_timesteps)
    assert next(actions, None) is None
    assert next(orders, None) is None
    return model


def assert_equal_weights(result: Result, policy: Any) -> None:
    """Every weight, to 2e-6; the network has moved a thousand times as far since its start."""
    before, ours, theirs = start(result.args).state_dict(), result.agent.state_dict(), their_weights(policy)
    assert set(ours) == set(theirs)
    assert max((ours[name] - before[name]).abs().max().item() for name in ours) > 2e-3
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight.detach(), rtol=0, atol=2e-6)


def linear(start: float) -> Any:
    return lambda left: left * start


# Ours and theirs, setting by setting; theirs in the words of Stable-Baselines3.
PLAIN: dict[str, Any] = {"anneal_lr": False, "clip_vloss": False, "vf_coef": 1.0, "learning_rate": 1e-3}
PPO_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, {}),
    "value clipping": ({"clip_vloss": True, "vloss_max": False, "clip_coef": 0.05}, {"clip_range_vf": 0.05}),
    "advantages as they are": ({"norm_adv": False}, {"normalize_advantage": False}),
    "target KL": ({"target_kl": 0.0005, "kl_per_minibatch": True}, {"target_kl": 0.0005}),
    "schedules": (
        {"anneal_lr": True, "anneal_clip": True, "anneal_late": True},
        {"learning_rate": linear(1e-3), "clip_range": linear(0.2)},
    ),
    "coefficients": (
        {"gamma": 0.9, "gae_lambda": 0.5, "ent_coef": 0.03, "vf_coef": 0.4, "max_grad_norm": 0.1},
        {"gamma": 0.9, "gae_lambda": 0.5, "ent_coef": 0.03, "vf_coef": 0.2, "max_grad_norm": 0.1},
    ),
}


@pytest.mark.parametrize("setting", PPO_SETTINGS)
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_ppo(setting: str, kind: str, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights after three rollouts of four epochs of four minibatches."""
    changed, theirs = PPO_SETTINGS[setting]
    shared: dict[str, Any] = {**BATCH, **PLAIN, "num_minibatches": 4, "update_epochs": 4, "ent_coef": 0.01, **changed}
    if kind == "discrete":
        args = ppo.Args(env_id=ENV, **shared)
        result = ppo.train(args)
    else:
        args = ppo_continuous.Args(env_id="short/Pendulum-v0", normalize="shared", **shared)
        result = ppo_continuous.train(args)
    assert sum(rollout.truncated.sum() for rollout in recording.rollouts) > 10
    options: dict[str, Any] = {
        "learning_rate": 1e-3,
        "clip_range": args.clip_coef,
        "ent_coef": 0.01,
        "gamma": 0.99,
    } | theirs
    model = PPO(
        "MlpPolicy", their_envs(args), n_steps=32, batch_size=32, n_epochs=4, seed=args.seed, device="cpu", **options
    )

    learn(model, args, recording, monkeypatch)

    assert_equal_weights(result, model.policy)
    if setting == "target KL":
        assert len(recording.orders) < ROLLOUTS * args.update_epochs, "the test did not stop an update"
    logged = model.logger.name_to_value
    explained = recording.figures[-1]["losses/explained_variance"]
    assert logged["train/explained_variance"] == pytest.approx(explained, abs=1e-4)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize(
    ("changed", "theirs"),
    [
        ({}, {}),
        ({"norm_adv": True, "ent_coef": 0.02}, {"normalize_advantage": True, "ent_coef": 0.02}),
        ({"use_rms_prop": False, "gae_lambda": 0.9}, {"use_rms_prop": False, "gae_lambda": 0.9}),
        ({"anneal_lr": True, "vf_coef": 0.5}, {"learning_rate": linear(7e-4), "vf_coef": 0.25}),
    ],
    ids=["defaults", "normalized", "Adam", "schedule"],
)
def test_a2c(
    kind: str, changed: dict[str, Any], theirs: dict[str, Any], recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights after forty rollouts of five steps."""
    env_id, normalize = (ENV, "none") if kind == "discrete" else ("short/Pendulum-v0", "shared")
    size: dict[str, Any] = {"num_envs": 4, "num_steps": 5, "total_timesteps": 800, "seed": 3}
    args = a2c.Args(env_id=env_id, normalize=normalize, **size, **changed)
    result = a2c.train(args)
    assert sum(rollout.truncated.sum() for rollout in recording.rollouts) > 10
    model = A2C("MlpPolicy", their_envs(args), n_steps=5, seed=args.seed, device="cpu", **theirs)

    learn(model, args, recording, monkeypatch)

    assert_equal_weights(result, model.policy)


def test_one_ppo_step_term_by_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss terms and the gradient of every weight for one minibatch whose ratios are far from 1."""
    args = ppo.Args(env_id=ENV, **BATCH, **PLAIN, clip_coef=0.1, max_grad_norm=float("inf"))
    model = PPO(
        "MlpPolicy",
        their_envs(args),
        n_steps=32,
        batch_size=128,
        n_epochs=1,
        clip_range=0.1,
        ent_coef=args.ent_coef,
        max_grad_norm=float("inf"),
        seed=3,
        device="cpu",
    )
    _, callback = model._setup_learn(128)
    model.collect_rollouts(cast(Any, model.env), callback, model.rollout_buffer, 32)
    batch = batch_of(model.rollout_buffer)
    agent = start(args)
    with torch.no_grad():
        for name, weight in their_weights(model.policy).items():
            moved = weight + 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name)))
            weight.copy_(moved)
            dict(agent.named_parameters())[name].copy_(moved)
    monkeypatch.setattr(np.random, "permutation", np.arange)

    loss, terms = ppo.loss_terms(agent, batch, args)
    loss.backward()
    model.train()

    logged = model.logger.name_to_value
    assert 0.2 < terms.clipfrac < 0.9
    assert logged["train/loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert logged["train/policy_gradient_loss"] == pytest.approx(terms.policy_loss.item(), rel=1e-4)
    assert logged["train/value_loss"] == pytest.approx(2 * terms.value_loss.item(), rel=1e-5)
    assert logged["train/entropy_loss"] == pytest.approx(-terms.entropy.item(), rel=1e-5)
    assert logged["train/approx_kl"] == pytest.approx(terms.approx_kl.item(), rel=1e-4)
    assert logged["train/clip_fraction"] == pytest.approx(terms.clipfrac.item(), rel=1e-5)
    for name, weight in their_weights(model.policy).items():
        torch.testing.assert_close(dict(agent.named_parameters())[name].grad, weight.grad, rtol=1e-4, atol=1e-6)


def batch_of(buffer: RolloutBuffer) -> ppo.Batch:
    """The rows of their buffer as our batch, in their order."""
    rows = next(buffer.get(None))
    order = torch.arange(len(rows.returns))
    action = rows.actions.long().flatten()
    whole = ppo.Batch(rows.observations, action, rows.old_log_prob, rows.advantages, rows.returns, rows.old_values)
    by_row = {tuple(row): i for i, row in enumerate(whole.obs.tolist())}
    flat = torch.tensor([by_row[tuple(row)] for row in torch.from_numpy(buffer.observations).tolist()])
    assert sorted(flat.tolist()) == order.tolist()
    return whole.rows(flat)


def test_one_difference_not_switched_is_seen(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison has teeth: CleanRL's schedule, one update ahead, is not theirs."""
    args = ppo.Args(env_id=ENV, **{**BATCH, **PLAIN, "anneal_lr": True})
    result = ppo.train(args)
    options: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_epochs": 4, "ent_coef": 0.01, "seed": args.seed}
    model = PPO("MlpPolicy", their_envs(args), linear(1e-3), device="cpu", **options)

    learn(model, args, recording, monkeypatch)

    with pytest.raises(AssertionError, match="not close"):
        assert_equal_weights(result, model.policy)


# CleanRL, written from its description


def cleanrl(args: ppo.Args, agent: Agent, recording: Recording, continuous: bool) -> None:
    """Train `agent` in place on the recorded rollouts as ppo.py and ppo_continuous_action.py of CleanRL do."""
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    orders = iter(recording.orders)
    for number, rollout in enumerate(recording.rollouts, start=1):
        optimizer.param_groups[0]["lr"] = (1.0 - (number - 1.0) / len(recording.rollouts)) * args.learning_rate
        obs, actions = torch.tensor(rollout.obs), torch.tensor(rollout.action)
        with torch.no_grad():
            values = agent.critic(obs)[..., 0]
            next_value = agent.critic(torch.tensor(rollout.final_obs[-1]))[:, 0]
            old_logprobs = distribution(agent, obs, continuous).log_prob(actions)
        advantages, following = torch.zeros_like(values), torch.zeros(args.num_envs)
        for t in range(args.num_steps - 1, -1, -1):
            alive = 1.0 - torch.tensor(rollout.terminated[t] | rollout.truncated[t]).float()
            value_after = next_value if t == args.num_steps - 1 else values[t + 1]
            delta = torch.tensor(rollout.reward[t]) + args.gamma * value_after * alive - values[t]
            advantages[t] = following = delta + args.gamma * args.gae_lambda * alive * following
        targets = (advantages + values).flatten()
        for _ in range(args.update_epochs):
            order = next(orders)
            for first in range(0, len(order), 32):
                rows = torch.tensor(order[first : first + 32])
                chosen = distribution(agent, obs.flatten(0, 1)[rows], continuous)
                logprobs = old_logprobs.reshape(len(order), -1)[rows].sum(1)
                now = chosen.log_prob(actions.flatten(0, 1)[rows]).reshape(32, -1).sum(1)
                ratio = torch.exp(now - logprobs)
                scaled = advantages.flatten()[rows]
                scaled = (scaled - scaled.mean()) / (scaled.std() + 1e-8)
                surrogate = torch.max(-scaled * ratio, -scaled * torch.clamp(ratio, 0.8, 1.2)).mean()
                predicted, before = agent.critic(obs.flatten(0, 1)[rows])[:, 0], values.flatten()[rows]
                near = before + torch.clamp(predicted - before, -0.2, 0.2)
                worse = torch.max((predicted - targets[rows]) ** 2, (near - targets[rows]) ** 2)
                entropy = chosen.entropy().reshape(32, -1).sum(1).mean()
                loss = surrogate - args.ent_coef * entropy + 0.5 * worse.mean() * args.vf_coef
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()


def distribution(agent: Agent, obs: torch.Tensor, continuous: bool) -> Any:
    if continuous:
        deviation = cast(Any, agent).log_std.exp()
        return torch.distributions.Normal(agent.actor(obs), deviation, validate_args=False)
    return torch.distributions.Categorical(logits=agent.actor(obs), validate_args=False)


@pytest.mark.parametrize("continuous", [False, True])
def test_ppo_is_cleanrls(continuous: bool, recording: Recording) -> None:
    """Its defaults, on our rollouts and in our orders: the same weights in the end."""
    shared: dict[str, Any] = BATCH | {
        "num_minibatches": 4,
        "update_epochs": 4,
        "bootstrap_truncated": False,
        "ent_coef": 0.01,
    }
    if continuous:
        args = ppo_continuous.Args(env_id="short/Pendulum-v0", **shared)
        result = ppo_continuous.train(args)
    else:
        args = ppo.Args(env_id=ENV, **shared)
        result = ppo.train(args)
    reference = start(args)

    cleanrl(args, reference, recording, continuous)

    for name, weight in reference.named_parameters():
        torch.testing.assert_close(dict(result.agent.named_parameters())[name], weight, rtol=0, atol=2e-6)
