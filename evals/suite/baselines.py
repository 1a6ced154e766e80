"""What can be had without a model: every task's trivial completions, judged as a model's are."""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.core.stats import Interval, wilson
from rlpath.core.types import ProblemSet
from rlpath.evals.suite.task import Task


@dataclass(frozen=True, slots=True)
class TrivialScore:
    """A trivial baseline's accuracy under our verifier, with its interval."""

    name: str
    accuracy: float
    interval: Interval | None = None


def trivial_scores(task: Task, problems: ProblemSet) -> list[TrivialScore]:
    """Every trivial baseline of the task on these problems, best first.

    What it says without a model ("the most frequent answer") is drawn from the whole set, not from the problems asked:
    of ten problems the most frequent answer is a large share by chance.
    """
    whole = task.load(None, 0).problems
    scores = []
    for name, complete in task.trivial.items():
        verdicts = [
            problems.verifier(complete(problem, whole), problem.gold, question=problem.prompt)
            for problem in problems.problems
        ]
        found = wilson(sum(verdict.correct for verdict in verdicts), len(verdicts))
        scores.append(TrivialScore(name, found.estimate, found))
    return sorted(scores, key=lambda score: -score.accuracy)


def guess_pass_at(task: Task, k: int) -> float:
    """pass@k of guessing: k different answers, the most frequent gold answers of the whole set.

    Where answers are few, a large k rewards guessing; a model's pass@k below this says nothing.
    """
    if not task.guessable:
        return 0.0
    counts: dict[str, int] = {}
    whole = task.load(None, 0).problems
    for problem in whole:
        counts[problem.gold] = counts.get(problem.gold, 0) + 1
    return sum(sorted(counts.values(), reverse=True)[:k]) / len(whole)
