"""Does the ranking of two models depend on how the questions are put?

A task is asked by every one of its templates, with the solved examples in other orders, and with its protocol's words
once as a chat and once as plain text. Only greedy answers are compared, so that what varies is the question alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.stats import holm
from rlpath.evals.compare.comparison import points
from rlpath.evals.measure.clusters import clusters_of
from rlpath.evals.suite.harness import Plan, Progress, TaskRun, run_tasks
from rlpath.evals.suite.paired import Paired, paired, right_R_P, signed
from rlpath.evals.suite.result import Ranking, Sensitivity
from rlpath.evals.suite.subject import Subject, has_chat_template
from rlpath.evals.suite.task import Task, Template
from rlpath.report.tables import text_table

Job = tuple[Task, Template]
ORDERS = 2
"""Orders of the solved examples that are tried besides the listed one, for each template with examples."""


def variants(task: Task, protocol: Template | None = None, *, orders: int = ORDERS, seed: int = 0) -> list[Job]:
    """The ways to put the task, the protocol (the first template unless given) first; each has a name of its own."""
    first = protocol or task.templates[0]
    # A choice by likelihood is another measurement, not another way to ask.
    alike = [template for template in task.templates if template.likelihood == first.likelihood]
    jobs = [(task, template) for template in (first, *(t for t in alike if t != first))]
    if not first.likelihood:
        other = replace(first, name=f"{first.name}, {'no chat' if first.chat else 'chat'}", chat=not first.chat)
        jobs.insert(1, (task, other))
    for template in alike:
        jobs += _reordered(task, template, orders, derive(seed, "order of examples", template.name))
    return jobs


def _reordered(task: Task, template: Template, orders: int, seed: int) -> list[Job]:
    """The same examples in other orders, all different."""
    listed = list(task.exemplars())[: template.shots] if template.shots > 1 else []
    possible = math.factorial(len(listed)) - 1
    found = [tuple(range(len(listed)))]
    rng = random.Random(seed)
    while len(found) <= min(orders, possible):
        order = tuple(rng.sample(range(len(listed)), len(listed)))
        if order not in found:
            found.append(order)
    return [
        (
            replace(task, exemplars=lambda order=order: [listed[i] for i in order]),
            replace(template, name=f"{template.name}, order {number}"),
        )
        for number, order in enumerate(found[1:], start=1)
    ]


def sensitivity(
    model: tuple[str, Sequence[Subject]],
    versus: tuple[str, Sequence[Subject]],
    task: Task,
    plan: Plan,
    *,
    protocol: Template | None = None,
    orders: int = ORDERS,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Sensitivity:
    """Ask both entrants (label, and one subject a training seed) every variant, and judge what becomes of the ranking.

    Variants in chat are left out, by name, where a subject has no chat template. Raises InputError where fewer than two
    are left, and whatever `run_tasks` raises.
    """
    jobs = variants(task, protocol, orders=orders, seed=plan.seed)
    chats = all(has_chat_template(subject) for subject in (*model[1], *versus[1]))
    kept = [job for job in jobs if chats or not job[1].chat]
    left_out = tuple(template.name for _, template in jobs if not chats and template.chat)
    if len(kept) < 2:
        raise InputError(f"{task.name} has no two ways to be put without a chat: give it templates with chat=False")
    # By variant, then by training seed.
    after, before = (
        list(
            zip(
                *(run_tasks(s, kept, plan, cache=cache, modes=("greedy",), progress=progress) for s in side),
                strict=True,
            )
        )
        for side in (model[1], versus[1])
    )
    return summarize(model[0], versus[0], after, before, left_out)


def summarize(
    model: str,
    versus: str,
    after: Sequence[Sequence[TaskRun]],
    before: Sequence[Sequence[TaskRun]],
    left_out: tuple[str, ...] = (),
) -> Sensitivity:
    """The figures of two entrants' answers, by variant (the protocol first) and training seed."""
    rights = [(right_R_P(b), right_R_P(a)) for b, a in zip(before, after, strict=True)]
    contrasts = [paired(b, a, clusters(asked[0])) for (b, a), asked in zip(rights, after, strict=True)]
    of_model = tuple(float(a.mean()) for _, a in rights)
    of_versus = tuple(float(b.mean()) for b, _ in rights)
    ranking = rank(contrasts)
    return Sensitivity(
        task=after[0][0].task.name,
        model=model,
        versus=versus,
        variants=tuple(asked[0].template.name for asked in after),
        accuracies=of_model,
        versus_accuracies=of_versus,
        spread=float(np.ptp(of_model)),
        versus_spread=float(np.ptp(of_versus)),
        ranking=ranking,
        differences=tuple(each.difference for each in contrasts),
        p=tuple(each.p for each in contrasts),
        sentence=_sentence(model, versus, ranking, contrasts),
        left_out=left_out,
    )


def clusters(asked: TaskRun) -> list[str]:
    """What the items count by, in their order: template or story, else copies of one question together."""
    return list(clusters_of(asked.problems).values())


def rank(contrasts: Sequence[Paired]) -> Ranking:
    """What becomes of the ranking over all variants, the protocol's contrast first.

    Under a variant a model is ahead only where the paired interval of the difference excludes zero and the exact test
    is below 5 %; a sign without that is the noise of which items were drawn.

    robust: the same model is ahead under every variant. A claim that holds only if all its parts hold needs no
        correction for their number: it is wrong no more often than one part (intersection-union test, Berger 1982).
    reversed: one model is ahead under some variants, the other under others. That claim is made if any variant makes
        it, so the variants beside the protocol count with Holm-adjusted p.
    fragile: a model is ahead under the protocol, or under another variant after the adjustment, and not under all.
    undecided: nobody is shown to be ahead under any: there is no ranking that could survive.

    Few items make a ranking fragile too: not shown is not the same as equal, and the intervals say which it is.
    """
    first, *others = contrasts
    plain = {each.sign() for each in contrasts}
    if plain in ({1}, {-1}):
        return "robust"
    adjusted = holm([each.p for each in others])
    shown = {first.sign(), *(each.sign(p) for each, p in zip(others, adjusted, strict=True))} - {0}
    if len(shown) == 2:
        return "reversed"
    return "fragile" if shown else "undecided"


def _sentence(model: str, versus: str, ranking: Ranking, contrasts: Sequence[Paired]) -> str:
    signs = [each.sign() for each in contrasts]
    return (
        f"{ranking}: of {len(signs)} ways to ask, {model} is ahead under {signs.count(1)}, {versus} under "
        f"{signs.count(-1)}, and {signs.count(0)} show no difference"
    )


def sensitivity_table(found: Sequence[Sensitivity]) -> str:
    """For every task and pair of models: the sentence, then each variant's accuracies, difference and p."""
    return "\n\n".join(_table(each) for each in found)


def _table(found: Sensitivity) -> str:
    columns = zip(found.variants, found.accuracies, found.versus_accuracies, found.differences, found.p, strict=True)
    rows = [
        (name, f"{points(a)} %", f"{points(b)} %", signed(difference), f"{p:.3f}")
        for name, a, b, difference, p in columns
    ]
    spread = ("spread", points(found.spread), points(found.versus_spread), "", "")
    head = (found.task, found.model, found.versus, "difference, points", "p")
    return f"{found.sentence}\n{text_table(head, [*rows, spread])}"
