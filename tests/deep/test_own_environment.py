"""An environment and a network of the user's own: found by name, wrapped, trained, killed, loaded and watched."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

import rlpath.deep.parts.probes  # noqa: F401
from rlpath.cli.enjoy import Enjoy, picture, write_mp4
from rlpath.core.errors import InputError
from rlpath.deep import dqn, ppo, reinforce
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.deep.parts.training import Args
from rlpath.deep.parts.vec import VectorEnv, make_env
from rlpath.deep.runner.trained import load_policy
from rlpath.runs.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"num_envs": 2, "num_steps": 64, "num_minibatches": 2, "hidden": (8,)}


class Guess(gymnasium.Env[Any, Any]):
    """One step: reward 1 where the action is `right`, the observation an array of `space`."""

    def __init__(self, action_space: spaces.Space[Any], space: spaces.Space[Any], right: Any) -> None:
        self.action_space, self.observation_space, self.right = action_space, space, right

    def _observe(self) -> Any:
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return {name: np.zeros(box.shape or (), np.float32) for name, box in space.items()}
        return np.zeros(space.shape or (), space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(np.asarray(action) if np.ndim(action) else action)
        return self._observe(), float(np.array_equal(action, self.right)), True, False, {}


VECTOR = spaces.Box(-1, 1, (2,), np.float32)


def test_an_environment_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:Name-v0` is imported from the current folder; a missing module is said in one sentence."""
    (tmp_path / "mine_for_test.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=9)\n"
    )
    monkeypatch.chdir(tmp_path)

    env = make_env("mine_for_test:Mine-v0")

    assert env.spec is not None and env.spec.max_episode_steps == 9
    with pytest.raises(InputError, match=r"environment absent_mod:X-v0: No module named 'absent_mod'"):
        make_env("absent_mod:X-v0")
    gymnasium.registry.pop("Mine-v0")


def test_ppo_learns_multidiscrete_actions() -> None:
    """Two parts of an action are learned together."""
    make = lambda: Guess(spaces.MultiDiscrete([2, 3]), VECTOR, [1, 2])  # noqa: E731
    args = ppo.Args(total_timesteps=2560, learning_rate=1e-2, **SHORT)

    result = ppo.train(args, make_env=make)

    assert result.act(np.zeros((1, 2), np.float32), True).tolist() == [[1, 2]]
    assert evaluate_policy(lambda obs: result.act(obs, True), make, episodes=3).tolist() == [1, 1, 1]


def test_actions_that_start_at_one_are_played_as_they_are() -> None:
    """DQN and PPO give the environment 1 and 2, never 0, and learn which is right."""
    make = lambda: Guess(spaces.Discrete(2, start=1), VECTOR, 2)  # noqa: E731
    small = dqn.Args(total_timesteps=1500, learning_starts=200, hidden=(8,), learning_rate=1e-2)

    for result in (
        dqn.train(small, make_env=make),
        ppo.train(ppo.Args(total_timesteps=2560, learning_rate=1e-2, **SHORT), make_env=make),
    ):
        assert result.act(np.zeros((1, 2), np.float32), True).tolist() == [2]


def test_images_go_through_a_network_of_ones_own() -> None:
    """A small CNN is trained on an image; what is neither image nor vector needs one, and the message says how."""
    make = lambda: Guess(spaces.Discrete(2), spaces.Box(0, 255, (1, 4, 4), np.uint8), 1)  # noqa: E731
    cnn = lambda space, outputs: nn.Sequential(  # noqa: E731
        nn.Conv2d(space.shape[0], 2, 3), nn.SiLU(), nn.Flatten(), nn.Linear(8, outputs)
    )
    args = ppo.Args(total_timesteps=1280, learning_rate=1e-2, **SHORT)

    one, same = (ppo.train(args, make_env=make, make_network=cnn) for _ in range(2))

    assert one.digest == same.digest and one.act(np.zeros((1, 1, 4, 4), np.uint8), True).tolist() == [1]
    matrix = lambda: Guess(spaces.Discrete(2), spaces.Box(0, 1, (4, 4), np.float32), 1)  # noqa: E731
    with pytest.raises(InputError, match=r"make_network.*a network for it"):
        ppo.train(args, make_env=matrix)
    with pytest.raises(InputError, match=r"make_network gave a network .* to \(3,\), and \(1,\) is needed"):
        ppo.train(args, make_env=make, make_network=lambda space, _: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))


def test_dict_observations_go_through_a_wrapper() -> None:
    """Flattened by Gymnasium's wrapper; without it the message names it."""
    space = spaces.Dict({"a": VECTOR, "b": VECTOR})
    make = lambda: Guess(spaces.Discrete(2), space, 1)  # noqa: E731
    args = ppo.Args(total_timesteps=256, **SHORT)

    result = ppo.train(args, make_env=lambda: gymnasium.wrappers.FlattenObservation(make()))

    assert len(result.episodes) == 256
    with pytest.raises(InputError, match="FlattenObservation"):
        ppo.train(args, make_env=make)


class Forever(Guess):
    """Never ends."""

    def step(self, action: Any) -> Any:
        return self._observe(), 1.0, False, False, {}


def test_an_environment_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation stops after its longest episode, REINFORCE says what is missing."""
    make = lambda: Forever(spaces.Discrete(2), VECTOR, 1)  # noqa: E731
    monkeypatch.setattr("rlpath.deep.parts.evaluate.LONGEST", 7)
    monkeypatch.setattr("rlpath.deep.parts.vec.ENDLESS", 50)

    assert evaluate_policy(lambda obs: np.zeros(len(obs), int), make, episodes=2).tolist() == [7, 7]
    with pytest.raises(InputError, match="no episode has ended in 50 steps"):
        reinforce.train(reinforce.Args(total_timesteps=100), make_env=make)


class Unsaved(Guess):
    """Draws from a generator of its own."""

    def _observe(self) -> Any:
        return np.random.default_rng().random(2).astype(np.float32)


def test_an_environment_that_cannot_be_resumed_is_refused_at_the_start(tmp_path: Path) -> None:
    """Before any work is done; without checkpoints it may run."""
    make = lambda: Unsaved(spaces.Discrete(2), VECTOR, 1)  # noqa: E731
    args = ppo.Args(total_timesteps=128, **SHORT)

    with RunFolder.open(tmp_path, "ppo", asdict(args), 0) as run, pytest.raises(InputError, match="does not repeat"):
        ppo.train(args, run, make_env=make)
    assert ppo.train(replace(args, checkpoint_every=0), make_env=make).steps == 128
    VectorEnv("CartPole-v1", 1, 0).check_repeatable()


def test_checkpoints_are_a_tenth_of_the_run_apart() -> None:
    """Unless told otherwise, whatever the length of the run."""
    assert Args(total_timesteps=20_000).checkpoint_steps == 2000
    assert Args(total_timesteps=5).checkpoint_steps == 1
    assert Args(checkpoint_every=0).checkpoint_steps == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_learned(number: int, status: int, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end a run after the iteration it is in, with a checkpoint of all its steps."""
    words = ["--total-timesteps", "10000000", "--checkpoint-every", "9000000", "--root", str(tmp_path)]
    command = [sys.executable, str(ROOT / "recipes" / "ppo.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 200
            while not any(tmp_path.glob("ppo/*/seed-0/metrics.jsonl")) and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(100) == status
        finally:
            process.kill()

    assert len(list(tmp_path.glob("ppo/*/seed-0/checkpoints/checkpoint-*/complete"))) == 1


def test_a_finished_run_is_loaded_and_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The policy has the bits it was trained to, and `rlpath enjoy` measures and draws it."""
    args = ppo.Args(total_timesteps=256, **SHORT)
    with RunFolder.open(tmp_path, "ppo", {"algorithm": "ppo", **asdict(args)}, 0) as run:
        trained = ppo.train(args, run)
        with pytest.raises(InputError, match="is in use by process"):
            load_policy(run.path)
        run.mark_finished()

    loaded = load_policy(run.path)

    assert loaded.digest == trained.digest and loaded.history == trained.history
    Enjoy(run.path, episodes=3).run()
    said = capsys.readouterr().out
    assert "return over 3 episodes:" in said
    assert (run.path / "enjoy.gif").read_bytes()[:6] == b"GIF89a"
    with pytest.raises(InputError, match=r"--out film.avi must end in .gif or .mp4"):
        Enjoy(run.path, episodes=3, out=Path("film.avi")).run()


@pytest.mark.needs("envs")
def test_a_film_is_written_as_mp4(tmp_path: Path) -> None:
    """Each frame is there; MinAtar's, of 11 pixels and shares of 1, are enlarged, and an odd side is made even."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = [picture(np.full((11, 11, 3), i / 5)) for i in range(6)]
    assert (frames[5] == 255).all() and frames[5].shape == (209, 209, 3)

    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(write_mp4(frames, tmp_path / "film.mp4")))

    assert count == 6 and seconds == pytest.approx(6 / 25, abs=0.01)
    assert next(imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4")))["size"] == (208, 208)
