"""The study of verifiable rewards from end to end with a tiny model: every arm, one page, and nothing done twice."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.files import read_json

RECIPE = str(Path(__file__).parents[2] / "recipes" / "rlvr_study.py")


@pytest.fixture(scope="module")
def study(digit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """The recipe's names, and the settings of a study that has ended."""
    recipe = runpy.run_path(RECIPE)
    root = tmp_path_factory.mktemp("study")
    settings = replace(recipe["PRESETS"]["smoke"], model=str(digit_folder), root=root, seeds=(0,))
    recipe["run_study"](settings, [])
    return recipe, settings


def test_a_study_leaves_one_page(study: tuple[dict[str, Any], Any]) -> None:
    """Nine arms, one seed each, thirteen contrasts, the plan's hash."""
    _, settings = study
    found = read_json(settings.folder / "study.json")
    assert len(found["arms"]) == 9
    assert found["missing"] == []
    assert {len(arm["seeds"]) for name, arm in found["arms"].items() if "base" not in name} == {1}
    assert len(found["contrasts"]) >= 12
    assert {contrast["outcome"] for contrast in found["contrasts"]} == {"no evidence of improvement"}
    page = (settings.folder / "report.html").read_text()
    recorded = read_json(settings.folder / "manifest.json")["prereg"]
    assert f"sha256 {recorded['sha256'][:12]}" in page
    assert "changed after the fact" not in page
