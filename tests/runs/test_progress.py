"""The progress line says what the logs say."""

from __future__ import annotations

from pathlib import Path

from rlpath.runs.progress import Progress, last_step
from rlpath.runs.run_folder import RunFolder


def test_shares_of_the_steps_done(tmp_path: Path) -> None:
    """A run without a line is not shown, a half-written line not read, a finished run only counted."""
    paths = {}
    for seed, step in ((0, 25), (1, 0), (2, 100)):
        with RunFolder.open(tmp_path, "ppo", {}, seed) as run:
            paths[f"seed {seed}"] = run.path
            if step:
                run.log_metrics(step, {"loss": 1.0})
            if step == 100:
                run.mark_finished()
    with (paths["seed 0"] / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "lo')

    assert [last_step(path) for path in paths.values()] == [25, 0, 100]
    assert Progress(paths, 100).line() == "1 of 3 finished; seed 0 25%"
    assert Progress({"seed-0": paths["seed 0"]}, 50).line() == "seed-0 50%"
