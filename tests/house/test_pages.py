"""A page of an algorithm names lines that are in the code, and explains metrics that the code logs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("rlpath/*/pages/*.md"))
ROW = re.compile(r"\| `([\w/]+\.py)` \| `(.+)` \|$", re.M)
SECTIONS = ["## From equation to code", "## What is logged", "## Command", "## Known deviations"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_line_that_a_page_names_is_there(page: Path) -> None:
    """The quoted line stands in the named file, as it is quoted."""
    rows = ROW.findall(page.read_text(encoding="utf-8"))

    assert rows
    for file, code in rows:
        lines = [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
        assert code in lines, f"{file}: {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_whole(page: Path) -> None:
    """Equation, metrics, command and deviations are all there, and linked files exist."""
    text = page.read_text(encoding="utf-8")

    assert [section for section in SECTIONS if section not in text] == []
    for link in re.findall(r"\]\(([^)#]+)\)", re.sub(r"`[^`]*`", "", text)):
        assert "://" in link or (page.parent / link).exists(), link


def test_every_deep_algorithm_has_a_page() -> None:
    """Each file of an algorithm, continuous PPO excepted, which is PPO."""
    files = {path.stem for path in (ROOT / "rlpath/deep").glob("*.py")} - {"__init__", "ppo_continuous"}

    assert files <= {page.stem for page in PAGES}
