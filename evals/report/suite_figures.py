"""The figures of a suite's report: differences under each other, pass@k, and the prompts' spread."""

from __future__ import annotations

from rlpath.core.types import Outcome
from rlpath.evals.report.suite_tables import gain, metric_name, seed_gains, test_name
from rlpath.evals.suite.answers import headline_of, ordered
from rlpath.evals.suite.result import Contrast, Entrant, Probe, Sensitivity, SuiteResult
from rlpath.report import plots
from rlpath.report.plots import Mark, Points, Row

COLORS = {Outcome.IMPROVED: plots.GREEN, Outcome.WORSE: plots.RED, Outcome.NO_EVIDENCE: plots.GRAY}
MODELS = (plots.BLUE, plots.PURPLE, plots.ORANGE, plots.GREEN, plots.RED)
OTHERS = {"baseline": plots.GRAY, "base": "#a07a4c"}
LABEL = 30


def forest(result: SuiteResult) -> str:
    """The difference of every test with its interval, over what it could not have seen; "" where there is no test."""
    rows = [_forest_row(result, contrast) for contrast in result.contrasts]
    title = "Model less versus, 95 % intervals"
    return plots.rows_plot("forest", title, rows, xlabel="percentage points", differences=True) if rows else ""


def _forest_row(result: SuiteResult, contrast: Contrast) -> Row:
    aggregate = contrast.aggregates[0]
    found, color = aggregate.difference, COLORS[contrast.verdict]
    mark = Mark(found.estimate, found.low, found.high, color) if found else Mark(gain(aggregate), color=color)
    label = f"{test_name(result, contrast)} ({metric_name(aggregate)})"
    return Row(label, (mark,), min(1.0, aggregate.detectable), seed_gains(aggregate))


def pass_curve(result: SuiteResult, task: str, name: str) -> str:
    """pass@k of every entrant on a task, each training seed a line, and of guessing; "" for a single k."""
    series: list[Points] = []
    guesses: dict[int, float] = {}
    for position, (entrant, color) in enumerate(_colored(result)):
        for number, member in enumerate(entrant.members):
            headline = headline_of(result, member, task)
            if headline is None:
                continue
            guesses = guesses or headline.guess_at
            ks, found = list(headline.pass_at), list(headline.pass_at.values())
            # Bars of one k stand beside each other.
            xs = [k * 1.02 ** (position + 0.3 * number) for k in ks]
            limits = [i.low for i in found], [i.high for i in found]
            label = "" if number else shortened(entrant.label)
            series.append(Points(label, xs, [i.estimate for i in found], *limits, color))
    ks = list(guesses)
    if len(ks) < 2:
        return ""
    if any(guesses.values()):
        values = list(guesses.values())
        series.append(Points("guessing", ks, values, values, values, "#c9a400"))
    return plots.points_plot(name, task, series, xlabel="k", xticks=ks, log2=True, fit=True)


def sensitivity_plot(found: Sensitivity, name: str) -> str:
    """Accuracy of model and versus under every variant."""
    rows = [
        Row(variant, (Mark(other, color=plots.GRAY, label=versus), Mark(own, color=plots.BLUE, label=model)))
        for variant, own, other in zip(found.variants, found.accuracies, found.versus_accuracies, strict=True)
        for versus, model in ((shortened(found.versus), shortened(found.model)),)
    ]
    return plots.rows_plot(name, found.task, rows, xlabel="accuracy")


def probes_plot(found: tuple[Probe, ...]) -> str:
    """What every change of the items did to accuracy."""
    rows = [
        Row(
            f"{probe.task}, {probe.name}: {shortened(probe.model)}",
            (Mark(probe.difference.estimate, probe.difference.low, probe.difference.high),),
        )
        for probe in found
    ]
    title = "Changed items less original ones, 95 % intervals"
    return plots.rows_plot("probes", title, rows, xlabel="percentage points", differences=True) if rows else ""


def shortened(label: str) -> str:
    """A label that fits a legend: the end of a long name tells models apart."""
    return label if len(label) <= LABEL else f"…{label[1 - LABEL :]}"


def _colored(result: SuiteResult) -> list[tuple[Entrant, str]]:
    """Every entrant with the color of its curves."""
    models = [entrant for entrant in ordered(result) if entrant.role == "model"]
    colors = {entrant.label: MODELS[i % len(MODELS)] for i, entrant in enumerate(models)}
    return [(entrant, colors.get(entrant.label) or OTHERS[entrant.role]) for entrant in ordered(result)]
