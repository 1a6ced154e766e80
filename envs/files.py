"""Reading data files so that a mistake in one is told by file and line."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
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
    """The objects of a JSON-lines file (gzipped where it ends in .gz), in order; each must have the text `fields`.

    A byte-order mark and blank lines are passed over. Raises InputError naming the file, and the line where there is
    one: unreadable, empty, not UTF-8, not JSON, not an object, a field missing, empty or not text.
    """
    return [row for _, row in numbered_rows(path, fields)]


def numbered_rows(path: Path | str, fields: tuple[str, ...] = ()) -> list[tuple[int, dict[str, Any]]]:
    """The same, each with the number of its line, from 1."""
    path = Path(path)
    rows = [
        (number, _row(line, f"{path}, line {number}", fields))
        for number, line in enumerate(_read_lines(path), start=1)
        if line.strip()
    ]
    if not rows:
        raise InputError(f"{path} is empty: one JSON object per line is expected")
    return rows


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise InputError(f"{path} cannot be read: {why or error}") from error
    lines = []
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
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
