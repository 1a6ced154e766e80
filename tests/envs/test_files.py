"""JSON-lines files: lines end at newlines alone, gzipped or not, and a broken file is named."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.envs.files import read_jsonl
from tests.house.test_rooms import modules, tree_of

ROWS = [{"text": "one\u2028line\x0bstill\u0085"}, {"text": "two"}]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_unicode_line_separators_do_not_end_a_row(tmp_path: Path, suffix: str) -> None:
    """U+2028, U+0085 and a vertical tab may stand within JSON text as they are."""
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)

    assert read_jsonl(path) == ROWS


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b'{"a": "b"}')[:-9]], ids=["no archive", "part of one"])
def test_a_broken_archive_is_named(tmp_path: Path, data: bytes) -> None:
    """An archive that is none, or that was fetched in part, is bad input."""
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(data)

    with pytest.raises(InputError, match=r"rows\.jsonl\.gz cannot be read"):
        read_jsonl(path)


def splits_json(node: ast.AST) -> bool:
    """Whether `node` reads rows of JSON from `text.splitlines()`."""
    if not isinstance(node, ast.ListComp | ast.GeneratorExp | ast.For):
        return False
    said = ast.unparse(node)
    return ".splitlines()" in said and "json.loads" in said


def test_no_module_splits_json_at_unicode_separators() -> None:
    """`str.splitlines` breaks a row in two where its text has U+2028: `read_jsonl` and `read_json_lines` do not."""
    found = [
        (file.name, node.lineno)
        for file in modules("rlpath", "envs", "rewards", "evals", "recipes", "scripts")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.For) and splits_json(node)
    ]

    assert found == [], "read the file by read_jsonl or read_json_lines"
