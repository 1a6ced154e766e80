"""Gymnasium's toy texts as language environments, against Gymnasium itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlpath.core.errors import InputError
from rlpath.envs.adapters.gymnasium_text import GymnasiumText, gymnasium_problems, plain_rendering
from rlpath.envs.load import problem_set
from rlpath.envs.turns.by_hand import Call, play
from rlpath.envs.turns.calls import EpisodeLimits

DRY = {"env_id": "FrozenLake-v1", "seed": 0, "options": '{"is_slippery": false}'}
WAY = ["down", "down", "right", "right", "down", "right"]
MANY = EpisodeLimits(turns=40)


class Parrot(gymnasium.Env[str, str]):
    """Shows text, wants the same text back, and pays for it."""

    observation_space = spaces.Text(10)
    action_space = spaces.Text(10)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.word = "".join(self.np_random.choice(list("abc"), 4))
        return self.word, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return "", float(action == self.word), True, False, {}


class Picture(Parrot):
    """Shows an image."""

    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)  # type: ignore[assignment]


class Steering(Parrot):
    """Wants a real number for an action."""

    action_space = spaces.Box(-1, 1, (1,))  # type: ignore[assignment]


@pytest.fixture
def registered() -> Iterator[None]:
    classes: tuple[Any, ...] = (Parrot, Picture, Steering)
    for one in classes:
        gymnasium.register(f"{one.__name__}-v0", one, disable_env_checker=True)
    yield
    for one in classes:
        del gymnasium.registry[f"{one.__name__}-v0"]


def acts(actions: list[str]) -> list[Call]:
    return [Call("act", action=action) for action in actions]


def test_the_known_way_over_the_ice() -> None:
    """Six steps on dry ice reach the goal: reward 1, the episode ends by itself, and the map shows where one stands."""
    played = play(GymnasiumText, DRY, acts([*WAY, "left"]))

    assert played.reward == 1.0
    assert len(played.turns) == 2 * len(WAY)
    assert "SFFF\nFHFH\nFFFH\nHFFG\nMarked: 'S' at line 1, column 1 on red." in played.question
    assert played.turns[1].text.endswith("Marked: 'F' at line 2, column 1 on red.")
    assert played.turns[-1].text.endswith("The episode is over.")


def test_an_action_that_is_none_costs_nothing() -> None:
    """It is answered and counted; a number is none where actions have names; capitals and underscores do not matter."""
    played = play(GymnasiumText, DRY, acts(["jump", "1", " Down", *WAY[1:]]))

    assert played.reward == 1.0
    assert played.counts == {"calls": 8, "raised": 2}
    assert played.turns[1].text == "error: there is no action 'jump'; there are left, down, right, up"


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "Taxi-v4", "CliffWalking-v1", "Blackjack-v1"])
def test_an_episode_is_gymnasiums_own(env_id: str) -> None:
    """The same seed and actions give the same return as Gymnasium does, and the same again."""
    numbers = [int(n) for n in np.random.default_rng(1).integers(0, 2, size=20)]
    row = dict(gymnasium_problems(env_id, size=3).problems[2].meta["row"])
    environment: Any = gymnasium.make(env_id)
    environment.reset(seed=row["seed"])
    expected = 0.0
    for number in numbers:
        _, reward, terminated, truncated, _ = environment.step(number)
        expected += float(reward)
        if terminated or truncated:
            break
    made = GymnasiumText()
    made.reset(**row)
    space: Any = made.environment.action_space
    names = made._names(space)

    played = [play(GymnasiumText, row, acts([names[number] for number in numbers]), MANY) for _ in range(2)]

    assert [one.reward for one in played] == [expected, expected]
    assert played[0].turns == played[1].turns


def test_text_spaces_are_played_as_they_are(registered: None) -> None:
    """What is seen is the observation, and an action is the text itself; one outside the space is refused."""
    made = gymnasium_problems("Parrot-v0", size=2, task="Say the same.")
    row = made.problems[0].meta["row"]
    word = made.problems[0].prompt.split("\n\n")[1]

    assert made.problems[0].prompt.startswith("Say the same.\n\n")
    assert play(GymnasiumText, row, acts([word])).reward == 1.0
    wrong = play(GymnasiumText, row, acts(["far too long a word", "no"]))
    assert (wrong.reward, wrong.counts) == (0.0, {"calls": 2, "raised": 1})


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "Nope-v0": ({}, "Gymnasium has no environment 'Nope-v0'"),
    "Picture-v0": ({}, r"environment 'Picture-v0' shows Box\(.*, no text: take one that renders as `ansi`"),
    "CartPole-v1": ({}, "environment 'CartPole-v1' shows Box"),
    "Steering-v0": ({}, r"wants actions of Box\(.*: only Discrete and Text are played"),
    "FrozenLake-v1": ({"options": {"ice": 3}}, "cannot make 'FrozenLake-v1' with the options {'ice': 3}"),
    "Taxi-v4": ({"size": 0}, "size 0 must be at least 1"),
    "Blackjack-v1": ({"split": "test"}, "split 'test' is not one of train and validation"),
}


@pytest.mark.parametrize("env_id", BAD)
def test_what_cannot_be_played(env_id: str, registered: None) -> None:
    """One sentence, before anything is sampled."""
    arguments, sentence = BAD[env_id]
    with pytest.raises(InputError, match=sentence):
        gymnasium_problems(env_id, **arguments)


def test_colors_are_told_in_words() -> None:
    """Symbol, place and color; what has none is left as it is."""
    told = plain_rendering("  (Down)\nA\x1b[34;1mB\x1b[0m\n\x1b[43m \x1b[0mC\n")

    assert told == "AB\n C\nMarked: 'B' at line 1, column 2 blue; ' ' at line 2, column 1 on yellow."
    assert plain_rendering("x  o\n") == "x  o"


def test_by_name_and_by_side() -> None:
    """Seeds of the two sides are disjoint and follow from the seed; another seed gives others."""
    sides = [
        problem_set("gymnasium:Taxi-v4", side, size=20, seed=seed)
        for seed in (0, 1)
        for side in ("train", "validation")
    ]
    seeds = [{problem.meta["row"]["seed"] for problem in side.problems} for side in sides]

    assert len(set.union(*seeds)) == 80
    assert sides[0].name == "gymnasium:Taxi-v4"
    assert sides[0].environment is not None
    assert sides[0].sha256 == problem_set("gymnasium:Taxi-v4", "train", size=20).sha256
