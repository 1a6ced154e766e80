"""A recipe from its flags to its report: one seed, many, a crash among them, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from rlpath.core.errors import InputError
from rlpath.core.stats import t_interval
from rlpath.deep.parts.training import Result
from rlpath.deep.ppo import Args, train
from rlpath.deep.runner import many_seeds
from rlpath.deep.runner.recipe import run_recipe
from rlpath.runs.run_folder import RunFolder, read_run
from rlpath.runs.seed_sets import read_set

SMOKE = Args(total_timesteps=512, num_steps=64, update_epochs=1, checkpoint_every=256)
PRESETS = {"cartpole": Args(), "smoke": SMOKE}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process already pinned runs its seed itself."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def run(root: Path, *words: str, **kwargs: Any) -> int:
    return run_recipe("ppo", train, PRESETS, ["--smoke", "--root", str(root), "--eval-episodes", "3", *words], **kwargs)


def test_one_seed_leaves_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Configuration, manifest, evaluation by the shared protocol, curve and page; a second call runs nothing."""
    assert run(tmp_path, "--seed", "4", "--no-norm-adv", "--hidden", "8", "8") == 0

    (path,) = tmp_path.glob("ppo/*/seed-4")
    record = read_run(path)
    final = record.evaluations["final"]
    result = train(replace(SMOKE, seed=4, norm_adv=False, hidden=(8, 8)))
    assert record.finished and record.config["algorithm"] == "ppo" and record.config["hidden"] == [8, 8]
    assert record.manifest["packages"]["gymnasium"] and record.manifest["hardware"]["cores"]
    assert (final["digest"], final["history"]) == (result.digest, result.history)
    assert final["last_100"] == pytest.approx(result.last(100)) and final["steps"] == 512
    assert len(final["returns"]) == 3 and final["mean"] == pytest.approx(np.mean(final["returns"]))
    assert "Final evaluation: 3 episodes" in (path / "report.html").read_text()
    assert (path / "curve.svg").read_text().startswith("<svg")

    capsys.readouterr()
    assert run(tmp_path, "--seed", "4", "--no-norm-adv", "--hidden", "8", "8") == 0
    assert "finished before" in capsys.readouterr().out


def test_resume_takes_a_run_as_it_is(tmp_path: Path) -> None:
    """Its configuration comes from its folder; a flag that would change it, or another recipe, is refused."""

    def killed(args: Args, run: RunFolder | None) -> Result:
        train(args, run)
        raise KeyboardInterrupt

    words = ["--smoke", "--root", str(tmp_path), "--eval-episodes", "3", "--hidden", "8"]
    with pytest.raises(KeyboardInterrupt):
        run_recipe("ppo", killed, PRESETS, words)
    (path,) = tmp_path.glob("ppo/*/seed-0")
    assert not read_run(path).finished

    with pytest.raises(InputError, match=r"leave out --learning-rate"):
        run_recipe("ppo", train, PRESETS, ["--resume", str(path), "--learning-rate", "0.1"])
    with pytest.raises(InputError, match="is a run of ppo, not of dqn"):
        run_recipe("dqn", train, PRESETS, ["--resume", str(path)])
    assert run_recipe("ppo", train, PRESETS, ["--resume", str(path)]) == 0
    assert read_run(path).finished and [found.name for found in tmp_path.glob("ppo/*/seed-*")] == ["seed-0"]


def test_a_folder_of_another_configuration_is_refused(tmp_path: Path) -> None:
    """An edited config.json no longer says what made the run."""
    run(tmp_path)
    (path,) = tmp_path.glob("ppo/*/seed-0")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "gamma": 0.5}))

    with pytest.raises(InputError, match="differs from this run in gamma"):
        run(tmp_path)
    with pytest.raises(InputError, match="does not fit its folder"):
        run_recipe("ppo", train, PRESETS, ["--resume", str(path)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env-id", "CartPole-v7"], "CartPole-v1"),
        (["--preset", "cartpol"], "is not one of cartpole, smoke; did you mean cartpole?"),
        (["--preset"], "--preset needs a value"),
        (["--seeds", "1-"], "is not a number of seeds"),
        (["--seeds", "2", "--seed", "1"], "--seed and --seeds were both given"),
        (["--eval-episodes", "0"], "at least 1 is needed"),
        (["--jobs", "-1"], "--jobs is -1"),
        (["--num-minibatches", "7"], "do not divide"),
        (["--env-id", "Pendulum-v1"], "ppo_continuous"),
        (["--resume", "nowhere"], "not a run folder"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, words: list[str], said: str) -> None:
    """Named with the remedy, before anything is trained."""
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        run(tmp_path, *words)


def test_seeds_in_one_batch(tmp_path: Path) -> None:
    """The hook gets the unfinished seeds with their folders, and the batch is a configuration of its own."""
    asked: list[list[int]] = []

    def train_batched(args: Args, seeds: Any, runs: Any) -> list[Result]:
        asked.append(list(seeds))
        return [train(replace(args, seed=seed), run) for seed, run in zip(seeds, runs, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLPATH_SEEDS_HERE", "1")
        run(tmp_path, "--seeds", "1,2", "--batched", batched=train_batched)
        run(tmp_path, "--seeds", "0-2", "--batched", batched=train_batched)
    run(tmp_path, "--seed", "1", batched=train_batched)

    assert asked == [[1, 2], [0]]
    digests = {p.parents[2].name: read_run(p.parents[1]).evaluations["final"]["digest"]
               for p in tmp_path.glob("ppo/*/seed-1/evaluations/final.json")}  # fmt: skip
    assert len(digests) == 2 and len(set(digests.values())) == 1


# Several seeds: processes of a script that costs nothing

SCRIPT = """
import os, sys
from pathlib import Path
from rlpath.runs.run_folder import RunFolder
from rlpath.core.seeding import parse_seeds
from rlpath.core.errors import InputError, run_command

def main():
    for seed in parse_seeds(sys.argv[sys.argv.index("--seeds") + 1]):
        with RunFolder.open(Path(sys.argv[1]), "ppo", {"env_id": "CartPole-v1", "total_timesteps": 10}, seed) as run:
            if os.environ.get("REFUSE"):
                raise InputError("the moon is full")
            if os.environ.get("CRASH") == str(seed):
                raise RuntimeError("out of luck")
            run.log_metrics(10, {"charts/episodic_return": seed})
            run.write_json("evaluations/final.json", {"env_id": "CartPole-v1", "mean": 2.0 * seed, "sd": 0.0,
                "episodes": 1, "last_100": float(seed), "steps": 10, "first_seed": 0, "returns": [2.0 * seed]})
            run.mark_finished()

run_command(main)
"""


@pytest.fixture
def run_many(tmp_path: Path) -> Any:
    """`run_many(count, as_batch=False, **environment)`: the exit status of that many seeds of the script."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with RunFolder.open(tmp_path / "runs", "ppo", {"env_id": "CartPole-v1", "total_timesteps": 10}, 99) as probe:
        folder = probe.path.parent

    def call(count: int, as_batch: bool = False, **environment: str) -> int:
        paths = {seed: folder / f"seed-{seed}" for seed in range(count)}
        command = (sys.executable, str(script), str(tmp_path / "runs"))
        return many_seeds.run_seeds(paths, command, environment, 2, 10, as_batch)

    return call


def test_a_crashed_seed_stops_the_claim_and_nothing_else(
    tmp_path: Path, run_many: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """All rows stay, no mean is printed, the sentence names seed and log; the same command runs the one missing."""
    assert run_many(4, CRASH="2") == 1
    out = capsys.readouterr().out
    assert "seed 2 failed: exit status 1 (RuntimeError: out of luck); its output is in" in out and "seed-2.log" in out
    assert "no mean over an incomplete set: seed 2 failed" in out and "over seeds" not in out
    rows = [line.split() for line in out.splitlines() if line[:1].isdigit()]
    assert rows[0][:3] == ["0", "0.00", "0.00"] and rows[2] == ["2", "failed"] and len(rows) == 4
    (folder,) = tmp_path.glob("runs/ppo/*")
    with pytest.raises(InputError, match="seed-2 did not finish"):
        read_set([folder / "seed-[0-3]"])
    before = (folder / "seed-3" / "finished.json").stat().st_mtime_ns

    assert run_many(4) == 0
    out = capsys.readouterr().out
    interval = t_interval([0, 2, 4, 6])
    assert "3 of 4 seeds were finished before" in out
    assert interval.low < 1  # the least return of CartPole
    assert f"3.00 [1.00, {interval.high:.2f}]" in out
    assert (folder / "seed-3" / "finished.json").stat().st_mtime_ns == before
    assert "4 seeds" in (folder / "report.html").read_text()


def test_ten_seeds_get_an_iqm_and_groups_of_a_batch(run_many: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """0, 2 … 18: the middle six average 9; two processes of five seeds each."""
    assert run_many(10, as_batch=True) == 0
    out = capsys.readouterr().out

    assert "IQM" in out and out.count("9.00 [") == 2 and "stratified bootstrap" in out
    assert many_seeds.split(list(range(10)), 4) == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]
    assert many_seeds.split([3], 2) == [[3]]


def test_what_all_seeds_refuse_is_said_once(run_many: Any) -> None:
    """Bad input that only the algorithm notices is the command's bad input."""
    with pytest.raises(InputError, match=r"^the moon is full$"):
        run_many(2, REFUSE="1")


def test_two_at_once_on_one_folder(tmp_path: Path, run_many: Any) -> None:
    """The second is told who is at work."""
    (folder,) = tmp_path.glob("runs/ppo/*")
    with many_seeds.lock(folder / ".lock"), pytest.raises(InputError, match="are being run by process"):
        run_many(2)


def test_the_recipe_as_a_user_starts_it(tmp_path: Path) -> None:
    """A real process for each of two seeds gives the bits of a run by itself."""
    words = [sys.executable, str(ROOT / "recipes" / "ppo.py"), "--smoke", "--seeds", "2", "--eval-episodes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, "--root", str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("ppo/*")
    alone = train(Args(total_timesteps=1024, checkpoint_every=512, seed=1))
    assert read_set([folder]).records[1].evaluations["final"]["digest"] == alone.digest


def test_threads_are_set_before_numpy_and_torch_are_imported() -> None:
    """Importing rlpath.deep asks for one thread; what a recipe imports before it has loaded neither."""
    code = (
        "import sys, os, rlpath.core.errors, rlpath.deep;"
        "assert os.environ['OMP_NUM_THREADS'] == os.environ['OPENBLAS_NUM_THREADS'] == '1';"
        "assert not {'numpy', 'torch'} & set(sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
