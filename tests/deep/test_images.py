"""Images: convolutions by size, bytes in replay, and MinAtar, MiniGrid, Atari and MuJoCo by name."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlpath.core.errors import InputError
from rlpath.deep import dqn, ppo
from rlpath.deep.batched.ppo_batched import train_batched
from rlpath.deep.parts.images import Pixels, convolutions, observation_network
from rlpath.deep.parts.normalize import NormalizedEnvs
from rlpath.deep.parts.replay import ReplayBuffer
from rlpath.deep.parts.vec import Step, VectorEnv, make_env
from rlpath.deep.runner.trained import load_policy
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
PPO = ppo.Args(total_timesteps=1536, num_envs=4, num_steps=32, num_minibatches=2, learning_rate=1e-2, hidden=(8,))
DQN = dqn.Args(
    total_timesteps=800, learning_starts=200, train_frequency=4, batch_size=16, hidden=(8,), learning_rate=1e-2
)


class Light(gymnasium.Env[Any, Any]):
    """One step: the action is right that names the half, left or right, in which the one bright pixel lies."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (2, 5, 6), np.uint8)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.image = np.zeros((2, 5, 6), np.uint8)
        self.at = self.np_random.integers((2, 5, 6))
        self.image[tuple(self.at)] = 255
        return self.image, {}

    def step(self, action: Any) -> Any:
        return self.image, 3.0 * (action == (self.at[2] >= 3)), True, False, {}


def right(act: Any) -> float:
    """Share of the images on which a policy acts right."""
    images = np.eye(60, dtype=np.uint8).reshape(60, 2, 5, 6) * 255
    return float((act(images, True) == (np.arange(60) % 6 >= 3)).mean())


@pytest.mark.parametrize(("module", "args"), [(ppo, PPO), (dqn, DQN), (dqn, replace(DQN, dueling=True, double=True))])
def test_images_are_learned_from(module: Any, args: Any) -> None:
    """No network is given: convolutions are chosen, and the same seed gives the same bits."""
    one, same = (module.train(args, make_env=Light) for _ in range(2))

    assert one.digest == same.digest
    assert right(one.act) > 0.9


def test_the_convolutions_follow_the_size() -> None:
    """84 pixels: three of them, 3,136 features; 10: one, 1,024 of 16 channels; channels last are turned; 2: refused."""
    generator = torch.Generator().manual_seed(0)
    for shape, count, features in (((4, 84, 84), 3, 3136), ((4, 10, 10), 1, 1024), ((10, 10, 4), 1, 1024)):
        modules, given = convolutions(spaces.Box(0, 255, shape, np.uint8), generator, None)
        obs = torch.full((2, *shape), 255.0)
        assert sum(isinstance(module, nn.Conv2d) for module in modules) == count
        assert nn.Sequential(*modules)(obs).shape == (2, given) and given == features
        assert isinstance(modules[0], Pixels) and modules[0](obs).max() == 1.0 and modules[0](obs).shape[1] == 4
    with pytest.raises(InputError, match="too small for a convolution"):
        convolutions(spaces.Box(0, 1, (3, 2, 2), np.uint8), generator, None)


def test_weights_begin_as_those_of_vectors_do() -> None:
    """Orthogonal rows of the gain's length and no bias; torch's own bounds without a gain."""
    space, generator = spaces.Box(0, 255, (4, 84, 84), np.uint8), torch.Generator().manual_seed(0)
    first = observation_network(space, (8,), 2, nn.Tanh, generator, gain=2**0.5, last_gain=0.01)[1]
    rows = first.get_parameter("weight").flatten(1)

    assert torch.allclose(rows @ rows.T, 2 * torch.eye(32), atol=1e-4)
    assert not first.get_parameter("bias").any()
    plain = observation_network(space, (8,), 2, nn.Tanh, generator)[1].get_parameter("weight")
    assert 0.9 * 256**-0.5 < plain.abs().max() <= 256**-0.5


def test_normalized_images_are_not_divided_twice() -> None:
    """Their numbers lie within ±10, not 255, and the network is told so."""
    envs = NormalizedEnvs(VectorEnv(Light, 2, 0), 0.99, shared=True)
    modules, _ = convolutions(envs.single_observation_space, torch.Generator().manual_seed(0), None)

    assert isinstance(modules[0], Pixels) and modules[0].high == 10


def test_replay_keeps_bytes() -> None:
    """An eighth of what two float32 images take; what is drawn is float32 with the same numbers."""
    space = spaces.Box(0, 255, (1, 2, 2), np.uint8)
    buffer = ReplayBuffer(3, space, None, seed=0)
    image = np.array([[[[0, 255], [7, 1]]]], np.uint8)
    none = np.zeros(1, bool)
    buffer.add(image, np.zeros(1, int), Step(image, image, np.ones(1, np.float32), none, none, []))

    assert buffer.columns[0].dtype == buffer.columns[3].dtype == np.uint8
    drawn = buffer.sample(2)
    assert drawn.obs.dtype == torch.float32 and drawn.obs[0].tolist() == image[0].tolist()
    again = ReplayBuffer(3, space, None, seed=1)
    again.load_state_dict(buffer.state_dict())
    assert torch.equal(again.rows(np.zeros(1, int)).obs, drawn.obs[:1])


@pytest.mark.parametrize(("module", "args"), [(ppo, PPO), (dqn, DQN)])
def test_clipped_rewards_are_learned_and_whole_returns_are_counted(module: Any, args: Any) -> None:
    """A reward of 3 counts 3 in the return; values grow to the clipped 1 at most."""
    args = replace(args, clip_reward=True)
    result = module.train(args, make_env=Light)

    assert {episode.return_ for episode in result.episodes} == {0.0, 3.0}
    value = result.agent.online if module is dqn else result.agent.critic
    bright = torch.zeros(1, 2, 5, 6)
    bright[0, 0, 0, 5] = 255
    assert value(bright).max().item() < 2.0


def test_a_network_of_ones_own_learns_in_dqn() -> None:
    """The hook of PPO; a dueling one must end with a linear layer."""
    make = lambda space, outputs: nn.Sequential(nn.Flatten(), nn.Linear(60, outputs))  # noqa: E731
    one, same = (dqn.train(replace(DQN, dueling=True), make_env=Light, make_network=make) for _ in range(2))

    assert one.digest == same.digest and right(one.act) > 0.9
    ends = lambda space, outputs: nn.Sequential(nn.Flatten(), nn.Linear(60, outputs), nn.Tanh())  # noqa: E731
    with pytest.raises(InputError, match="ends with a linear layer"):
        dqn.train(replace(DQN, dueling=True), make_env=Light, make_network=ends)


def test_frames_are_stacked_by_gymnasiums_wrapper() -> None:
    """Two frames of 4 × 4 on top of each other are an image of two channels."""

    class Frame(Light):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Box(0, 255, (4, 4), np.uint8)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self.image[0, :4, :4], {}

        def step(self, action: Any) -> Any:
            return self.image[0, :4, :4], 1.0, True, False, {}

    stacked = lambda: gymnasium.wrappers.FrameStackObservation(Frame(), 2)  # noqa: E731
    result = ppo.train(replace(PPO, total_timesteps=256), make_env=stacked)

    assert result.act(np.zeros((3, 2, 4, 4), np.uint8), True).shape == (3,)


# Environments of other packages


@pytest.mark.needs("envs")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("MinAtar/Breakout-v1", (4, 10, 10)),
        ("MinAtar/Seaquest-v1", (10, 10, 10)),
        ("MiniGrid-DoorKey-5x5-v0", (20, 7, 7)),
        ("ALE/Pong-v5", (4, 84, 84)),
        ("Hopper-v5", (11,)),
    ],
)
def test_a_suite_is_found_by_name_and_repeats_itself(name: str, shape: tuple[int, ...]) -> None:
    """Saved in the middle of an episode and loaded elsewhere, it goes on with the same bits: runs can be resumed."""
    envs, other = VectorEnv(name, 1, 3), VectorEnv(name, 1, 4)
    envs.single_action_space.seed(0)
    draw = lambda: np.asarray(envs.single_action_space.sample())[None]  # noqa: E731
    for _ in range(40):
        envs.step(draw())
    other.load_state_dict(envs.state_dict())

    assert envs.single_observation_space.shape == shape
    envs.check_repeatable()
    for _ in range(20):
        action = draw()
        one, two = envs.step(action), other.step(action)
        assert np.array_equal(one.obs, two.obs) and one.reward == two.reward and one.terminated == two.terminated


@pytest.mark.needs("envs")
def test_minatar_is_trained_and_loaded(tmp_path: Path) -> None:
    """A run of an image's environment has its policy back, and the batch of seeds says that it takes vectors."""
    args = replace(PPO, env_id="MinAtar/Breakout-v1", total_timesteps=256)
    with RunFolder.open(tmp_path, "ppo", {"algorithm": "ppo", **asdict(args)}, 0) as run:
        trained = ppo.train(args, run)
        run.mark_finished()

    assert load_policy(run.path).digest == trained.digest
    with pytest.raises(InputError, match="--batched needs observed vectors"):
        train_batched(args, [0])


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence; a game that does not exist is told its neighbors."""
    if "MinAtar/Breakout-v1" in gymnasium.registry:
        with pytest.raises(InputError, match=r"did you mean MinAtar/Breakout-v\d"):
            make_env("MinAtar/Brekout-v1")

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="minigrid")

    monkeypatch.setattr("rlpath.deep.parts.suites.importlib.import_module", absent)
    with pytest.raises(InputError, match=r"MiniGrid-Empty-5x5-v0 needs minigrid: pip install 'rlpath\[envs\]'"):
        make_env("MiniGrid-Empty-5x5-v0")
