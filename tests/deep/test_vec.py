"""The vector environment: one rule for the end of an episode, foreign ones held to it, and states that come back."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlpath.core.errors import InputError
from rlpath.deep.parts.vec import EVALUATION_SEED, Episode, GymnasiumVectorEnv, VectorEnv, make_env, reset_seed


class Counting(gymnasium.Env[Any, Any]):
    """Observes the number of steps taken; ends after `length` of them, by termination or by the clock or both."""

    def __init__(self, length: int = 3, *, terminates: bool = True, truncates: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.length, self.terminates, self.truncates = length, terminates, truncates
        self.taken = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.taken = 0
        return np.array([0.0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken += 1
        over = self.taken == self.length
        return np.array([float(self.taken)]), 0.5, over and self.terminates, over and self.truncates, {}


def actions(*values: int) -> Any:
    return np.array(values)


def test_the_step_that_ends_an_episode_also_resets() -> None:
    """Three-step episodes: `obs` goes 1, 2, 0 and `final_obs` 1, 2, 3; the next action counts."""
    envs = VectorEnv(Counting, 1, seed=0)

    steps = [envs.step(actions(0)) for _ in range(7)]

    assert [step.obs.item() for step in steps] == [1, 2, 0, 1, 2, 0, 1]
    assert [step.final_obs.item() for step in steps] == [1, 2, 3, 1, 2, 3, 1]
    assert [step.terminated.item() for step in steps] == [False, False, True, False, False, True, False]
    assert not any(step.truncated.item() for step in steps)
    assert [step.reward.item() for step in steps] == [0.5] * 7
    assert [step.episodes for step in steps] == [[], [], [Episode(1.5, 3)], [], [], [Episode(1.5, 3)], []]


@pytest.mark.parametrize(("terminates", "truncates"), [(True, False), (False, True), (True, True)])
def test_the_two_ends_are_kept_apart(terminates: bool, truncates: bool) -> None:
    """Termination, the clock, and both in one step."""
    envs = VectorEnv(lambda: Counting(1, terminates=terminates, truncates=truncates), 2, seed=0)

    step = envs.step(actions(0, 1))

    assert step.terminated.tolist() == [terminates] * 2
    assert step.truncated.tolist() == [truncates] * 2
    assert step.done.tolist() == [True, True]


def test_copies_end_on_their_own() -> None:
    """Where only the middle one ends, `final_obs` differs from `obs` in that row alone, and the rows stay apart."""
    lengths = iter([5, 2, 4])
    envs = VectorEnv(lambda: Counting(next(lengths)), 3, seed=0)
    first = envs.step(actions(0, 0, 0))
    assert first.final_obs is first.obs

    second = envs.step(actions(0, 0, 0))

    assert second.obs.ravel().tolist() == [2, 0, 2]
    assert second.final_obs.ravel().tolist() == [2, 2, 2]
    assert second.done.tolist() == [False, True, False]
    assert first.obs.ravel().tolist() == [1, 1, 1], "rows that were handed out must not change"


def test_types_of_what_a_step_gives() -> None:
    """float64 observations become float32, others keep their type; rewards are float32."""
    envs = VectorEnv(Counting, 2, seed=0)
    assert envs.obs.dtype == np.float32
    assert envs.step(actions(0, 0)).reward.dtype == np.float32

    assert VectorEnv("FrozenLake-v1", 2, seed=0).obs.dtype == np.int64


def test_a_copy_starts_from_its_reset_seed() -> None:
    """Copy i starts where Gymnasium starts with `reset_seed(seed, i)`; copy 0 of a small seed with the seed itself."""
    envs = VectorEnv("CartPole-v1", 3, seed=7)

    for i in range(3):
        theirs = gymnasium.make("CartPole-v1").reset(seed=reset_seed(7, i))[0]
        np.testing.assert_array_equal(envs.obs[i], theirs)
    assert reset_seed(7, 0) == 7


def test_no_two_training_seeds_nor_an_evaluation_share_start_states() -> None:
    """Neither the runs of 60 seeds, some beside the evaluation's, nor its episodes are reset with the same number."""
    trained = [reset_seed(seed, i) for seed in (*range(50), *range(9_995, 10_005)) for i in range(64)]
    evaluated = range(EVALUATION_SEED, EVALUATION_SEED + 100_000)

    assert len(set(trained)) == len(trained)
    assert not set(trained) & set(evaluated)


def test_seeds_do_not_repeat_their_neighbors_episodes() -> None:
    """Of 400 starts of four copies each, seeds 0 and 1, and the evaluation and seed 10,000, share none."""

    def starts(seed: int) -> set[bytes]:
        envs = VectorEnv("CartPole-v1", 4, seed)
        seen = [row.tobytes() for row in envs.obs]
        while len(seen) < 400:
            taken = envs.step(np.ones(4, np.int64))
            seen += [row.tobytes() for row in taken.obs[taken.done]]
        assert len(set(seen)) == len(seen)
        return set(seen)

    assert not starts(0) & starts(1)
    env = gymnasium.make("CartPole-v1")
    evaluated = {env.reset(seed=EVALUATION_SEED + i)[0].tobytes() for i in range(100)}
    assert not starts(EVALUATION_SEED) & evaluated


def test_an_episode_is_the_one_of_the_plain_environment() -> None:
    """Over several episodes observations, rewards and ends are those of `gymnasium.make`, reset by hand."""
    plain = gymnasium.make("CartPole-v1")
    obs, _ = plain.reset(seed=3)
    envs = VectorEnv("CartPole-v1", 1, seed=3)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(200):
        np.testing.assert_array_equal(envs.obs[0], obs)
        action = int(rng.integers(2))
        obs, reward, terminated, truncated, _ = plain.step(action)
        step = envs.step(actions(action))
        np.testing.assert_array_equal(step.final_obs[0], obs)
        assert (step.reward[0], step.terminated[0], step.truncated[0]) == (reward, terminated, truncated)
        if terminated or truncated:
            obs, _ = plain.reset()
            ended += 1
    assert ended > 3


def draw(envs: VectorEnv, rng: np.random.Generator) -> Any:
    """Random actions; a vector's components lie a little beyond the bounds at times."""
    space = envs.single_action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(int(space.n), size=envs.num_envs)
    return rng.normal(size=(envs.num_envs, *(space.shape or ()))).astype(np.float32)


def walk(envs: VectorEnv, rng: np.random.Generator, steps: int) -> list[Any]:
    taken = [envs.step(draw(envs, rng)) for _ in range(steps)]
    return [(s.obs.tobytes(), s.final_obs.tobytes(), s.reward.tobytes(), s.done.tobytes(), s.episodes) for s in taken]


@pytest.mark.parametrize(
    ("env_id", "before"),
    [
        ("CartPole-v1", 5),  # in the first episode, begun from a seed
        ("CartPole-v1", 150),  # some episodes later, begun from a generator's state
        ("Pendulum-v1", 250),
        ("MountainCar-v0", 230),
        ("Acrobot-v1", 510),
        ("LunarLander-v3", 40),
        ("LunarLander-v3", 180),
        ("LunarLanderContinuous-v3", 130),
    ],
)
def test_a_restored_environment_goes_on_with_the_same_bits(env_id: str, before: int, tmp_path: Any) -> None:
    """Saved to disk mid-episode and restored into new copies of another seed: the next 150 steps are identical."""
    envs = VectorEnv(env_id, 2, seed=11)
    walk(envs, np.random.default_rng(1), before)
    torch.save(envs.state_dict(), tmp_path / "state.pt")
    expected = walk(envs, np.random.default_rng(2), 150)

    restored = VectorEnv(env_id, 2, seed=999)
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    assert walk(restored, np.random.default_rng(2), 150) == expected


def test_a_restored_environment_counts_its_episode_from_its_start() -> None:
    """Return and length of the episode that was cut by the checkpoint are whole."""
    envs = VectorEnv(lambda: Counting(6), 1, seed=0)
    for _ in range(4):
        envs.step(actions(0))
    restored = VectorEnv(lambda: Counting(6), 1, seed=0)
    restored.load_state_dict(envs.state_dict())

    restored.step(actions(0))

    assert restored.step(actions(0)).episodes == [Episode(3.0, 6)]


def test_the_caller_may_reuse_its_action_array() -> None:
    """What is kept for the replay is a copy."""
    envs = VectorEnv("Pendulum-v1", 1, seed=0)
    action = np.array([[1.0]], np.float32)
    envs.step(action)
    expected = envs.obs.copy()
    action[:] = -1.0

    restored = VectorEnv("Pendulum-v1", 1, seed=1)
    restored.load_state_dict(envs.state_dict())

    np.testing.assert_array_equal(restored.obs, expected)


class Unrepeatable(Counting):
    """Observes how often the class has been stepped: no generator's state brings that back."""

    total = 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Unrepeatable.total += 1
        return np.array([float(Unrepeatable.total)]), *super().step(action)[1:]


class UnrepeatableReward(Counting):
    """Observes nothing of it, but pays it."""

    total = 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        UnrepeatableReward.total += 1
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(UnrepeatableReward.total), terminated, truncated, info


@pytest.mark.parametrize("kind", [Unrepeatable, UnrepeatableReward])
def test_an_environment_that_does_not_repeat_itself_is_not_resumed(kind: type[Counting]) -> None:
    """Silently going on from elsewhere would be worse than stopping."""
    envs = VectorEnv(kind, 1, seed=0)
    envs.step(actions(0))

    with pytest.raises(InputError, match="does not repeat itself"):
        VectorEnv(kind, 1, seed=0).load_state_dict(envs.state_dict())


def test_a_state_of_another_number_of_copies_is_refused() -> None:
    """The sentence names both numbers."""
    with pytest.raises(InputError, match="2 environments, this one 3"):
        VectorEnv(Counting, 3, seed=0).load_state_dict(VectorEnv(Counting, 2, seed=0).state_dict())


# Foreign vector environments


def foreign(mode: AutoresetMode, length: int = 3, truncates: bool = False) -> Any:
    make = [lambda: Counting(length, terminates=not truncates, truncates=truncates)] * 2
    return cast(Any, SyncVectorEnv(make, autoreset_mode=mode))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_foreign_environments_of_another_rule_are_refused(mode: AutoresetMode) -> None:
    """Gymnasium's default would be learned from wrongly; the sentence says how to make the right one."""
    with pytest.raises(InputError, match=r"not by SAME_STEP; make it with vector_kwargs"):
        GymnasiumVectorEnv(foreign(mode), seed=0)


@pytest.mark.parametrize("truncates", [False, True])
def test_a_foreign_environment_gives_what_ours_gives(truncates: bool) -> None:
    """Gymnasium's own vector environment under SAME_STEP, step for step."""
    theirs = GymnasiumVectorEnv(foreign(AutoresetMode.SAME_STEP, truncates=truncates), seed=0)
    ours = VectorEnv(lambda: Counting(3, terminates=not truncates, truncates=truncates), 2, seed=0)
    for _ in range(7):
        a, b = theirs.step(actions(0, 1)), ours.step(actions(0, 1))
        for name in ("obs", "final_obs", "reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.obs.dtype == b.obs.dtype
        assert a.episodes == b.episodes


def test_a_foreign_cartpole_gives_what_ours_gives() -> None:
    """The same seeds a copy, so the same episodes."""
    made = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    theirs, ours = GymnasiumVectorEnv(cast(Any, made), seed=4), VectorEnv("CartPole-v1", 2, seed=4)
    rng = np.random.default_rng(0)
    for _ in range(120):
        chosen = rng.integers(2, size=2)
        a, b = theirs.step(chosen), ours.step(chosen)
        np.testing.assert_array_equal(a.final_obs, b.final_obs)
        np.testing.assert_array_equal(a.obs, b.obs)
        assert a.episodes == b.episodes


def test_a_foreign_environment_cannot_be_saved() -> None:
    """Rather than a checkpoint that cannot be gone on from."""
    with pytest.raises(InputError, match="run it without checkpoints"):
        GymnasiumVectorEnv(foreign(AutoresetMode.SAME_STEP), seed=0).state_dict()


# Bad input


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("CartPol-v1", "did you mean CartPole-v1"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("Taxi-v3", "Taxi-v4"),
        ("qqqqqqq", "pprint_registry"),
    ],
)
def test_an_unknown_environment_is_named(env_id: str, said: str) -> None:
    """With the nearest names where there are any."""
    with pytest.raises(InputError, match=said):
        make_env(env_id)


def test_no_copies_are_refused() -> None:
    """At least one."""
    with pytest.raises(InputError, match="num_envs must be at least 1, got 0"):
        VectorEnv("CartPole-v1", 0, seed=0)


def test_observations_that_are_no_array_are_refused() -> None:
    """A dictionary of spaces, with the wrapper that mends it."""
    with pytest.raises(InputError, match=r"Blackjack-v1 observes Tuple.*FlattenObservation"):
        VectorEnv("Blackjack-v1", 1, seed=0)


def test_actions_of_another_kind_are_refused() -> None:
    """Fractions are not silently cut to integers."""
    with pytest.raises(TypeError):
        VectorEnv("CartPole-v1", 1, seed=0).step(np.array([0.7]))
