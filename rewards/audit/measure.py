"""How often is a verifier wrong? Grades labeled cases and counts false accepts and false rejects, with intervals."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Status, Verdict

KINDS = ("number", "math", "mcq", "format", "json", "code", "exact")
VerifyCase = Callable[["Case"], Verdict]


@dataclass(frozen=True, slots=True)
class Case:
    """One completion with its gold answer and the label a person gave it.

    `hidden` holds further tests of a program, `kwargs` the arguments of an IFEval instruction.
    """

    id: str
    kind: str
    gold: str
    completion: str
    expected: bool
    question: str | None = None
    hidden: Any = None
    kwargs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Graded:
    """A case with the verdict it got and how long that took."""

    case: Case
    verdict: Verdict
    seconds: float

    @property
    def accepted(self) -> bool:
        return self.verdict.correct

    @property
    def agrees(self) -> bool:
        return self.accepted == self.case.expected


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the graded cases of one kind. An undecided case is not accepted, and is counted beside it."""

    kind: str
    graded: tuple[Graded, ...]

    @property
    def n(self) -> int:
        return len(self.graded)

    @property
    def positives(self) -> int:
        return sum(g.case.expected for g in self.graded)

    @property
    def accepted(self) -> int:
        return sum(g.accepted for g in self.graded)

    @property
    def false_accepts(self) -> int:
        return sum(g.accepted and not g.case.expected for g in self.graded)

    @property
    def false_rejects(self) -> int:
        return sum(g.case.expected and not g.accepted for g in self.graded)

    @property
    def undecided(self) -> int:
        return sum(g.verdict.status is Status.UNDECIDED for g in self.graded)

    @property
    def errors(self) -> int:
        return sum(g.verdict.status is Status.ERROR for g in self.graded)

    @property
    def precision(self) -> float:
        return (self.accepted - self.false_accepts) / self.accepted if self.accepted else math.nan

    @property
    def recall(self) -> float:
        return (self.accepted - self.false_accepts) / self.positives if self.positives else math.nan

    @property
    def slowest(self) -> Graded:
        return max(self.graded, key=lambda g: g.seconds)


def read_cases(path: Path) -> list[Case]:
    """The cases of a JSON-lines file; raises `InputError` naming the line and field that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the cases in {path}: {error}") from None
    cases = [_case(f"{path}, line {n}", line) for n, line in enumerate(lines, 1) if line.strip()]
    if not cases:
        raise InputError(f"{path} holds no case; write one JSON object a line")
    return cases


def _case(where: str, line: str) -> Case:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}); write one object a line") from None
    if not isinstance(row, dict):
        raise InputError(f"{where} is not a JSON object; write one object a line")
    for name in ("id", "kind", "gold", "completion", "expected"):
        if name not in row:
            raise InputError(
                f"{where} has no field {name!r}; a case has id, kind, question, gold, completion, expected"
            )
    if row["kind"] not in KINDS:
        raise InputError(f"{where} has kind {row['kind']!r}; the kinds are {', '.join(KINDS)}")
    if not isinstance(row["expected"], bool):
        raise InputError(f"{where} has expected {row['expected']!r}; it is true or false")
    gold, kwargs = row["gold"], row.get("kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise InputError(f"{where} has kwargs that are not an object")
    return Case(
        str(row["id"]),
        row["kind"],
        gold if isinstance(gold, str) else json.dumps(gold),
        str(row["completion"]),
        row["expected"],
        row.get("question"),
        row.get("hidden"),
        kwargs,
    )


CLASSES = {
    "number": "NumberVerifier",
    "math": "MathVerifier",
    "mcq": "ChoiceVerifier",
    "format": "FormatVerifier",
    "json": "JSONVerifier",
    "code": "CodeVerifier",
    "exact": "ExactVerifier",
}


def verifier_for(kind: str) -> VerifyCase:
    """The project's verifier for `kind`, as a function of a case."""
    verifier_class = getattr(importlib.import_module("rlpath.rewards"), CLASSES[kind])
    if kind == "code":
        return lambda case: verifier_class(hidden=case.hidden or None)(
            case.completion, case.gold, question=case.question
        )
    verifier = verifier_class()

    def verify(case: Case) -> Verdict:
        gold = case.gold
        if case.kind == "format" and gold.startswith("ifeval:"):
            gold = f"{gold} {json.dumps(dict(case.kwargs or {}))}"
        return verifier(case.completion, gold, question=case.question)

    return verify


def foreign_verifier(reference: str) -> VerifyCase:
    """`package.module:name`, which may lie in the current folder, as a function of a case.

    It names a function `f(completion, gold)` or a verifier; one that takes `question` is given it. A returned score of
    at least 0.5 is an acceptance, None is undecided, and a `Verdict` stands for itself.
    Raises InputError where it cannot be loaded or is not such a function.
    """
    function = _load(reference)
    if inspect.isclass(function):
        raise InputError(
            f"the verifier {reference!r} is a class; name an instance of it, as in `verify = {function.__name__}()`"
        )
    if not callable(function):
        raise InputError(f"the verifier {reference!r} is a {type(function).__name__}, not a function")
    with_question = _takes_question(function, reference)

    def verify(case: Case) -> Verdict:
        keywords = {"question": case.question} if with_question else {}
        return _as_verdict(function(case.completion, case.gold, **keywords))

    return verify


def _load(reference: str) -> Any:
    module_name, _, name = reference.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return getattr(importlib.import_module(module_name), name)
    except Exception as error:  # noqa: BLE001 - a module of the user's may fail in any way while it is imported
        raise InputError(
            f"cannot load the verifier {reference!r} ({type(error).__name__}: {error}); name it as package.module:name"
        ) from None


def _takes_question(function: Callable[..., Any], reference: str) -> bool:
    """Whether `function` takes the keyword `question`; InputError if it cannot take a completion and a gold."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions do not say
        return False
    for keywords in ({"question": None}, {}):
        try:
            signature.bind("", "", **keywords)
        except TypeError:
            continue
        return bool(keywords)
    raise InputError(f"the verifier {reference!r} takes {signature}; it must take (completion, gold)")


def _as_verdict(score: Any) -> Verdict:
    if isinstance(score, Verdict):
        return score
    if score is None:
        return Verdict.of(Status.UNDECIDED, reason="returned None")
    if isinstance(score, str) or math.isnan(float(score)):
        raise TypeError(f"returned {score!r}, which is no score")
    return Verdict.of(Status.CORRECT if float(score) >= 0.5 else Status.WRONG, reason=f"returned {score}")


def grade(cases: Sequence[Case], verify: VerifyCase | None = None) -> Iterator[Graded]:
    """The cases with their verdicts, in order. What a verifier raises becomes an `error` verdict: an audit goes on."""
    by_kind = {kind: verify or verifier_for(kind) for kind in {case.kind for case in cases}}
    for case in cases:
        started = time.perf_counter()
        try:
            verdict = by_kind[case.kind](case)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - the verifier under audit may be anyone's
            verdict = Verdict.of(Status.ERROR, reason=f"{type(error).__name__}: {error}"[:300])
        yield Graded(case, verdict, time.perf_counter() - started)


def tallies(graded: Sequence[Graded]) -> list[Tally]:
    """One tally per kind, in the order of `KINDS`."""
    present = [kind for kind in KINDS if any(g.case.kind == kind for g in graded)]
    return [Tally(kind, tuple(g for g in graded if g.case.kind == kind)) for kind in present]
