"""Pages of runs of deep RL: every seed shown, means with intervals, and nothing claimed that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlpath.cli.main import run as rlpath
from rlpath.core.errors import InputError
from rlpath.core.stats import t_interval
from rlpath.deep.runner.report import figures_of, over_seeds, seeds_text, summary
from rlpath.runs.run_folder import RunFolder, read_run

Write = Callable[..., Path]


def test_the_command_reports_a_seed_and_a_set(write_set: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """One run gets its own page; several one page with the interval, beside them or where told."""
    folder = write_set({0: 10.0, 1: 20.0, 2: 60.0})

    assert rlpath(["report", str(folder / "seed-1")]) == 0
    assert "One seed says nothing about how much training varies" in (folder / "seed-1" / "report.html").read_text()
    assert rlpath(["report", *(str(folder / f"seed-{seed}") for seed in range(3))]) == 0
    page = (folder / "report.html").read_text()
    limits = t_interval([10, 20, 60])
    assert limits.low < 1  # the least return of CartPole
    assert f"30.00 <small>[1.00, {limits.high:.2f}]</small>" in page and "2 degrees of freedom" in page
    assert rlpath(["report", str(folder / "seed-0"), str(folder / "seed-2"), "--out", str(folder / "two.html")]) == 0
    assert "2 seeds" in (folder / "two.html").read_text()
    assert capsys.readouterr().out.split() == [
        str(folder / name) for name in ("seed-1/report.html", "report.html", "two.html")
    ]

    (folder / "seed-2" / "evaluations" / "final.json").unlink()
    with pytest.raises(InputError, match="has no final evaluation yet"):
        rlpath(["report", str(folder / "seed-2")])


def test_a_figure_that_a_seed_lacks_has_no_mean(tmp_path: Path, write_run: Write) -> None:
    """A run too short to end an episode: no last 100, no curve, and no mean over those that have one."""
    whole = read_run(write_run(0, [1.0, 2.0], 5.0))
    with RunFolder.open(tmp_path, "ppo", whole.config, 1) as run:
        run.write_json("evaluations/final.json", {**whole.evaluations["final"], "last_100": None})
    short = read_run(run.path)

    assert figures_of(short) == {"final": 5.0, "last_100": None, "area": None}
    rows = {row[0]: row[1:] for row in summary([whole, short])[1]}
    assert rows["final evaluation"] == ("5.00 [5.00, 5.00]", "2")
    assert rows["last 100 training episodes"] == ("not every seed has one", "1")
    assert over_seeds([5.0]) == ["5.00"]
    lines = seeds_text({"0": whole, "1": "killed"}).splitlines()
    assert lines[1].split()[:2] == ["0", "5.00"] and lines[2].split() == ["1", "failed"]
