"""A preregistration: what will be measured and what will be said of it, written down before anything is run.

A TOML file, `prereg.toml` beside a recipe or any file by name:

    hypothesis = "GRPO with a verifiable reward raises accuracy on held-out sums."
    models = ["grpo_arithmetic"]
    baseline = "smollm2-135m-instruct"
    tasks = ["arithmetic:add-1"]
    metric = "pass@1"
    n = 20
    seeds = [0, 1, 2]

    [[rule]]
    name = "improved"
    task = "arithmetic:add-1"
    metric = "pass@1"
    when = "low > 0 and p < 0.05"
    then = "say that training improved accuracy"

`when` joins comparisons of an analysis's figures with numbers: value, baseline, difference, low, high, p.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError

FIGURES = ("value", "baseline", "difference", "low", "high", "p")
_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(-?\d*\.?\d+)\s*")
_WANTED: dict[type, str] = {str: "text", list: "a list that is not empty", int: "a whole number"}
_FIELDS: dict[str, type] = {
    "hypothesis": str,
    "models": list,
    "baseline": str,
    "tasks": list,
    "metric": str,
    "n": int,
    "seeds": list,
    "rule": list,
}
_RULE_FIELDS = ("name", "task", "metric", "when", "then")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: a figure, how it is compared, and with what."""

    figure: str
    comparison: str
    number: float

    def holds(self, figures: Mapping[str, float]) -> bool:
        """Whether the figures of an analysis meet it."""
        return _COMPARISONS[self.comparison](figures[self.figure], self.number)


@dataclass(frozen=True, slots=True)
class Rule:
    """What will be said (`then`) of a task and metric if its figures meet `when`; `model` "" stands for any."""

    name: str
    task: str
    metric: str
    when: str
    then: str
    model: str = ""

    @property
    def conditions(self) -> list[Condition]:
        """The comparisons that `when` joins by "and". Raises InputError where it is no such sentence."""
        found = []
        for part in self.when.split(" and "):
            match = _CONDITION.fullmatch(part)
            if match is None or match[1] not in FIGURES:
                raise InputError(
                    f'rule {self.name!r} has when = "{self.when}": join comparisons such as "low > 0" by "and", '
                    f"of the figures {', '.join(FIGURES)}"
                )
            found.append(Condition(match[1], match[2], float(match[3])))
        return found

    def met(self, figures: Mapping[str, float]) -> bool:
        """Whether all its comparisons hold."""
        return all(condition.holds(figures) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Preregistration:
    """The declared plan: `n` problems a task, `seeds` of training, one metric that decides, and the rules."""

    hypothesis: str
    models: tuple[str, ...]
    baseline: str
    tasks: tuple[str, ...]
    metric: str
    n: int
    seeds: tuple[int, ...]
    rules: tuple[Rule, ...]
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_prereg(path: Path) -> Preregistration:
    """A preregistration from its file. Raises InputError where it is missing or incomplete, naming the field."""
    if not path.is_file():
        raise InputError(f"preregistration {path} does not exist; write it or leave out the option")
    try:
        return parse_prereg(path.read_bytes().decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise InputError(f"preregistration {path} is not UTF-8 text") from None


def parse_prereg(text: str, name: str) -> Preregistration:
    """The same from text; `name` says in errors where it is from."""
    try:
        row = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"preregistration {name} is not TOML: {error}") from None
    for field, kind in _FIELDS.items():
        if not isinstance(row.get(field), kind) or isinstance(row[field], bool) or row[field] in ("", [], ()):
            raise InputError(f"preregistration {name} needs {field}: {_WANTED[kind]}")
    unknown = sorted(set(row) - set(_FIELDS))
    if unknown:
        raise InputError(f"preregistration {name} has an unknown field {unknown[0]}; known: {', '.join(_FIELDS)}")
    _check_lists(row, name)
    return Preregistration(
        row["hypothesis"],
        tuple(row["models"]),
        row["baseline"],
        tuple(row["tasks"]),
        row["metric"],
        row["n"],
        tuple(row["seeds"]),
        tuple(_rule(rule, row, name) for rule in row["rule"]),
        text,
    )


def _check_lists(row: Mapping[str, Any], name: str) -> None:
    for field in ("models", "tasks"):
        if not all(isinstance(word, str) and word for word in row[field]):
            raise InputError(f"preregistration {name} has a {field[:-1]} that is not text")
    seeds = row["seeds"]
    if not all(type(seed) is int for seed in seeds) or len(set(seeds)) < len(seeds):
        raise InputError(f"preregistration {name} needs seeds: whole numbers, each once")
    if row["n"] < 1:
        raise InputError(f"preregistration {name} declares n = {row['n']}: at least 1 problem is needed")


def _rule(rule: Any, row: Mapping[str, Any], name: str) -> Rule:
    if not isinstance(rule, dict):
        raise InputError(f"preregistration {name}: each [[rule]] is a table with {', '.join(_RULE_FIELDS)}")
    for field in (*_RULE_FIELDS, *(key for key in rule if key not in _RULE_FIELDS)):
        if field not in (*_RULE_FIELDS, "model"):
            raise InputError(f"preregistration {name}: a rule has an unknown field {field}")
        if not isinstance(rule.get(field), str) or not rule[field]:
            raise InputError(f"preregistration {name}: rule {rule.get('name', '?')!r} needs {field}: text")
    made = Rule(**rule)
    made.conditions  # noqa: B018  raises where the sentence cannot be read
    if made.task not in row["tasks"]:
        raise InputError(f"preregistration {name}: rule {made.name!r} is about {made.task}, which is not among tasks")
    return made


def prereg_text(
    hypothesis: str,
    *,
    models: Sequence[str],
    baseline: str,
    tasks: Sequence[str],
    metric: str,
    n: int,
    seeds: Sequence[int],
) -> str:
    """The text of a preregistration with the usual rule for each task: better, and not by chance."""
    lines = prereg_head(hypothesis, models=models, baseline=baseline, tasks=tasks, metric=metric, n=n, seeds=seeds)
    for task in tasks:
        rule = {
            "name": f"improved on {task}",
            "task": task,
            "metric": metric,
            "when": "low > 0 and p < 0.05",
            "then": "say that it improved",
        }
        lines += rule_lines(rule)
    return "\n".join(lines) + "\n"


def prereg_head(
    hypothesis: str,
    *,
    models: Sequence[str],
    baseline: str,
    tasks: Sequence[str],
    metric: str,
    n: int,
    seeds: Sequence[int],
) -> list[str]:
    """The lines of a preregistration before its rules."""
    head = {
        "hypothesis": hypothesis,
        "models": list(models),
        "baseline": baseline,
        "tasks": list(tasks),
        "metric": metric,
        "n": n,
        "seeds": list(seeds),
    }
    return _toml(head)


def rule_lines(rule: Mapping[str, str]) -> list[str]:
    """The lines of one rule, given by the fields of `Rule`."""
    return ["", "[[rule]]", *_toml(rule)]


def _toml(fields: Mapping[str, Any]) -> list[str]:
    """A line a field: a JSON string, number or flat list is TOML too."""
    return [f"{field} = {json.dumps(value, ensure_ascii=False)}" for field, value in fields.items()]
