"""What a suite found, as one value: written to `result.json`, read by the report, the exports and `rlpath prereg`.

Everything a report says is here or in the evaluation files that `answers` names; nothing is computed while drawing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlpath.core.errors import InputError
from rlpath.core.files import read_json, write_atomic
from rlpath.core.stats import Interval
from rlpath.core.types import Outcome
from rlpath.evals.compare.comparison import Aggregate
from rlpath.evals.suite.baselines import TrivialScore
from rlpath.evals.suite.headline import Headline

VERSION = 2
FILE = "result.json"
Role = Literal["model", "baseline", "base"]
Ranking = Literal["robust", "fragile", "reversed", "undecided"]


@dataclass(frozen=True, slots=True)
class Entrant:
    """One row of the tables: a model, or the training seeds of one recipe, which are evaluated each and averaged.

    members: the labels of its subjects, one a training seed (one where it is a single model)
    seeds: the training seeds of `members`, empty for a model without a run
    base: the entrant it was trained from, by label, or ""
    """

    label: str
    role: Role
    members: tuple[str, ...]
    seeds: tuple[int, ...]
    parameters: int
    sha256: tuple[str, ...]
    base: str = ""


@dataclass(frozen=True, slots=True)
class Contrast:
    """An entrant against another on one task. `aggregates` holds every metric, the one that decides first.

    same_size: whether their parameters differ by at most 10 %; without it there is no verdict of "improved"
    p_holm: of the deciding metric, adjusted over the declared family of the whole suite
    claim: the sentence that may be quoted, with whatever limits it ("contamination unchecked", "one training seed")
    p, test: of the deciding metric before adjustment, and the test
    """

    model: str
    versus: str
    task: str
    problems: int
    aggregates: tuple[Aggregate, ...]
    p_holm: float
    same_size: bool
    verdict: Outcome
    claim: str
    p: float = 1.0
    test: str = ""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One task asked by every template, order of examples and with or without chat: accuracy of each, by entrant.

    spread: largest less smallest accuracy of an entrant over the variants
    ranking: whether the same model is ahead under every variant (robust), under some (fragile), each under some
        (reversed), or none under any (undecided); ahead is defined in `sensitivity.rank`
    differences, p: model less versus, paired, by variant; left_out: variants in chat that a model cannot be asked
    """

    task: str
    model: str
    versus: str
    variants: tuple[str, ...]
    accuracies: tuple[float, ...]
    versus_accuracies: tuple[float, ...]
    spread: float
    versus_spread: float
    ranking: Ranking
    differences: tuple[Interval, ...] = ()
    p: tuple[float, ...] = ()
    sentence: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """The same items changed so that the skill needed stays: what an entrant's accuracy does. Paired by item.

    p_holm: adjusted over the probes of one model; clusters: how many observations the items count as
    what: what was changed, in a few words
    """

    task: str
    model: str
    name: str
    items: int
    original: Interval
    changed: Interval
    difference: Interval
    p: float
    p_holm: float = 1.0
    clusters: int = 0
    what: str = ""


@dataclass(frozen=True)
class SuiteResult:
    """A whole suite.

    manifest: command, time, versions, hardware, plan, tasks with their data's hashes, `prereg` where one was given
    headlines: one an entrant's member and task
    answers: evaluation files by "<member label>/<task>/<template>", relative to the result's folder or absolute
    family: the declared tests, "<model> vs <versus> on <task>", that Holm's adjustment is over
    warnings: red lines: another size than the baseline, below a trivial baseline, unchecked contamination …
    contamination: what evals/contamination/verdict.py found, by model label; empty where unchecked
    prereg: the lines of `Checked`, empty without a preregistration
    references: published figures, each with model, task, figure, harness and source: shown, never compared
    analyses: every comparison in the form that `rlpath prereg check` reads
    """

    manifest: Mapping[str, Any]
    entrants: tuple[Entrant, ...]
    headlines: tuple[Headline, ...]
    contrasts: tuple[Contrast, ...]
    answers: Mapping[str, str]
    family: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    contamination: Mapping[str, Any] = field(default_factory=dict)
    sensitivity: tuple[Sensitivity, ...] = ()
    probes: tuple[Probe, ...] = ()
    prereg: tuple[str, ...] = ()
    references: tuple[Mapping[str, str], ...] = ()
    analyses: tuple[Mapping[str, Any], ...] = ()

    def entrant(self, label: str) -> Entrant:
        """The entrant of that label; raises KeyError where there is none."""
        for entrant in self.entrants:
            if entrant.label == label:
                return entrant
        raise KeyError(label)

    def save(self, folder: Path) -> Path:
        """Write `result.json` into the folder, atomically; returns its path."""
        text = json.dumps({"version": VERSION, **asdict(self)}, indent=1, ensure_ascii=False, default=str)
        write_atomic(folder / FILE, text + "\n")
        return folder / FILE


def read_result(folder: Path) -> SuiteResult:
    """The result in a folder. Raises InputError where there is none, or one of another version."""
    path = folder / FILE
    row = read_json(path)
    if row.pop("version", None) != VERSION:
        raise InputError(f"{path} was written by another version of the suite: evaluate again into a new --out")
    try:
        return _result(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error!r}): remove it and evaluate again") from None


def _result(row: dict[str, Any]) -> SuiteResult:
    parts: dict[str, Any] = {
        "entrants": tuple(Entrant(**_tuples(each)) for each in row["entrants"]),
        "headlines": tuple(_headline(each) for each in row["headlines"]),
        "contrasts": tuple(_contrast(each) for each in row["contrasts"]),
        "sensitivity": tuple(_sensitivity(each) for each in row["sensitivity"]),
        "probes": tuple(_probe(each) for each in row["probes"]),
        "references": tuple(row["references"]),
        "analyses": tuple(row["analyses"]),
    }
    return SuiteResult(**(_tuples(row) | parts))


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _headline(row: dict[str, Any]) -> Headline:
    row = _tuples(row)
    for name in ("strict", "flexible", "ours"):
        row[name] = Interval(**row[name])
    for name in ("pass_at", "majority_at"):
        row[name] = {int(k): Interval(**value) for k, value in row[name].items()}
    row["guess_at"] = {int(k): value for k, value in row["guess_at"].items()}
    row["trivial"] = tuple(_trivial(each) for each in row["trivial"])
    return Headline(**row)


def _trivial(row: dict[str, Any]) -> TrivialScore:
    interval = row["interval"]
    return TrivialScore(**{**row, "interval": None if interval is None else Interval(**interval)})


def _contrast(row: dict[str, Any]) -> Contrast:
    parts: dict[str, Any] = {
        "aggregates": tuple(_aggregate(each) for each in row["aggregates"]),
        "verdict": Outcome(row["verdict"]),
    }
    return Contrast(**(_tuples(row) | parts))


def _aggregate(row: dict[str, Any]) -> Aggregate:
    row = _tuples(row)
    for name in ("before", "after", "difference"):
        row[name] = None if row[name] is None else Interval(**row[name])
    return Aggregate(**row)


def _sensitivity(row: dict[str, Any]) -> Sensitivity:
    row = _tuples(row)
    row["differences"] = tuple(Interval(**each) for each in row["differences"])
    return Sensitivity(**row)


def _probe(row: dict[str, Any]) -> Probe:
    row = {name: Interval(**value) if isinstance(value, dict) else value for name, value in row.items()}
    return Probe(**row)
