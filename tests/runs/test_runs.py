"""A run folder survives kill -9, refuses a second process, and goes on without a gap."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlpath.core import files
from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, write_atomic
from rlpath.runs.run_folder import RunFolder, config_hash, read_run

CONFIG = {"model": "tiny", "lr": 1e-4}


def open_run(root: Path, config: Mapping[str, Any] = CONFIG, seed: int = 0) -> RunFolder:
    return RunFolder.open(root, "grpo", config, seed)


def start(root: Path, body: str) -> subprocess.Popen[str]:
    """A process that opens the run folder, does `body` with `run`, and says "ready"; it then waits to be killed."""
    code = f"""
import sys, time
from pathlib import Path
from rlpath.runs.run_folder import RunFolder
run = RunFolder.open(Path(sys.argv[1]), "grpo", {CONFIG!r}, 0)
{body}
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_seeds_of_one_configuration_lie_side_by_side(tmp_path: Path) -> None:
    """The path is <recipe>/<hash>/seed-<k>; seed and root leave the hash as it is, any other field changes it."""
    with open_run(tmp_path, {**CONFIG, "seed": 0, "root": "a"}) as first:
        pass
    with open_run(tmp_path, {**CONFIG, "seed": 1, "root": "b"}, seed=1) as second:
        pass
    with open_run(tmp_path, {**CONFIG, "lr": 2e-4}) as third:
        pass

    assert first.path.relative_to(tmp_path).as_posix() == f"grpo/{config_hash(CONFIG)}/seed-0"
    assert first.path.parent == second.path.parent != third.path.parent
    assert json.loads((first.path / "config.json").read_text()) == {**CONFIG, "seed": 0, "root": "a"}


def test_the_hash_is_pinned_and_ignores_the_order_of_fields() -> None:
    """Twelve hexadecimal digits that a later version computes alike, so that runs are found again."""
    assert config_hash({"a": 1, "b": (2.5, "x")}) == config_hash({"b": [2.5, "x"], "a": 1}) == "d8d7111d14e0"
    assert re.fullmatch("[0-9a-f]{12}", config_hash({"path": Path("x")}))


def test_the_hash_refuses_what_has_no_stable_form() -> None:
    """An object that prints its address would give every process another folder."""
    with pytest.raises(TypeError, match="neither a JSON value nor a path"):
        config_hash({"a": object()})


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    """Two processes never write one run."""
    holder = start(tmp_path, "")

    with pytest.raises(InputError, match=f"in use by process {holder.pid}; wait for it or choose another seed"):
        open_run(tmp_path)
    kill(holder)


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    """After kill -9 the same command goes on at once."""
    kill(start(tmp_path, "run.log_metrics(1, {'reward': 0.5})"))

    with open_run(tmp_path) as run:
        assert [row["reward"] for row in run.metrics()] == [0.5]


def test_a_forked_worker_does_not_keep_the_lock_of_its_killed_parent(tmp_path: Path) -> None:
    """A data loader's worker that outlives the run by a second does not block the restart."""
    body = """
import os
born = Path(sys.argv[1], "worker")
born.touch()
if os.fork() == 0:
    born.write_text(str(os.getpid()))
    time.sleep(60)
while not born.read_text():
    time.sleep(0.01)
"""
    parent = start(tmp_path, body)
    worker = int((tmp_path / "worker").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    if parent.stdout:
        parent.stdout.close()

    try:
        os.kill(worker, 0)
        open_run(tmp_path).close()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_metrics_go_on_without_gap_or_repeat(tmp_path: Path) -> None:
    """Killed after step 5 with its last checkpoint at 3: steps 4 and 5 are dropped, then written again."""
    body = "for step in range(1, 6): run.log_metrics(step, {'reward': step / 10}); run.log_samples([{'step': step}])"
    kill(start(tmp_path, body))

    with open_run(tmp_path) as run:
        run.rewind(3)
        for step in (4, 5):
            run.log_metrics(step, {"reward": step / 10})
            run.log_samples([{"step": step}])

    record = read_run(run.path)
    assert [row["step"] for row in record.metrics] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in record.samples] == [1, 2, 3, 4, 5]
    walls = [row["wall_s"] for row in record.metrics]
    assert walls == sorted(walls)


def test_a_half_written_last_line_is_dropped(tmp_path: Path) -> None:
    """A line cut by a crash neither breaks reading nor spoils the next line."""
    with open_run(tmp_path) as run:
        run.log_metrics(1, {"reward": 0.1})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')

    assert [row["step"] for row in read_run(run.path).metrics] == [1]
    with open_run(tmp_path) as run:
        run.log_metrics(2, {"reward": 0.2})
        assert [row["step"] for row in run.metrics()] == [1, 2]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    """Damage that no crash explains is reported, not skipped."""
    with open_run(tmp_path) as run:
        (run.path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 3}\n')

        with pytest.raises(InputError, match=r"metrics\.jsonl, line 2 is not a JSON object"):
            run.metrics()


def test_a_value_that_is_not_finite_becomes_null(tmp_path: Path) -> None:
    """NaN is no JSON; a browser or a strict parser must read the file."""
    with open_run(tmp_path) as run:
        run.log_metrics(1, {"loss": float("nan"), "reward": 0.5})

        assert run.metrics()[0]["loss"] is None
        assert "NaN" not in (run.path / "metrics.jsonl").read_text()


def checkpoint(run: RunFolder, step: int) -> Path:
    folder = run.checkpoints / f"checkpoint-{step}"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "weights").write_text("w" * step)
    return folder


def test_only_complete_checkpoints_count(tmp_path: Path) -> None:
    """The newest marked checkpoint is taken, by number and not by spelling; an unmarked one is removed."""
    with open_run(tmp_path) as run:
        assert run.last_checkpoint() is None
        for step in (9, 10):
            run.mark_complete(checkpoint(run, step))
        half = checkpoint(run, 11)

        assert run.last_checkpoint() == run.checkpoints / "checkpoint-10"
        assert not half.exists()


def test_a_checkpoint_that_lost_a_file_does_not_count(tmp_path: Path) -> None:
    """A removal or a copy that stopped halfway leaves the marker but not the sizes it lists."""
    with open_run(tmp_path) as run:
        for step in (1, 2):
            run.mark_complete(checkpoint(run, step))
        (run.checkpoints / "checkpoint-2" / "adapter" / "weights").write_text("")

        assert run.last_checkpoint() == run.checkpoints / "checkpoint-1"


def test_old_checkpoints_go_once_the_new_one_counts(tmp_path: Path) -> None:
    """With keep=2 the disk holds the newest two."""
    with open_run(tmp_path) as run:
        for step in (1, 2, 3):
            run.mark_complete(checkpoint(run, step), keep=2)

        assert sorted(folder.name for folder in run.checkpoints.iterdir()) == ["checkpoint-2", "checkpoint-3"]
        with pytest.raises(ValueError, match="at least one"):
            run.mark_complete(checkpoint(run, 4), keep=0)


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disk full while writing: the old content stands, no temporary file stays, the user is told."""
    target = tmp_path / "manifest.json"
    write_atomic(target, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*manifest\.json: the disk is full"):
        write_atomic(target, "new")

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """A metric line that does not fit stops the run with the remedy."""
    with open_run(tmp_path) as run:
        (run.path / "metrics.jsonl").symlink_to("/dev/full")

        with pytest.raises(InputError, match="the disk is full; free some space"):
            run.log_metrics(1, {"reward": 0.0})


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EDQUOT])
def test_what_the_user_can_mend_is_told(number: int) -> None:
    """Permission, read-only file systems, quotas: a sentence with the path, no traceback."""
    with pytest.raises(InputError, match="cannot write out: "), disk_errors(Path("out")):
        raise OSError(number, os.strerror(number))


def test_other_disk_errors_stay_defects() -> None:
    """An input/output error is nobody's typing mistake."""
    with pytest.raises(OSError, match="Input/output"), disk_errors(Path("out")):
        raise OSError(errno.EIO, "Input/output error")


def test_a_file_in_place_of_the_root_is_one_sentence(tmp_path: Path) -> None:
    """A root that is a file cannot hold runs."""
    (tmp_path / "runs").write_text("")

    with pytest.raises(InputError, match="a file is in the way; choose another folder"):
        open_run(tmp_path / "runs")


def test_an_ended_run_says_so(tmp_path: Path) -> None:
    """`finished` is false until marked, and reading back needs no lock."""
    with open_run(tmp_path) as run:
        assert not run.finished and not read_run(run.path).finished
        run.write_json("evaluations/after.json", {"accuracy": 0.5})
        run.mark_finished()

        record = read_run(run.path)
    assert run.finished and record.finished
    assert record.evaluations == {"after": {"accuracy": 0.5}}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """A mistyped path is told apart from an empty run."""
    with pytest.raises(InputError, match=r"is not a run folder: it holds no config\.json"):
        read_run(tmp_path)
