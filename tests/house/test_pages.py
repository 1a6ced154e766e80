"""A page of an algorithm names lines that are in the code, and explains metrics that the code logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("rlpath/*/pages/*.md"))
METRICS = ROOT / "rlpath/posttrain/metrics.md"
ROW = re.compile(r"\| `([\w/]+\.py)` \| `(.+)` \|$", re.M)
SECTIONS = ["## From equation to code", "## What is logged", "## Curve", "## Command", "## Known deviations"]


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


def explained(page: Path) -> set[str]:
    """Metrics in the first column of a page's tables."""
    first = re.findall(r"^\| (`[^|]+`) \|", page.read_text(encoding="utf-8"), re.M)
    return {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def unexplained(logged: Iterable[str]) -> list[str]:
    """Metrics of a language-model run that the page of metrics does not explain."""
    known = explained(METRICS)
    families = {"eval/pass@": "eval/pass@K", "status/": "status/STATUS"}
    return [
        name
        for name in logged
        if name not in known and not any(name.startswith(start) and row in known for start, row in families.items())
    ]


def test_every_deep_algorithm_has_a_page() -> None:
    """Each file of an algorithm, continuous PPO excepted, which is PPO."""
    files = {path.stem for path in (ROOT / "rlpath/deep").glob("*.py")} - {"__init__", "ppo_continuous"}

    assert files <= {page.stem for page in PAGES}


def test_every_loss_has_a_page() -> None:
    """Each value of `--loss`, and each public loss function."""
    settings = (ROOT / "rlpath/posttrain/settings.py").read_text(encoding="utf-8")
    chosen = set(re.findall(r'"(\w+)"', next(line for line in settings.splitlines() if line.startswith("Loss ="))))
    files = (ROOT / "rlpath/losses").glob("*.py")
    functions = {name for file in files for name in re.findall(r"^def (\w+)_loss\(", file.read_text(), re.M)}
    other = {"policy": "grpo", "ppo_policy": "ppo_rlhf", "ppo_value": "ppo_rlhf", "bradley_terry": "reward_model"}
    pages = {page.stem for page in PAGES}

    assert len(chosen) == 11 and len(functions) > 10
    assert {other.get(name, name) for name in chosen | functions} <= pages


def test_every_tabular_method_has_a_page() -> None:
    """Each method of `--algorithm`; every-visit Monte Carlo is on the page of Monte Carlo."""
    from rlpath.tabular.settings import METHODS

    assert {name.removesuffix("_every_visit") for name in METHODS} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", sorted(ROOT.glob("rlpath/deep/pages/*.md")), ids=lambda page: page.stem)
def test_every_metric_of_an_algorithm_is_explained(page: Path) -> None:
    """Those its file writes down, and those that every algorithm has."""
    source = (ROOT / f"rlpath/deep/{page.stem}.py").read_text(encoding="utf-8")
    everyone = {"charts/episodic_return", "charts/episodic_length", "charts/SPS"}

    assert everyone | set(re.findall(r'"((?:losses|charts)/\w+)"', source)) <= explained(page)


def test_every_metric_of_language_models_is_explained() -> None:
    """What the loop's files name is on the page of metrics, and so is every metric that a loss's page explains."""
    files = ("loop", "objectives", "ppo_rlhf", "distill", "verify", "on_policy")
    sources = "".join((ROOT / f"rlpath/posttrain/{file}.py").read_text(encoding="utf-8") for file in files)
    named = set(
        re.findall(r'f?"((?:reward|length|groups|correction|kl|loss|value|return|seconds|eval|sampling)/\w+)"', sources)
    )

    assert len(named) > 15
    assert unexplained(named) == []
    for page in ROOT.glob("rlpath/losses/pages/*.md"):
        assert unexplained(explained(page)) == []
