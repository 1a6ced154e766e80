"""What may be said: every declared comparison tested, adjusted over the whole family, and worded with its limits.

The family is declared before anything is asked. A difference counts where its two-sided p-value, adjusted by Holm over
the family, is below 5 %: for one model the exact McNemar test (greedy), or permutation and t-test both (samples, or
problems in clusters); for several training seeds the t-test whose error holds the variance over seeds and over
problems. But for McNemar's test, fewer than 30 problems or clusters give no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rlpath.core.errors import InputError
from rlpath.core.stats import holm
from rlpath.core.types import Outcome
from rlpath.evals.compare.comparison import (
    ALPHA,
    FEWEST,
    Aggregate,
    Change,
    Comparison,
    Testing,
    aggregate,
    compare,
    deciding,
    enough,
    p_text,
    points,
)
from rlpath.evals.measure.evaluation import Evaluation
from rlpath.evals.suite.result import Contrast, Entrant
from rlpath.evals.suite.subject import SAME_SIZE


@dataclass(frozen=True, slots=True)
class Declared:
    """One test of the family: a model against another entrant on a task."""

    model: str
    versus: str
    task: str

    def __str__(self) -> str:
        return f"{self.model} vs {self.versus} on {self.task}"


def declare(entrants: Sequence[Entrant], tasks: Sequence[str]) -> tuple[Declared, ...]:
    """The family: every model against the baseline and against its own base, on every task."""
    baseline = next(entrant.label for entrant in entrants if entrant.role == "baseline")
    pairs = [
        (entrant.label, versus)
        for entrant in entrants
        if entrant.role == "model"
        for versus in dict.fromkeys([baseline, entrant.base])
        if versus
    ]
    return tuple(Declared(*pair, task) for pair in pairs for task in tasks)


@dataclass(frozen=True)
class Evidence:
    """What verdicts rest on.

    evaluations: by member label and task
    clusters: by task, what each problem was made from, for tasks with templates
    remarks: by model and task, what limits a claim ("contamination unchecked")
    resamples, seed: of permutation tests
    """

    evaluations: Mapping[tuple[str, str], Evaluation]
    clusters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    remarks: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    resamples: int = 20_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Tested:
    aggregates: tuple[Aggregate, ...]
    problems: int
    p: float
    test: str
    observations: int

    @property
    def enough(self) -> bool:
        """Whether there are problems, or clusters, enough for a verdict."""
        return enough(self.test, self.observations)


def decide(declared: Sequence[Declared], entrants: Sequence[Entrant], evidence: Evidence) -> tuple[Contrast, ...]:
    """Every declared comparison with its verdict, in the order of the family.

    Raises InputError where two evaluations are not of the same problems and decoding.
    """
    by_label = {entrant.label: entrant for entrant in entrants}
    tested = [
        _test(by_label[one.model], by_label[one.versus], one.task, evidence, ALPHA / len(declared)) for one in declared
    ]
    adjusted = holm([one.p for one in tested])
    rows = zip(declared, tested, adjusted, strict=True)
    return tuple(_contrast(one, by_label, found, p, len(declared), evidence) for one, found, p in rows)


# Tests


def _test(model: Entrant, versus: Entrant, task: str, evidence: Evidence, alpha: float) -> _Tested:
    """`alpha` is the level at which the detectable effect is given: the family's, shared out evenly."""
    testing = Testing(evidence.clusters.get(task), alpha, True, evidence.resamples, evidence.seed)
    pairs = _paired(model, versus)
    comparisons = [
        compare(evidence.evaluations[before, task], evidence.evaluations[after, task], testing=testing)
        for before, after in pairs
    ]
    problems = len(comparisons[0].outcomes)
    if len(comparisons) == 1:
        return _one(comparisons[0], problems)
    found = aggregate(comparisons, testing=testing)
    observations = comparisons[0].observations
    units = "problems" if observations == problems else "clusters"
    test = f"t over {len(comparisons)} training seeds and {observations} {units}"
    p = deciding(found.aggregates).p
    return _Tested(_first(found.aggregates), problems, p, test, observations)


def _paired(model: Entrant, versus: Entrant) -> list[tuple[str, str]]:
    """Members before and after: each seed against the one model, or against the same seed of the other recipe."""
    if len(versus.members) == 1:
        return [(versus.members[0], member) for member in model.members]
    if model.seeds != versus.seeds:
        raise InputError(
            f"{model.label} has training seeds {list(model.seeds)}, {versus.label} has {list(versus.seeds)}: give the "
            "same seeds of both, or one model to compare with"
        )
    return list(zip(versus.members, model.members, strict=True))


def _one(comparison: Comparison, problems: int) -> _Tested:
    """One model: intervals are over problems."""
    decides = deciding(comparison.changes)
    return _Tested(
        _first([_of_change(change) for change in comparison.changes]),
        problems,
        decides.p,
        decides.test,
        comparison.observations,
    )


def _of_change(change: Change) -> Aggregate:
    return Aggregate(
        change.metric,
        (change.before.estimate,),
        (change.after.estimate,),
        change.before,
        change.after,
        change.difference,
        change.p,
        change.detectable,
        () if change.gained is None else (change.gained,),
        () if change.lost is None else (change.lost,),
    )


def _first(aggregates: Sequence[Aggregate]) -> tuple[Aggregate, ...]:
    """The metric that decides in front."""
    decides = deciding(aggregates)
    return (decides, *(one for one in aggregates if one is not decides))


# Words


def same_size(model: Entrant, versus: Entrant) -> bool:
    """Whether the parameters differ by at most 10 % of the other's."""
    return abs(model.parameters - versus.parameters) <= SAME_SIZE * versus.parameters


def _contrast(
    declared: Declared,
    entrants: Mapping[str, Entrant],
    tested: _Tested,
    p_holm: float,
    family: int,
    evidence: Evidence,
) -> Contrast:
    model, versus = entrants[declared.model], entrants[declared.versus]
    decides, fair = tested.aggregates[0], same_size(model, versus)
    assert decides.difference is not None
    word = _word(decides.difference.estimate, p_holm if tested.enough else 1.0)
    unfair = word is Outcome.IMPROVED and not fair
    word = Outcome.NO_EVIDENCE if unfair else word
    remarks = [*evidence.remarks.get((declared.model, declared.task), ())]
    if len(model.seeds) == 1:
        remarks.append("one training seed")
    start = _unfair(model, versus) if unfair else _head(word, decides, remarks)
    if not tested.enough:
        start = f"no verdict: {tested.observations} problems or clusters, fewer than {FEWEST}"
    claim = f"{start} ({_figures(decides, tested, p_holm, family)})"
    return Contrast(
        declared.model,
        declared.versus,
        declared.task,
        tested.problems,
        tested.aggregates,
        p_holm,
        fair,
        word,
        claim,
        tested.p,
        tested.test,
    )


def _word(difference: float, p: float) -> Outcome:
    if p >= ALPHA or difference == 0:
        return Outcome.NO_EVIDENCE
    return Outcome.IMPROVED if difference > 0 else Outcome.WORSE


def _head(word: Outcome, decides: Aggregate, remarks: Sequence[str]) -> str:
    if word is Outcome.NO_EVIDENCE:
        return f"{word}; the smallest effect this suite could have seen is {points(decides.detectable)} points"
    return ", ".join([word, *remarks])


def _unfair(model: Entrant, versus: Entrant) -> str:
    return (
        f"no verdict: {millions(model.parameters)} parameters against {millions(versus.parameters)} of {versus.label}"
    )


def millions(parameters: int) -> str:
    """A number of parameters in millions."""
    return f"{parameters / 1e6:.3g} M"


def _figures(decides: Aggregate, tested: _Tested, p_holm: float, family: int) -> str:
    assert decides.before is not None and decides.after is not None and decides.difference is not None
    difference = decides.difference
    seeds = f", {len(decides.after_R)} training seeds" if len(decides.after_R) > 1 else ""
    adjusted = f", {p_text(p_holm)} by Holm over {family} tests" if family > 1 else ""
    return (
        f"{decides.metric} {points(decides.after.estimate)} % against {points(decides.before.estimate)} %, difference "
        f"{100 * difference.estimate:+.1f} points [{points(difference.low)}, {points(difference.high)}], "
        f"{p_text(tested.p)}{adjusted}, {tested.problems} problems{seeds}"
    )
