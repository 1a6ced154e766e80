"""Every problem with the greedy completions of all models side by side, filtered without a script.

Filters are radio buttons that style sheet rules read, so the page stays one file that runs nothing. A large task is cut
to `SHOWN` problems, or to as many as are asked for: all that changed first, then others evenly spaced, so that what is
left out was not chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rlpath.core.types import Status
from rlpath.evals.measure.evaluation import Evaluation, Sample
from rlpath.evals.report.run_report import spread
from rlpath.evals.suite.answers import Answers, ordered, tasks
from rlpath.evals.suite.result import Entrant, SuiteResult
from rlpath.report import page

SHOWN = 200
LONGEST = 3000
FILTERS = {
    "all": "all",
    "changed": "changed",
    "up": "wrong → right",
    "down": "right → wrong",
    "cut": "truncated",
    "silent": "no answer",
}


@dataclass(frozen=True)
class Browser:
    """The parts of the section, and the style sheet with its filters."""

    parts: tuple[str, ...]
    style: str


@dataclass(frozen=True, slots=True)
class Side:
    """One entrant's greedy completion of a problem; `right` of its `samples` sampled ones are right.

    member: of several training seeds the one that is shown
    versus: the entrant it is tested against, "" for a baseline
    """

    label: str
    member: str
    versus: str
    sample: Sample
    right: int
    samples: int


@dataclass(frozen=True, slots=True)
class BrowserProblem:
    """One problem of a task with all its sides, and the filters that let it through."""

    task: str
    sides: tuple[Side, ...]
    kinds: frozenset[str]


def browse(result: SuiteResult, answers: Answers, limit: int = SHOWN) -> Browser:
    """The browser over all tasks, at most `limit` problems of each."""
    found = {task: list(_items(result, answers, task)) for task in tasks(result)}
    shown = {task: choose(items, limit) for task, items in found.items()}
    items = [item for chosen in shown.values() for item in chosen]
    if not items:
        return Browser((), "")
    names = list(found)
    rows = (_row(item, names.index(item.task)) for item in items)
    body = page.browser(_filters(items, names), rows, "No problem of this kind.")
    return Browser((page.soft(_said(result, found, shown)), body), page.style("browser") + _rules(items, names))


def choose(items: Sequence[BrowserProblem], limit: int) -> list[BrowserProblem]:
    """At most `limit` items: those that changed first, then the others, evenly spaced where they are too many."""
    changed = [item for item in items if "changed" in item.kinds]
    others = [item for item in items if "changed" not in item.kinds]
    kept = _spaced(changed, limit)
    return [*kept, *_spaced(others, limit - len(kept))]


def _spaced(items: Sequence[BrowserProblem], limit: int) -> list[BrowserProblem]:
    numbers = spread([str(i) for i in range(len(items))], limit)
    return [items[int(number)] for number in numbers]


def _items(result: SuiteResult, answers: Answers, task: str) -> Iterator[BrowserProblem]:
    versus = {each.model: each.versus for each in reversed(result.contrasts) if each.task == task}
    sides = [
        _sides(entrant, versus.get(entrant.label, ""), answers[entrant.members[0], task])
        for entrant in ordered(result)
        if (entrant.members[0], task) in answers
    ]
    for id in sides[0]:
        of_problem = tuple(side[id] for side in sides if id in side)
        yield BrowserProblem(task, of_problem, frozenset(_kinds(of_problem)))


def _sides(entrant: Entrant, versus: str, evaluation: Evaluation) -> dict[str, Side]:
    right, n = evaluation.correct("sample"), evaluation.protocol.samples
    names = (entrant.label, entrant.members[0], versus)
    return {
        sample.problem_id: Side(*names, sample, right.get(sample.problem_id, 0), n)
        for sample in evaluation.of("greedy")
    }


def _kinds(sides: Sequence[Side]) -> Iterator[str]:
    yield "all"
    by_label = {side.label: side.sample.status is Status.CORRECT for side in sides}
    for side in sides:
        if side.versus in by_label and by_label[side.label] != by_label[side.versus]:
            yield from ("changed", "up" if by_label[side.label] else "down")
        if side.sample.finish_reason == "length":
            yield "cut"
        if side.sample.status is Status.NO_ANSWER:
            yield "silent"


def _said(result: SuiteResult, found: dict[str, list[BrowserProblem]], shown: dict[str, list[BrowserProblem]]) -> str:
    text = "One greedy completion of every model; tap a line to read them. Right and wrong are our verifier's."
    if any(len(entrant.members) > 1 for entrant in result.entrants):
        text += " Of several training seeds the first is shown; the others are in the evaluation files."
    cut = [
        f"{len(shown[task])} of {len(items)} of {task}"
        for task, items in found.items()
        if len(items) > len(shown[task])
    ]
    if cut:
        text += (
            f" To keep the page light, {', '.join(cut)} are shown: first those whose verdict changed, then others "
            "evenly spaced over the set. All are in the evaluation files."
        )
    return text


# Filters and rows


def _filters(items: Sequence[BrowserProblem], names: Sequence[str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    yield "show", [(kind, f"{word} {_count(items, kind)}") for kind, word in FILTERS.items()]
    if len(names) > 1:
        yield "task", [("all", "all tasks"), *((str(i), name) for i, name in enumerate(names))]


def _count(items: Iterable[BrowserProblem], kind: str, task: str | None = None) -> int:
    return sum(kind in item.kinds and task in (None, item.task) for item in items)


def _rules(items: Sequence[BrowserProblem], names: Sequence[str]) -> str:
    """Hide what a filter leaves out, and say so where two filters together leave nothing."""
    hidden = [f"#show-{kind}:checked ~ .list > .one:not(.{kind})" for kind in FILTERS if kind != "all"]
    empty = [f"#show-{kind}:checked ~ .list > .nothing" for kind in FILTERS if not _count(items, kind)]
    if len(names) > 1:
        hidden += [f"#task-{i}:checked ~ .list > .one:not(.t{i})" for i in range(len(names))]
        empty += [
            f"#show-{kind}:checked ~ #task-{i}:checked ~ .list > .nothing"
            for kind in FILTERS
            for i, name in enumerate(names)
            if not _count(items, kind, name)
        ]
    shown = f"{', '.join(empty)} {{ display: block; }}\n" if empty else ""
    return f"{', '.join(hidden)} {{ display: none; }}\n{shown}"


def _row(item: BrowserProblem, number: int) -> str:
    first = item.sides[0].sample
    sides = [
        page.completion(_named(side), side.sample.status, _fitted(side), side.sample.tokens) for side in item.sides
    ]
    return page.browser_row(
        [*sorted(item.kinds), f"t{number}"],
        item.task,
        _start(first.prompt),
        [side.sample.status for side in item.sides],
        page.sample(first.prompt, first.gold, sides),
    )


def _named(side: Side) -> str:
    cut = ", cut at the limit" if side.sample.finish_reason == "length" else ""
    right = f" ({side.right} of {side.samples} samples right)" if side.samples else ""
    return f"{side.member}{cut}{right}"


def _start(prompt: str, length: int = 90) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= length else f"{line[:length].rstrip()}…"


def _fitted(side: Side) -> str:
    """The completion, its middle left out where it is very long: answers stand at the end."""
    text = side.sample.completion
    left_out = len(text) - LONGEST
    if left_out <= 0:
        return text
    return f"{text[: LONGEST // 2]}\n[… {left_out:,} characters left out …]\n{text[-LONGEST // 2 :]}"
