"""A sweep runs every seed of every setting once, survives what kills its workers, and claims nothing over a gap."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlpath.cli.main import run as rlpath
from rlpath.cli.sweep.plan import SweepPlan, as_flag, group, label_of, read_grid
from rlpath.cli.sweep.search import read_fields
from rlpath.core.errors import InputError
from rlpath.core.files import lock
from rlpath.core.stats import t_interval
from rlpath.evals.measure.scores import scores
from rlpath.runs.run_folder import RunFolder, read_run
from rlpath.runs.seed_sets import asked

ROOT = Path(__file__).parents[2]

# A recipe that costs nothing: its result is lr + seed. Every start leaves a line in a file.
RECIPE = """
import os, signal, sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
import tyro
from rlpath.core.errors import InputError, run_command
from rlpath.core.seeding import parse_seeds
from rlpath.runs.run_folder import RunFolder

@dataclass(frozen=True)
class Args:
    seed: int = 0
    root: Path = Path("runs")
    lr: float = 1.0
    bias: bool = True
    hidden: tuple[int, ...] = (4,)
    crash: int = -1
    kill_worker: int = -1
    total_timesteps: int = 10
    batched: bool = False
    seeds: str = ""

def main():
    args = tyro.cli(Args)
    seeds = parse_seeds(args.seeds) if args.seeds else [args.seed]
    if args.batched:
        assert os.environ["RLPATH_SEEDS_HERE"] == "1"
        with (args.root / "batches").open("a") as file:
            file.write(f"{args.lr} {args.seeds}\\n")
    for seed in seeds:
        one(replace(args, seed=seed, seeds=""))

def one(args):
    with RunFolder.open(args.root, "toy", {**asdict(args), "crash": 0, "kill_worker": 0}, args.seed) as run:
        with (args.root / "starts").open("a") as file:
            file.write(f"{args.lr} {args.seed}\\n")
        if args.lr < 0:
            raise InputError(f"--lr is {args.lr}; a step size is not negative")
        if args.crash == args.seed:
            raise RuntimeError("out of luck")
        marker = run.path / "killed"
        if args.kill_worker == args.seed and not marker.exists():
            marker.touch()
            guard = os.getppid()
            worker = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(worker, signal.SIGKILL)
            signal.pause()
        run.log_metrics(10, {"charts/episodic_return": args.lr + args.seed})
        run.write_json("evaluations/final.json", {"mean": args.lr + args.seed, "last_100": args.lr})
        run.mark_finished()

run_command(main)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.py"
    path.write_text(RECIPE)
    return path


def sweep(recipe: Path, *words: str) -> int:
    return rlpath(["sweep", str(recipe), "--root", str(recipe.parent / "runs"), *words])


def results(recipe: Path) -> list[dict[str, Any]]:
    (path,) = recipe.parent.glob("runs/sweeps/*/sweep.json")
    return json.loads(path.read_text())["points"]


def starts(recipe: Path) -> list[str]:
    return sorted((recipe.parent / "runs" / "starts").read_text().splitlines())


def test_a_grid_over_seeds(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every combination, one row each with its interval; more seeds later run only what is new."""
    words = ("--grid", "lr=1,2", "--grid", "hidden=8 8,4", "--", "--no-bias")
    assert sweep(recipe, "--seeds", "2", *words) == 0
    out = capsys.readouterr().out

    assert len(starts(recipe)) == 8
    found = {label_of(point["grid"]): point for point in results(recipe)}
    assert list(found) == ["lr=1 hidden=8 8", "lr=1 hidden=4", "lr=2 hidden=8 8", "lr=2 hidden=4"]
    point = found["lr=2 hidden=8 8"]
    config = read_run(Path(point["folder"]) / "seed-1").config
    assert (config["lr"], config["hidden"], config["bias"]) == (2.0, [8, 8], False)
    assert point["seeds"] == {"0": {"final": 2.0, "last_100": 2.0, "area": 2.0},
                              "1": {"final": 3.0, "last_100": 2.0, "area": 3.0}}  # fmt: skip
    expected = t_interval([2, 3])
    assert (point["means"]["final"]["low"], point["means"]["final"]["high"]) == (expected.low, expected.high)
    assert f"2.50 [{expected.low:.2f}, {expected.high:.2f}]" in out

    assert sweep(recipe, "--seeds", "3", *words) == 0
    assert "12 runs, 8 finished before" in capsys.readouterr().out
    assert len(starts(recipe)) == 12 and len(set(starts(recipe))) == 6
    assert asked(Path(point["folder"])) == [0, 1, 2]


def test_batched_seeds_share_a_process(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two settings with four seeds on two cores are two processes; further seeds join what is finished; one that
    crashes takes no seed with it that was finished."""
    words = ("--grid", "lr=1,2", "--jobs", "2", "--", "--batched")
    batches = recipe.parent / "runs" / "batches"
    assert sweep(recipe, "--seeds", "4", *words) == 0
    assert sorted(batches.read_text().splitlines()) == ["1.0 0,1,2,3", "2.0 0,1,2,3"]
    capsys.readouterr()
    batches.unlink()
    assert sweep(recipe, "--seeds", "5", *words) == 0
    assert sorted(batches.read_text().splitlines()) == ["1.0 4-4", "2.0 4-4"]
    assert "8 finished before" in (said := capsys.readouterr().out)
    assert f"{t_interval([1.0, 2, 3, 4, 5]).estimate:.2f}" in said
    assert sweep(recipe, "--seeds", "10-12", "--jobs", "1", "--", "--batched", "--crash", "12") == 1
    assert "seed 12 failed" in capsys.readouterr().out
    assert (
        sorted(path.name for path in (recipe.parent / "runs").rglob("seed-1[012]/finished.json"))
        == ["finished.json"] * 2
    )


def test_batches_keep_every_core_at_work(tmp_path: Path) -> None:
    """One setting of five seeds on two cores: two processes; three settings: one each."""
    for points, sizes in ((({"lr": "1"},), [2, 3]), (({"lr": "1"}, {"lr": "2"}, {"lr": "3"}), [5, 5, 5])):
        plan = SweepPlan(tmp_path / "toy.py", points, ("--batched",), tuple(range(5)))
        assert [len(tasks) for tasks in group(plan.tasks(tmp_path, {"lr"}), 2).values()] == sizes


def test_a_search_reports_on_other_seeds_than_it_chose_by(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best of six trials on seeds 1000 and 1001 is run on seeds 0 to 2; the same command runs nothing again."""
    pytest.importorskip("optuna")
    words = ("--search", "lr=0.5..8", "--trials", "4", "--search-seeds", "2", "--seeds", "3", "--jobs", "2")
    assert sweep(recipe, *words) == 0
    said = capsys.readouterr().out
    starts = [line.split() for line in (recipe.parent / "runs" / "starts").read_text().splitlines()]
    tried = {float(lr) for lr, seed in starts if int(seed) >= 1000}
    reported = {float(lr) for lr, seed in starts if int(seed) < 1000}
    assert len(tried) == 4 and reported == {max(tried)} and len(starts) == 4 * 2 + 3
    assert f"chosen on seeds 1000 to 1001: lr={max(tried):g}" in said
    assert f"{max(tried) + 1:.2f} [" in said
    assert sweep(recipe, *words) == 0
    assert len((recipe.parent / "runs" / "starts").read_text().splitlines()) == len(starts)


def test_what_a_search_refuses(recipe: Path) -> None:
    """One sentence each: a malformed word, an empty range, a seed of its own, a field twice, a grid beside it."""
    for words, said in (
        (("--search", "lr"), "is not field=low..high"),
        (("--search", "lr=2..1"), "two numbers, the lower first"),
        (("--search", "lr=0..1:log"), "above 0 for a logarithmic range"),
        (("--search", "lr=1..2", "--search", "lr=3..4"), "names the field lr twice"),
        (("--search", "seed=1..2"), "the sweep sets --seed itself"),
        (("--search", "lr=1..2", "--seeds", "1000-1003"), "seed 1000 is one of the search's"),
        (("--search", "lr=1..2", "--grid", "bias=true"), "takes no --grid"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            sweep(recipe, *words)
    fields = read_fields(["a=1..8", "b=1e-4..1e-2:log", "c=x,y"])
    assert [(field.whole, field.log, field.choices) for field in fields] == [
        (True, False, ()),
        (False, True, ()),
        (False, False, ("x", "y")),
    ]


def test_a_crash_leaves_no_mean_and_is_made_good(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others finish; what failed is named with its log, and the same command runs only that."""
    assert sweep(recipe, "--seeds", "3", "--", "--crash", "1") == 1
    out = capsys.readouterr().out
    (point,) = results(recipe)

    assert "seed 1 failed: exit status 1 (RuntimeError: out of luck)" in out and "seed_1.log" in out
    assert re.search(r"as given +2 of 3", out)
    assert "no mean where a seed is missing: seed 1 failed" in out
    assert sorted(point["seeds"]) == ["0", "2"] and list(point["failed"]) == ["1"] and point["means"] == {}

    assert sweep(recipe, "--seeds", "0-2", "--", "--crash", "1") == 1
    assert starts(recipe) == ["1.0 0", "1.0 1", "1.0 1", "1.0 2"]


def test_the_same_runs_as_the_recipe_by_itself(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A seed that the recipe has run alone lies in the same folder, and what one setting refuses stops no other."""
    assert sweep(recipe, "--seeds", "1", "--grid", "lr=-1,3") == 1
    out = capsys.readouterr().out

    assert "lr=-1 seed 0 failed: exit status 2 (error: --lr is -1.0; a step size is not negative)" in out
    (folder,) = (
        path for path in (recipe.parent / "runs" / "toy").iterdir() if (path / "seed-0/finished.json").exists()
    )
    alone = [sys.executable, str(recipe), "--lr", "3", "--seed", "1", "--root", str(recipe.parent / "runs")]
    subprocess.run(alone, check=True)
    assert sorted(path.name for path in folder.glob("seed-*")) == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--grid", "lrr=1"], "has no field lrr; did you mean lr?"),
        (["--grid", "lr"], "--grid lr is not field=value,value"),
        (["--grid", "lr=1,1"], "names a field or a value twice"),
        (["--grid", "lr=1", "--grid", "lr=2"], "names a field or a value twice"),
        (["--grid", "seed=1,2"], "the sweep sets --seed itself"),
        (["--grid", "bias=1"], "bias is a switch, true or false"),
        (["--seeds", "4-2"], "is not a number of seeds"),
        (["--", "--roote", "x"], "has no field roote; did you mean root?"),
        (["--", "--root=x"], "the sweep sets --root itself"),
        (["--threads", "0"], "--threads is at least 1"),
    ],
)
def test_bad_input_is_one_sentence(recipe: Path, words: list[str], said: str) -> None:
    """Said before anything is run."""
    with pytest.raises(InputError, match=re.escape(said)):
        sweep(recipe, *words)
    assert not (recipe.parent / "runs" / "starts").exists()


def test_what_cannot_be_swept(tmp_path: Path, recipe: Path) -> None:
    """A missing file, with the nearest name; a program without a seed; a folder where a sweep is at work."""
    with pytest.raises(InputError, match=r"there is no recipe .*tooy.py; did you mean .*toy.py\?"):
        sweep(tmp_path / "tooy.py")
    (tmp_path / "other.py").write_text("import argparse; argparse.ArgumentParser().parse_args()")
    with pytest.raises(InputError, match="its --help gives no --seed and --root"):
        sweep(tmp_path / "other.py")
    folder = tmp_path / "runs" / "sweeps" / SweepPlan(recipe, ({},), (), (0,)).key
    folder.mkdir(parents=True)
    with lock(folder / ".lock"), pytest.raises(InputError, match="is being run by process"):
        sweep(recipe, "--seeds", "1")


def test_words_of_the_grid() -> None:
    """The product in the order given, dashes or underscores, switches on and off."""
    assert read_grid([]) == ({},)
    assert read_grid(["--clip-coef=0.1,0.2", "norm_adv=true,false"])[1] == {"clip_coef": "0.1", "norm_adv": "false"}
    flags = {"norm-adv", "no-norm-adv", "hidden"}
    assert as_flag("norm_adv", "True", flags) == ["--norm-adv"] and as_flag("norm_adv", "false", flags) == [
        "--no-norm-adv"
    ]
    assert as_flag("hidden", "64 64", flags) == ["--hidden", "64", "64"]


def test_scores_of_a_language_model_run(tmp_path: Path) -> None:
    """What the recipe compares after training, the deciding one first; a run with no evaluation has none."""
    changes = [{"metric": name, "after": {"estimate": value}} for name, value in (("greedy", 0.5), ("pass@1", 0.4))]
    with RunFolder.open(tmp_path, "grpo", {}, 0) as run:
        with pytest.raises(InputError, match="nothing to judge it by"):
            scores(read_run(run.path))
        run.write_json("evaluations/verdict.json", {"changes": changes})

    assert list(scores(read_run(run.path)).items()) == [("pass@1", 0.4), ("greedy", 0.5)]


def test_ray_runs_a_seed_again_whose_worker_was_killed(recipe: Path) -> None:
    """Three seeds on a local cluster of two slots; the worker of seed 1 dies by SIGKILL in the middle.

    The seed is started twice, finished once, and counted once.
    """
    pytest.importorskip("ray")
    words = ["--seeds", "3", "--backend", "ray", "--ray-address", "local", "--jobs", "2"]
    words += ["--root", str(recipe.parent / "runs"), "--", "--kill-worker", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "rlpath.cli.main", "sweep", str(recipe), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert starts(recipe) == ["1.0 0", "1.0 1", "1.0 1", "1.0 2"]
    (point,) = results(recipe)
    assert {seed: found["final"] for seed, found in point["seeds"].items()} == {"0": 1.0, "1": 2.0, "2": 3.0}
    assert point["means"]["final"]["estimate"] == 2.0
    assert done.stdout.count("seed 1 finished") == 1


def test_no_cluster_is_said(recipe: Path) -> None:
    """The default address needs a running cluster."""
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="no Ray cluster answers at 'auto': start one with `ray start --head`"):
        sweep(recipe, "--seeds", "1", "--backend", "ray")


def test_scores_of_a_table(write_run: Any) -> None:
    """Exact returns, the greedy policy's first; the curve of two points stands at the first for 49 of 50 shares."""
    path = write_run(0, [1.0, 2.0], 3.0)
    (path / "evaluations" / "final.json").write_text('{"greedy_return": 0.5, "behavior_return": 0.25, "episodes": 7}')

    assert list(scores(read_run(path)).items()) == [("greedy_return", 0.5), ("behavior_return", 0.25), ("area", 1.02)]
