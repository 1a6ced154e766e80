"""The first agent leaves a curve, a moving picture and figures, and gives the same ones again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlpath.runs.run_folder import read_run

pytest.importorskip("stable_baselines3")

ROOT = Path(__file__).parents[2]


def start(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "recipes" / "first_agent.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_leaves_a_curve_and_a_film(tmp_path: Path) -> None:
    """Both kinds of curve, both agents in one GIF, the figures printed; a second call trains nothing."""
    from PIL import Image

    done = start("--smoke", "--root", str(tmp_path), "--seed", "3")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("first_agent/*/seed-3")
    final = read_run(path).evaluations["final"]
    assert f"{final['untrained']:.1f} before, {final['mean']:.1f} after" in done.stdout
    assert (path / "curve.svg").read_text().startswith("<svg")
    assert (path / "model.zip").read_bytes().startswith(b"PK")
    assert (path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with Image.open(path / "before_after.gif") as film:
        assert film.width == 604 and getattr(film, "n_frames", 1) > 3
    assert (
        final["last_100"] > 5
        and "this agent was trained before" in start("--smoke", "--root", str(tmp_path), "--seed", "3").stdout
    )


def test_what_it_cannot_do_is_said() -> None:
    """An environment that does not exist, with the nearest name."""
    done = start("--env-id", "CartPole-v9")

    assert done.returncode == 2 and done.stderr.startswith("error: ") and "CartPole-v1" in done.stderr
