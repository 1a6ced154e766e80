"""Jobs run side by side in one thread each, a failing one stops nobody, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rlpath.runs.processes import BAD_INPUT, Job, failure, run_jobs, start, stop, tail


def job(folder: Path, name: str, code: str) -> Job:
    return Job(name, (sys.executable, "-c", code), folder / "logs" / f"{name}.log")


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def sleeper(pid_file: Path) -> str:
    """A program that writes its process id down and sleeps."""
    return f"import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)"


def read_pid(pid_file: Path) -> int:
    assert wait_for(lambda: pid_file.exists() and pid_file.read_text())
    pid = int(pid_file.read_text())
    assert alive(pid)
    return pid


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_statuses_by_name_and_logs_on_disk(tmp_path: Path) -> None:
    """A job that fails or is killed leaves the others alone, and its reason can be said."""
    jobs = [
        job(tmp_path, "good", "print('fine')"),
        job(tmp_path, "bad", "raise SystemExit('error: no such thing')"),
        job(tmp_path, "refused", "import sys; print('error: mend it', file=sys.stderr); sys.exit(2)"),
        job(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"),
    ]
    ended: list[str] = []

    statuses = run_jobs(jobs, 2, lambda job, status: ended.append(job.name))

    assert statuses == {"good": 0, "bad": 1, "refused": BAD_INPUT, "killed": 128 + 9}
    assert sorted(ended) == ["bad", "good", "killed", "refused"]
    assert tail(jobs[0].log) == "fine"
    assert failure(1, jobs[1].log) == f"exit status 1 (error: no such thing); its output is in {jobs[1].log}"
    assert failure(137, jobs[3].log) == f"killed by signal 9; its output is in {jobs[3].log}"


def test_no_more_than_the_workers_at_a_time_and_one_thread_each(tmp_path: Path) -> None:
    """Two at a time, whatever the number of jobs; each is told to compute in one thread."""
    code = f"""
import os, pathlib, time
here = pathlib.Path({str(tmp_path)!r})
me = here / f"running-{{os.getpid()}}"
me.touch()
time.sleep(0.15)
print(len(list(here.glob("running-*"))), os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"])
me.unlink()
"""
    jobs = [job(tmp_path, f"job-{i}", code) for i in range(5)]

    run_jobs(jobs, 2)

    seen = [tail(each.log).split() for each in jobs]
    assert max(int(together) for together, *_ in seen) <= 2
    assert {tuple(threads) for _, *threads in seen} == {("1", "1")}


def test_a_job_ends_when_its_parent_lets_go(tmp_path: Path) -> None:
    """Which is what Ctrl-C on the parent does."""
    process = start(job(tmp_path, "sleeper", sleeper(tmp_path / "pid")))
    pid = read_pid(tmp_path / "pid")

    stop(process)

    assert wait_for(lambda: not alive(pid))


def test_a_job_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves the parent no time to say anything."""
    code = f"""
import sys, time
from pathlib import Path
from rlpath.runs.processes import Job, start
process = start(Job("sleeper", (sys.executable, "-c", {sleeper(tmp_path / "pid")!r}), Path({str(tmp_path / "log")!r})))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        pid = read_pid(tmp_path / "pid")
        os.kill(parent.pid, signal.SIGKILL)

    assert wait_for(lambda: not alive(pid))


def test_the_frame_around_an_error_is_not_its_last_line(tmp_path: Path) -> None:
    """tyro draws boxes; what is said is inside."""
    log = tmp_path / "log"
    log.write_text("╭─ Unrecognized options ──╮\n│ Unrecognized options: x │\n╰─────────────────────────╯\n")

    assert tail(log) == "Unrecognized options: x"
    assert tail(tmp_path / "missing") == ""
