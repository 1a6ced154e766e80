"""Training files, streamed: one document after another, never a whole file in memory but for a plain .json.

.jsonl: a line is a document, all its text values (nested ones too) or one named field. .json: an array, likewise;
.csv, .tsv (with a head) and .parquet: a row. .txt and .md: a file is one document. All but .parquet may be gzipped.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rlpath.core.errors import InputError

CHUNK = 4 * 2**20
OVERLAP = 64 * 2**10
"""Bytes of a long text read twice, so that a copy of a test item lies whole in one of two chunks."""

ROWS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
KINDS = (*ROWS, ".txt", ".md")


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of training text: its file (or any name), its line (from 1; 0 where it is the whole), the text."""

    file: Path | str
    line: int
    text: str

    @property
    def name(self) -> str:
        """`file:line`, or the file alone."""
        return f"{self.file}:{self.line}" if self.line else str(self.file)


def training_files(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` name, folders searched for files of a known kind, sorted.

    Raises InputError for a path that does not exist, a file of another kind, and where nothing is left.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and kind_of(file) in KINDS)
        elif not path.is_file():
            raise InputError(f"training file {path} does not exist: name a file or a folder of {', '.join(KINDS)}")
        elif kind_of(path) not in KINDS:
            raise InputError(f"training file {path} is none of {', '.join(KINDS)} (.gz too): convert it first")
        else:
            found.append(path)
    if not found:
        raise InputError(f"no training file in {', '.join(map(str, paths)) or 'an empty list'}: name at least one")
    return list(dict.fromkeys(found))


def documents(paths: Sequence[Path], field: str | None = None) -> Iterator[Document]:
    """The documents of `paths` in order; `field` takes one text field of each row instead of all.

    A text longer than `CHUNK` comes in chunks of one name that overlap by `OVERLAP`. Raises InputError naming
    file and line for what cannot be read.
    """
    for path in paths:
        if kind_of(path) in ROWS:
            for line, row in rows(path):
                for text in _pieces(_row_text(row, field, f"{path}, row {line}")):
                    yield Document(path, line, text)
        else:
            for text in _chunks(path):
                yield Document(path, 0, text)


def rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file of `ROWS`, numbered from 1: JSON values, or dictionaries by column of the other kinds.

    JSON lines are numbered by line. Raises InputError naming file and row for what cannot be read.
    """
    kind = kind_of(path)
    if kind == ".jsonl":
        yield from json_rows(path)
    elif kind in (".csv", ".tsv"):
        yield from _csv_rows(path, "\t" if kind == ".tsv" else ",")
    elif kind == ".parquet":
        yield from _parquet_rows(path)
    else:
        yield from enumerate(json_array(path), start=1)


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by the column names of the first line; a cell may hold line ends and be as long as it likes."""
    csv.field_size_limit(2**31 - 1)
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        table = csv.DictReader(text, delimiter=delimiter, restkey="", strict=True)
        try:
            for number, row in enumerate(table, start=1):
                if "" in row or None in row.values():
                    raise InputError(f"{path}, row {number} has not as many cells as the head has names: mend the row")
                yield number, row
        except UnicodeDecodeError:
            raise InputError(f"{path} is not UTF-8 text: convert the file") from None
        except csv.Error as error:
            raise InputError(
                f"{path}, line {table.line_num} is no row of a CSV file ({error}): mend the line"
            ) from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException
    except ModuleNotFoundError:
        raise InputError(f"{path}: pyarrow reads Parquet and is not installed: pip install rlpath[train]") from None
    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (ArrowException, OSError) as error:
        raise InputError(f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}): fetch it again") from None


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, unzipped where it is zipped, numbered from 1."""
    with opened(path) as file:
        yield from enumerate(file, start=1)


def json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers from 1 and values of a JSON-lines file; blank lines are passed over."""
    for line, data in lines(path):
        if data.isspace():
            continue
        yield line, _parsed(data, f"{path}, line {line}", "mend or remove the line")


def json_array(path: Path) -> list[Any]:
    """The entries of a .json file; a value that is no array is the only entry."""
    with opened(path) as file:
        value = _parsed(file.read(), str(path), "JSON lines end in .jsonl")
    return value if isinstance(value, list) else [value]


def _parsed(data: bytes, place: str, remedy: str) -> Any:
    try:
        return json.loads(data)
    except UnicodeDecodeError:
        raise InputError(f"{place} is not UTF-8 text: convert the file") from None
    except RecursionError:
        raise InputError(f"{place} is nested too deeply to be read: {remedy}") from None
    except ValueError:
        raise InputError(f"{place} is not JSON: {remedy}") from None


def texts_of(value: Any) -> Iterator[str]:
    """Every text inside a JSON value, in order."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += reversed(one.values())
        elif isinstance(one, list):
            waiting += reversed(one)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unzipped where its name ends in .gz. Raises InputError where it cannot be read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # pyright: ignore[reportReturnType]
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise InputError(f"{path} is not a whole gzip file: fetch or write it again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def kind_of(path: Path) -> str:
    """The last suffix of a file's name but .gz, in lower case."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    return suffixes[-1].lower() if suffixes else ""


def _row_text(row: Any, field: str | None, place: str) -> str:
    if field is None:
        return "\n".join(texts_of(row))
    if not isinstance(row, dict) or field not in row:
        raise InputError(f"{place} has no field {field!r}: leave --field out to search every text of a row")
    return "\n".join(texts_of(row[field]))


def _pieces(text: str) -> Iterator[str]:
    """A text whole, or in overlapping chunks where it is long."""
    for start in range(0, max(1, len(text) - OVERLAP), CHUNK):
        yield text[start : start + CHUNK + OVERLAP]


def _chunks(path: Path) -> Iterator[str]:
    """The text of a file in overlapping chunks; bytes that are not UTF-8 become U+FFFD, which separates words."""
    with opened(path) as file:
        overlap = b""
        while data := file.read(CHUNK):
            data = overlap + data
            yield data.decode("utf-8", "replace")
            overlap = data[-OVERLAP:]
