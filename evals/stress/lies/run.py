"""Run every demonstration on one small model and say, one after the other, what each makes of the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.evals.stress.lies import statistics, unequal
from rlpath.evals.stress.lies.contamination import contamination
from rlpath.evals.stress.lies.lie import Lie, lies_table
from rlpath.evals.stress.lies.material import PLAN, Material, gather
from rlpath.evals.suite.harness import Plan, Progress
from rlpath.evals.suite.subject import Subject

FEWEST = 8
LIES: tuple[Callable[[Material], Lie], ...] = (
    unequal.wrong_chat_template,
    unequal.truncation,
    unequal.strict_extraction,
    unequal.unequal_decoding,
    unequal.other_prompt,
    statistics.best_of_many_seeds,
    statistics.selection_on_test_set,
    statistics.first_k,
    statistics.no_guess_baseline,
    statistics.unpaired_test,
    statistics.repeats_as_items,
    contamination,
)


def run_lies(
    subject: Subject,
    plan: Plan = PLAN,
    say: Callable[[str], None] = print,
    *,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> list[Lie]:
    """Every demonstration, said as soon as it is computed, and at the end the table of all.

    `subject` is a whole model, asked under one plan; completions come from the cache where they are there.
    Raises InputError for an adapter, for fewer than 8 problems or 2 samples, and whatever `run_tasks` raises.
    """
    if subject.adapter is not None:
        raise InputError(f"{subject.label} is an adapter: name a whole model, such as its base, for the demonstrations")
    if plan.size is None or plan.size < FEWEST or plan.samples < 2:
        raise InputError(f"the demonstrations need a --size of at least {FEWEST} and --samples of at least 2")
    material = gather(subject, plan, cache, progress)
    say(
        f"{len(LIES)} ways in which an evaluation lies, shown on {subject.label}: {len(material.protocol.problems)} "
        f"sums, greedily and with {plan.samples} samples each.\n"
    )
    lies: list[Lie] = []
    for number, demonstrate in enumerate(LIES, start=1):
        lies.append(demonstrate(material))
        say(f"{number}. {lies[-1]}\n")
    say(lies_table(lies))
    return lies
