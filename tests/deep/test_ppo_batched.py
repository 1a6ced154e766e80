"""PPO with all seeds in one process: `ppo`'s numbers, and a seed's bits whoever its neighbors are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.stats import t_interval
from rlpath.deep import ppo
from rlpath.deep.batched import ppo_batched
from rlpath.deep.batched.ppo_batched import Learners, train_batched
from rlpath.deep.batched.vec_seeds import make_seed_envs
from rlpath.deep.parts.training import Result, Training
from rlpath.deep.ppo import Args
from rlpath.deep.runner.recipe import run_recipe
from rlpath.runs.processes import SEEDS_HERE
from rlpath.runs.run_folder import RunFolder

SMALL = Args(env_id="ShortPole-v0", total_timesteps=512, num_steps=32, checkpoint_every=0)
SWITCHES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no annealing": {"anneal_lr": False},
    "no standardizing": {"norm_adv": False},
    "plain value loss": {"clip_vloss": False},
    "nothing clipped": {"clip_coef": float("inf"), "max_grad_norm": float("inf")},
    "clipped hard": {"clip_coef": 0.01, "max_grad_norm": 0.01, "learning_rate": 0.01},
    "other weights": {"ent_coef": 0.1, "vf_coef": 1.0, "gamma": 0.9, "gae_lambda": 0.5},
    "target KL": {"target_kl": 1e-5},
    "target KL by minibatch": {"target_kl": 1e-6, "kl_per_minibatch": True},
    "annealed clip": {"anneal_clip": True, "clip_coef": 0.02, "learning_rate": 0.003},
    "annealed late": {"anneal_late": True},
    "the clipped value loss alone": {"vloss_max": False, "clip_coef": 0.02},
    "truncated is terminated": {"bootstrap_truncated": False},
    "torch's weights and epsilon": {"orthogonal_init": False, "adam_eps": 1e-8},
    "other sizes": {"hidden": (16,), "num_envs": 3, "num_minibatches": 8, "update_epochs": 2},
    "three layers": {"hidden": (8, 24, 16)},
    "no layer": {"hidden": ()},
    "rewards clipped": {"clip_reward": True},
}


@pytest.fixture(autouse=True)
def short_episodes() -> Iterator[None]:
    """Environments whose clock runs out within a rollout, some poles having fallen before."""
    gymnasium.register("ShortPole-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=14)
    gymnasium.register("ShortAcrobot-v0", "gymnasium.envs.classic_control:AcrobotEnv", max_episode_steps=9)
    yield
    del gymnasium.registry["ShortPole-v0"], gymnasium.registry["ShortAcrobot-v0"]


class Recorder:
    """The rollouts of a training run, as both files hand them to `make_batch`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self.rollouts: list[Any] = []
        right = module.make_batch

        def recording(agents: Any, rollout: Any, *rest: Any) -> Any:
            self.rollouts.append(rollout)
            return right(agents, rollout, *rest)

        monkeypatch.setattr(module, "make_batch", recording)


def test_a_seeds_bits_do_not_depend_on_the_others() -> None:
    """Alone, among three, among ten, in groups of four: the same weights, episodes and losses."""
    alone = {seed: train_batched(SMALL, [seed])[0] for seed in (0, 2, 9)}
    among: list[Sequence[Result]] = [train_batched(SMALL, [0, 9, 2]), train_batched(SMALL, range(10))]
    among.append(train_batched(SMALL, range(10), at_once=4))
    for results in among:
        for result in results:
            if result.args.seed in alone:
                expected = alone[result.args.seed]
                assert result.digest == expected.digest
                assert result.history == expected.history
                assert result.losses == expected.losses
    assert len({result.digest for result in among[1]}) == 10


@pytest.mark.parametrize("changes", [*SWITCHES.values(), {"env_id": "ShortAcrobot-v0"}], ids=[*SWITCHES, "Acrobot"])
def test_the_readable_file_takes_the_same_steps(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rollouts and updates under every switch: the same actions, and weights and losses but for rounding."""
    args = replace(SMALL, **changes)
    args = replace(args, total_timesteps=4 * args.batch_size)
    readable, batched = Recorder(monkeypatch, ppo), Recorder(monkeypatch, ppo_batched)
    expected, result = ppo.train(replace(args, seed=3)), train_batched(args, [5, 3])[-1]

    assert readable.rollouts[0].truncated.any() and (readable.rollouts[0].terminated.any() or "env_id" in changes)
    assert len(readable.rollouts) == len(batched.rollouts[-4:]) == 4
    for theirs, ours in zip(readable.rollouts, batched.rollouts[-4:], strict=True):
        for name in ("obs", "final_obs", "action", "reward", "terminated", "truncated"):
            assert np.array_equal(getattr(theirs, name), getattr(ours, name)[:, -1]), name
    assert result.history == expected.history
    assert result.losses == pytest.approx(expected.losses, rel=1e-3, abs=2e-5)
    for ours, theirs in zip(result.agent.parameters(), expected.agent.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)


def rollout_and_agents(args: Args, seeds: Sequence[int]) -> tuple[Any, list[Any], Learners]:
    """A rollout of untrained agents, stacked."""
    envs = make_seed_envs(args.env_id, args.num_envs, seeds)
    agents = [ppo.make_agent(envs, replace(args, seed=seed)) for seed in seeds]
    learners = Learners(agents, args)
    rngs = [np.random.default_rng(derive(seed, "ppo")) for seed in seeds]
    trainings = [Training(args) for _ in seeds]
    return ppo_batched.collect(envs, learners, args, rngs, trainings), agents, learners


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_the_gradient_is_autograds(changes: dict[str, Any]) -> None:
    """Far from the old policy, where every clip cuts: torch's gradient of the readable file's loss."""
    args = replace(SMALL, **changes)
    rollout, agents, learners = rollout_and_agents(args, [0, 1, 2])
    batch = ppo_batched.make_batch(learners, rollout, args)
    learners.weights += 0.05 * np.random.default_rng(0).standard_normal(learners.weights.shape, np.float32)
    figures = ppo_batched.value_gradient(learners, batch, args) | ppo_batched.policy_gradient(learners, batch, args)
    for k, agent in enumerate(agents):
        rows = ppo.Batch(*(torch.from_numpy(c[k]) for c in batch._replace(chosen=batch.chosen.argmax(-1))))
        logprob, entropy = agent.logprob_and_entropy(rows.obs, rows.action)
        ratio = (logprob - rows.logprob).exp()
        pg_loss = ppo.policy_loss(ratio, rows.advantage, args)
        v_loss = ppo.value_loss(agent.value(rows.obs), rows, args)
        loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(agent.parameters()))]).numpy()
        scale = np.abs(expected).max()
        assert np.abs(learners.gradient[k] - expected).max() < 2e-5 * scale
        assert figures["policy_loss"][k] == pytest.approx(pg_loss.item(), rel=1e-4, abs=1e-6)
        assert figures["value_loss"][k] == pytest.approx(v_loss.item(), rel=1e-4)
        assert figures["entropy"][k] == pytest.approx(entropy.mean().item(), rel=1e-4)


@pytest.mark.slow
def test_learning_curves_agree_with_the_readable_files() -> None:
    """Ten seeds of 50 000 steps of CartPole, paired: no difference in the mean return of all training episodes.

    Pairs, because the first rollouts are the same: what a seed begins with decides much of its curve.
    """
    args = Args(total_timesteps=50_000, checkpoint_every=0)
    seeds = range(10)
    batched = [mean_return(result) for result in train_batched(args, seeds)]
    readable = [mean_return(ppo.train(replace(args, seed=seed))) for seed in seeds]
    difference = t_interval(np.subtract(batched, readable), level=0.99)

    assert difference.low < 0 < difference.high
    assert max(-difference.low, difference.high) < 0.05 * np.mean(readable)


def mean_return(result: Result) -> float:
    return float(np.mean([episode.return_ for episode in result.episodes]))


def test_every_switch_is_tested() -> None:
    """A field added to PPO's arguments must be followed here, and appear above."""
    switched = {name for changes in SWITCHES.values() for name in changes}
    plain = {"env_id", "seed", "total_timesteps", "checkpoint_every", "num_steps"}

    assert {field.name for field in fields(Args)} == switched | plain


class Killed(Exception):
    """What stands for a kill in a test."""


def folders(root: Path, args: Args, seeds: Sequence[int]) -> list[RunFolder]:
    return [RunFolder.open(root, "ppo", asdict(args), seed) for seed in seeds]


def killed(args: Args, seeds: Sequence[int], root: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start, and end when the checkpoint of number `at`, counted over all seeds, is to be written."""
    right, counted = RunFolder.mark_complete, []

    def mark(self: RunFolder, checkpoint: Path, **kwargs: Any) -> None:
        counted.append(checkpoint)
        if len(counted) == at:
            raise Killed
        right(self, checkpoint, **kwargs)

    runs = folders(root, args, seeds)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunFolder, "mark_complete", mark)
        train_batched(args, seeds, runs)
    for run in runs:
        run.close()


@pytest.mark.parametrize("env_id", ["ShortPole-v0", "ShortAcrobot-v0"])
def test_a_killed_run_goes_on_with_the_same_bits(env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while some seeds' checkpoints are a step ahead of others', in other company than before."""
    args = replace(SMALL, env_id=env_id, checkpoint_every=128)
    whole = train_batched(args, [0, 1, 2])
    killed(args, [0, 1, 2], tmp_path, 6, monkeypatch)
    runs = folders(tmp_path, args, [2, 0, 1])
    steps = [run.last_checkpoint().name for run in runs]  # type: ignore[union-attr]
    results = train_batched(args, [2, 0, 1], runs)

    assert steps == ["checkpoint-128", "checkpoint-256", "checkpoint-256"]
    assert [result.args.seed for result in results] == [2, 0, 1]
    for run, result, expected in zip(runs, results, [whole[2], whole[0], whole[1]], strict=True):
        assert (result.digest, result.history, result.losses) == (expected.digest, expected.history, expected.losses)
        logged = [row["charts/episodic_return"] for row in run.metrics() if "charts/episodic_return" in row]
        assert logged == [episode.return_ for episode in expected.episodes]
        run.close()


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    """Trained again, alone, every seed gives the same result at once: each had come to its end, not the first only."""
    args = replace(SMALL, checkpoint_every=128)
    runs = folders(tmp_path, args, [0, 1])
    first = train_batched(args, [0, 1], runs)
    written = [(run.path / "metrics.jsonl").read_bytes() for run in runs]
    again = [train_batched(args, [seed], [run])[0] for seed, run in zip([0, 1], runs, strict=True)]

    assert [(one.digest, one.history) for one in again] == [(one.digest, one.history) for one in first]
    assert [(run.path / "metrics.jsonl").read_bytes() for run in runs] == written


def test_a_run_of_the_readable_file_is_not_continued(tmp_path: Path) -> None:
    """Its bits are others."""
    args = replace(SMALL, checkpoint_every=128)
    runs = folders(tmp_path, args, [0])
    ppo.train(args, runs[0])

    with pytest.raises(InputError, match=r"holds \['agent', 'envs', 'optimizer', 'rng'\], this run needs \['adam'"):
        train_batched(args, [0], runs)


def test_the_policy_is_the_trained_one() -> None:
    """`act` sees the weights, and every agent keeps its own."""
    results = train_batched(SMALL, [0, 1])
    obs = np.random.default_rng(0).standard_normal((50, 4), np.float32)
    for result in results:
        logits = result.agent.actor(torch.from_numpy(obs))  # type: ignore[operator]
        assert np.array_equal(result.act(obs, True), logits.argmax(-1).numpy())
    assert results[0].digest != results[1].digest


@pytest.mark.parametrize(
    ("changes", "seeds", "match"),
    [
        ({"env_id": "Pendulum-v1"}, [0], "use ppo_continuous"),
        ({"env_id": "CartPole-v7"}, [0], "did you mean CartPole-v1"),
        ({"num_minibatches": 3}, [0], "do not divide into 3 minibatches"),
        ({}, [], "seeds"),
        ({}, [1, 1], "each once"),
        ({}, [-1], "seed must be not negative"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], seeds: list[int], match: str) -> None:
    """In a sentence."""
    with pytest.raises(InputError, match=match):
        train_batched(replace(SMALL, **changes), seeds)


def test_the_recipe_trains_seeds_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--batched` leaves the same weights as the function does, in a folder of its own."""
    monkeypatch.setenv(SEEDS_HERE, "1")
    words = ["--seeds", "2-3", "--batched", "--eval-episodes", "2", "--root", str(tmp_path)]
    run_recipe("ppo", ppo.train, {"short": SMALL}, words, batched=train_batched)
    found = {path.parent.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("final.json")}

    assert found.keys() == {"seed-2", "seed-3"}
    for result in train_batched(SMALL, [2, 3]):
        assert found[f"seed-{result.args.seed}"]["digest"] == result.digest
