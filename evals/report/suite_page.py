"""`report.html` of a suite: did it improve, may it be said, what stands against it; then the evidence.

Made from a `SuiteResult` and the evaluation files it names, and from nothing else: one file without scripts that opens
offline and can be sent to anyone. Nothing is computed here that result.json does not hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rlpath.core.files import disk_errors, write_atomic
from rlpath.core.types import Outcome
from rlpath.evals.contamination.verdict import UNCHECKED
from rlpath.evals.report import suite_figures as report_figures
from rlpath.evals.report import suite_sections as sections
from rlpath.evals.report import suite_tables as tables
from rlpath.evals.report.browser import SHOWN, browse
from rlpath.evals.suite.answers import read_answers, tasks
from rlpath.evals.suite.result import Contrast, SuiteResult
from rlpath.report import page


def write_report(result: SuiteResult, folder: Path, *, shown: int = SHOWN) -> Path:
    """Write `report.html` into the folder of `result.json` and return its path.

    At most `shown` problems of each task are in it, with their completions. Raises InputError where an evaluation file
    that the result names is missing or damaged.
    """
    answers = read_answers(result, folder)
    browser = browse(result, answers, shown)
    title = title_of(result)
    body = [
        page.heading(title),
        page.soft(_about(result)),
        *_verdicts(result),
        _red_lines(result),
        page.section("Every figure", *tables.headlines(result)),
        page.section("Every test", *tables.contrasts(result), page.plots([report_figures.forest(result)])),
        page.section("Every training seed", tables.every_seed(result)),
        page.section("pass@k", *_curves(result)),
        page.section("Does the wording of the prompt decide it?", *sections.sensitivity(result)),
        page.section("Does the skill hold when the items change?", *sections.probes(result)),
        page.section("Contamination", *sections.contamination(result)),
        page.section("Preregistration", *sections.preregistration(result)),
        page.section("Published by others", *sections.references(result)),
        page.section("Every problem", *browser.parts),
        page.section("Protocol", *sections.protocol(result, answers)),
        page.section("Where this comes from", *sections.provenance(result)),
    ]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    write_atomic(path, page.page(title, [part for part in body if part], page.style("suite") + browser.style))
    return path


def title_of(result: SuiteResult) -> str:
    """Which models against which baseline."""
    models = [entrant.label for entrant in result.entrants if entrant.role == "model"]
    others = [entrant.label for entrant in result.entrants if entrant.role == "baseline"]
    named = ", ".join(models or [entrant.label for entrant in result.entrants])
    return f"{named} against {', '.join(others)}" if models and others else named


def _about(result: SuiteResult) -> str:
    sizes = {headline.task: headline.problems for headline in result.headlines}
    time = str(result.manifest.get("started", ""))[:16].replace("T", " ")
    parts = [", ".join(f"{task} ({size} problems)" for task, size in sizes.items()), time]
    return " · ".join(part for part in parts if part)


# What may be said


def _verdicts(result: SuiteResult) -> Iterable[str]:
    if not result.contrasts:
        yield page.note("There is no baseline here, so nothing can be said to have improved.")
        return
    yield _standing(result)
    yield from (_verdict(result, contrast) for contrast in result.contrasts)


def _standing(result: SuiteResult) -> str:
    """The count of every verdict in one line, with the limit that none may go without, and how many warnings follow."""
    counts = Counter(contrast.verdict for contrast in result.contrasts)
    words = ", ".join(f"{word} on {counts[word]}" for word in (Outcome.IMPROVED, Outcome.WORSE) if counts[word])
    line = f"{words or 'No evidence of improvement on any'} of {_counted(len(result.contrasts), 'test')}"
    if any(each.verdict == Outcome.IMPROVED and UNCHECKED in each.claim for each in result.contrasts):
        line += f", {UNCHECKED}"
    warned = _counted(len(set(result.warnings)), "warning")
    return page.standing(f"{line[:1].upper()}{line[1:]}.", warned if result.warnings else "")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s'[: count != 1]}"


def _verdict(result: SuiteResult, contrast: Contrast) -> str:
    """What may be said with its limits large, the figures behind it under it."""
    label = "" if tables.declared(result, contrast) else "not declared: exploratory"
    said, bracket, figures = contrast.claim.partition(" (")
    large, _, small = said.partition("; ")
    rest = small[:1].upper() + small[1:] + bracket + figures if small else figures.removesuffix(")")
    name = f"{tables.test_name(result, contrast)}: {large}"
    return page.outcome_box(contrast.verdict, name, _sentence(rest), label)


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _red_lines(result: SuiteResult) -> str:
    if not result.warnings:
        return ""
    return page.warnings("What stands against it", [_sentence(warning) for warning in result.warnings])


def _curves(result: SuiteResult) -> Iterable[str]:
    drawn = [report_figures.pass_curve(result, task, f"pass-{i}") for i, task in enumerate(tasks(result))]
    if any(drawn):
        yield page.soft(
            "The chance that at least one of k sampled completions is right, unbiased, with 95 % intervals over "
            "problems. Guessing: the k most frequent answers of the set given to every problem."
        )
        yield page.plots(drawn)
