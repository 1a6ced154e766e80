"""House rules that no linter knows: test splits open in evals alone, modules have a docstring, files are short."""

import ast
import importlib.util
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("rlpath", "envs", "rewards", "evals", "recipes", "scripts", "tests")
TOP = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "constraints.txt", "pyproject.toml"}
HIDDEN = {".ci", ".github", ".gitignore", ".pre-commit-config.yaml"}
TEST_FILE = re.compile(r"\btest[\w-]*\.(jsonl?|parquet|csv)\b|_test\.(jsonl?|parquet|csv)\b")


def modules(*rooms: str) -> list[Path]:
    """Python files of these rooms; the links in rlpath/ are not followed."""
    found = [file for room in rooms for file in sorted((ROOT / room).rglob("*.py"))]
    return [file for file in found if not any(part.is_symlink() for part in file.parents)]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def tree_of(file: Path) -> ast.Module:
    """A module, parsed once for all rules."""
    return ast.parse(file.read_text(encoding="utf-8"))


def test_a_module_says_what_it_is_for() -> None:
    """The first thing in a file is a docstring."""
    assert [name_of(file) for file in modules(*ROOMS) if not ast.get_docstring(tree_of(file))] == []


def test_a_file_can_be_read_in_one_sitting() -> None:
    """At most 600 lines."""
    assert [name_of(file) for file in modules(*ROOMS) if len(file.read_text().splitlines()) > 600] == []


def test_no_text_is_run_as_code() -> None:
    """Neither eval nor exec: what a model or a file says stays data. The sandbox runs programs; that is its purpose."""
    found = [
        f"{name_of(file)}:{node.lineno}"
        for file in modules(*ROOMS)
        if "rewards/sandbox" not in name_of(file)
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
    ]

    assert found == []


def test_a_file_name_says_something() -> None:
    """`utils` and `helpers` say nothing."""
    assert [name_of(file) for file in modules(*ROOMS) if re.search("util|helper|misc|common", file.stem)] == []


def opens_test_split(tree: ast.Module) -> list[int]:
    """Lines of calls that take the word "test" or the name of a test file."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Attribute) and node.func.attr == "startswith"):
            words = [*node.args, *(keyword.value for keyword in node.keywords)]
            texts = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            lines += [node.lineno for text in texts if text == "test" or TEST_FILE.search(text)]
    return lines


def test_the_test_split_is_opened_in_evals_alone() -> None:
    """Training code cannot see what it will be judged on."""
    files = modules("rlpath", "envs", "rewards", "recipes", "scripts")

    assert {name_of(file): lines for file in files if (lines := opens_test_split(tree_of(file)))} == {}


@pytest.mark.parametrize(
    "line", ['load("gsm8k", split="test")', 'read(root / "x", "test")', 'read("gsm8k/test.jsonl")', 'p("a_test.json")']
)
def test_opening_a_test_split_is_noticed(line: str) -> None:
    """The rule above sees the ways in which a test split is opened."""
    assert opens_test_split(ast.parse(line)) == [1]


def test_evals_opens_a_test_split() -> None:
    """The rule is not empty: where test splits are opened, it finds them."""
    assert any(opens_test_split(tree_of(file)) for file in modules("evals"))


@pytest.mark.parametrize("file", modules("recipes", "scripts"), ids=name_of)
def test_a_script_does_not_hide_a_library(file: Path) -> None:
    """Python puts a script's folder first on the path: recipes/datasets.py would be imported as `datasets`."""
    spec = importlib.util.find_spec(file.stem)

    # A folder of that name, as `make docs` leaves one, is a namespace without an origin and hides behind any file.
    assert spec is None or spec.origin in (None, str(file))


def test_the_top_level_is_fixed() -> None:
    """No new folder or file at the top: whatever comes lies beside what it belongs to."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert {line.split("/")[0] for line in listed.stdout.splitlines()} == {*ROOMS, *TOP, *HIDDEN}
