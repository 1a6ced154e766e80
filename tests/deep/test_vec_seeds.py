"""The environments of several seeds: exactly those that each seed alone would have."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.deep.batched.cartpole import CartPoles, is_cartpole
from rlpath.deep.batched.vec_seeds import LoopedEnvs, SeedEnvs, make_seed_envs
from rlpath.deep.parts.vec import VectorEnv

FIELDS = ("obs", "final_obs", "reward", "terminated", "truncated")


def compare(envs: SeedEnvs, alone: list[VectorEnv], steps: int, pole: bool = False) -> tuple[int, int]:
    """Step both with the same actions, bit for bit; how many episodes terminated and how many were truncated."""
    rng = np.random.default_rng(0)
    ended = np.zeros(2, int)
    shape = (len(alone), alone[0].num_envs)
    assert np.array_equal(envs.obs, np.stack([one.obs for one in alone]))
    for _ in range(steps):
        actions = rng.integers(0, envs.single_action_space.n, shape)  # type: ignore[attr-defined]
        if pole:
            # Pushing the way the pole falls keeps half of the copies up until the clock runs out.
            balanced = (envs.obs[..., 2] + envs.obs[..., 3] > 0).astype(int)
            actions[:, ::2] = balanced[:, ::2]
        step = envs.step(actions)
        theirs = [one.step(row) for one, row in zip(alone, actions, strict=True)]
        for name in FIELDS:
            ours, expected = getattr(step, name), np.stack([getattr(one, name) for one in theirs])
            assert ours.dtype == expected.dtype and np.array_equal(ours, expected), name
        assert step.episodes == [episode for one in theirs for episode in one.episodes]
        ended += step.terminated.sum(), (step.truncated & ~step.terminated).sum()
    return int(ended[0]), int(ended[1])


@pytest.mark.parametrize("env_id", ["CartPole-v1", "CartPole-v0"])
@pytest.mark.filterwarnings("ignore:.*CartPole-v0 is out of date")
def test_cartpole_as_arrays_is_gymnasiums_to_the_bit(env_id: str) -> None:
    """Observations, rewards, ends, resets and returns over thousands of steps, with falls and with timeouts."""
    seeds = [0, 7, 2**31]
    terminated, truncated = compare(
        CartPoles(env_id, 4, seeds), [VectorEnv(env_id, 4, seed) for seed in seeds], 3000, pole=True
    )

    assert terminated > 300 and truncated > 20


def test_any_other_environment_is_looped_over() -> None:
    """Acrobot, by the same rule."""
    envs = make_seed_envs("Acrobot-v1", 2, [3, 5])
    compare(envs, [VectorEnv("Acrobot-v1", 2, seed) for seed in (3, 5)], 600)

    assert isinstance(envs, LoopedEnvs)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v1"])
def test_a_seeds_copies_go_on_from_their_state(env_id: str) -> None:
    """One seed of three is restored among other neighbors and takes the same steps."""
    rng = np.random.default_rng(1)
    before = make_seed_envs(env_id, 2, [1, 2, 3])
    for _ in range(50):
        before.step(rng.integers(0, 2, (3, 2)))
    after = make_seed_envs(env_id, 2, [8, 2])
    after.parts[1].load_state_dict(before.parts[1].state_dict())
    for _ in range(600):
        actions = rng.integers(0, 2, (3, 2))
        left, right = before.step(actions), after.step(actions[:2])
        for name in FIELDS:
            assert np.array_equal(getattr(left, name)[1], getattr(right, name)[1]), name


def test_a_changed_cartpole_is_not_taken_for_gymnasiums() -> None:
    """Another reward, or another class, goes through the loop."""
    assert is_cartpole("CartPole-v1") and not is_cartpole("Acrobot-v1")
    gymnasium.register(
        "OtherPole-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", kwargs={"sutton_barto_reward": True}
    )
    try:
        assert not is_cartpole("OtherPole-v0")
    finally:
        del gymnasium.registry["OtherPole-v0"]


def test_states_of_another_size_are_refused() -> None:
    """Two copies do not go on from four."""
    saved = CartPoles("CartPole-v1", 4, [0]).parts[0].state_dict()

    with pytest.raises(InputError, match="the saved run has 4 environments, this one 2"):
        CartPoles("CartPole-v1", 2, [0]).parts[0].load_state_dict(saved)


def test_there_is_no_such_environment() -> None:
    """The nearest names are suggested, and no copies are none."""
    with pytest.raises(InputError, match="did you mean CartPole-v1"):
        make_seed_envs("CartPole-v9", 4, [0])
    with pytest.raises(InputError, match="num_envs must be at least 1"):
        make_seed_envs("CartPole-v1", 0, [0])
