"""The commands `rlpath verify` and `rlpath audit`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rlpath.core.errors import InputError
from rlpath.core.stats import wilson
from rlpath.core.types import Status
from rlpath.rewards.audit.measure import Case, Graded, Tally, foreign_verifier, grade, read_cases, tallies, verifier_for


@dataclass(frozen=True)
class Verify:
    """Verify one completion and print the verdict as a line of JSON."""

    kind: Literal["number", "math", "mcq", "format", "json", "code", "exact"]
    """Which verifier judges."""
    gold: str
    """The gold answer; for code the tests, for json a schema, for format a contract such as think_answer."""
    text: Annotated[str | None, tyro.conf.Positional] = None
    """The completion; read from standard input where it is left out."""
    question: str | None = None
    """The question, so that answers copied from it are refused."""

    def run(self) -> int:
        """Print the verdict on one completion."""
        completion = sys.stdin.read() if self.text is None else self.text
        case = Case("", self.kind, self.gold, completion, expected=True, question=self.question)
        verdict = verifier_for(self.kind)(case)
        print(
            json.dumps(
                {"status": verdict.status, "score": verdict.score, "answer": verdict.answer, "reason": verdict.reason},
                ensure_ascii=False,
            )
        )
        return 0


@dataclass(frozen=True)
class Audit:
    """Grade labeled cases and count false accepts and false rejects per kind, with 95 % Wilson intervals.

    The exit status is 1 where the counts of all kinds together exceed what is allowed, 0 otherwise.
    """

    cases: Annotated[Path, tyro.conf.Positional]
    """A JSON-lines file; each line has id, kind, question, gold, completion, expected."""
    verdicts: Path | None = None
    """Where to write id, status, score, seconds and reason of each case, in order."""
    verifier: str | None = None
    """A verifier to audit instead of ours: package.module:name of a function f(completion, gold) that returns a score,
    None or a Verdict; it may take the keyword question, and may lie in the current folder."""
    allow_false_accepts: int = 0
    """How many wrong completions may be accepted."""
    allow_false_rejects: int = 0
    """How many right completions may be refused; an undecided one is refused."""
    allow_errors: int = 0
    """On how many cases the verifier may raise an exception."""

    def run(self) -> int:
        """Print the audit of a file of labeled cases; 0, or 1 for more disagreements or errors than are allowed."""
        cases = read_cases(self.cases)
        graded = list(grade(cases, foreign_verifier(self.verifier) if self.verifier else None))
        if self.verdicts:
            _write_verdicts(self.verdicts, graded)
        for line in report(graded):
            print(line)
        found = tallies(graded)
        exceeded = [
            f"{count} {name} (allowed: {allowed})"
            for name, count, allowed in (
                ("false accepts", sum(tally.false_accepts for tally in found), self.allow_false_accepts),
                ("false rejects", sum(tally.false_rejects for tally in found), self.allow_false_rejects),
                ("errors", sum(tally.errors for tally in found), self.allow_errors),
            )
            if count > allowed
        ]
        if exceeded:
            print(f"too many: {', '.join(exceeded)}")
        return 1 if exceeded else 0


def _write_verdicts(path: Path, graded: Sequence[Graded]) -> None:
    rows = [
        {
            "id": g.case.id,
            "status": g.verdict.status,
            "score": g.verdict.score,
            "seconds": round(g.seconds, 6),
            "reason": g.verdict.reason,
        }
        for g in graded
    ]
    try:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the verdicts to {path}: {error}") from None


def report(graded: Sequence[Graded]) -> list[str]:
    """The lines of an audit: a table with a row per kind, then every disagreement."""
    lines = [
        f"{'kind':8}{'n':>6}{'precision':>11}{'recall':>8}  {'false accepts':27}{'false rejects':27}"
        f"{'undecided':>9}{'errors':>8}  slowest"
    ]
    lines += [_row(tally) for tally in tallies(graded)]
    wrong = [g for g in graded if not g.agrees]
    failed = [g for g in graded if g.verdict.status is Status.ERROR]
    lines.append(f"{len(wrong)} disagreements, {len(failed)} errors" + (":" if wrong or failed else ""))
    for g in [g for g in graded if not g.agrees or g.verdict.status is Status.ERROR]:
        kind = "error       " if g.verdict.status is Status.ERROR else "false accept" if g.accepted else "false reject"
        lines.append(
            f"  {kind}  {g.case.id}  gold {_short(g.case.gold)}  completion {_short(g.case.completion[-80:])}"
            f"  {g.verdict.status}: {g.verdict.reason}"
        )
    return lines


def _row(tally: Tally) -> str:
    negatives = tally.n - tally.positives
    slowest = tally.slowest
    return (
        f"{tally.kind:8}{tally.n:>6}{tally.precision:>11.4f}{tally.recall:>8.4f}  "
        f"{_share(tally.false_accepts, negatives):27}{_share(tally.false_rejects, tally.positives):27}"
        f"{tally.undecided:>9}{tally.errors:>8}  {slowest.seconds:.3f} s ({slowest.case.id})"
    )


def _share(count: int, of: int) -> str:
    """A count of errors with the Wilson interval of its share."""
    if of == 0:
        return "0/0"
    interval = wilson(count, of)
    return f"{count}/{of} [{interval.low:.3f}, {interval.high:.3f}]"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
