"""NormalizedEnvs observations and rewards: those of the libraries whose rules they are, and a state that comes back."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import NormalizeObservation, NormalizeReward
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import rlpath.deep.parts.probes  # noqa: F401
from rlpath.deep.parts.normalize import Moments, NormalizedEnvs, make_envs
from rlpath.deep.parts.vec import VectorEnv, reset_seed, reset_seeds

GAMMA = 0.9


def short(env_id: str) -> Any:
    """An environment with short episodes that end in both ways."""
    return gymnasium.make(env_id, max_episode_steps=13)


def draws(steps: int, envs: int, discrete: bool) -> Any:
    rng = np.random.default_rng(0)
    return rng.integers(2, size=(steps, envs)) if discrete else rng.uniform(-2, 2, (steps, envs, 1)).astype(np.float32)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_shared_is_vecnormalize(env_id: str) -> None:
    """Observations, final observations and rewards of 100 steps of 3 environments."""
    ours = NormalizedEnvs(VectorEnv(lambda: short(env_id), 3, seed=5), GAMMA, shared=True)
    inner = DummyVecEnv([lambda: short(env_id)] * 3)
    inner._seeds = [*reset_seeds(5, 3)]
    theirs: Any = VecNormalize(inner, gamma=GAMMA)
    np.testing.assert_allclose(theirs.reset(), ours.obs, atol=1e-5)

    ended = 0
    for actions in draws(100, 3, env_id == "CartPole-v1"):
        step = ours.step(actions)
        obs, reward, done, infos = theirs.step(actions)
        np.testing.assert_allclose(step.obs, obs, atol=1e-5)
        np.testing.assert_allclose(step.reward, reward, rtol=1e-5)
        np.testing.assert_array_equal(step.done, done)
        for i in np.flatnonzero(done):
            np.testing.assert_allclose(step.final_obs[i], infos[i]["terminal_observation"], atol=1e-5)
            ended += 1
    assert ended > 15


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_per_env_is_gymnasiums_wrappers(env_id: str) -> None:
    """Each environment as wrapped on its own and reset by hand, clipped as CleanRL clips."""
    ours = NormalizedEnvs(VectorEnv(lambda: short(env_id), 3, seed=5), GAMMA, shared=False)
    wrapped = [NormalizeReward(NormalizeObservation(short(env_id)), gamma=GAMMA) for _ in range(3)]
    for i, env in enumerate(wrapped):
        np.testing.assert_allclose(np.clip(env.reset(seed=reset_seed(5, i))[0], -10, 10), ours.obs[i], atol=1e-5)

    for actions in draws(100, 3, env_id == "CartPole-v1"):
        step = ours.step(actions)
        for i, env in enumerate(wrapped):
            obs, reward, terminated, truncated, _ = env.step(actions[i])
            np.testing.assert_allclose(np.clip(obs, -10, 10), step.final_obs[i], atol=1e-4)
            assert step.reward[i] == pytest.approx(np.clip(float(reward), -10, 10), rel=1e-4)
            if terminated or truncated:
                obs, _ = env.reset()
            np.testing.assert_allclose(np.clip(obs, -10, 10), step.obs[i], atol=1e-4)


def test_moments_are_those_of_all_rows() -> None:
    """Merged group by group they are the mean and variance of everything, but for the start's weight of 1e-4."""
    rows = np.random.default_rng(0).normal(3, 2, (500, 2))
    moments = Moments((2,))
    for group in np.split(rows, [1, 2, 50, 300]):
        moments.add(group)

    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, rows.var(0), rtol=1e-5)


def test_evaluation_pools_the_environments() -> None:
    """Any number of rows is normalized by what all environments together have seen."""
    rows = np.random.default_rng(0).normal(3, 2, (200, 4, 2))
    moments = Moments((4, 2))
    for group in rows:
        moments.merge(group, np.zeros_like(group), 1)

    np.testing.assert_allclose(moments.pooled().mean, rows.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(moments.pooled().variance, rows.var((0, 1)), rtol=1e-4)


@pytest.mark.parametrize("normalize", ["shared", "per_env"])
def test_a_restored_normalizer_goes_on_with_the_same_bits(normalize: Any, tmp_path: Any) -> None:
    """Statistics, the returns so far and the environments, through a file."""

    def walk(envs: Any, actions: Any) -> list[bytes]:
        steps = [envs.step(action) for action in actions]
        return [array.tobytes() for step in steps for array in (step.obs, step.final_obs, step.reward)]

    actions = draws(400, 2, False)
    envs = make_envs("Pendulum-v1", 2, 0, normalize, GAMMA)
    walk(envs, actions[:250])
    torch.save(envs.state_dict(), tmp_path / "state.pt")
    expected = walk(envs, actions[250:])
    restored = make_envs("Pendulum-v1", 2, 77, normalize, GAMMA)
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    assert walk(restored, actions[250:]) == expected


def test_episodes_count_their_own_rewards() -> None:
    """Returns in the log are the task's."""
    envs = make_envs("probe/Endless-v0", 1, 0, "shared", GAMMA)
    steps = [envs.step(np.array([0])) for _ in range(5)]

    assert steps[-1].episodes[0].return_ == 5.0
    assert steps[-1].reward[0] != 1.0


def test_values_are_clipped_at_ten() -> None:
    """A far outlier counts ten deviations."""
    moments = Moments((1,))
    moments.add(np.random.default_rng(0).normal(size=(1000, 1)))

    assert moments.normalize(np.array([[1e6], [-1e6]])).ravel().tolist() == [10.0, -10.0]
    assert moments.scale(np.array([[1e6]])).item() == 10.0
