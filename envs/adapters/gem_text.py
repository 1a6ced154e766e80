"""Environments of the package gem (gem_llm): Gymnasium's five values on text, with an action as a tool or as the turn.

Games of several turns have the tool `act`, whose text is given to the game as it is. Where one answer ends the episode,
`turn=True` makes a problem set instead: the model's turn is the action, and the game's reward the verdict.
"""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet, Status, Verdict, Verifier
from rlpath.envs.adapters.stepping import (
    OwnDraws,
    StepOutcome,
    SteppedEnvironment,
    seeded_problems,
    seeds_of,
    source_of,
)
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import EpisodeLimits

ENDED = "TERMINAL_STATE"
"""What gem shows after the last step of a single turn."""


def gem_package() -> Any:
    """The module `gem`. Raises `InputError` where it is not installed, or another package of that name is."""
    try:
        package = importlib.import_module("gem")
    except ImportError as error:
        raise InputError(
            f"gem is not installed ({error}): pip install --no-deps gem_llm nltk msgspec beside rlpath[train,math], "
            "since gem_llm 0.1.0 pins another reasoning-gym"
        ) from None
    if not hasattr(package, "make"):
        raise InputError("the installed package gem is not gem_llm: pip install --no-deps gem_llm")
    return package


def make_gem(env_id: str, options: Mapping[str, Any]) -> Any:
    """The environment. Raises `InputError` where it is unknown, is an evaluation's, or cannot be made."""
    gem = gem_package()
    if env_id.startswith("eval:"):
        raise InputError(f"{env_id!r} of gem is a test set: those are opened by rlpath.evals alone")
    known = importlib.import_module("gem.envs.registration").ENV_REGISTRY
    if env_id not in known:
        near = sorted(name for name in known if name.partition(":")[0] == env_id.partition(":")[0]) or sorted(known)
        raise InputError(f"gem has no environment {env_id!r}: one of {', '.join(near[:20])}")
    try:
        return gem.make(env_id, **options)
    except (ImportError, LookupError, OSError, TypeError, ValueError) as error:
        raise InputError(f"gem cannot make {env_id!r} with the options {dict(options)}: {error}") from None


def shown(env_id: str, observation: Any, info: Any) -> str:
    """What the model sees, with what gem puts before and behind it. Raises `InputError` for anything but text."""
    if not isinstance(observation, str):
        raise InputError(
            f"environment {env_id!r} of gem shows {type(observation).__name__}, not text: only text is played"
        )
    parts = (info.get("prefix"), "" if ENDED in observation else observation, info.get("suffix"))
    return "\n".join(part.strip("\n") for part in parts if part)


class GemText(SteppedEnvironment):
    """A game of gem, made once and reset for each row: `env_id`, `seed`, and perhaps `options` as a JSON object."""

    def _start(self, row: Mapping[str, Any]) -> str:
        self.env_id = str(row["env_id"])
        self.draws = OwnDraws()
        made_of = (self.env_id, row.get("options"))
        with self.draws.here():
            if getattr(self, "made_of", None) != made_of:
                self.game, self.made_of = make_gem(self.env_id, json.loads(row.get("options") or "{}")), made_of
            observation, info = self.game.reset(seed=int(row["seed"]))
        return f"{shown(self.env_id, observation, info)}\n\nPlay with the tool act, one action a call."

    def _step(self, action: str) -> StepOutcome:
        with self.draws.here():
            observation, reward, terminated, truncated, info = self.game.step(str(action))
        over = bool(terminated or truncated)
        return StepOutcome(shown(self.env_id, observation, {} if over else info), float(reward), over)


@dataclass(frozen=True)
class GemVerifier(Verifier):
    """Takes one step with the model's turn in a copy of the question's environment: 1 or more is correct.

    `question` must be the prompt of a problem of this set.
    """

    env_id: str
    asked: Mapping[str, Any] = field(repr=False)
    needs_gold: ClassVar = False

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        """Raises ValueError where `question` is no prompt of this set."""
        environment = self.asked.get(question or "")
        if environment is None:
            raise ValueError(f"the verifier of {self.env_id} needs the prompt of one of its problems as `question`")
        try:
            with OwnDraws().here():
                _, reward, terminated, over, _ = copy.copy(environment).step(completion)
        except Exception as error:  # noqa: BLE001 - an environment of others may raise anything on what a model wrote
            return Verdict.of(Status.ERROR, reason=f"{type(error).__name__}: {error}")
        if not (terminated or over):
            return Verdict.of(Status.ERROR, reason=f"{self.env_id} goes on after one turn: play it with the tool act")
        missed = Status.TRUNCATED if truncated else Status.WRONG
        return Verdict(Status.CORRECT if reward >= 1 else missed, float(reward), reason=f"gem's reward is {reward:g}")


def gem_problems(
    env_id: str,
    split: Side = "train",
    *,
    turn: bool = False,
    size: int = 200,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    options: Mapping[str, Any] | None = None,
    limits: EpisodeLimits | None = None,
) -> ProblemSet:
    """Episodes of an environment of gem, one a seed; `options` go to `gem.make`.

    With `turn` the model's turn is the only action. Raises `InputError` for an environment that is unknown, shows
    images, or is a test set.
    """
    name, source = f"gem:{env_id}", source_of("gem_llm")
    if turn:
        seeds = seeds_of(name, split, size, seed, held_out_fraction)
        return _single_turns(name, env_id, split, seeds, make_gem(env_id, options or {}), source)
    shared = {"env_id": env_id, **({"options": json.dumps(dict(options))} if options else {})}
    return seeded_problems(
        name,
        GemText,
        shared,
        split,
        size=size,
        seed=seed,
        held_out_fraction=held_out_fraction,
        limits=limits or EpisodeLimits(turns=30),
        source=source,
    )


def _single_turns(name: str, env_id: str, split: Side, seeds: list[int], environment: Any, source: str) -> ProblemSet:
    """One problem a seed; a question that comes twice is asked once."""
    asked: dict[str, Any] = {}
    problems: list[Problem] = []
    for seed in seeds:
        with OwnDraws().here():
            observation, info = environment.reset(seed=seed)
        question = shown(env_id, observation, info)
        if question not in asked:
            asked[question] = copy.copy(environment)
            problems.append(
                Problem(f"{name}-{seed}", question, str(getattr(environment, "answer", "")), {"seed": seed})
            )
    verifier = GemVerifier(env_id, asked)
    for text in ("", *(_some_action(environment, number) for number in range(5))):
        tried = verifier(text, "", question=problems[0].prompt)
        if tried.status is Status.ERROR:
            raise InputError(f"environment {env_id!r} of gem cannot be answered in one turn: {tried.reason}")
    return ProblemSet(name, split, tuple(problems), verifier, source)


def _some_action(environment: Any, seed: int) -> str:
    """A random action, where the environment offers to draw one."""
    with OwnDraws().here():
        environment.reset(seed=seed)
        try:
            return str(environment.sample_random_action())
        except (AttributeError, NotImplementedError):
            return ""
