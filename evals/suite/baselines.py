"""What can be had without a model: every task's trivial completions, judged as a model's are."""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.core.types import ProblemSet
from rlpath.evals.suite.task import Task


@dataclass(frozen=True, slots=True)
class TrivialScore:
    """A trivial baseline's accuracy under our verifier."""

    name: str
    accuracy: float


def trivial_scores(task: Task, problems: ProblemSet) -> list[TrivialScore]:
    """Every trivial baseline of the task on these problems, best first."""
    scores = []
    for name, complete in task.trivial.items():
        verdicts = [
            problems.verifier(complete(problem, problems.problems), problem.gold, question=problem.prompt)
            for problem in problems.problems
        ]
        scores.append(TrivialScore(name, sum(verdict.correct for verdict in verdicts) / len(verdicts)))
    return sorted(scores, key=lambda score: -score.accuracy)


def guess_pass_at(task: Task, problems: ProblemSet, k: int) -> float:
    """pass@k of guessing: k different answers, the most frequent gold answers of the set, for every problem.

    Where answers are few, a large k rewards guessing; a model's pass@k below this says nothing.
    """
    if not task.guessable:
        return 0.0
    counts: dict[str, int] = {}
    for problem in problems.problems:
        counts[problem.gold] = counts.get(problem.gold, 0) + 1
    return sum(sorted(counts.values(), reverse=True)[:k]) / len(problems)
