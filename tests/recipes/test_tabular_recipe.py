"""The tabular recipe as a user starts it: what it prints, keeps, continues and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.core.stats import t_interval
from rlpath.runs.run_folder import RunFolder, read_run
from rlpath.tabular.draw import draw_policy
from rlpath.tabular.experiment import MethodResult, run_method
from rlpath.tabular.model import make
from rlpath.tabular.settings import METHODS, TabularSettings

ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "recipes" / "tabular.py")
SHORT = TabularSettings(seeds=3, steps=400, checkpoints=4)


def launch(*flags: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, RECIPE, *flags, "--root", str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=root, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def outcome(settings: TabularSettings, method: str = "q_learning") -> MethodResult:
    chosen = settings.resolve(method, {})
    return run_method(chosen, chosen.model())


def test_a_comparison_of_all_methods_from_the_command_line(tmp_path: Path) -> None:
    """One row a method, exact optimum, arrows, a folder a seed with curve, table and result; the second call trains
    nothing and prints the same figures."""
    first = launch("--smoke", "--algorithm", "all", root=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "by a policy that may watch the clock: 0.74419" in first.stdout
    assert "best policy that does not, all that a table of values can express: 0.74016" in first.stdout
    for method in METHODS:
        assert f"\n{method} " in first.stdout and f"\n{method}, seed 0\n" in first.stdout
    folders = sorted(tmp_path.glob("tabular/*/seed-*"))
    assert len(folders) == 2 * len(METHODS)
    run = read_run(folders[0])
    assert run.finished and [row["step"] for row in run.metrics] == [500, 1000, 1500, 2000]
    assert run.metrics[-1]["greedy_return"] == run.evaluations["final"]["greedy_return"]
    assert {"git", "packages", "hardware", "trained_together", "tables_sha256"} <= run.manifest.keys()
    assert [name for name, value in run.config.items() if value is None] == ["map"]
    with np.load(folders[0] / "q.npz") as file:
        assert file["q"].shape == (16, 4)
    report = Path(first.stdout.splitlines()[-1].removeprefix("report: "))
    assert (tmp_path / report).read_text().count("<svg") == len(METHODS)
    assert len(list((tmp_path / report).parent.glob("curves-*.svg"))) == len(METHODS)

    again = launch("--smoke", "--algorithm", "all", root=tmp_path)
    assert again.stdout.count("nothing to train, 2 finished before") == len(METHODS)
    assert again.stdout.split("\n\n")[1:] == first.stdout.split("\n\n")[1:]


def test_what_cannot_work_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """From the command line: status 2, one line; the rest by the settings themselves."""
    for flags, words in (
        (("--env-id", "FrozenLke-v1"), "the nearest are FrozenLake-v1"),
        (("--algorithm", "qlearning"), "the nearest are q_learning"),
    ):
        done = launch("--smoke", *flags, root=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and words in done.stderr and done.stderr.count("\n") == 1
    for name, value, words in (
        ("seeds", 0, "--seeds 0 must be at least 1"),
        ("first_seed", -1, "--first-seed -1 must be at least 0"),
        ("gamma", 1.5, "--gamma 1.5 must lie between 0 and 1"),
        ("alpha", -0.1, "--alpha -0.1"),
        ("explore_start", 2.0, "--explore-start 2"),
        ("checkpoints", 7, "--checkpoints 7 must divide --steps 400"),
        ("n", 0, "--n 0 must be at least 1"),
    ):
        with pytest.raises(InputError, match=words.replace("-", "[-]")):
            replace(SHORT, **{name: value}).resolve("q_learning", {})
    with pytest.raises(InputError, match="temperatures"):
        replace(SHORT, exploration="softmax", explore_end=0.0).resolve("sarsa", {})
    with pytest.raises(InputError, match="not NAME=VALUE"):
        replace(SHORT, env_options=("slippery",)).model()
    with pytest.raises(InputError, match="publishes no table"):
        replace(SHORT, env_id="CartPole-v1").model()


def test_seeds_can_be_added_and_stay_what_they_were(tmp_path: Path) -> None:
    """Two seeds, then five: two are kept, three trained, and all equal five trained at once elsewhere."""
    kept = outcome(replace(SHORT, seeds=2, root=tmp_path / "a"))
    grown = outcome(replace(SHORT, seeds=5, root=tmp_path / "a"))
    at_once = outcome(replace(SHORT, seeds=5, root=tmp_path / "b"))

    assert (kept.trained_now, grown.trained_now, at_once.trained_now) == (2, 3, 5)
    assert (grown.q_KSA == at_once.q_KSA).all() and (grown.q_KSA[:2] == kept.q_KSA).all()
    assert (grown.greedy_return_KC == at_once.greedy_return_KC).all()
    final = grown.final
    assert final is not None and final == t_interval(grown.greedy_return_KC[:, -1])
    assert outcome(replace(SHORT, seeds=1, root=tmp_path / "a")).final is None


def test_a_seed_that_was_killed_is_trained_again(tmp_path: Path) -> None:
    """Half a curve and no mark of the end: written again, to the same bits; the other seed is kept."""
    whole = outcome(replace(SHORT, seeds=2, root=tmp_path))
    folder = whole.folder / "seed-1"
    before = {name: (folder / name).read_bytes() for name in ("q.npz", "evaluations/final.json")}
    (folder / "finished.json").unlink()
    (folder / "q.npz").unlink()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text(lines[0] + "\n" + lines[1][:20])

    mended = outcome(replace(SHORT, seeds=2, root=tmp_path))

    assert mended.trained_now == 1
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert np.array_equal(mended.online_return_KC, whole.online_return_KC, equal_nan=True)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    """While another process holds a seed's folder nothing is trained."""
    chosen = replace(SHORT, root=tmp_path).resolve("sarsa", {})
    with RunFolder.open(tmp_path, "tabular", chosen.config(), 2), pytest.raises(InputError, match="in use by process"):
        run_method(chosen, chosen.model())


def test_a_changed_map_is_another_experiment(tmp_path: Path) -> None:
    """The map's rows enter the hash, its file name does not, and env_id says TextGrid-v0."""
    path = tmp_path / "map.txt"
    path.write_text("S..G\n")
    first = outcome(replace(SHORT, map=path, root=tmp_path))
    assert first.greedy_return_KC[:, -1].tolist() == [-3, -3, -3]
    path.write_text("S...G\n")
    second = outcome(replace(SHORT, map=path, root=tmp_path))

    assert second.folder != first.folder
    assert second.greedy_return_KC[:, -1].tolist() == [-4, -4, -4]
    config = json.loads((first.folder / "seed-0" / "config.json").read_text())
    assert (config["env_id"], config["map"]) == ("TextGrid-v0", ["S..G"])
    path.rename(tmp_path / "moved.txt")
    assert outcome(replace(SHORT, map=tmp_path / "moved.txt", root=tmp_path)).trained_now == 0


def test_options_reach_the_environment() -> None:
    """is_slippery=false makes the lake deterministic; its optimum is 1."""
    model = replace(SHORT, env_options=("is_slippery=false",)).model()

    assert model.probability_SAO.shape == (16, 4, 1)
    assert replace(SHORT, env_id="CliffWalking-v1", max_steps=33).model().limit == 33


def test_policies_are_drawn_as_arrows() -> None:
    """Ends keep their letters, cells without knowledge get a dot, and Taxi is no grid of states."""
    q = np.zeros((16, 4))
    q[0, 2], q[1, 1] = 1, 1
    assert draw_policy(make("FrozenLake-v1"), q) == "→ ↓ · ·\n· H · H\n· · · H\nH · · G"
    cliff = np.zeros((48, 4))
    cliff[36, 0] = 1
    assert (draw_policy(make("CliffWalking-v1"), cliff) or "").splitlines()[3] == "↑ C C C C C C C C C C G"
    maze = np.tile([0.0, 0.0, 0.0, 1.0], (54, 1))
    assert (draw_policy(make("DynaMaze-v0"), maze) or "").splitlines()[0] == "↑ ↑ ↑ ↑ ↑ ↑ ↑ # G"
    assert draw_policy(make("Taxi-v4"), np.zeros((500, 6))) is None
