"""Environments of gem: against gem_llm where it is installed, else by its contract."""

from __future__ import annotations

import random
import re
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.envs.adapters.gem_text import GemText, gem_problems
from rlpath.envs.load import environment_named
from rlpath.envs.turns.by_hand import Call, Played, play

GAME = "game:GuessTheNumber-v0-easy"
REAL = find_spec("gem") is not None


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real gem, or what stands for it."""
    if not REAL:
        from tests.envs.adapters.fake_gem import modules

        for name, module in modules().items():
            monkeypatch.setitem(sys.modules, name, module)


def secret(row: Any) -> int:
    game = GemText()
    game.reset(**row)
    return game.game.game_number


def guesses(row: Any, *numbers: int) -> Played:
    return play(GemText, row, [Call("act", action=f"My guess is \\boxed{{{number}}}.") for number in numbers])


def test_a_game_is_played_with_a_tool() -> None:
    """The action's text goes to the game as it is; the right one earns gem's reward of 1 and ends the episode."""
    found = environment_named(f"gem:{GAME}", "train", size=3)
    row = found.problems[0].meta["row"]
    right = secret(row)
    wrong = right % 10 + 1

    played = guesses(row, wrong, right, wrong)

    assert "boxed" in found.problems[0].prompt
    assert "Enter your next guess." in found.problems[0].prompt
    assert (played.reward, played.counts) == (1.0, {"calls": 2})
    assert ("higher" if right > wrong else "lower") in played.turns[1].text
    assert played.turns[1].text.endswith("Enter your next guess.")
    assert played.turns[-1].text.endswith("The episode is over.")
    assert play(GemText, row, [Call("act", action="no number")]).reward == pytest.approx(-0.1)


def test_draws_follow_from_the_row_and_leave_ours_alone() -> None:
    """gem draws from global generators: one row gives one game, whatever was drawn before, and our draws go on."""
    rows = [problem.meta["row"] for problem in gem_problems(GAME, size=8).problems]
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    first = [secret(row) for row in rows]

    assert (random.random(), np.random.random()) == expected
    assert [secret(row) for row in rows] == first
    assert len(set(first)) > 2


def test_one_turn_is_judged_as_a_text() -> None:
    """With `turn` the model's text is the action and gem's reward the verdict; the sides differ in their seeds."""
    found = gem_problems("rg:products", turn=True, size=4)
    problem = found.problems[0]
    a, b = map(int, re.findall(r"\d+", problem.prompt)[:2])

    def verdict(text: str, truncated: bool = False) -> Any:
        return found.verifier(text, problem.gold, question=problem.prompt, truncated=truncated)

    assert found.environment is None
    assert (verdict(f"so \\boxed{{{a * b}}}").status, verdict(f"\\boxed{{{a * b}}}").score) == (Status.CORRECT, 1.0)
    assert verdict(f"\\boxed{{{a * b + 1}}}").status == Status.WRONG
    assert verdict("\\boxed{1}", truncated=True).status == Status.TRUNCATED
    held_out = gem_problems("rg:products", "validation", turn=True, size=4)
    assert not {one.id for one in found.problems} & {one.id for one in held_out.problems}
    with pytest.raises(ValueError, match="needs the prompt of one of its problems"):
        found.verifier("1", "", question="another")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "game:Chess": ({}, "gem has no environment 'game:Chess': one of game:"),
    "eval:MATH500": ({"turn": True}, "'eval:MATH500' of gem is a test set: those are opened by rlpath.evals alone"),
    GAME: ({"turn": True, "size": 1}, "of gem cannot be answered in one turn"),
}


@pytest.mark.parametrize("env_id", BAD)
def test_what_cannot_be_played(env_id: str) -> None:
    """One sentence, before anything is sampled."""
    arguments, sentence = BAD[env_id]
    with pytest.raises(InputError, match=sentence):
        gem_problems(env_id, **arguments)


@pytest.mark.skipif(REAL, reason="gem's images come from a data set that is not here")
def test_images_are_refused() -> None:
    """An observation that is no text is told as such."""
    with pytest.raises(InputError, match="'math:Geometry3K' of gem shows dict, not text"):
        gem_problems("math:Geometry3K", turn=True, size=1)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package called gem is not taken for it."""
    monkeypatch.setitem(sys.modules, "gem", None)
    with pytest.raises(InputError, match=r"gem is not installed .*: pip install --no-deps gem_llm"):
        gem_problems(GAME)
    monkeypatch.setitem(sys.modules, "gem", ModuleType("gem"))
    with pytest.raises(InputError, match="the installed package gem is not gem_llm"):
        gem_problems(GAME)
