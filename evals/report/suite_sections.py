"""What else a suite's report says: prompts, probes, contamination, preregistration, others' figures, the protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlpath.evals.compare.comparison import points
from rlpath.evals.compare.prereg_check import PreregFinding
from rlpath.evals.report import suite_figures as figures
from rlpath.evals.report.run_report import difference, p_cell, share
from rlpath.evals.report.suite_tables import percent
from rlpath.evals.suite.answers import Answers, ordered
from rlpath.evals.suite.result import Sensitivity, SuiteResult
from rlpath.report import page

RANKINGS = {
    "robust": "the same model is ahead under every variant",
    "fragile": "a model is ahead under some variants only",
    "reversed": "each model is ahead under some variants",
    "undecided": "no model is ahead under any variant",
}
KIND_OF_FINDING = {
    PreregFinding.MET: "correct",
    PreregFinding.NOT_MET: "wrong",
    PreregFinding.CHANGED: "wrong",
    PreregFinding.DEPARTURE: "wrong",
}
PLAIN_LISTED = 5


# Prompts and items


def sensitivity(result: SuiteResult) -> Iterator[str]:
    """Spread over templates, orders of examples and with or without chat, and whether the ranking survives."""
    if not result.sensitivity:
        yield page.soft("Not asked: every figure here is of one template a task. --sensitivity asks all of them.")
    for i, found in enumerate(result.sensitivity):
        yield page.subheading(f"{found.task}: {found.model} vs {found.versus}")
        said = found.sentence.removeprefix(f"{found.ranking}: ") or RANKINGS[found.ranking]
        yield page.paragraph(
            f"{said}. Spread over {len(found.variants)} variants: {points(found.spread)} points for {found.model}, "
            f"{points(found.versus_spread)} for {found.versus}.",
            found.ranking.capitalize(),
            bad=found.ranking != "robust",
        )
        if found.left_out:
            yield page.soft(f"Left out, as a model has no chat template: {', '.join(found.left_out)}.")
        yield page.plots([figures.sensitivity_plot(found, f"sensitivity-{i}")])
        yield _variants(found)


def _variants(found: Sensitivity) -> str:
    rows = [
        (variant, percent(other), percent(own), *_compared(found, i, own - other))
        for i, (variant, own, other) in enumerate(
            zip(found.variants, found.accuracies, found.versus_accuracies, strict=True)
        )
    ]
    table = page.table(("variant", found.versus, found.model, "difference, points", "p"), rows)
    return page.folded("The figures", table)


def _compared(found: Sensitivity, i: int, gain: float) -> tuple[str, str]:
    """The paired difference under a variant with its p, where the result has them."""
    between = difference(found.differences[i]) if found.differences else f"{100 * gain:+.1f}"
    return between, p_cell(found.p[i]) if found.p else ""


def probes(result: SuiteResult) -> Iterator[str]:
    """What changed items do to accuracy."""
    if not result.probes:
        yield page.soft("Not asked: nothing here tells a skill from items remembered.")
        return
    head = ("task, change", "model", "difference, points", "p, Holm", "original", "changed", "items", "what changed")
    rows = [
        (
            f"{probe.task}, {probe.name}",
            probe.model,
            difference(probe.difference),
            p_cell(probe.p_holm),
            share(probe.original),
            share(probe.changed),
            str(probe.items),
            probe.what,
        )
        for probe in result.probes
    ]
    yield page.table(head, rows)
    yield page.soft(
        "Paired by item; Holm's adjustment is over the changes of one model. A skill keeps its accuracy where only "
        "names or numbers change."
    )
    yield page.plots([figures.probes_plot(result.probes)])


# What limits a claim


def contamination(result: SuiteResult) -> Iterator[str]:
    """What was found for each model, or that nobody looked."""
    unchecked = [entrant.label for entrant in ordered(result) if not _found(result, (entrant.label, *entrant.members))]
    if unchecked:
        yield page.note(
            f"Contamination unchecked: {', '.join(unchecked)}. Whether the test items stand in the training text is "
            "not known, so no score here may be quoted without saying so."
        )
    for label, found in result.contamination.items():
        if found:
            yield page.subheading(label)
            yield from _finding(found)


def _found(result: SuiteResult, labels: Sequence[str]) -> bool:
    return any(result.contamination.get(label) for label in labels)


def _finding(found: Any) -> Iterator[str]:
    """A finding as its sentence, its tables (lists of rows) and what else it holds, whatever the check was."""
    if not isinstance(found, Mapping):
        yield page.paragraph(str(found))
        return
    if "sentence" in found:
        yield page.paragraph(str(found["sentence"]))
    tables = {name: value for name, value in found.items() if _is_table(value)}
    yield from (_rows(value) for value in tables.values())
    rest = {name: value for name, value in found.items() if name not in tables and name != "sentence"}
    if rest:
        yield page.soft(" · ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in rest.items()))


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_plain(row.get(name, "")) for name in names] for row in rows]
    return page.table([name.replace("_", " ") for name in names], cells)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - PLAIN_LISTED:,} more" if len(value) > PLAIN_LISTED else ""
        return ", ".join(_plain(each) for each in value[:PLAIN_LISTED]) + more
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else str(value)


def preregistration(result: SuiteResult) -> Iterator[str]:
    """The lines of the check, each with its outcome in color."""
    if not result.prereg:
        yield page.note("No preregistration was recorded before this evaluation: every test in it is exploratory.")
        return
    yield page.items(_prereg_line(line) for line in result.prereg)


def _prereg_line(line: str) -> tuple[str, str, str]:
    opening, colon, rest = line.partition(": ")
    if not colon or opening not in list(PreregFinding):
        return "", "", line
    finding = PreregFinding(opening)
    return KIND_OF_FINDING.get(finding, ""), finding, rest


def references(result: SuiteResult) -> Iterator[str]:
    """Figures that others published, never beside ours."""
    if result.references:
        yield page.note(
            "Measured by others, under other harnesses, prompts and decoding: for orientation, not for comparison with "
            "any figure above."
        )
        yield _rows(result.references)


# How it was done


def protocol(result: SuiteResult, answers: Answers) -> Iterator[str]:
    """What was asked and how, from the evaluation files; and who was asked."""
    head = (
        "task",
        "template",
        "problems",
        "split",
        "samples",
        "temperature",
        "max tokens",
        "seed",
        "verifier",
        "sha256",
    )
    rows = {}
    for headline in result.headlines:
        asked = answers[headline.model, headline.task].protocol
        decoding = asked.sampled or asked.greedy
        rows[headline.task] = (
            headline.task,
            headline.template,
            str(asked.problems),
            asked.split,
            str(asked.samples) if asked.samples else "greedy alone",
            f"{decoding.temperature:g}",
            str(decoding.max_tokens),
            str(decoding.seed),
            asked.verifier,
            f"sha256 {asked.sha256[:12]}",
        )
    if rows:
        yield page.table(head, rows.values())
    yield from _templates(result)
    yield page.table(("entrant", "role", "parameters", "training seeds", "trained from", "sha256"), _entrants(result))
    if result.family:
        title = f"The {len(result.family)} declared tests, over which p is adjusted"
        yield page.folded(title, page.items(("", "", name) for name in result.family))


def _templates(result: SuiteResult) -> Iterator[str]:
    """The words around the question, where the manifest has them."""
    for task in result.manifest.get("tasks") or ():
        if isinstance(template := task.get("template"), Mapping):
            how = "as a user turn" if template.get("chat", True) else "as plain text"
            shots = f", after {template['shots']} solved examples" if template.get("shots") else ""
            yield page.soft(f"{task['name']}, {how}{shots}: “{template['text']}”")


def _entrants(result: SuiteResult) -> Iterator[tuple[str, ...]]:
    for entrant in ordered(result):
        yield (
            entrant.label,
            entrant.role,
            f"{entrant.parameters:,}",
            ", ".join(map(str, entrant.seeds)) or "none",
            entrant.base or "unknown",
            ", ".join(digest[:12] for digest in entrant.sha256),
        )


def provenance(result: SuiteResult) -> Iterator[str]:
    """The manifest, and the files with every completion."""
    yield page.details("Manifest: command, versions, hardware, plan, data", result.manifest)
    yield page.details("Evaluation files: every completion with its verdict", result.answers)
    yield page.soft("All figures of this page are in result.json beside it.")
