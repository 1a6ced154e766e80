"""Ctrl-C and SIGTERM lose nothing: in every preset of every recipe, and in every algorithm bit for bit."""

from __future__ import annotations

import importlib
import runpy
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rlpath.deep import reinforce
from rlpath.deep.batched.ppo_batched import train_batched
from rlpath.deep.parts.training import SIGNALS, Result, Training
from rlpath.deep.ppo import Args as PpoArgs
from rlpath.deep.runner.trained import ALGORITHMS, load_policy
from rlpath.runs.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
ON_POLICY: dict[str, Any] = {"num_envs": 2, "num_steps": 8, "hidden": (4,), "total_timesteps": 48}
OFF_POLICY: dict[str, Any] = {"learning_starts": 8, "batch_size": 4, "hidden": (4,), "total_timesteps": 24}
TINY: dict[str, dict[str, Any]] = {
    "ppo": ON_POLICY,
    "ppo_continuous": {**ON_POLICY, "num_minibatches": 2},
    "a2c": ON_POLICY,
    "reinforce": {"hidden": (4,), "total_timesteps": 100, "episodes_per_update": 1},
    "dqn": {**OFF_POLICY, "buffer_size": 100},
    "ddpg": OFF_POLICY,
    "td3": OFF_POLICY,
    "sac": OFF_POLICY,
}


@pytest.mark.parametrize("recipe", ALGORITHMS)
def test_every_preset_saves_long_before_its_end(recipe: str) -> None:
    """A kill that no signal announces costs at most half of a smoke run, and a tenth of any other."""
    presets = runpy.run_path(str(ROOT / "recipes" / f"{recipe}.py"))["PRESETS"]

    for name, args in presets.items():
        args.check()
        share = args.checkpoint_steps / args.total_timesteps
        assert 0 < share <= (0.5 if name == "smoke" else 0.1), name


def start(name: str, root: Path) -> RunFolder:
    return RunFolder.open(root, name, {"algorithm": name, **asdict(args_of(name))}, 3)


def args_of(name: str) -> Any:
    return importlib.import_module(f"rlpath.deep.{name}").Args(seed=3, **TINY[name])


def train(name: str, run: RunFolder | None) -> Result:
    return importlib.import_module(f"rlpath.deep.{name}").train(args_of(name), run)


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM arrives once, in the middle of an iteration."""
    advance, sent = Training.advance, []

    def interrupted(self: Training, steps: int, ended: Sequence[Any]) -> None:
        advance(self, steps, list(ended))
        if self.step >= step and not sent:
            sent.append(step)
            assert SIGNALS._depth
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Training, "advance", interrupted)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_goes_on_from_a_signal(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved at once, continued with the same bits, kept at the end and loaded from its folder."""
    whole = train(name, None)
    interrupt_at(16, monkeypatch)

    with start(name, tmp_path) as run, pytest.raises(SystemExit) as ended:
        train(name, run)
    assert ended.value.code == 128 + signal.SIGTERM and run.last_checkpoint() is not None
    with start(name, tmp_path) as run:
        continued = train(name, run)
        run.mark_finished()

    assert (continued.digest, continued.history) == (whole.digest, whole.history)
    assert load_policy(run.path).digest == whole.digest


def test_seeds_of_a_batch_go_on_from_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are saved, and each can be loaded alone."""
    args = PpoArgs(**ON_POLICY)
    whole = train_batched(args, [3, 4])
    interrupt_at(16, monkeypatch)

    def runs() -> list[RunFolder]:
        config = {"algorithm": "ppo", **asdict(args), "batched": True}
        return [RunFolder.open(tmp_path, "ppo", config, seed) for seed in (3, 4)]

    first = runs()
    with pytest.raises(SystemExit):
        train_batched(args, [3, 4], first)
    assert all(run.last_checkpoint() for run in first)
    for run in first:
        run.close()
    second = runs()
    continued = train_batched(args, [3, 4], second)
    for run in second:
        run.mark_finished()
        run.close()

    assert [result.digest for result in continued] == [result.digest for result in whole]
    assert load_policy(second[1].path).digest == whole[1].digest


def test_a_batch_of_one_step_is_not_normalized() -> None:
    """One step has no spread: REINFORCE learns from an episode of one step without a NaN."""
    import rlpath.deep.parts.probes  # noqa: F401

    args = reinforce.Args(env_id="probe/ConstantReward-v0", total_timesteps=2, episodes_per_update=1, hidden=(4,))
    losses = reinforce.train(args).losses

    assert losses and all(value == value for value in losses.values())
