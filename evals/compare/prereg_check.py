"""What was declared against what was done: rules met, not met or changed after the fact, and what was never declared.

A result is one or more run folders (training seeds of one recipe) or a JSON file with `manifest` and `analyses`. The
plan that counts is the one the manifest recorded when the first run began, not the file as it is now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.stats import Interval
from rlpath.evals.compare.comparison import Comparison, aggregate, read_comparison
from rlpath.runs.prereg import Preregistration, Rule, parse_prereg
from rlpath.runs.run_folder import RunRecord, read_run


class PreregFinding(StrEnum):
    """What a line of the check is about: a rule's outcome, a departure from the plan, or an undeclared analysis."""

    MET = "met"
    NOT_MET = "not met"
    CHANGED = "changed after the fact"
    NOT_ANALYZED = "not analyzed"
    NOT_REGISTERED = "not registered"
    DEPARTURE = "departure"
    EXPLORATORY = "exploratory"


@dataclass(frozen=True, slots=True)
class Analysis:
    """One comparison of a model with its baseline: the figures that rules speak of. `seeds` are those of training."""

    task: str
    metric: str
    model: str
    n: int
    seeds: tuple[int, ...]
    value: float
    baseline: float
    difference: float
    low: float
    high: float
    p: float

    @property
    def name(self) -> str:
        """How a report calls it."""
        return f"{self.metric} of {self.model} on {self.task}"

    @property
    def figures(self) -> dict[str, float]:
        """The figures by the names that rules use."""
        names = ("value", "baseline", "difference", "low", "high", "p")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class RecordedResult:
    """Analyses, and the plan that was recorded before the first step (its text, hash and time), if there was one."""

    analyses: tuple[Analysis, ...]
    recorded: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a rule, and why."""

    rule: Rule
    outcome: PreregFinding
    reason: str


@dataclass(frozen=True)
class Checked:
    """The rulings, departures from the declared sizes, and the analyses that nobody declared."""

    rulings: tuple[Ruling, ...]
    departures: tuple[str, ...]
    exploratory: tuple[str, ...]
    recorded: dict[str, str] | None

    def lines(self) -> list[str]:
        """The printed report."""
        if self.recorded is None:
            lines = ["no preregistration was recorded before the run: every analysis is exploratory"]
        else:
            lines = [f"preregistered {self.recorded.get('time', '?')}, sha256 {self.recorded['sha256'][:12]}"]
        lines += [f"{ruling.outcome}: {ruling.rule.name} ({ruling.reason})" for ruling in self.rulings]
        lines += [f"{PreregFinding.DEPARTURE}: {text}" for text in self.departures]
        return lines + [f"{PreregFinding.EXPLORATORY}: {name}" for name in self.exploratory]


def check_prereg(plan: Preregistration, result: RecordedResult) -> Checked:
    """Judge a result by `plan`, the file as it is now, and by the plan that was recorded before the run.

    A rule that differs from its recorded form is changed after the fact; its reason says what the recorded form gives.
    Raises InputError where the recorded plan does not have its recorded hash.
    """
    recorded = _recorded_plan(result.recorded) if result.recorded else None
    before = {rule.name: rule for rule in recorded.rules} if recorded else {}
    rulings = [_ruling(rule, before.get(rule.name), recorded is not None, result) for rule in plan.rules]
    now = {rule.name for rule in plan.rules}
    for name, rule in before.items():
        if name not in now:
            reason = f"removed; as recorded: {_judged(rule, result)[1]}"
            rulings.append(Ruling(rule, PreregFinding.CHANGED, reason))
    declared = recorded.rules if recorded else ()
    primary = {(task, recorded.metric) for task in recorded.tasks} if recorded else set()
    exploratory = [
        analysis.name
        for analysis in result.analyses
        if (analysis.task, analysis.metric) not in primary and not any(_about(rule, analysis) for rule in declared)
    ]
    departures = _departures(recorded, plan, result) if recorded else ()
    return Checked(tuple(rulings), tuple(departures), tuple(exploratory), result.recorded)


def _recorded_plan(recorded: dict[str, str]) -> Preregistration:
    plan = parse_prereg(recorded["text"], "recorded in the manifest")
    if plan.sha256 != recorded.get("sha256"):
        raise InputError("the plan in the manifest does not have the hash beside it: it was edited after the run began")
    return plan


def _ruling(rule: Rule, before: Rule | None, registered: bool, result: RecordedResult) -> Ruling:
    outcome, reason = _judged(rule, result)
    if not registered:
        return Ruling(rule, PreregFinding.NOT_REGISTERED, f"written down after the run; as it stands: {reason}")
    if before is None:
        return Ruling(rule, PreregFinding.CHANGED, f"added; as it stands: {reason}")
    if before != rule:
        old = _judged(before, result)[1]
        changes = [
            f"{field.name} was {getattr(before, field.name)!r}"
            for field in fields(Rule)
            if getattr(before, field.name) != getattr(rule, field.name)
        ]
        return Ruling(rule, PreregFinding.CHANGED, f"{', '.join(changes)}; as recorded: {old}")
    return Ruling(rule, outcome, reason)


def _judged(rule: Rule, result: RecordedResult) -> tuple[PreregFinding, str]:
    """The outcome on every analysis the rule is about: met only where it is met on all of them."""
    about = [analysis for analysis in result.analyses if _about(rule, analysis)]
    if not about:
        return PreregFinding.NOT_ANALYZED, f"the result has no {rule.metric} on {rule.task}"
    met = all(rule.met(analysis.figures) for analysis in about)
    outcome = PreregFinding.MET if met else PreregFinding.NOT_MET
    names = [condition.figure for condition in rule.conditions]
    figures = "; ".join(
        f"{analysis.model}: " + ", ".join(f"{name} = {analysis.figures[name]:.4g}" for name in names)
        for analysis in about
    )
    return outcome, f"{outcome}: {rule.when}; {figures}"


def _about(rule: Rule, analysis: Analysis) -> bool:
    return (rule.task, rule.metric) == (analysis.task, analysis.metric) and rule.model in ("", analysis.model)


def _departures(recorded: Preregistration, plan: Preregistration, result: RecordedResult) -> list[str]:
    """Where problems, seeds or the file itself are not as declared."""
    found = []
    if recorded.text != plan.text:
        changes = [
            f"{field.name} was {getattr(recorded, field.name)!r}, is {getattr(plan, field.name)!r}"
            for field in fields(Preregistration)
            if field.name not in ("rules", "text") and getattr(recorded, field.name) != getattr(plan, field.name)
        ]
        hashes = f"sha256 {recorded.sha256[:12]} then, {plan.sha256[:12]} now"
        found.append("; ".join([f"the file has changed since the run: {hashes}", *changes]))
    for analysis in result.analyses:
        if analysis.task not in recorded.tasks or analysis.metric != recorded.metric:
            continue
        if analysis.n != recorded.n:
            found.append(f"{analysis.name}: {recorded.n} problems were declared, {analysis.n} evaluated")
        if set(analysis.seeds) != set(recorded.seeds):
            found.append(f"{analysis.name}: seeds {list(recorded.seeds)} were declared, {list(analysis.seeds)} run")
    return found


# Reading results


def read_result(paths: Sequence[Path]) -> RecordedResult:
    """A result from run folders, one a training seed, or from one JSON file.

    Raises InputError where there is none, runs are of several recipes or tasks, or a field is missing.
    """
    if not paths:
        raise InputError("no result was given: name run folders, or a JSON file with manifest and analyses")
    if paths[0].is_dir():
        return _from_runs([read_run(path) for path in paths])
    if len(paths) > 1 or not paths[0].is_file():
        raise InputError(f"{paths[0]} is neither a run folder nor the only JSON file: name run folders, or one file")
    try:
        row = json.loads(paths[0].read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{paths[0]} is not JSON: a result has manifest and analyses, or name run folders") from None
    try:
        analyses = tuple(_analysis(analysis) for analysis in row["analyses"])
        recorded = row["manifest"].get("prereg")
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{paths[0]} is no result: it needs manifest and analyses ({error!r})") from None
    return RecordedResult(analyses, _recorded(recorded))


def _analysis(row: dict[str, Any]) -> Analysis:
    return Analysis(**{**row, "seeds": tuple(row["seeds"])})


def _recorded(prereg: Any) -> dict[str, str] | None:
    """What a manifest says of the plan; None also where it kept a hash without the text."""
    return prereg if isinstance(prereg, dict) and "text" in prereg else None


def _from_runs(records: Sequence[RunRecord]) -> RecordedResult:
    verdicts = [record.path / "evaluations" / "verdict.json" for record in records]
    for record, verdict in zip(records, verdicts, strict=True):
        if not verdict.is_file():
            raise InputError(f"{record.path} has no verdict: finish the run first")
    tasks = {record.manifest["data"][-1]["name"] for record in records}
    models = {record.path.resolve().parent.parent.name for record in records}
    if len(tasks) > 1 or len(models) > 1:
        raise InputError(f"the runs are of {', '.join(sorted(models | tasks))}: name the seeds of one recipe and task")
    task, model = tasks.pop(), models.pop()
    seeds = tuple(int(record.config["seed"]) for record in records)
    comparisons = [read_comparison(verdict) for verdict in verdicts]
    problems = len(comparisons[0].outcomes)
    analyses = tuple(
        Analysis(task, metric, model, problems, seeds, *(round(figure, 10) for figure in figures))
        for metric, figures in _figures(comparisons)
    )
    # What counts is the plan of the first start: one that was added or changed on resuming came later.
    starts = [(record.manifest.get("starts") or [record.manifest])[0] for record in records]
    plans = [_recorded(start.get("prereg")) for start in starts]
    same = all(plan is not None and plans[0] is not None and plan["text"] == plans[0]["text"] for plan in plans)
    return RecordedResult(analyses, plans[0] if same else None)


def _figures(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Each metric with value, baseline, difference, its limits and p; over seeds where there are several."""
    if len(comparisons) == 1:
        for change in comparisons[0].changes:
            means = (change.after.estimate, change.before.estimate)
            yield change.metric, (*means, *_limits(change.difference), change.p)
        return
    for one in aggregate(comparisons).aggregates:
        assert one.after is not None and one.before is not None and one.difference is not None
        means = (one.after.estimate, one.before.estimate)
        yield one.metric, (*means, *_limits(one.difference), one.p)


def _limits(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high
