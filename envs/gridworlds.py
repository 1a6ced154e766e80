"""Grid worlds from text maps: a windy one, a maze, and your own. `register()` makes them known to Gymnasium.

    import gymnasium
    from rlpath.envs import gridworlds

    gridworlds.register()
    env = gymnasium.make("WindyGridworld-v0", render_mode="ansi")

A map is rows of equal length: `S` start (several: one is drawn), `G` goal, `#` wall, `H` hole (ends the episode),
`C` cliff (costs 100 and leads back to a start), `.` or a blank is floor. States count row by row from the top left.
Like Gymnasium's toy-text environments these publish their transitions, `P[state][action]` = [(probability, next state,
reward, terminated)], and `initial_state_distrib`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.toy_text.utils import categorical_sample

from rlpath.core.errors import InputError

FLOOR, WALL, START, GOAL, HOLE, CLIFF = ".", "#", "S", "G", "H", "C"
CLIFF_REWARD = -100.0
MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0), (-1, -1), (1, -1), (1, 1), (-1, 1))
ARROWS = "←↓→↑↖↙↘↗"
"""The direction of each action: the four of FrozenLake in its order, then the diagonals."""

# Sutton & Barto, 2nd edition, Example 6.5: the wind blows upwards, its strength stands under each column there.
WINDY_MAP = (
    "..........",
    "..........",
    "..........",
    "S......G..",
    "..........",
    "..........",
    "..........",
)
WINDY_WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
# Sutton & Barto, 2nd edition, Example 8.1.
MAZE_MAP = (
    ".......#G",
    "..#....#.",
    "S.#....#.",
    "..#......",
    ".....#...",
    ".........",
)

Cell = tuple[int, int]


def register() -> None:
    """Make our worlds known to `gymnasium.make`; calling it again changes nothing.

    `WindyGridworld-v0` (four moves), `WindyGridworldKings-v0` (eight), `WindyGridworldStochastic-v0` (eight, and a wind
    that varies) and `DynaMaze-v0` are the book's, without a time limit as there. `TextGrid-v0` takes `rows=[…]` or
    `file=PATH` and the other arguments of `GridWorld`; its limit is 200 steps.
    """
    windy = {"rows": WINDY_MAP, "wind": WINDY_WIND}
    entries: dict[str, tuple[dict[str, Any], int | None]] = {
        "WindyGridworld-v0": (windy, None),
        "WindyGridworldKings-v0": ({**windy, "diagonal": True}, None),
        "WindyGridworldStochastic-v0": ({**windy, "diagonal": True, "stochastic_wind": True}, None),
        "DynaMaze-v0": ({"rows": MAZE_MAP, "step_reward": 0.0, "goal_reward": 1.0}, None),
        "TextGrid-v0": ({}, 200),
    }
    for name, (options, limit) in entries.items():
        if name not in gym.registry:
            gym.register(name, f"{__name__}:GridWorld", kwargs=options, max_episode_steps=limit)


class GridWorld(gym.Env[Any, Any]):
    """A grid with four or eight moves; walls and the border stop a move, wind shifts it upwards.

    Every step earns `step_reward`; the step into a goal earns `goal_reward` instead, into a hole `hole_reward`, into
    the cliff `CLIFF_REWARD`. `wind[column]` rows are added to a move that begins in that column; with
    `stochastic_wind` a wind above 0 is one row weaker or stronger, each with probability 1/3. With `slip` the agent
    moves, with that probability split evenly, to one of the two directions beside the chosen one.
    Raises `InputError` for a map or an argument that makes no world.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own way to declare it)

    def __init__(
        self,
        rows: Sequence[str] | None = None,
        *,
        file: str | Path | None = None,
        wind: Sequence[int] | None = None,
        stochastic_wind: bool = False,
        diagonal: bool = False,
        slip: float = 0.0,
        step_reward: float = -1.0,
        goal_reward: float | None = None,
        hole_reward: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        where, self.rows = (f"map {file}", read_map(Path(file))) if file is not None else ("the map", tuple(rows or ()))
        self.rows = check_map(self.rows, where)
        self.shape = (len(self.rows), len(self.rows[0]))
        self.wind = tuple(wind) if wind is not None else (0,) * self.shape[1]
        if len(self.wind) != self.shape[1]:
            raise InputError(
                f"wind has {len(self.wind)} numbers and {where} {self.shape[1]} columns; give one a column"
            )
        if not 0 <= slip <= 1:
            raise InputError(f"slip {slip} is not a probability; give one between 0 and 1")
        self.stochastic_wind, self.slip = stochastic_wind, slip
        self.step_reward = step_reward
        self.ends = {
            GOAL: step_reward if goal_reward is None else goal_reward,
            HOLE: step_reward if hole_reward is None else hole_reward,
        }
        self.arrows = ARROWS if diagonal else ARROWS[:4]
        self.render_mode = render_mode
        self.observation_space = spaces.Discrete(self.shape[0] * self.shape[1])
        self.action_space = spaces.Discrete(len(self.arrows))
        self.initial_state_distrib = np.array([cell == START for cell in "".join(self.rows)], dtype=np.float64)
        self.initial_state_distrib /= self.initial_state_distrib.sum()
        cells = [divmod(state, self.shape[1]) for state in range(self.shape[0] * self.shape[1])]
        actions = range(len(self.arrows))
        self.P = {self._state(cell): {action: self._transitions(cell, action) for action in actions} for cell in cells}
        _check_reachable(self.P, self.rows, where)
        self.s = 0

    def _transitions(self, cell: Cell, action: int) -> list[tuple[float, int, float, bool]]:
        """The outcomes of an action in a cell; an end leads nowhere else, and so does the inside of a wall."""
        if self.rows[cell[0]][cell[1]] in (GOAL, HOLE, WALL, CLIFF):
            return [(1.0, self._state(cell), 0.0, True)]
        outcomes: list[tuple[float, int, float, bool]] = []
        for chance, move in self._directions(action):
            for share, wind in self._winds(cell[1]):
                outcomes += self._arrive(chance * share, self._move(cell, move, wind))
        return outcomes

    def _directions(self, action: int) -> list[tuple[float, Cell]]:
        """Moves that an action may become; the ones beside it are a quarter turn away, with diagonals an eighth."""
        if self.slip == 0:
            return [(1.0, MOVES[action])]
        circle = "←↖↑↗→↘↓↙" if len(self.arrows) == 8 else "←↑→↓"
        at = circle.index(self.arrows[action])
        beside = [ARROWS.index(circle[(at + turn) % len(circle)]) for turn in (-1, 1)]
        return [(1 - self.slip, MOVES[action]), *((self.slip / 2, MOVES[index]) for index in beside)]

    def _winds(self, column: int) -> list[tuple[float, int]]:
        wind = self.wind[column]
        if self.stochastic_wind and wind:
            return [(1 / 3, wind - 1), (1 / 3, wind), (1 / 3, wind + 1)]
        return [(1.0, wind)]

    def _move(self, cell: Cell, move: Cell, wind: int) -> Cell:
        """Where a move ends: clipped to the grid, and back in `cell` where it would end inside a wall."""
        row = min(max(cell[0] + move[0] - wind, 0), self.shape[0] - 1)
        column = min(max(cell[1] + move[1], 0), self.shape[1] - 1)
        return cell if self.rows[row][column] == WALL else (row, column)

    def _arrive(self, chance: float, cell: Cell) -> list[tuple[float, int, float, bool]]:
        kind = self.rows[cell[0]][cell[1]]
        if kind in self.ends:
            return [(chance, self._state(cell), self.ends[kind], True)]
        if kind == CLIFF:
            starts = np.flatnonzero(self.initial_state_distrib)
            return [(chance / len(starts), int(start), CLIFF_REWARD, False) for start in starts]
        return [(chance, self._state(cell), self.step_reward, False)]

    def _state(self, cell: Cell) -> int:
        return cell[0] * self.shape[1] + cell[1]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start an episode; one uniform number is drawn."""
        super().reset(seed=seed)
        self.s = int(categorical_sample(self.initial_state_distrib, self.np_random))
        return self.s, {"prob": float(self.initial_state_distrib[self.s])}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Take one step; one uniform number is drawn. The time limit, if any, is the wrapper's that `make` adds."""
        outcomes = self.P[self.s][int(action)]
        probability, self.s, reward, terminated = outcomes[
            categorical_sample([row[0] for row in outcomes], self.np_random)
        ]
        return self.s, reward, terminated, False, {"prob": probability}

    def render(self) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The map with `@` where the agent stands, for `render_mode="ansi"`."""
        if self.render_mode != "ansi":
            return None
        row, column = divmod(self.s, self.shape[1])
        lines = list(self.rows)
        lines[row] = f"{lines[row][:column]}@{lines[row][column + 1 :]}"
        return "\n".join(lines) + "\n"


def check_map(rows: Sequence[str], where: str = "the map") -> tuple[str, ...]:
    """The rows with blanks as floor. Raises `InputError` for what is not a map, naming row and column from 1."""
    if not rows or not rows[0]:
        raise InputError(f"{where} is empty; give rows of {FLOOR}{WALL}{START}{GOAL}{HOLE}{CLIFF}")
    clean = tuple(row.replace(" ", FLOOR) for row in rows)
    for number, row in enumerate(clean, start=1):
        if len(row) != len(clean[0]):
            lengths = f"has {len(row)} cells and row 1 has {len(clean[0])}"
            raise InputError(f"row {number} of {where} {lengths}; make all rows equally long")
        for column, cell in enumerate(row, start=1):
            if cell not in (FLOOR, WALL, START, GOAL, HOLE, CLIFF):
                raise InputError(
                    f"row {number}, column {column} of {where} is {cell!r}; a cell is one of {FLOOR} # S G H C"
                )
    for kind, name in ((START, "start"), (GOAL, "goal")):
        if not any(kind in row for row in clean):
            raise InputError(f"{where} has no {name}; mark one with {kind}")
    return clean


def _check_reachable(transitions: dict[int, dict[int, Any]], rows: Sequence[str], where: str) -> None:
    """Raise `InputError` where a start has no way to any goal, whatever the luck."""
    cells = "".join(rows)
    for start in (state for state, cell in enumerate(cells) if cell == START):
        seen, frontier = {start}, [start]
        while frontier:
            outcomes = [row for actions in transitions[frontier.pop()].values() for row in actions]
            fresh = {row[1] for row in outcomes if row[0] > 0} - seen
            seen |= fresh
            frontier += fresh
        if not any(cells[state] == GOAL for state in seen):
            row, column = divmod(start, len(rows[0]))
            raise InputError(
                f"no goal of {where} can be reached from the start in row {row + 1}, column {column + 1}; open a way"
            )


def read_map(path: Path) -> tuple[str, ...]:
    """Rows of a text file, without blank lines at its end."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"map {path} cannot be read: {error}") from error
    return tuple(text.rstrip("\n").split("\n")) if text.strip() else ()
