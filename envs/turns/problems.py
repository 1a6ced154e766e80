"""Rows and an environment as a problem set: what our loop trains on, and `rlpath eval` evaluates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet, Status, Verdict, Verifier
from rlpath.envs.splits import Side
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.contract import Factory, Row, ask, check_environment, make_environment, name_of
from rlpath.envs.turns.episodes import EpisodePlayer


@dataclass(frozen=True)
class EnvironmentVerifier:
    """Stands for an environment that rewards its episodes itself: a text alone decides nothing."""

    environment: str
    needs_gold: ClassVar = False

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        return Verdict.of(Status.UNDECIDED, reason=f"only an episode of {self.environment} decides, not a text")


def environment_problems(
    name: str,
    factory: Factory,
    rows: Sequence[Row],
    *,
    split: Side = "train",
    verifier: Verifier | None = None,
    limits: Limits | None = None,
    source: str = "procedural",
) -> ProblemSet:
    """One problem a row: what `reset(**row)` asks. A row's `id` names it, else its number.

    An environment without `get_reward` needs a `verifier`, which reads the model's last turn beside the row's `gold`.
    Raises `InputError` for an environment that breaks the contract (`check_environment`), no row, or two of one id.
    """
    if not rows:
        raise InputError(f"environment {name_of(factory)} was given no rows: each is what reset gets for one episode")
    check_environment(factory, rows[0], judged=verifier is not None)
    environment = make_environment(factory)
    problems = tuple(_problem(row, f"{name}-{at}", ask(environment, row), verifier) for at, row in enumerate(rows))
    if len({problem.id for problem in problems}) < len(problems):
        raise InputError(f"two rows of {name} have one id: give every row its own")
    judge = verifier or EnvironmentVerifier(name_of(factory))
    return ProblemSet(name, split, problems, judge, source, EpisodePlayer(factory, limits))


def _problem(row: Row, id: str, question: str, verifier: Verifier | None) -> Problem:
    try:
        whole = json.dumps(dict(row), ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"row {id} cannot be written as JSON ({error}): give reset text, numbers and lists") from None
    # Without a verifier the row stands for the gold answer, so that the set's hash is of all that decides an episode.
    gold: Any = row.get("gold", "") if verifier is not None else whole
    return Problem(str(row.get("id", id)), question, gold, {"row": dict(row)})
