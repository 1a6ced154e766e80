"""The whole suite: who takes part, what is declared, the asking, the figures, the verdicts, and the saved result."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors
from rlpath.evals.compare.comparison import Aggregate
from rlpath.evals.compare.prereg_check import Analysis, RecordedResult, check_prereg
from rlpath.evals.measure.clusters import clusters_of, copies
from rlpath.evals.suite.entrants import ModelEntry, resolve_models
from rlpath.evals.suite.harness import Plan, Progress, TaskRun, check_chat, run_tasks
from rlpath.evals.suite.headline import Headline, headline
from rlpath.evals.suite.own_tasks import find_task, loaded_once
from rlpath.evals.suite.references import references
from rlpath.evals.suite.result import Contrast, Entrant, Probe, Sensitivity, SuiteResult
from rlpath.evals.suite.start import SuiteProtocol, hold_folder, start_suite
from rlpath.evals.suite.task import Task
from rlpath.evals.suite.tasks import TASKS
from rlpath.evals.suite.training import UNCHECKED, Findings, as_json, remark, search_training_text
from rlpath.evals.suite.verdict import Declared, Evidence, decide, declare, millions, same_size
from rlpath.runs.prereg import read_prereg

ANSWERS = "answers"
TRUNCATION_GAP = 0.05
"""Difference in the share of truncated answers from which it is named as a confound."""


@dataclass(frozen=True)
class _Suite:
    """What all steps need."""

    folder: Path
    entered: tuple[ModelEntry, ...]
    protocol: SuiteProtocol
    family: tuple[Declared, ...]
    facts: Mapping[str, Any]
    findings: Findings
    cache: Path | None
    progress: Progress

    @property
    def entrants(self) -> tuple[Entrant, ...]:
        return tuple(one.entrant for one in self.entered)


def run_suite(
    models: Sequence[str],
    baseline: str | Sequence[str],
    tasks: Sequence[str | Task] = tuple(TASKS),
    *,
    out: Path | str,
    plan: Plan | None = None,
    template: str | None = None,
    prereg: Path | None = None,
    train_files: Sequence[Path] = (),
    sensitivity: bool = False,
    probes: bool = False,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> SuiteResult:
    """Ask `models`, the `baseline` and the models' bases every task, and say what may be said.

    Models are run folders, model folders, adapters, hub ids or the packaged model; runs of one configuration are its
    training seeds. `train_files` are what the models were trained on, to be searched for test items. The result is
    saved in `out` (result.json, answers/); what was asked before, here or elsewhere, is not asked again. Raises
    InputError for whatever the user can mend, before the first question where it can be seen.
    """
    folder = Path(out)
    with hold_folder(folder):
        protocol = _protocol(tasks, plan or Plan(), template)
        entered = resolve_models(models, [baseline] if isinstance(baseline, str) else baseline)
        for one in entered:
            for subject in one.subjects:
                check_chat(subject, [each for _, each in protocol.jobs], protocol.plan.chat_template)
        # One precision for all: the largest model's.
        dtype = protocol.plan.precision(max(one.entrant.parameters for one in entered))
        protocol = replace(protocol, plan=replace(protocol.plan, dtype=dtype))
        family = declare([one.entrant for one in entered], [task.name for task, _ in protocol.jobs])
        findings = search_training_text(entered, protocol.problems, train_files)
        facts = start_suite(folder, entered, protocol, family, prereg)
        suite = _Suite(folder, tuple(entered), protocol, family, facts, findings, cache, progress)
        result = _result(suite, _ask(suite), prereg)
        # Saved before what may take longer still.
        result.save(folder)
        if sensitivity or probes:
            result = replace(
                result,
                sensitivity=_sensitivity(suite) if sensitivity else (),
                probes=_probes(suite) if probes else (),
            )
            result.save(folder)
    return result


def _protocol(tasks: Sequence[str | Task], plan: Plan, template: str | None) -> SuiteProtocol:
    found = [loaded_once(find_task(task) if isinstance(task, str) else task) for task in tasks]
    names = [task.name for task in found]
    if not names or len(set(names)) < len(names):
        raise InputError("no task was given: name one with --tasks" if not names else f"one task twice: {names}")
    jobs = tuple((task, plan.put(task, task.template(template) if template else task.templates[0])) for task in found)
    return SuiteProtocol(jobs, {task.name: plan.problems(task) for task in found}, plan)


# Asking


def _ask(suite: _Suite) -> dict[tuple[str, str], TaskRun]:
    """Every subject's evaluations by its label and the task's name."""
    subjects = [subject for one in suite.entered for subject in one.subjects]
    found: dict[tuple[str, str], TaskRun] = {}
    for number, subject in enumerate(subjects, start=1):

        def say(text: str, number: int = number) -> None:
            suite.progress(f"[model {number} of {len(subjects)}] {text}")

        for one in run_tasks(subject, suite.protocol.jobs, suite.protocol.plan, cache=suite.cache, progress=say):
            found[subject.label, one.task.name] = one
    return found


def _sensitivity(suite: _Suite) -> tuple[Sensitivity, ...]:
    """Every declared comparison under every template."""
    from rlpath.evals.stress.sensitivity import sensitivity

    subjects = {one.entrant.label: one.subjects for one in suite.entered}
    jobs = {task.name: (task, template) for task, template in suite.protocol.jobs}
    return tuple(
        sensitivity(
            (one.model, subjects[one.model]),
            (one.versus, subjects[one.versus]),
            jobs[one.task][0],
            suite.protocol.plan,
            protocol=jobs[one.task][1],
            cache=suite.cache,
            progress=suite.progress,
        )
        for one in suite.family
    )


def _probes(suite: _Suite) -> tuple[Probe, ...]:
    """Every entrant under every change."""
    from rlpath.evals.stress.probes import probes

    protocol = suite.protocol
    return tuple(
        probe
        for one in suite.entered
        for probe in probes(
            one.entrant.label,
            one.subjects,
            protocol.jobs,
            protocol.plan,
            cache=suite.cache,
            progress=suite.progress,
        )
    )


# The result


def _result(suite: _Suite, asked: Mapping[tuple[str, str], TaskRun], prereg: Path | None) -> SuiteResult:
    headlines = tuple(headline(one, suite.protocol.plan.ks) for one in asked.values())
    evidence = Evidence(
        {key: one.evaluation for key, one in asked.items()},
        {name: clusters_of(found) for name, found in suite.protocol.problems.items()},
        _remarks(suite, headlines),
    )
    contrasts = decide(suite.family, suite.entrants, evidence)
    analyses = tuple(analysis for one in contrasts for analysis in _analyses(one, suite.entrants))
    warnings = [
        *_warnings(suite.entrants, headlines),
        *_copies(suite),
        *_truncation(contrasts, suite.entrants, headlines),
        *_batches(suite),
        *_unchecked(suite),
        *_asked_before_the_plan(suite, asked),
    ]
    baseline = next(entrant for entrant in suite.entrants if entrant.role == "baseline")
    return SuiteResult(
        manifest=suite.facts,
        entrants=suite.entrants,
        headlines=headlines,
        contrasts=contrasts,
        answers={f"{label}/{task}/{one.template.name}": _kept(suite, one) for (label, task), one in asked.items()},
        family=tuple(map(str, suite.family)),
        warnings=tuple(warnings),
        contamination=as_json(suite.findings),
        prereg=_rulings(analyses, suite.facts, prereg),
        references=references([task.name for task, _ in suite.protocol.jobs], baseline.parameters),
        analyses=tuple(asdict(analysis) for analysis in analyses),
    )


def _remarks(suite: _Suite, headlines: Sequence[Headline]) -> dict[tuple[str, str], list[str]]:
    """What limits a claim about an entrant on a task: training text, and trivial baselines."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in suite.entered:
        for task, problems in suite.protocol.problems.items():
            limits = [remark(suite.findings[one.entrant.label], problems)]
            below = [h.below_trivial for h in headlines if h.task == task and h.model in one.entrant.members]
            if below and all(below):
                limits.append("yet not above a trivial baseline")
            found[one.entrant.label, task] = [text for text in limits if text]
    return found


def _kept(suite: _Suite, asked: TaskRun) -> str:
    """The evaluation copied beside the result, so that the folder says all by itself; its path from there."""
    kept = suite.folder / ANSWERS / asked.path.name
    with disk_errors(kept):
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(asked.path, kept)
    return f"{ANSWERS}/{asked.path.name}"


# Red lines


def _warnings(entrants: Sequence[Entrant], headlines: Sequence[Headline]) -> list[str]:
    baseline = next(entrant for entrant in entrants if entrant.role == "baseline")
    found = [
        f"{model.label} has {millions(model.parameters)} parameters, the baseline {baseline.label} "
        f"{millions(baseline.parameters)}: not of one size, so no verdict of improvement"
        for model in entrants
        if model.role == "model" and not same_size(model, baseline)
    ]
    for one in headlines:
        if one.below_trivial:
            found.append(
                f"{one.model} on {one.task}: greedy accuracy {one.ours.estimate:.1%} is not above "
                f'"{one.below_trivial.name}", {one.below_trivial.accuracy:.1%} without a model'
            )
    return found


def _copies(suite: _Suite) -> list[str]:
    return [
        f"{name}: {copies(found)} of {len(found)} problems repeat the question of another; copies count once"
        for name, found in suite.protocol.problems.items()
        if copies(found)
    ]


def _truncation(contrasts: Sequence[Contrast], entrants: Sequence[Entrant], headlines: Sequence[Headline]) -> list[str]:
    """A difference in accuracy may be one of length alone where one side hits the length limit more often."""
    members = {entrant.label: entrant.members for entrant in entrants}
    found = []
    for one in contrasts:
        shares = [
            [each.truncated for each in headlines if each.task == one.task and each.model in members[label]]
            for label in (one.model, one.versus)
        ]
        model, versus = (sum(side) / len(side) if side else 0.0 for side in shares)
        if abs(model - versus) >= TRUNCATION_GAP:
            found.append(
                f"{one.task}: {model:.0%} of the answers of {one.model} are truncated at the length limit, "
                f"{versus:.0%} of those of {one.versus}: the difference may be one of length; raise --max-tokens"
            )
    return found


def _batches(suite: _Suite) -> list[str]:
    """Whether greedy answers depend on what else was asked at once."""
    plan = suite.protocol.plan
    remote = [one.entrant.label for one in suite.entered if any(each.is_endpoint for each in one.subjects)]
    found = [f"size, precision and batches of {name} are its server's, and were not seen" for name in remote]
    if plan.dtype != "float32":
        found.append(
            f"asked in {plan.dtype}, {plan.batch} problems at once: a greedy answer can change with what else is in "
            "the batch; --dtype float32 makes it stand"
        )
    return found


def _unchecked(suite: _Suite) -> list[str]:
    models = [one.entrant.label for one in suite.entered if one.entrant.role == "model"]
    sets = suite.protocol.problems
    tasks = {
        model: [name for name in sets if remark(suite.findings[model], sets[name]) == UNCHECKED] for model in models
    }
    return [f"{UNCHECKED} for {model} on {', '.join(names)}" for model, names in tasks.items() if names]


def _asked_before_the_plan(suite: _Suite, asked: Mapping[tuple[str, str], TaskRun]) -> list[str]:
    plan = suite.facts.get("prereg")
    early = [key for key, one in asked.items() if plan and one.started < plan["time"]]
    if not early:
        return []
    named = ", ".join(f"{label} on {task}" for label, task in early)
    return [f"asked before the preregistration was recorded, so not covered by it: {named}"]


# Preregistration


def _analyses(contrast: Contrast, entrants: Sequence[Entrant]) -> list[Analysis]:
    """Every metric in the words of a preregistration; p of the deciding one is adjusted over the family.

    A plan speaks of the baseline: what is compared with another entrant bears its name beside the task's.
    """
    by_label = {entrant.label: entrant for entrant in entrants}
    planned = by_label[contrast.versus].role == "baseline"
    task = contrast.task if planned else f"{contrast.task} against {contrast.versus}"
    seeds = by_label[contrast.model].seeds
    return [
        Analysis(task, one.metric, contrast.model, contrast.problems, seeds, *_figures(one), p)
        for one, p in zip(
            contrast.aggregates,
            [contrast.p_holm, *(one.p for one in contrast.aggregates[1:])],
            strict=True,
        )
    ]


def _figures(one: Aggregate) -> tuple[float, float, float, float, float]:
    assert one.before is not None and one.after is not None and one.difference is not None
    difference = one.difference
    figures = (one.after.estimate, one.before.estimate, difference.estimate, difference.low, difference.high)
    value, baseline, gain, low, high = (round(figure, 10) for figure in figures)
    return value, baseline, gain, low, high


def _rulings(analyses: tuple[Analysis, ...], facts: Mapping[str, Any], prereg: Path | None) -> tuple[str, ...]:
    """What became of the plan's rules, none where no plan was given."""
    if prereg is None:
        return ()
    return tuple(check_prereg(read_prereg(prereg), RecordedResult(analyses, facts.get("prereg"))).lines())
