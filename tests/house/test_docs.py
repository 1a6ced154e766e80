"""The documents say what is there: commands exist, examples run, figures are not placeholders."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import rlpath.rewards
from rlpath.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "recipes/README.md", "rewards/README.md"]
PAGES += ["envs/README.md", "evals/contamination/README.md", "rlpath/posttrain/README.md", "rlpath/deep/README.md"]
VERIFIERS = sorted(module.name for module in pkgutil.walk_packages(rlpath.rewards.__path__, "rlpath.rewards."))


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


def commands(page: str) -> list[list[str]]:
    """Every command line of a page's shell blocks, as words."""
    lines = "\n".join(blocks(page, "sh")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_example(source: str) -> str:
    """What a block of Python prints as a program of its own."""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_is_short_and_starts_with_two_commands() -> None:
    """At most 150 lines, and the first block is the demo and the tests."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    assert [words[:2] for words in commands("README.md")[:2]] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_gap(page: str) -> None:
    """Nothing is left to be filled in, and every file it links to exists."""
    text = (ROOT / page).read_text(encoding="utf-8")

    assert "{{" not in text
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in link or ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "recipes/README.md", "rlpath/posttrain/README.md"])
def test_commands_exist(page: str) -> None:
    """Make targets, recipes, scripts and subcommands that a page names are there."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets
        if words[0] == "rlpath":
            assert words[1] in COMMANDS
        for word in words:
            if word.endswith(".py"):
                assert (ROOT / word).is_file(), word


def test_every_recipe_is_in_the_table() -> None:
    """A recipe without a row of results is not finished."""
    table = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in (ROOT / "recipes").glob("*.py") if f"| `{path.name}` |" not in table] == []


def test_readme_example_gives_what_it_says() -> None:
    """The verdicts written behind the calls in the README are the ones returned."""
    (block,) = blocks("README.md", "python")
    said = re.findall(r"^(verify\(.*\)\.status) +# (Status\.\w+)", block, re.M)

    assert len(said) == 3
    printing = "\n".join(f"print({call}.name)" for call, _ in said)
    assert run_example(f"{block}\n{printing}").split() == [status.removeprefix("Status.") for _, status in said]


def test_verifier_examples_run() -> None:
    """Every Python block of the verifiers' page runs, save the one that needs TRL and a model."""
    runnable = [block for block in blocks("rewards/README.md", "python") if "from trl" not in block]

    assert len(runnable) == 2
    for block in runnable:
        run_example(block)


@pytest.mark.parametrize("name", VERIFIERS)
def test_docstring_examples(name: str) -> None:
    """Every example in a verifier's docstring gives the result beside it."""
    failures, _ = doctest.testmod(importlib.import_module(name))

    assert failures == 0
