"""Every detail of PPO matters to some test: each is broken in turn in the source, and a named check must fail.

TABLE holds them, by the check that must fail. The checks are worked by hand and take milliseconds; they pass on the
source as it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.abc import SourceLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.deep.parts import vec
from rlpath.deep.parts.probes import CLOCK

NETWORKS, IMAGES, PPO = "rlpath.deep.parts.networks", "rlpath.deep.parts.images", "rlpath.deep.ppo"
Check = Callable[[Any, pytest.MonkeyPatch], None]


class Edited(SourceLoader):
    """Loads a module from text that differs from its file."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str) -> bytes:
        return self.source.encode()


def load_ppo(monkeypatch: pytest.MonkeyPatch, edited: str = "", old: str = "", new: str = "") -> Any:
    """PPO and what it is made of, again, with `old` replaced by `new` in the module `edited`."""
    module = ModuleType("none")
    for name in (NETWORKS, IMAGES, PPO):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).read_text(encoding="utf-8")
        if name == edited:
            assert source.count(old) == 1, f"{name} holds {old!r} {source.count(old)} times: bring the table up to date"
            source = source.replace(old, new)
        spec = spec_from_loader(name, Edited(found.origin, source))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    return module


# Data that the checks share


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, float).ravel(), np.ravel(expected), rtol=1e-4, atol=1e-6)


def make_agent(ppo: Any, **changes: Any) -> Any:
    args = ppo.Args(env_id="probe/Matching-v0", hidden=(4,), **changes)
    return ppo.make_agent(vec.VectorEnv(args.env_id, 1, 0), args)


def make_batch(ppo: Any, agent: Any, rows: int = 8) -> Any:
    """Rows whose old log probabilities and values are those of `agent`, in no way sorted."""
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(rows, 1, generator=generator)
    action = torch.arange(rows) % 2
    advantage, return_ = torch.randn(2, rows, generator=generator)
    with torch.no_grad():
        logprob, _ = agent.logprob_and_entropy(obs, action)
        return ppo.Batch(obs, action, logprob, advantage, return_ * 5, agent.value(obs))


def shifted(batch: Any) -> Any:
    """`batch` with old log probabilities that the policy has since moved away from."""
    return batch._replace(logprob=batch.logprob - torch.linspace(-0.5, 0.5, len(batch.logprob)))


def rollout(ppo: Any) -> Any:
    """Five steps of one environment whose value is its observation: 1, 2 terminated, 4 truncated, 6, 7 …"""
    column = lambda *values: np.array(values)[:, None]  # noqa: E731
    return ppo.Rollout(
        obs=column(1, 2, 4, 6, 7).astype(np.float32)[..., None],
        final_obs=column(2, 3, 5, 7, 8).astype(np.float32)[..., None],
        action=column(0, 1, 0, 1, 0),
        reward=column(1, 1, 1, 1, 1).astype(np.float32),
        terminated=column(False, True, False, False, False),
        truncated=column(False, False, True, False, False),
    )


VALUED: Any = SimpleNamespace(
    value=lambda obs: obs[..., 0], logprob_and_entropy=lambda obs, action: (-obs[:, 0] - 10 * action, obs[:, 0])
)


def update(ppo: Any, agent: Any, batch: Any, *, step: float = 1.0, **changes: Any) -> Any:
    """One `update` with plain gradient descent; returns what it returns."""
    args = ppo.Args(**{"num_minibatches": 1, "update_epochs": 1, "max_grad_norm": math.inf, **changes})
    return ppo.update(agent, torch.optim.SGD(agent.parameters(), step), batch, args, np.random.default_rng(0))


def minibatches(ppo: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[list[float]]:
    """The advantages of every minibatch that an update of eight rows, numbered 0 … 7, took; the policy has moved."""
    agent = make_agent(ppo)
    batch = shifted(make_batch(ppo, agent))._replace(advantage=torch.arange(8.0))
    taken, loss_terms = [], ppo.loss_terms

    def watched(agent: Any, rows: Any, args: Any) -> Any:
        taken.append(rows.advantage.tolist())
        return loss_terms(agent, rows, args)

    with monkeypatch.context() as patch:
        patch.setattr(ppo, "loss_terms", watched)
        update(ppo, agent, batch, **{"step": 0.01, **changes})
    return taken


# The checks


def advantages_are_normalized(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """1 and 3 become ∓1/√2: the unbiased deviation is √2. At ratios 1 and 1.1 that is −½(1.1 − 1)/√2."""
    loss = ppo.policy_loss(torch.tensor([1.0, 1.1]), torch.tensor([1.0, 3.0]), ppo.Args())
    close(loss, -0.05 / math.sqrt(2))


def the_surrogate_is_clipped(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Gains count up to 1 + ε, losses down to 1 − ε: −mean of 1.2, −0.8, 0.9 and −1.5."""
    ratio, advantage = torch.tensor([1.5, 0.5, 0.9, 1.5]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    close(ppo.policy_loss(ratio, advantage, ppo.Args(norm_adv=False)), -(1.2 - 0.8 + 0.9 - 1.5) / 4)


def the_value_loss_is_clipped(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """From 0 to 2 with target 1: errors 1, clipped 0.64. From 0 to 1: 0, clipped 0.64. Half the mean of the larger."""
    batch = SimpleNamespace(value=torch.zeros(2), return_=torch.ones(2))
    value = torch.tensor([2.0, 1.0])
    close(ppo.value_loss(value, batch, ppo.Args()), 0.5 * (1 + 0.64) / 2)
    close(ppo.value_loss(value, batch, ppo.Args(vloss_max=False)), 0.5 * 0.64)
    close(ppo.value_loss(value, batch, ppo.Args(clip_vloss=False)), 0.5 * 0.5)


def the_loss_is_the_sum_of_its_terms(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Policy − c_H·entropy + c_V·value, and a policy that is uniform has the entropy ln 2."""
    agent = make_agent(ppo)
    torch.nn.init.zeros_(agent.actor[-1].weight)
    loss, terms = ppo.loss_terms(agent, make_batch(ppo, agent), ppo.Args(ent_coef=3.0, vf_coef=0.7))
    close(terms.entropy, math.log(2))
    close(loss.detach(), terms.policy_loss - 3 * math.log(2) + 0.7 * terms.value_loss)


def ratios_are_to_the_policy_that_acted(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """No divergence and nothing clipped at first; then the k3 estimate and the share of ratios beyond 1 ± ε."""
    agent = make_agent(ppo)
    batch = make_batch(ppo, agent)
    _, fresh = ppo.loss_terms(agent, batch, ppo.Args())
    close([fresh.approx_kl, fresh.clipfrac], [0, 0])
    _, moved = ppo.loss_terms(agent, shifted(batch), ppo.Args())
    ratio = np.exp(np.linspace(-0.5, 0.5, 8))
    close([moved.approx_kl, moved.clipfrac], [(ratio - 1 - np.log(ratio)).mean(), (np.abs(ratio - 1) > 0.2).mean()])


def gradients_are_clipped_together(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """A step of size 1 moves all weights together by the largest norm allowed."""
    agent = make_agent(ppo)
    before = torch.nn.utils.parameters_to_vector(agent.parameters()).detach().clone()
    update(ppo, agent, make_batch(ppo, agent), max_grad_norm=0.01)
    close((torch.nn.utils.parameters_to_vector(agent.parameters()).detach() - before).norm(), 0.01)


def gradients_are_of_one_minibatch(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Without moving, three epochs leave the gradient of one."""
    gradients = []
    for epochs in (1, 3):
        agent = make_agent(ppo)
        update(ppo, agent, make_batch(ppo, agent), step=0.0, update_epochs=epochs)
        gradients.append(torch.cat([weight.grad.ravel() for weight in agent.parameters()]))
    close(gradients[1], gradients[0])


def rows_are_shuffled_into_minibatches(ppo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch takes every row once, in fours, in an order of its own."""
    taken = minibatches(ppo, monkeypatch, num_minibatches=2, update_epochs=3)
    assert [len(rows) for rows in taken] == [4] * 6
    epochs = [taken[i] + taken[i + 1] for i in (0, 2, 4)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert list(range(8)) not in epochs
    assert epochs[0] != epochs[1]


def updates_stop_at_the_divergence(ppo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose divergence is 0.0544: the first of two epochs is the last where the target is below that."""
    for target, epochs in ((None, 2), (0.055, 2), (0.054, 1)):
        assert len(minibatches(ppo, monkeypatch, update_epochs=2, step=0.0, target_kl=target)) == epochs


def updates_stop_before_a_step(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Tested every minibatch, they stop before the step where 0.0544 is above 1.5 times the target."""
    for target, moves in ((0.036, False), (0.037, True)):
        agent = make_agent(ppo)
        before = agent.critic[0].weight.detach().clone()
        update(ppo, agent, shifted(make_batch(ppo, agent)), target_kl=target, kl_per_minibatch=True)
        assert bool((agent.critic[0].weight != before).any()) == moves


def advantages_by_hand(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """γ = ½, λ = ½ on five steps, one that terminates and one that is truncated.

    δ = 1+1−1, 1+0−2, 1+5/2−4, 1+7/2−6, 1+8/2−7 = 1, −1, −½, −1½, −2 and A = δ + ¼A' where the episode goes on.
    """
    batch = ppo.make_batch(VALUED, rollout(ppo), 0.5, 0.5, True)
    expected = np.array([0.75, -1, -0.5, -2, -2])
    close(batch.advantage, expected)
    close(batch.return_, expected + np.array([1, 2, 4, 6, 7]))
    close(batch.value, [1, 2, 4, 6, 7])
    close(batch.logprob, [-1, -12, -4, -16, -7])


def truncation_bootstraps(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Where steps led is worth 2, 0 (terminated), 5 (truncated: its own last state), 7 and 8; without, 5 is 0."""
    values_along = ppo.values_along
    close(values_along(VALUED, rollout(ppo), True)[1], [2, 0, 5, 7, 8])
    close(values_along(VALUED, rollout(ppo), False)[1], [2, 0, 0, 7, 8])


def weights_begin_orthogonal(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Gain √2 inside, 0.01 for the policy's last layer, 1 for the value's; biases zero."""
    args = ppo.Args(env_id="CartPole-v1")
    agent = ppo.make_agent(vec.VectorEnv(args.env_id, 1, 0), args)
    for net in (agent.actor, agent.critic):
        first, middle = net[0].weight.detach(), net[2].weight.detach()
        close(first.T @ first, 2 * np.eye(4))
        close(middle @ middle.T, 2 * np.eye(64))
        assert all((layer.bias == 0).all() for layer in (net[0], net[2], net[4]))
    last, value = agent.actor[4].weight.detach(), agent.critic[4].weight.detach()
    close(last @ last.T, 1e-4 * np.eye(2))
    close(value @ value.T, 1)


def the_step_size_goes_down(ppo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four updates at 1, ¾, ½, ¼ of it, and the optimizer is told; late, at ¾ … 0. The clip range only on request."""
    args = ppo.Args(num_envs=2, num_steps=8, total_timesteps=64, learning_rate=0.4, env_id="probe/Matching-v0")
    told = []

    def watched(agent: Any, optimizer: Any, batch: Any, now: Any, rng: Any) -> dict[str, float]:
        told.append((optimizer.param_groups[0]["lr"], now.clip_coef))
        return {}

    monkeypatch.setattr(ppo, "update", watched)
    ppo.train(args)
    ppo.train(ppo.replace(args, anneal_late=True, anneal_clip=True))
    ppo.train(ppo.replace(args, anneal_lr=False))
    close(told[:4], [(0.4, 0.2), (0.3, 0.2), (0.2, 0.2), (0.1, 0.2)])
    close(told[4:8], [(0.3, 0.15), (0.2, 0.1), (0.1, 0.05), (0.0, 0.0)])
    close(told[8:], [(0.4, 0.2)] * 4)


def adam_has_its_epsilon(ppo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """1e-5."""
    args = ppo.Args(num_envs=2, num_steps=8, total_timesteps=16, env_id="probe/Matching-v0")
    told: list[Any] = []
    monkeypatch.setattr(ppo, "update", lambda agent, optimizer, *rest: told.append(optimizer) or {})
    ppo.train(args)
    assert isinstance(told[0], torch.optim.Adam)
    assert told[0].defaults["eps"] == 1e-5
    assert told[0].defaults["betas"] == (0.9, 0.999)


def a_rollout_is_what_happened(ppo: Any, _: pytest.MonkeyPatch) -> None:
    """Row by row: the observation acted on, where it led, how it ended; both actions are tried."""
    envs = vec.VectorEnv("probe/Endless-v0", 2, 0)
    agent = make_agent(ppo)
    training: Any = SimpleNamespace(advance=lambda steps, episodes: None)
    took = ppo.collect(envs, agent, np.random.default_rng(0), training, steps=12)
    ended = np.arange(1, 13) % CLOCK == 0
    assert (took.truncated == ended[:, None]).all()
    assert not took.terminated.any()
    assert set(took.action.ravel()) == {0, 1}
    balanced = vec.VectorEnv("CartPole-v1", 1, 0)
    first = balanced.obs.copy()
    args = ppo.Args()
    took = ppo.collect(balanced, ppo.make_agent(balanced, args), np.random.default_rng(0), training, steps=60)
    close(took.obs[0], first)
    goes_on = ~took.done[:-1, 0]
    close(took.final_obs[:-1, 0][goes_on], took.obs[1:, 0][goes_on])
    assert np.abs(took.final_obs[:-1, 0][~goes_on] - took.obs[1:, 0][~goes_on]).max(-1).min() > 0.05


CHECKS: list[Check] = [
    advantages_are_normalized,
    the_surrogate_is_clipped,
    the_value_loss_is_clipped,
    the_loss_is_the_sum_of_its_terms,
    ratios_are_to_the_policy_that_acted,
    gradients_are_clipped_together,
    gradients_are_of_one_minibatch,
    rows_are_shuffled_into_minibatches,
    updates_stop_at_the_divergence,
    updates_stop_before_a_step,
    advantages_by_hand,
    truncation_bootstraps,
    weights_begin_orthogonal,
    the_step_size_goes_down,
    adam_has_its_epsilon,
    a_rollout_is_what_happened,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_ppo_does(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the source as it is every check passes."""
    check(load_ppo(monkeypatch), monkeypatch)


@dataclass(frozen=True)
class Mutation:
    """One detail broken."""

    detail: str
    old: str
    new: str
    module: str
    check: Check

    def __str__(self) -> str:
        return f"{self.check.__name__}: {self.detail}"


SHUFFLE, ENDS = "rng.permutation(len(batch.obs))", "rollout.terminated if bootstrap_truncated else rollout.done"
# Check and module; then a detail, the text that is there, and the text in its place.
TABLE: list[tuple[Check, str, list[tuple[str, str, str]]]] = [
    (
        advantages_are_normalized,
        PPO,
        [("advantages are not normalized", "if args.norm_adv:", "if False:")],
    ),
    (
        advantages_are_normalized,
        PPO,
        [
            ("advantages are not centered", "(advantage - advantage.mean()) /", "advantage /"),
            ("their deviation is the biased one", "advantage.std() +", "advantage.std(correction=0) +"),
        ],
    ),
    (
        the_surrogate_is_clipped,
        PPO,
        [
            ("it is not", "torch.min(advantage * ratio, advantage * clipped)", "(advantage * ratio)"),
            ("the larger is taken", "-torch.min(advantage * ratio", "-torch.max(advantage * ratio"),
            ("it is clipped above only", "ratio.clamp(1 - args.clip_coef, 1", "ratio.clamp(0, 1"),
        ],
    ),
    (
        the_value_loss_is_clipped,
        PPO,
        [
            ("it is not", "if args.clip_vloss:", "if False:"),
            ("the smaller error is taken", "torch.max(error, clipped_error)", "torch.min(error, clipped_error)"),
            ("it is not halved", "0.5 * error.mean()", "error.mean()"),
        ],
    ),
    (
        the_loss_is_the_sum_of_its_terms,
        PPO,
        [
            ("no entropy bonus", "pg_loss - args.ent_coef * entropy.mean()", "pg_loss"),
            ("entropy is punished", "pg_loss - args.ent_coef *", "pg_loss + args.ent_coef *"),
            ("the value loss is not weighted", "args.vf_coef * v_loss", "v_loss"),
        ],
    ),
    (
        ratios_are_to_the_policy_that_acted,
        PPO,
        [
            ("old log-probabilities are the new", "logprob - batch.logprob", "logprob - logprob.detach()"),
            ("old log-probabilities are missing", "logratio = logprob - batch.logprob", "logratio = logprob"),
        ],
    ),
    (
        gradients_are_clipped_together,
        PPO,
        [
            ("they are not", "nn.utils.clip_grad_norm_(weights, args.max_grad_norm)", "pass"),
            ("the policy's alone", "list(agent.parameters())", "list(agent.actor.parameters())"),
        ],
    ),
    (gradients_are_of_one_minibatch, PPO, [("gradients add up", "optimizer.zero_grad()", "pass")]),
    (
        rows_are_shuffled_into_minibatches,
        PPO,
        [
            ("rows are not shuffled", SHUFFLE, "np.arange(len(batch.obs))"),
            ("every epoch has the same order", SHUFFLE, "np.random.default_rng(0).permutation(len(batch.obs))"),
            ("rows are drawn with replacement", SHUFFLE, "rng.integers(len(batch.obs), size=len(batch.obs))"),
            ("the last minibatch only", ".chunk(args.num_minibatches)", ".chunk(args.num_minibatches)[-1:]"),
            ("one batch, no minibatches", ".chunk(args.num_minibatches)", ".chunk(1)"),
            ("one epoch", "range(args.update_epochs)", "range(1)"),
        ],
    ),
    (updates_stop_at_the_divergence, PPO, [("they never stop", "seen[-1].approx_kl.item() > kl_limit", "False")]),
    (
        updates_stop_before_a_step,
        PPO,
        [
            ("no margin", "KL_MARGIN = 1.5", "KL_MARGIN = 1.0"),
            ("the step is taken", "                return figures(seen, batch)", "                pass"),
        ],
    ),
    (
        advantages_by_hand,
        PPO,
        [
            ("λ is 1", "(gamma * gae_lambda)", "gamma"),
            ("λ is 0", "(gamma * gae_lambda)", "0 * gamma"),
            ("they flow across an end", "(1.0 - done_t.astype(delta_t.dtype))", "np.ones_like(delta_t)"),
            ("the next value is not discounted", "gamma * value_tp1", "value_tp1"),
        ],
    ),
    (
        advantages_by_hand,
        PPO,
        [
            ("they flow across a truncation", "value_tp1, rollout.done, gamma", "value_tp1, rollout.terminated, gamma"),
            ("returns lack the value", "(advantage, advantage + value_t,", "(advantage, advantage,"),
            (
                "log-probabilities of another action",
                "logprob_and_entropy(obs, action)\n",
                "logprob_and_entropy(obs, 1 - action)\n",
            ),
        ],
    ),
    (
        truncation_bootstraps,
        PPO,
        [
            ("a truncation is an end", ENDS, "rollout.done"),
            ("a termination is no end", ENDS, "np.zeros_like(rollout.done)"),
            ("the next episode's value", "rollout.truncated.copy()", "np.zeros_like(rollout.truncated)"),
            ("nothing follows the last step", "led_elsewhere[-1] = True", "pass"),
        ],
    ),
    (
        weights_begin_orthogonal,
        PPO,
        [
            ("torch's own", "2**0.5 if orthogonal else None", "None"),
            ("gain 1 inside", "2**0.5 if orthogonal", "1.0 if orthogonal"),
            ("the policy begins sure of itself", "last_gain=0.01", "last_gain=1.0"),
        ],
    ),
    (weights_begin_orthogonal, NETWORKS, [("biases are not zero", "nn.init.zeros_(bias)", "nn.init.ones_(bias)")]),
    (
        the_step_size_goes_down,
        PPO,
        [
            ("it stays", 'optimizer.param_groups[0]["lr"] = now.learning_rate', "pass"),
            ("it is one update ahead", "(iteration + args.anneal_late)", "(iteration + 1)"),
            ("it cannot be kept", "left if args.anneal_lr else 1", "left"),
            ("the clip range goes down too", "left if args.anneal_clip else 1", "left"),
        ],
    ),
    (adam_has_its_epsilon, PPO, [("torch's own ε", "eps=args.adam_eps, ", "")]),
    (
        a_rollout_is_what_happened,
        PPO,
        [
            ("the greedy action", "self.sizes, next(uniform))", "self.sizes, None)"),
            ("the reset is stored as the end", "final_obs = step.final_obs", "final_obs = step.obs"),
            ("the observation after the step", "taken.append((obs, final_obs", "taken.append((final_obs, final_obs"),
            ("the two ends are swapped", "step.terminated, step.truncated))", "step.truncated, step.terminated))"),
        ],
    ),
]
MUTATIONS = [Mutation(*row, module, check) for check, module, rows in TABLE for row in rows]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_it_is_noticed_that(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The named check fails on the source with this one detail broken."""
    ppo = load_ppo(monkeypatch, mutation.module, mutation.old, mutation.new)

    with pytest.raises(AssertionError):
        mutation.check(ppo, monkeypatch)


def test_every_check_is_needed() -> None:
    """Each notices at least one mutation."""
    assert {mutation.check for mutation in MUTATIONS} == set(CHECKS)
