"""The whole suite: who takes part, what is declared, the asking, the figures, the verdicts, and the saved result."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlpath.errors import InputError
from rlpath.evals.compare import Aggregate
from rlpath.evals.suite.entrants import Entered, enter
from rlpath.evals.suite.harness import Asked, Plan, Progress, ask, check_chat
from rlpath.evals.suite.headline import Headline, headline
from rlpath.evals.suite.result import Contrast, Entrant, SuiteResult
from rlpath.evals.suite.task import Task, Template
from rlpath.evals.suite.tasks import find_task
from rlpath.evals.suite.verdict import UNCHECKED, Declared, Evidence, decide, declare, millions, same_size
from rlpath.files import Busy, disk_errors, lock, write_atomic
from rlpath.provenance import describe_data, manifest
from rlpath.types import ProblemSet

DEFAULT_TASKS = ("gsm8k", "svamp", "math500", "arc", "arithmetic", "humaneval", "ifeval")
ANSWERS = "answers"


@dataclass(frozen=True)
class Protocol:
    """What is asked of everybody: each task under one template, with the problems of the plan."""

    jobs: tuple[tuple[Task, Template], ...]
    problems: Mapping[str, ProblemSet]
    plan: Plan


def run_suite(
    models: Sequence[str],
    baseline: str | Sequence[str],
    tasks: Sequence[str | Task] = DEFAULT_TASKS,
    *,
    out: Path | str,
    plan: Plan | None = None,
    template: str | None = None,
    prereg: Path | None = None,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> SuiteResult:
    """Ask `models`, the `baseline` and the models' bases every task, and say what may be said.

    Models are run folders, model folders, adapters, hub ids or the packaged model; runs of one configuration are its
    training seeds. The result is saved in `out` (result.json, answers/); what was asked before, here or elsewhere, is
    not asked again. Raises InputError for whatever the user can mend, before the first question where it can be seen.
    """
    folder = Path(out)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        protocol = _protocol(tasks, plan or Plan(), template)
        entered = enter(models, [baseline] if isinstance(baseline, str) else baseline)
        for one in entered:
            for subject in one.subjects:
                check_chat(subject, [each for _, each in protocol.jobs])
        entrants = tuple(one.entrant for one in entered)
        family = declare(entrants, [task.name for task, _ in protocol.jobs])
        facts = _manifest(folder, entered, protocol, family, prereg)
        asked = _ask(entered, protocol, cache, progress)
        result = _result(facts, entrants, family, asked, protocol.plan, folder)
        result.save(folder)
    return result


def _held(folder: Path) -> Any:
    try:
        return lock(folder / ".lock")
    except Busy as holder:
        raise InputError(f"process {holder} is evaluating into {folder}: wait for it or choose another --out") from None


def _protocol(tasks: Sequence[str | Task], plan: Plan, template: str | None) -> Protocol:
    found = [find_task(task) if isinstance(task, str) else task for task in tasks]
    names = [task.name for task in found]
    if not names or len(set(names)) < len(names):
        raise InputError("no task was given" if not names else f"a task is named twice in {', '.join(names)}")
    jobs = tuple((task, task.template(template) if template else task.templates[0]) for task in found)
    return Protocol(jobs, {task.name: plan.problems(task) for task in found}, plan)


def _manifest(
    folder: Path, entered: Sequence[Entered], protocol: Protocol, family: Sequence[Declared], prereg: Path | None
) -> dict[str, Any]:
    """What produces the result, written before the first question."""
    config = {
        "models": [subject.spec for one in entered if one.entrant.role == "model" for subject in one.subjects],
        "baseline": [subject.spec for one in entered if one.entrant.role == "baseline" for subject in one.subjects],
        "plan": asdict(protocol.plan),
        "templates": {task.name: template.name for task, template in protocol.jobs},
    }
    facts = manifest(sys.argv, config, list(protocol.problems.values()), prereg=prereg)
    facts["tasks"] = [
        describe_data(protocol.problems[task.name]) | {"template": asdict(template)} for task, template in protocol.jobs
    ]
    facts["family"] = [str(one) for one in family]
    write_atomic(folder / "manifest.json", _json(facts))
    return facts


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"


def _ask(
    entered: Sequence[Entered], protocol: Protocol, cache: Path | None, progress: Progress
) -> dict[tuple[str, str], Asked]:
    """Every subject's evaluations by its label and the task's name."""
    subjects = [subject for one in entered for subject in one.subjects]
    found: dict[tuple[str, str], Asked] = {}
    for number, subject in enumerate(subjects, start=1):

        def say(text: str, number: int = number) -> None:
            progress(f"[model {number} of {len(subjects)}] {text}")

        for one in ask(subject, protocol.jobs, protocol.plan, cache=cache, progress=say):
            found[subject.label, one.task.name] = one
    return found


def _result(
    facts: Mapping[str, Any],
    entrants: tuple[Entrant, ...],
    family: tuple[Declared, ...],
    asked: Mapping[tuple[str, str], Asked],
    plan: Plan,
    folder: Path,
) -> SuiteResult:
    headlines = tuple(headline(one) for one in asked.values())
    remarks = {(one.model, one.task): (UNCHECKED,) for one in family}
    evidence = Evidence({key: one.evaluation for key, one in asked.items()}, _clusters(asked), remarks, seed=plan.seed)
    contrasts = decide(family, entrants, evidence)
    return SuiteResult(
        manifest=facts,
        entrants=entrants,
        headlines=headlines,
        contrasts=contrasts,
        answers={_name(key, one): _kept(folder, one.path) for key, one in asked.items()},
        family=tuple(map(str, family)),
        warnings=tuple(_warnings(entrants, headlines)),
        analyses=tuple(_analysis(one, entrants) for one in contrasts),
    )


def _clusters(asked: Mapping[tuple[str, str], Asked]) -> dict[str, dict[str, object]]:
    """By task, the template that each problem was made from, where all say so."""
    found = {one.task.name: one.problems.problems for one in asked.values()}
    return {
        task: {problem.id: problem.meta["template"] for problem in problems}
        for task, problems in found.items()
        if all("template" in problem.meta for problem in problems)
    }


def _name(key: tuple[str, str], asked: Asked) -> str:
    return f"{key[0]}/{key[1]}/{asked.template.name}"


def _kept(folder: Path, path: Path) -> str:
    """The evaluation copied beside the result, so that the folder says all by itself; its path from there."""
    kept = folder / ANSWERS / path.name
    with disk_errors(kept):
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, kept)
    return f"{ANSWERS}/{path.name}"


def _warnings(entrants: Sequence[Entrant], headlines: Sequence[Headline]) -> list[str]:
    baseline = next(entrant for entrant in entrants if entrant.role == "baseline")
    found = [
        f"{model.label} has {millions(model.parameters)} parameters, the baseline {baseline.label} "
        f"{millions(baseline.parameters)}: not a model of the same size, so no verdict of improvement"
        for model in entrants
        if model.role == "model" and not same_size(model, baseline)
    ]
    for one in headlines:
        if one.below_trivial:
            trivial = one.below_trivial
            found.append(
                f"{one.model} on {one.task}: greedy accuracy {one.ours.estimate:.1%} is not above the trivial baseline "
                f"“{trivial.name}”, {trivial.accuracy:.1%}"
            )
    return found


def _analysis(contrast: Contrast, entrants: Sequence[Entrant]) -> dict[str, Any]:
    """The deciding figures as a preregistration's rules name them."""
    decides: Aggregate = contrast.aggregates[0]
    assert decides.before is not None and decides.after is not None and decides.difference is not None
    model = next(entrant for entrant in entrants if entrant.label == contrast.model)
    return {
        "task": contrast.task,
        "metric": decides.metric,
        "model": contrast.model,
        "n": contrast.problems,
        "seeds": list(model.seeds),
        "value": decides.after.estimate,
        "baseline": decides.before.estimate,
        "difference": decides.difference.estimate,
        "low": decides.difference.low,
        "high": decides.difference.high,
        "p": contrast.p_holm,
    }
