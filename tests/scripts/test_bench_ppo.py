"""The benchmark of PPO: every arm trains what it says, and the table says what was measured."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.deep.ppo import Args

ROOT = Path(__file__).resolve().parents[2]
TINY = Args(total_timesteps=300, num_steps=32, checkpoint_every=0)


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_ppo", ROOT / "scripts" / "bench_ppo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_ppo"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_ppo"]


@pytest.mark.parametrize("arm", ["batched", "readable", "sb3", "cleanrl"])
def test_every_arm_trains_whole_rollouts_of_every_seed(bench: Any, arm: str) -> None:
    """Two seeds of two rollouts of 128 steps; random poles fall after some twenty."""
    if arm == "sb3":
        pytest.importorskip("stable_baselines3")
    steps, returns = bench.TRAIN[arm](TINY, [0, 1])

    assert steps == 2 * 2 * 128
    assert len(returns) == 2 and all(8 < value < 60 for value in returns)


def test_ours_agree_on_two_rollouts(bench: Any) -> None:
    """The batched and the readable arm take the same actions at first."""
    assert bench.train_batched(TINY, [4]) == bench.train_readable(TINY, [4])


def row(arm: str, repeat: int, speed: float, returns: list[float]) -> dict[str, Any]:
    return {"arm": arm, "way": "1 thread", "repeat": repeat, "steps_per_s": speed, "returns": returns}


def test_the_table_gives_medians_ranges_and_ratios(bench: Any) -> None:
    """Speeds 900, 1000 and 1400 against 100: ten times as fast."""
    args = bench.Args(arms=("batched", "sb3"), ways=("1 thread",))
    rows = [row("batched", i, speed, [480.0, 500.0]) for i, speed in enumerate((900.0, 1400.0, 1000.0))]
    rows += [row("sb3", i, 100.0, [470.0]) for i in range(3)]
    lines = bench.table(rows, args).splitlines()

    assert lines[2] == "| 1 thread | batched | 1,000 (900–1,400) | 10.0 | 490.0 (480.0–500.0; 6) |"
    assert lines[3] == "| 1 thread | sb3 | 100 (100–100) | 1.0 | 470.0 (470.0–470.0; 3) |"


def test_hyperparameters_are_the_recipes(bench: Any) -> None:
    """Cut to the steps asked for; sizes and names are checked before anything runs."""
    settings = bench.hyperparameters(bench.Args(preset="lunarlander", steps=20_000))

    assert (settings["num_steps"], settings["total_timesteps"]) == (1024, 20_000)
    with pytest.raises(InputError, match="--preset cart is not one of cartpole"):
        bench.hyperparameters(bench.Args(preset="cart"))
    with pytest.raises(InputError, match="fewer than one rollout"):
        bench.hyperparameters(bench.Args(steps=100))


@pytest.mark.slow
def test_the_whole_benchmark_runs(tmp_path: Path) -> None:
    """All arms, all ways, one repeat of one rollout."""
    import subprocess

    words = ["scripts/bench_ppo.py", "--steps", "512", "--repeats", "1", "--at-once", "2", "--out", tmp_path / "b.json"]
    subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True, timeout=600)
    written = json.loads((tmp_path / "b.json").read_text())

    assert len(written["rows"]) == 4 * 3 and written["cores"] >= 1
