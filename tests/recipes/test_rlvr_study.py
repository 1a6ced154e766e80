"""The study of verifiable rewards from end to end with a tiny model: every arm, one page, and nothing done twice."""

from __future__ import annotations

import hashlib
import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
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


def test_a_run_says_what_rewarded_it(study: tuple[dict[str, Any], Any]) -> None:
    """The reward, its golds and their hash stand in the manifest; the evaluation has the true verifier."""
    recipe, settings = study
    runs = {arm: recipe["run_folder"](settings, arm, 0) for arm in recipe["ARMS"][2:]}
    manifests = {arm: read_json(run / "manifest.json") for arm, run in runs.items() if arm.startswith("grpo")}

    assert len(set(runs.values())) == 7
    assert manifests["grpo-true"]["reward"] == {"kind": "true"}
    assert manifests["grpo-random"]["reward"] == {"kind": "random", "probability": 0.5}
    assert manifests["grpo-wrong"]["verifiers"]["training"] == "the control reward 'wrong'"
    assert {each["verifiers"]["evaluation"] for each in manifests.values()} == {"NumberVerifier"}
    golds = read_json(runs["grpo-wrong"] / "wrong_golds.json")
    train = {problem.id: problem.gold for problem in settings.data("train").problems}
    assert golds.keys() == train.keys()
    assert not any(golds[id] == train[id] for id in train)
    text = json.dumps(dict(sorted(golds.items())), ensure_ascii=False)
    assert manifests["grpo-wrong"]["reward"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_study_that_has_ended_is_not_run_again(study: tuple[dict[str, Any], Any], capsys: Any) -> None:
    """Nine jobs finished before, the plan of the first start, and the same page."""
    recipe, settings = study
    page = (settings.folder / "report.html").read_bytes()
    recipe["run_study"](settings, [])
    told = capsys.readouterr().out
    assert told.count("finished before") == 9
    assert (settings.folder / "report.html").read_bytes() == page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": (0, 0)}, "--seeds must be different numbers"),
        ({"samples": 48}, "--samples 48 must be a power of two"),
        ({"held_out": 0}, "--held-out 0 must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(
    study: tuple[dict[str, Any], Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        replace(study[1], **changes).check()
