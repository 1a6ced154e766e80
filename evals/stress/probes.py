"""Behavior probes: change what should not matter, and see whether accuracy moves.

On our own stories: new numbers, new names, a sentence with a number that must not be used, an answer asked for in
words, in a box or as JSON. On any other task with numbers for answers: the last four. A model that solves the problem
and not its text, or its format, should lose nothing; every probe is paired by item, with an interval and p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlpath.core.stats import holm, two_level_mean
from rlpath.core.types import Problem, ProblemSet
from rlpath.evals.compare.comparison import points
from rlpath.evals.stress.sensitivity import Job, clusters
from rlpath.evals.stress.variants import (
    PLAIN_TEXT,
    STORIES_TASK,
    Telling,
    distracted,
    renamed,
    tellings,
    with_other_numbers,
)
from rlpath.evals.suite.harness import Plan, Progress, TaskRun, run_tasks
from rlpath.evals.suite.paired import paired, right_R_P, signed
from rlpath.evals.suite.result import Probe
from rlpath.evals.suite.subject import Subject
from rlpath.evals.suite.task import Task, Template
from rlpath.report.tables import text_table
from rlpath.rewards.verifiers.number import NumberVerifier

FORMATS = {
    "words": "Write the final answer in words, not in figures, after ####.",
    "box": "Put the final answer in \\boxed{}.",
    "json": 'Give the final answer as JSON, like {"answer": 0}.',
}
REASONING = "step by step"


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One change: of the problems, keeping their ids and order, or of the template."""

    name: str
    what: str
    problems: Callable[[ProblemSet, int], ProblemSet] | None = None
    template: Template | None = None


def changes(task: Task, protocol: Template) -> list[Perturbation]:
    """The changes that a task can be put to."""
    told = [
        Perturbation("other numbers", "the same story of new numbers", _told(with_other_numbers)),
        Perturbation("other names", "the same story of other people and things", _told(renamed)),
    ]
    # Solved examples show a format of their own: without them it would not be the format alone that changes.
    formats = {} if protocol.shots else FORMATS
    return [
        *(told if task.name == STORIES_TASK.name else ()),
        Perturbation("irrelevant sentence", "one more sentence, with a number that must not be used", _distracted),
        *(Perturbation(f"answer as {name}", what, template=_format(name, protocol)) for name, what in formats.items()),
    ]


def _told(change: Callable[[Telling, int], Telling]) -> Callable[[ProblemSet, int], ProblemSet]:
    def retell(published: ProblemSet, seed: int) -> ProblemSet:
        problems = tuple(change(telling, seed).problem() for telling in tellings(len(published)))
        return replace(published, problems=problems)

    return retell


def _distracted(problems: ProblemSet, seed: int) -> ProblemSet:
    def distract(problem: Problem) -> Problem:
        return replace(problem, prompt=distracted(problem.prompt, problem.gold, seed))

    return replace(problems, problems=tuple(distract(problem) for problem in problems.problems))


def _format(name: str, protocol: Template) -> Template:
    """The protocol's way to ask, with reasoning where it asks for it, and the answer in another form."""
    instruction = ("Think step by step. " if REASONING in protocol.text else "") + FORMATS[name]
    if protocol.chat:
        return Template(name, "{question}\n\n" + instruction)
    return replace(PLAIN_TEXT, name=name, text="Question: {question} " + instruction + "\nAnswer:")


def probes(
    label: str,
    subjects: Sequence[Subject],
    jobs: Sequence[Job],
    plan: Plan,
    *,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Probe, ...]:
    """Put an entrant (one subject a training seed) to every change on our stories and on the tasks of `jobs`.

    `jobs` are tasks with their protocol's template; those whose answers are not numbers are passed over. The stories
    are asked in chat where every protocol is. `plan.size` bounds each task's items, `plan.seed` draws the changes.
    Raises what `run_tasks` raises.
    """
    fitting = [(task, template) for task, template in jobs if _has_numbers(task, plan)]
    chat = all(template.chat for _, template in jobs)
    if STORIES_TASK.name not in [task.name for task, _ in fitting]:
        fitting.insert(0, (STORIES_TASK, STORIES_TASK.templates[0] if chat else PLAIN_TEXT))
    pairs = [(job, change) for job in fitting for change in changes(*job)]
    asking = [*fitting, *(_changed(job, change, plan) for job, change in pairs)]
    # By job, then by training seed.
    asked = list(
        zip(
            *(run_tasks(s, asking, plan, cache=cache, modes=("greedy",), progress=progress) for s in subjects),
            strict=True,
        )
    )
    originals = dict(zip([task.name for task, _ in fitting], asked, strict=False))
    changed = asked[len(fitting) :]
    found = [
        probe(label, change, originals[task.name], after)
        for ((task, _), change), after in zip(pairs, changed, strict=True)
    ]
    adjusted = holm([each.p for each in found])
    return tuple(replace(each, p_holm=p) for each, p in zip(found, adjusted, strict=True))


def probe(label: str, change: Perturbation, original: Sequence[TaskRun], changed: Sequence[TaskRun]) -> Probe:
    """One probe from the answers to the same items before and after the change, by training seed."""
    before_R_P, after_R_P = right_R_P(original), right_R_P(changed)
    names = clusters(original[0])
    found = paired(before_R_P, after_R_P, names)
    return Probe(
        task=original[0].task.name,
        model=label,
        name=change.name,
        items=len(names),
        original=two_level_mean(before_R_P, clusters=names),
        changed=two_level_mean(after_R_P, clusters=names),
        difference=found.difference,
        p=found.p,
        clusters=len(set(names)),
        what=change.what,
    )


def probes_table(found: Sequence[Probe]) -> str:
    """A line for every probe: accuracy before and after the change, the difference, p and p by Holm."""
    rows = [
        (
            f"{each.task}, {each.name}",
            each.model,
            f"{points(each.original.estimate)} %",
            f"{points(each.changed.estimate)} %",
            signed(each.difference),
            f"{each.p:.3f}",
            f"{each.p_holm:.3f}",
            f"{each.items}/{each.clusters}",
        )
        for each in found
    ]
    head = ("probe", "model", "original", "changed", "difference, points", "p", "p by Holm", "items/clusters")
    return text_table(head, rows)


def _changed(job: Job, change: Perturbation, plan: Plan) -> Job:
    task, template = job
    if change.template is not None:
        return task, change.template
    assert change.problems is not None
    problems = change.problems(task.load(plan.size, plan.seed), plan.seed)
    return replace(task, load=lambda size, seed: problems), template


def _has_numbers(task: Task, plan: Plan) -> bool:
    return isinstance(task.load(plan.size, plan.seed).verifier, NumberVerifier)
