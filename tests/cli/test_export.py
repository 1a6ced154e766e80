"""An exported agent acts as the run did, its card says what the hub reads, and what cannot be exported is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlpath.cli.main import run as rlpath
from rlpath.core.errors import InputError
from rlpath.deep.dqn import Args, train
from rlpath.deep.runner.recipe import run_recipe
from rlpath.deep.runner.trained import load_policy

SHORT = Args(total_timesteps=300, learning_starts=100, hidden=(8,))


def trained(root: Path, *flags: str) -> Path:
    assert run_recipe("dqn", train, {"short": SHORT}, [*flags, "--eval-episodes", "3", "--root", str(root)]) == 0
    (path,) = root.glob("dqn/*/seed-0")
    return path


def test_an_exported_agent_acts_as_the_run_did(tmp_path: Path) -> None:
    """The same actions from the copy, also after the run is gone; the card is one that the hub's own library reads."""
    card = pytest.importorskip("huggingface_hub").ModelCard
    run, out = trained(tmp_path / "runs"), tmp_path / "agent"
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    before = load_policy(run).act(obs, True)

    assert rlpath(["export", str(run), "--out", str(out)]) == 0
    run.rename(tmp_path / "gone")
    np.testing.assert_array_equal(load_policy(out).act(obs, True), before)

    data = card.load(out / "README.md").data
    (result,) = data.eval_results
    assert (result.task_type, result.dataset_name, result.metric_type) == (
        "reinforcement-learning",
        "CartPole-v1",
        "mean_reward",
    )
    assert " +/- " in result.metric_value and data.library_name == "rlpath" and "dqn" in data.tags
    assert "3 episodes" in card.load(out / "README.md").text
    with pytest.raises(InputError, match="exists already"):
        rlpath(["export", str(tmp_path / "gone"), "--out", str(out)])


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    """One sentence that says what to do."""
    run = trained(tmp_path, "--checkpoint-every", "0")
    with pytest.raises(InputError, match="kept its weights"):
        rlpath(["export", str(run), "--out", str(tmp_path / "agent")])
