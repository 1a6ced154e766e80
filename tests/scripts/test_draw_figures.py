"""The figures of the documentation are what their recorded data draws."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rlpath.core.files import read_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_figures", ROOT / "scripts" / "draw_figures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_figures"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_demo_figure_is_drawn_from_its_data(figures: ModuleType) -> None:
    """The committed SVG says what the committed JSON draws; its title has the means over three seeds."""
    drawn = figures.draw(read_json(ROOT / "recipes/figures/demo.json"))
    committed = (ROOT / "recipes/figures/demo.svg").read_text(encoding="utf-8")

    assert "3 % → 82 % on held-out, 3 seeds" in drawn
    assert re.findall(r">([^<>]+)</text>", committed) == re.findall(r">([^<>]+)</text>", drawn) != []


def test_recorded_rewards_get_a_mean_with_its_band(figures: ModuleType) -> None:
    """Two seeds of seven steps: every seed faint and their mean."""
    seeds = {str(i): {"held_out": [0.0, 0.5], "reward": [0.1] * 6 + [0.3 + i / 10]} for i in range(2)}

    assert "mean, 95 %" in figures.draw({"steps": 7, "seeds": seeds})
