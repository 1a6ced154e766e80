"""The recipes that set the book's figures beside ours, at their smallest: what they print, keep and refuse."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rlpath.core.errors import InputError

ROOT = Path(__file__).parents[2]
RECIPES = {
    "bandits": 9,
    "prediction": 5,
    "maximization_bias": 1,
    "dyna": 3,
    "blackjack": 2,
    "deep_sea": 1,
    "matrix_games": 2,
    "alphazero": 1,
    "offline": 0,
    "deep_exploration": 0,
}
"""Recipes, and the figures that each draws."""
SMALLER = {
    "bandits": ["--runs", "4", "--steps", "20", "--walk-steps", "20"],
    "prediction": ["--runs", "2", "--episodes", "4", "--large-episodes", "20"],
    "dyna": ["--episodes", "1"],
    "deep_sea": ["--most", "4"],
    "alphazero": ["--simulations", "1", "--iterations", "1", "--games", "1"],
    "offline": ["--steps", "20", "--updates", "1", "--expert-steps", "256"],
    "blackjack": ["--steps", "200", "--episodes", "20"],
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "recipes" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def start(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    words = [f"{name}.py", "--smoke", *SMALLER.get(name, []), *flags, "--root", str(root)]
    monkeypatch.setattr(sys, "argv", words)
    module = load(name)
    if name == "prediction":
        monkeypatch.setattr(module, "ALPHAS", (0.2,))
    if name == "dyna":
        short = {figure: (before, after, 100, 200) for figure, (before, after, _, _) in module.CHANGING.items()}
        monkeypatch.setattr(module, "CHANGING", short)
    module.main()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.needs("envs")) if name == "offline" else name for name in RECIPES],
)
def test_the_book_stands_beside_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a claim on the screen and in results.json, its figures drawn, with what made them."""
    start(name, tmp_path, monkeypatch)
    said = capsys.readouterr().out
    report = Path(said.splitlines()[-1].removeprefix("report: "))
    kept = json.loads((report.parent / "results.json").read_text())
    assert report.is_file()
    assert len(list(report.parent.glob("*.svg"))) == RECIPES[name]
    assert report.read_text().count("<svg") == RECIPES[name]
    assert all(claim["what"] in said for claim in kept["claims"])
    assert {"git", "packages", "hardware", "command"} <= kept["manifest"].keys()


def test_the_same_command_gives_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bit for bit; another seed gives others."""
    said = []
    for flags in ((), (), ("--seed", "5")):
        start("maximization_bias", tmp_path, monkeypatch, *flags)
        said.append(capsys.readouterr().out.rpartition("report")[0])
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize(("flag", "value"), [("--runs", "1"), ("--seed", "-1"), ("--episodes", "0")])
def test_too_few_are_refused(flag: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run has no interval, and nothing comes of no episodes."""
    with pytest.raises(InputError, match=f"{flag} {value} must be at least"):
        start("dyna", tmp_path, monkeypatch, flag, value)
