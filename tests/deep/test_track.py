"""Trackers: what a run logs is there under the same names, also after a resume, and a missing package is said."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.deep.dqn import Args, train
from rlpath.deep.runner.recipe import run_recipe
from rlpath.runs.run_folder import read_run

SHORT = Args(total_timesteps=300, learning_starts=100, hidden=(8,))


def launch(root: Path, *flags: str) -> Path:
    assert run_recipe("dqn", train, {"short": SHORT}, [*flags, "--eval-episodes", "2", "--root", str(root)]) == 0
    (path,) = root.glob("dqn/*/seed-0")
    return path


def test_tensorboard_shows_what_the_run_logged(tmp_path: Path) -> None:
    """Every episode's return at its step; the folder has the name that it has without a tracker."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = launch(tmp_path / "tracked", "--log-to", "tensorboard")
    shown = EventAccumulator(str(path / "tensorboard")).Reload().Scalars("charts/episodic_return")
    rows = [row for row in read_run(path).metrics if "charts/episodic_return" in row]
    assert [(event.step, event.value) for event in shown] == [(r["step"], r["charts/episodic_return"]) for r in rows]
    assert launch(tmp_path / "plain").parent.name == path.parent.name


def test_wandb_is_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run of an id that a resumed run has again, closed at the end."""
    told: list[Any] = []
    board = SimpleNamespace(log=lambda row, step: told.append((step, row)), finish=lambda: told.append("finished"))
    wandb = ModuleType("wandb")
    monkeypatch.setattr(wandb, "init", lambda **options: told.append(options) or board, raising=False)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    path = launch(tmp_path, "--log-to", "wandb")
    opened, *rows, closed = told
    assert opened["id"] == f"dqn-{path.parent.name}-seed-0" and opened["config"]["seed"] == 0
    assert len(rows) == len(read_run(path).metrics) and closed == "finished"


def test_a_tracker_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused in one sentence before anything is trained."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        launch(tmp_path, "--log-to", "wandb")
    assert not list(tmp_path.rglob("metrics.jsonl"))
