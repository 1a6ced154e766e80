"""Gymnasium's environments that can be read and played as text: FrozenLake, Taxi, CliffWalking, Blackjack, one's own.

What is seen is the environment's `ansi` rendering with its colors told in a line below, or the observation itself where
that is text or a few whole numbers. An action is a name, a number, or the text itself where the action space is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.envs import registration

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.adapters.stepping import StepOutcome, SteppedEnvironment, seeded_problems
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import EpisodeLimits

WHOLE = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "gray")
_COLORED = re.compile(r"\x1b\[([\d;]*)m(.*?)\x1b\[0m", re.DOTALL)
_LAST_ACTION = re.compile(r"^\s*\([\w -]+\)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KnownGame:
    """A game in words, and the names of its actions in their order."""

    task: str
    actions: tuple[str, ...]


KNOWN = {
    "FrozenLake": KnownGame(
        "Walk over the frozen lake from S to G. F is ice, H is a hole, which ends the game. You stand on the tile that "
        "is marked. The ice may be slippery: then a step can go to the side.",
        ("left", "down", "right", "up"),
    ),
    "CliffWalking": KnownGame(
        "Walk from x to T in few steps. C is the cliff: it costs 100 and puts you back at the start.",
        ("up", "right", "down", "left"),
    ),
    "Taxi": KnownGame(
        "Drive the taxi to the passenger, who waits at the blue letter, pick the passenger up, drive to the magenta "
        "letter and drop the passenger off. The taxi is yellow while empty, green when taken. | is a wall, : is not.",
        ("south", "north", "east", "west", "pick up", "drop off"),
    ),
    "Blackjack": KnownGame(
        "Blackjack: get nearer to 21 than the dealer, but not above it. You see your sum, the dealer's card, and 1 if "
        "you have an ace that counts 11, else 0.",
        ("stick", "hit"),
    ),
}
"""Gymnasium's toy texts by name, whatever their version."""


class GymnasiumText(SteppedEnvironment):
    """An environment of Gymnasium, made once and reset for each row.

    A row has `env_id` and `seed`, and may have `options` (a JSON object for `gymnasium.make`) and `task` (what to do).
    """

    def _start(self, row: Mapping[str, Any]) -> str:
        env_id = str(row["env_id"])
        made_of = (env_id, row.get("options"))
        if getattr(self, "made_of", None) != made_of:
            self.game = KNOWN.get(registration.parse_env_id(env_id)[1])
            self.environment, self.made_of = make_text(env_id, json.loads(row.get("options") or "{}")), made_of
        observation, _ = self.environment.reset(seed=int(row["seed"]))
        task = row.get("task") or (self.game.task if self.game else f"This is the environment {env_id}.")
        return f"{task}\n\n{self._seen(observation)}\n\nPlay with the tool act, one action a call. {self._choices()}"

    def _step(self, action: str) -> StepOutcome:
        observation, reward, terminated, truncated, _ = self.environment.step(self._read(action))
        return StepOutcome(self._seen(observation), float(reward), bool(terminated or truncated))

    def _seen(self, observation: Any) -> str:
        if self.environment.render_mode == "ansi":
            return plain_rendering(str(self.environment.render()))
        return observation if isinstance(observation, str) else str(_plain(observation))

    def _choices(self) -> str:
        space = self.environment.action_space
        if not isinstance(space, spaces.Discrete):
            return "An action is text."
        return f"Actions: {', '.join(self._names(space))}."

    def _names(self, space: spaces.Discrete) -> list[str]:
        count, start = int(space.n), int(space.start)
        if self.game is not None and len(self.game.actions) == count:
            return list(self.game.actions)
        return [str(start + at) for at in range(count)]

    def _read(self, action: str) -> Any:
        space = self.environment.action_space
        if not isinstance(space, spaces.Discrete):
            if action not in space:
                raise ValueError(f"{action!r} is no action here: the space of actions is {space}")
            return action
        names = self._names(space)
        wanted = " ".join(str(action).lower().replace("_", " ").split())
        if wanted not in names:
            raise ValueError(f"there is no action {action!r}; there are {', '.join(names)}")
        return int(space.start) + names.index(wanted)


def make_text(env_id: str, options: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """The environment, rendered as text where it can be.

    Raises `InputError` where it is unknown, cannot be made with these options, shows images or long vectors, or wants
    actions that are neither one of a few nor text.
    """
    try:
        creator = gymnasium.spec(env_id).entry_point
        metadata = getattr(
            registration.load_env_creator(creator) if isinstance(creator, str) else creator, "metadata", {}
        )
        mode = {"render_mode": "ansi"} if "ansi" in metadata.get("render_modes", []) else {}
        made = gymnasium.make(env_id, **{**options, **mode})
    except gymnasium.error.UnregisteredEnv as error:
        raise InputError(f"Gymnasium has no environment {env_id!r}: {error}") from None
    except (gymnasium.error.Error, TypeError, ValueError, KeyError, ImportError) as error:
        raise InputError(f"Gymnasium cannot make {env_id!r} with the options {dict(options)}: {error}") from None
    if made.render_mode != "ansi" and not _readable(made.observation_space):
        raise InputError(
            f"environment {env_id!r} shows {made.observation_space}, no text: take one that renders as `ansi`, or "
            "wrap it so that its observations are text"
        )
    if not isinstance(made.action_space, (spaces.Discrete, spaces.Text)):
        raise InputError(
            f"environment {env_id!r} wants actions of {made.action_space}: only Discrete and Text are played"
        )
    return made


def _readable(space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Tuple):
        return all(_readable(one) for one in space.spaces)
    if isinstance(space, spaces.Dict):
        return all(_readable(one) for one in space.spaces.values())
    return isinstance(space, (spaces.Text, *WHOLE))


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    return value.tolist() if hasattr(value, "tolist") else value


def plain_rendering(text: str) -> str:
    """A colored rendering as plain text, with a line that says what was colored: symbol, line, column, color.

    Lines and columns count from 1; the line that repeats the last action is left out.
    """
    text = _LAST_ACTION.sub("", text).strip("\n")
    marks: list[str] = []
    plain = ""
    at = 0
    for match in _COLORED.finditer(text):
        plain += text[at : match.start()]
        line, column = plain.count("\n") + 1, len(plain) - plain.rfind("\n")
        marks.append(f"{match[2]!r} at line {line}, column {column} {_color(match[1])}")
        plain += match[2]
        at = match.end()
    plain += text[at:]
    return f"{plain}\nMarked: {'; '.join(marks)}." if marks else plain


def _color(codes: str) -> str:
    numbers = [int(code) for code in codes.split(";") if code]
    behind = [f"on {COLORS[code - 40]}" for code in numbers if 40 <= code <= 47]
    return " ".join([*(COLORS[code - 30] for code in numbers if 30 <= code <= 37), *behind]) or "highlighted"


def gymnasium_problems(
    env_id: str,
    split: Side = "train",
    *,
    size: int = 200,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    options: Mapping[str, Any] | None = None,
    task: str | None = None,
    limits: EpisodeLimits | None = None,
) -> ProblemSet:
    """Episodes of a Gymnasium environment, one a seed; `options` go to `gymnasium.make`, `task` says what to do.

    Raises `InputError` for an environment that is unknown or cannot be played as text (`make_text`).
    """
    shared = {"env_id": env_id, **({"options": json.dumps(dict(options))} if options else {})}
    shared |= {"task": task} if task else {}
    return seeded_problems(
        f"gymnasium:{env_id}",
        GymnasiumText,
        shared,
        split,
        size=size,
        seed=seed,
        held_out_fraction=held_out_fraction,
        limits=limits or EpisodeLimits(turns=30),
        source=f"gymnasium {gymnasium.__version__}",
    )
