"""Files that survive a crash: atomic writes, JSON lines that may end half-written, locks the kernel gives back."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rlpath.core.errors import InputError

TEMPORARY = ".tmp"
"""Ending of files not yet in place; what a crash leaves behind under it may be removed."""

_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
    errno.ENOTDIR: "a file is in the way; choose another folder",
    errno.EEXIST: "a file is in the way; choose another folder",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space", "permission denied" and the like on `path` into an `InputError`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise InputError(f"cannot write {path}: {_DISK_ERRORS[error.errno]}") from error


def write_atomic(path: Path, text: str) -> None:
    """Write `text` so that a reader, or a crash, sees the old file or the new one and nothing between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with disk_errors(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make the contents of a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises `InputError` where the file holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object; remove it and run the same command again")
    return value


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file, none where it is absent; a last line that a crash left half-written is dropped.

    Raises `InputError` naming the line where any other line is not a JSON object.
    """
    if not path.exists():
        return []
    # What follows the last newline is empty, or the half-written line.
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_row(path, number, line) for number, line in enumerate(lines, start=1)]


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise InputError(f"{path}, line {number} is not a JSON object; mend or remove the line")
    return row


class Busy(Exception):
    """Another process holds the lock; the message is its process id."""


def lock(path: Path, *, wait: bool = False) -> IO[str]:
    """Hold the lock file `path` alone until the returned file is closed or this process ends, however it ends.

    With `wait` the call blocks until the lock is free, else it raises `Busy` at once.
    """
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise Busy(holder or "unknown") from None
    # A forked worker shares the lock and could outlive a killed parent; it lets go of its share at birth.
    os.register_at_fork(after_in_child=file.close)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def hold_folder(folder: Path) -> IO[str]:
    """Make `folder` where it is missing, and hold it until the returned file is closed or this process ends.

    Raises `InputError` where another process holds it, or the folder cannot be written.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        return lock(folder / ".lock")
    except Busy as holder:
        raise InputError(f"{folder} is in use by process {holder}: wait for it") from None
