"""Grid worlds: the book's own, options, rendering, and maps that are none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rlpath.core.errors import InputError
from rlpath.envs.gridworlds import MAZE_MAP, GridWorld, register

SMALL = ["S.G"]


@pytest.mark.parametrize(
    "env_id", ["WindyGridworld-v0", "WindyGridworldKings-v0", "WindyGridworldStochastic-v0", "DynaMaze-v0"]
)
def test_gymnasium_accepts_them(env_id: str) -> None:
    """Gymnasium's own checker finds nothing, and probabilities add up to 1."""
    register()
    env = gym.make(env_id)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(env.unwrapped, skip_render_check=True)
    table: Any = env.unwrapped
    for actions in table.P.values():
        for outcomes in actions.values():
            assert sum(row[0] for row in outcomes) == pytest.approx(1)


def test_the_wind_blows() -> None:
    """From the windiest column going right rises two rows; at the top edge the wind is stopped."""
    register()
    env: Any = gym.make("WindyGridworld-v0").unwrapped
    assert env.P[3 * 10 + 6][2] == [(1.0, 1 * 10 + 7, -1.0, False)]
    assert env.P[6][2] == [(1.0, 7, -1.0, False)]
    assert env.P[3 * 10 + 3][3] == [(1.0, 1 * 10 + 3, -1.0, False)]
    stochastic: Any = gym.make("WindyGridworldStochastic-v0").unwrapped
    assert [row[1] for row in stochastic.P[3 * 10 + 3][2]] == [3 * 10 + 4, 2 * 10 + 4, 1 * 10 + 4]
    assert len(stochastic.P[30][2]) == 1


def test_walls_holes_cliffs_and_several_starts() -> None:
    """A wall or the border keeps the agent where it is, a hole ends, a cliff leads to one of the starts."""
    env = GridWorld(["S#G.", ".C..", "S..H"], goal_reward=5.0, hole_reward=-7.0)
    right, down = 2, 1

    assert env.P[0][right] == [(1.0, 0, -1.0, False)]
    assert env.P[0][0] == [(1.0, 0, -1.0, False)]
    assert env.P[4][right] == [(0.5, 0, -100.0, False), (0.5, 8, -100.0, False)]
    assert env.P[10][right] == [(1.0, 11, -7.0, True)]
    assert env.P[6][3] == [(1.0, 2, 5.0, True)]
    assert env.P[2][down] == [(1.0, 2, 0.0, True)]
    assert env.initial_state_distrib[[0, 8]].tolist() == [0.5, 0.5]


def test_slipping_goes_to_the_sides() -> None:
    """With slip 0.4 a move right goes up or down with 0.2 each; among eight moves, to the neighboring diagonals."""
    room = ["...", "S.G", "..."]
    four, eight = GridWorld(room, slip=0.4), GridWorld(room, slip=0.4, diagonal=True)

    assert {row[1]: row[0] for row in four.P[4][2]} == pytest.approx({5: 0.6, 1: 0.2, 7: 0.2})
    assert {row[1]: row[0] for row in eight.P[4][2]} == pytest.approx({5: 0.6, 2: 0.2, 8: 0.2})


def test_an_episode_is_rendered_and_seeded() -> None:
    """The agent is drawn on the map; the same seed walks the same way."""
    env = GridWorld(SMALL, render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "@.G\n"
    assert env.step(2)[:3] == (1, -1.0, False)
    assert env.render() == "S@G\n"
    assert env.step(2)[:3] == (2, -1.0, True)
    register()
    slippery = gym.make("DynaMaze-v0", slip=0.5)
    walks = []
    for _ in range(2):
        slippery.reset(seed=4)
        walks.append([slippery.step(index % 4)[0] for index in range(50)])
    assert walks[0] == walks[1]


def test_a_map_from_a_file(tmp_path: Path) -> None:
    """Rows of a text file; blanks are floor and the last line may end in a newline."""
    path = tmp_path / "maze.txt"
    path.write_text("\n".join(MAZE_MAP).replace(".", " ") + "\n")
    register()
    env: Any = gym.make("TextGrid-v0", file=path, step_reward=0.0, goal_reward=1.0)
    maze: Any = gym.make("DynaMaze-v0").unwrapped

    assert env.unwrapped.P == maze.P
    assert env.spec.max_episode_steps == 200


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "the map is empty"),
        ([""], "the map is empty"),
        (["S.X", "..G"], "row 1, column 3 of the map is 'X'"),
        (["S..", "..G."], "row 2 of the map has 4 cells and row 1 has 3"),
        (["...", "..G"], "the map has no start; mark one with S"),
        (["S..", "..."], "the map has no goal; mark one with G"),
        (["S#.", "##G"], "no goal of the map can be reached from the start in row 1, column 1"),
        (["S.G#S"], "from the start in row 1, column 5"),
        (["SHG"], "no goal of the map can be reached"),
    ],
)
def test_what_is_not_a_map_is_refused_in_one_sentence(rows: list[str], words: str) -> None:
    """Each names the place and the remedy."""
    with pytest.raises(InputError) as caught:
        GridWorld(rows)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_arguments_are_checked(tmp_path: Path) -> None:
    """Wind of another width, a slip that is no probability, files that are missing, empty or not text."""
    with pytest.raises(InputError, match="wind has 2 numbers"):
        GridWorld(SMALL, wind=[1, 2])
    with pytest.raises(InputError, match=r"slip 1.5 is not a probability"):
        GridWorld(SMALL, slip=1.5)
    with pytest.raises(InputError, match="cannot be read"):
        GridWorld(file=tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(InputError, match=r"empty.txt is empty"):
        GridWorld(file=tmp_path / "empty.txt")
    (tmp_path / "image.txt").write_bytes(b"\xff\xfe\x00S")
    with pytest.raises(InputError, match="cannot be read"):
        GridWorld(file=tmp_path / "image.txt")


def test_every_state_has_every_action() -> None:
    """The table is complete, walls and ends included."""
    env = GridWorld(["S#", ".G"])

    assert all(len(actions) == 4 for actions in env.P.values())
    assert np.isclose(env.initial_state_distrib.sum(), 1)
