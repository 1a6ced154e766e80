"""On-policy runs: one seed, one result, in whatever process, however often killed; bad settings are refused by name.

All runs that need processes of their own are made by one program, once: it forks a child for each, all at the same
time, and a child that is to be killed kills itself (SIGKILL) in the middle of a rollout.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.deep import a2c, ppo, ppo_continuous, reinforce
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.deep.parts.training import Args, Result, Training
from rlpath.runs.run_folder import RunFolder

KILL_AT = 700
SHORT: Any = {"total_timesteps": 1024, "checkpoint_every": 256, "seed": 4}
ROLLOUT: Any = {**SHORT, "num_envs": 2, "num_steps": 64, "num_minibatches": 4, "update_epochs": 2}
RUNS: dict[str, tuple[Any, Args]] = {
    "ppo": (ppo, ppo.Args(**ROLLOUT)),
    "ppo LunarLander": (ppo, ppo.Args(**ROLLOUT, env_id="LunarLander-v3")),
    "ppo_continuous": (ppo_continuous, ppo_continuous.Args(**ROLLOUT)),
    "ppo_continuous shared": (ppo_continuous, ppo_continuous.Args(**ROLLOUT, normalize="shared")),
    "a2c": (a2c, a2c.Args(**SHORT)),
    "a2c continuous": (a2c, a2c.Args(**SHORT, env_id="Pendulum-v1", num_envs=2)),
    "reinforce": (reinforce, reinforce.Args(**SHORT, episodes_per_update=2)),
}


def open_run(root: Path, name: str) -> RunFolder:
    return RunFolder.open(root, name, asdict(RUNS[name][1]), RUNS[name][1].seed)


def train_and_die(root: Path, name: str) -> None:
    """Train into a run folder until a step between two checkpoints, and end by SIGKILL."""
    advance = Training.advance

    def deadly(training: Training, steps: int, ended: Any) -> None:
        advance(training, steps, ended)
        if training.step >= KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    algorithm, args = RUNS[name]
    with patch.object(Training, "advance", deadly), open_run(root, name) as run:
        algorithm.train(args, run)


def train_elsewhere(root: Path, name: str) -> None:
    """Train without a folder and leave the digests in a file."""
    algorithm, args = RUNS[name]
    (root / f"{name}.json").write_text(json.dumps(digests(algorithm.train(args))))


def digests(result: Result) -> list[str]:
    return [result.digest, result.history]


def main(root: Path) -> None:
    """Both of the above for every run, all at once."""
    torch.set_num_threads(1)
    children = {}
    for work in (train_and_die, train_elsewhere):
        for name in RUNS:
            child = os.fork()
            if child == 0:
                work(root, name)
                os._exit(0)
            children[child] = (work, name)
    for child, (work, name) in children.items():
        status = os.waitpid(child, 0)[1]
        expected = signal.SIGKILL if work is train_and_die else 0
        if status != expected:
            raise SystemExit(f"{name} ended with status {status}, not {expected}")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the killed runs and the digests of the whole ones."""
    root = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, __file__, str(root)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return root


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in another order are other bits: runs are compared at one thread, as recipes run them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=RUNS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def whole(name: str) -> Result:
    """The uninterrupted run in this process, with the global generators in some state of their own."""
    torch.set_num_threads(1)
    torch.manual_seed(123)
    np.random.seed(123)
    algorithm, args = RUNS[name]
    return algorithm.train(args)


def test_a_seed_is_a_result_in_one_process_or_two(name: str, whole: Result, elsewhere: Path) -> None:
    """Weights and history: again here, with other global generators, and in another process among many."""
    algorithm, args = RUNS[name]
    torch.manual_seed(7)
    again = algorithm.train(args)

    assert digests(again) == digests(whole)
    assert again.losses == whole.losses
    assert json.loads((elsewhere / f"{name}.json").read_text()) == digests(whole)


def test_killed_and_resumed_equals_uninterrupted(name: str, whole: Result, elsewhere: Path) -> None:
    """Killed in the middle of a rollout, some steps after its checkpoint, and gone on with in this process."""
    with open_run(elsewhere, name) as run:
        checkpoint = run.last_checkpoint()
        assert checkpoint is not None
        assert 256 <= int(checkpoint.name.removeprefix("checkpoint-")) < KILL_AT
        resumed = RUNS[name][0].train(RUNS[name][1], run)

    assert digests(resumed) == digests(whole)
    assert resumed.losses == whole.losses
    assert resumed.episodes == whole.episodes


def test_another_seed_is_another_result(name: str, whole: Result) -> None:
    """Weights and history."""
    algorithm, args = RUNS[name]
    other = algorithm.train(replace(args, seed=5))

    assert other.digest != whole.digest
    assert other.history != whole.history


def test_the_trained_policy_acts(name: str, whole: Result) -> None:
    """Within the action space, on the environment's own observations; draws differ, the most probable action never."""

    def returns(greedy: bool) -> Any:
        return evaluate_policy(lambda obs: whole.act(obs, greedy), RUNS[name][1].env_id, episodes=2)

    first = returns(True)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(returns(True), first)
    assert not np.array_equal(returns(False), first)


# Bad input


@pytest.mark.parametrize(
    ("algorithm", "fields", "said"),
    [
        (ppo, {"num_minibatches": 3}, "4 environments × 128 steps = 512 rows do not divide into 3 minibatches"),
        (ppo, {"num_minibatches": 0}, "num_minibatches must be positive, got 0"),
        (ppo, {"num_minibatches": 512}, "minibatches of one row"),
        (ppo, {"total_timesteps": 100}, "100 steps are fewer than one rollout of 512"),
        (ppo, {"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        (ppo, {"gamma": 1.5}, "gamma must be between 0 and 1, got 1.5"),
        (ppo, {"clip_coef": 0.0}, "clip_coef must be positive, got 0.0"),
        (ppo, {"update_epochs": 0}, "update_epochs must be positive, got 0"),
        (ppo, {"env_id": "Pendulum-v1"}, "use ppo_continuous for continuous actions"),
        (ppo, {"env_id": "FrozenLake-v1"}, "the observation space is Discrete"),
        (ppo, {"env_id": "CartPol-v1"}, "did you mean CartPole-v1"),
        (ppo_continuous, {"env_id": "CartPole-v1"}, "use ppo for discrete actions"),
        (a2c, {"num_steps": 0}, "num_steps must be positive, got 0"),
        (a2c, {"norm_adv": True, "num_envs": 1, "num_steps": 1}, "one row has no spread"),
        (a2c, {"total_timesteps": 10}, "10 steps are fewer than one rollout of 40"),
        (reinforce, {"episodes_per_update": 0}, "episodes_per_update must be positive, got 0"),
        (reinforce, {"baseline_updates": -1}, "baseline_updates must be not negative, got -1"),
    ],
)
def test_settings_that_make_no_sense(algorithm: Any, fields: dict[str, Any], said: str) -> None:
    """One sentence with the field and its value."""
    with pytest.raises(InputError, match=said):
        algorithm.train(algorithm.Args(**fields))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
