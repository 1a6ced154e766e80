"""What the demonstrations are made of: one small model's answers to sums, asked in a few ways and kept in the cache.

Nearly every demonstration compares the model with itself. Nothing was trained, so that every improvement is false.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlpath.core.types import Status
from rlpath.evals.suite.harness import Plan, Progress, TaskRun, run_tasks
from rlpath.evals.suite.subject import Subject
from rlpath.evals.suite.task import Task
from rlpath.evals.suite.tasks import TASKS

LIMIT = 8
"""Tokens of the baseline whose answers are truncated."""
PLAN = Plan(samples=16, size=64, temperature=0.7)
"""About three minutes for a model of 135 million weights on one core."""
SMOKE = replace(PLAN, samples=4, size=8)


@dataclass(frozen=True)
class Material:
    """protocol: greedily and `plan.samples` times; the others greedily.

    ways: every template of the task, the protocol among them; no_chat: the protocol's words without chat template
    truncated: the protocol at most `LIMIT` tokens long
    """

    subject: Subject
    plan: Plan
    task: Task
    protocol: TaskRun
    ways: tuple[TaskRun, ...]
    no_chat: TaskRun
    truncated: TaskRun
    cache: Path | None
    progress: Progress

    def sampled_P_n(self) -> NDArray[np.float64]:
        """1 where a sampled answer is right, [problems, samples]."""
        right = [float(sample.status is Status.CORRECT) for sample in self.protocol.evaluation.of("sample")]
        return np.array(right).reshape(len(self.protocol.problems), -1)


def right_1_P(asked: TaskRun, correct: Callable[[str, str], bool] | None = None) -> NDArray[np.float64]:
    """1 where the greedy answer is right, [1, problems]; `correct` (completion, gold) in place of our verifier."""
    greedy = asked.evaluation.of("greedy")
    judged = [correct(s.completion, s.gold) if correct else s.status is Status.CORRECT for s in greedy]
    return np.array([judged], dtype=np.float64)


def gather(subject: Subject, plan: Plan, cache: Path | None, progress: Progress) -> Material:
    """Ask the model what the demonstrations need, or find it in the cache."""
    task = TASKS["arithmetic"]
    first = task.templates[0]
    no_chat = replace(first, name=f"{first.name}, no chat", chat=False)
    (protocol,) = run_tasks(subject, [(task, first)], plan, cache=cache, progress=progress)
    others = [(task, template) for template in (*task.templates[1:], no_chat)]
    *ways, bare = run_tasks(subject, others, plan, cache=cache, modes=("greedy",), progress=progress)
    limited = replace(plan, max_tokens=LIMIT)
    (truncated,) = run_tasks(subject, [(task, first)], limited, cache=cache, modes=("greedy",), progress=progress)
    return Material(subject, plan, task, protocol, (protocol, *ways), bare, truncated, cache, progress)


def accuracies(ways: Sequence[TaskRun]) -> list[float]:
    """Greedy accuracy of each."""
    return [float(right_1_P(asked).mean()) for asked in ways]
