"""Does every gold answer verify against itself? If not, the set or its verifier is broken before any model answers."""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.core.types import ProblemSet, Verdict


@dataclass(frozen=True, slots=True)
class Failure:
    """A problem whose gold answer its own verifier does not accept."""

    id: str
    gold: str
    verdict: Verdict


def validate(problem_set: ProblemSet) -> tuple[Failure, ...]:
    """The problems of `problem_set` whose gold answer, given as the completion, is not found correct; () if none.

    A problem may give a completion of its own for this in `meta["reference"]`, where the gold is not itself an answer
    (tests for a program, a constraint on a text).

    >>> from rlpath.rewards.verifiers.number import NumberVerifier
    >>> from rlpath.core.types import Problem
    >>> problems = (Problem("a", "2+2?", "4"), Problem("b", "2+3?", "five-ish"))
    >>> [failure.id for failure in validate(ProblemSet("sums", "train", problems, NumberVerifier(), "by hand"))]
    ['b']
    """
    failures = []
    for problem in problem_set.problems:
        completion = str(problem.meta.get("reference", problem.gold))
        verdict = problem_set.verifier(completion, problem.gold, question=problem.prompt)
        if not verdict.correct:
            failures.append(Failure(problem.id, problem.gold, verdict))
    return tuple(failures)
