"""Reading data files so that a mistake in one is told by file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError


def data_file(relative: str) -> Path | None:
    """The file `relative` under the folder that RLPATH_DATA names, or None where there is no such folder or file.

    Raises InputError where RLPATH_DATA is set to something that is not a folder.
    """
    root = os.environ.get("RLPATH_DATA")
    if not root:
        return None
    if not Path(root).is_dir():
        raise InputError(f"RLPATH_DATA is {root!r}, which is not a folder: correct or unset it")
    path = Path(root) / relative
    return path if path.exists() else None


def read_jsonl(path: Path | str, fields: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, row i from line i + 1; each must have the text `fields`.

    Raises InputError naming the file, and the line where there is one: unreadable, empty, a blank line, not UTF-8, not
    JSON, not an object, a field missing, empty or not text.
    """
    path = Path(path)
    lines = _read_lines(path)
    if not lines:
        raise InputError(f"{path} is empty: one JSON object per line is expected")
    return [_row(line, f"{path}, line {number}", fields) for number, line in enumerate(lines, start=1)]


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = []
    for number, line in enumerate(data.rstrip().split(b"\n") if data.strip() else [], start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number}: not UTF-8 text") from error
    return lines


def _row(line: str, place: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: expected a JSON object, found {type(row).__name__}")
    for name in fields:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise InputError(f"{place}: the field {name!r} is missing, empty or not text")
    return row
