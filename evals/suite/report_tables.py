"""The tables of a suite's report: every figure of every model beside what needs no model, and every test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from rlpath import page
from rlpath.evals.compare import Aggregate, points
from rlpath.evals.report import difference, p_cell, share
from rlpath.evals.suite.answers import headline_of, ordered, tasks
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import Contrast, Entrant, SuiteResult

HEAD = ("", "accuracy", "strict", "flexible", "truncated", "no answer", "undecided")
READINGS = (
    "Accuracy: one greedy completion a problem, judged by our verifier; strict and flexible are the same completions "
    "as a format-bound and a lenient harness would read them. Truncated, no answer, undecided, pass@k, maj@k and mean "
    "tokens are of the sampled completions. maj@k: the most frequent answer of k. Brackets are 95 % intervals over "
    "problems. Grey rows need no model."
)


def percent(value: float) -> str:
    """A share in per cent, one decimal."""
    return f"{100 * value:.1f} %"


def test_name(result: SuiteResult, contrast: Contrast) -> str:
    """The task, and who is compared with whom where there is more than one pair."""
    pairs = {(each.model, each.versus) for each in result.contrasts}
    return contrast.task if len(pairs) == 1 else f"{contrast.task}, {contrast.model} vs {contrast.versus}"


def declared(result: SuiteResult, contrast: Contrast) -> bool:
    """Whether the contrast belongs to the declared family."""
    return f"{contrast.model} vs {contrast.versus} on {contrast.task}" in result.family


# Every figure


def headlines(result: SuiteResult) -> Iterable[str]:
    """One table a task: models, then trivial baselines and guessing."""
    if result.headlines:
        yield page.soft(READINGS)
    for task in tasks(result):
        yield f"<h3>{escape(task)}</h3>"
        yield from _task_table(result, task)


def _task_table(result: SuiteResult, task: str) -> Iterator[str]:
    found = [
        (entrant, headline)
        for entrant in ordered(result)
        for member in entrant.members
        if (headline := headline_of(result, member, task))
    ]
    first = found[0][1]
    ks = list(first.pass_at)
    head = (*HEAD, *(f"pass@{k}" for k in ks), f"maj@{ks[-1]}", "mean tokens", "tokens in all")
    rows = [_headline_row(entrant, headline, ks) for entrant, headline in found]
    yield page.table(head, [*rows, *_trivial_rows(first, ks)])
    for _, headline in found:
        if below := headline.below_trivial:
            yield page.note(
                f"{headline.model} is not above a trivial baseline: {percent(headline.ours.estimate)} against "
                f"{percent(below.accuracy)} of “{below.name}”."
            )


def _headline_row(entrant: Entrant, headline: Headline, ks: list[int]) -> tuple[str, ...]:
    return (
        _row_name(entrant, headline),
        *(share(interval) for interval in (headline.ours, headline.strict, headline.flexible)),
        *(percent(value) for value in (headline.truncated, headline.no_answer, headline.undecided)),
        *(share(headline.pass_at[k]) if k in headline.pass_at else "" for k in ks),
        share(headline.majority_at[ks[-1]]) if ks[-1] in headline.majority_at else "",
        f"{headline.mean_tokens:.1f}",
        f"{headline.tokens:,}",
    )


def _row_name(entrant: Entrant, headline: Headline) -> page.Html:
    role = "" if entrant.role == "model" else f" ({entrant.role})"
    mark = ' <span class="bad">below trivial</span>' if headline.below_trivial else ""
    return page.Html(f"{escape(headline.model)}{role}{mark}")


def _trivial_rows(headline: Headline, ks: list[int]) -> Iterator[tuple[str, ...]]:
    for trivial in headline.trivial:
        yield (_quiet(trivial.name), _quiet(percent(trivial.accuracy)), *[""] * (len(HEAD) - 2 + len(ks) + 3))
    if any(headline.guess_at.values()):
        guesses = [_quiet(percent(headline.guess_at[k])) if k in headline.guess_at else "" for k in ks]
        yield (_quiet("guessing k answers"), *[""] * (len(HEAD) - 1), *guesses, "", "", "")


def _quiet(text: str) -> page.Html:
    return page.Html(f'<span class="soft">{escape(text)}</span>')


# Every test


def contrasts(result: SuiteResult) -> Iterator[str]:
    """The deciding metric of every test; the other metrics folded away, as they decide nothing."""
    if not result.contrasts:
        return
    head = ("test", "metric", "versus", "model", "difference, points", "p", "p, Holm", "smallest visible", "verdict")
    rows = [
        (*_metric_row(result, each, each.aggregates[0])[:6], p_cell(each.p_holm), *_end(each, each.aggregates[0]))
        for each in result.contrasts
    ]
    yield page.table(head, rows)
    yield page.soft(
        f"Paired by problem. Holm's adjustment is over the {len(result.family)} declared tests. Smallest visible: the "
        "smallest true difference, in points, that would have been seen with 80 % power; a smaller one is not ruled "
        "out. In the figure it is grey."
    )
    others = [_other_row(result, each, aggregate) for each in result.contrasts for aggregate in each.aggregates[1:]]
    if others:
        table = page.table((*head[:6], "smallest visible"), others)
        yield f"<details><summary>Other metrics, which decide nothing (p not adjusted)</summary>{table}</details>"


def _metric_row(result: SuiteResult, contrast: Contrast, aggregate: Aggregate) -> tuple[str, ...]:
    return (
        test_name(result, contrast),
        "greedy accuracy" if aggregate.metric == "greedy" else aggregate.metric,
        share(aggregate.before) if aggregate.before else percent(mean(aggregate.before_R)),
        share(aggregate.after) if aggregate.after else percent(mean(aggregate.after_R)),
        difference(aggregate.difference) if aggregate.difference else f"{100 * gain(aggregate):+.1f}, no interval",
        p_cell(aggregate.p_over_problems),
    )


def _end(contrast: Contrast, aggregate: Aggregate) -> tuple[str, str]:
    size = "" if contrast.same_size else " (not of one size)"
    return points(aggregate.detectable), f"{contrast.verdict}{size}"


def _other_row(result: SuiteResult, contrast: Contrast, aggregate: Aggregate) -> tuple[str, ...]:
    return (*_metric_row(result, contrast, aggregate), points(aggregate.detectable))


def mean(values: tuple[float, ...]) -> float:
    """The mean over training seeds."""
    return sum(values) / len(values)


def gain(aggregate: Aggregate) -> float:
    """Model less versus, the mean over training seeds, as a share."""
    return mean(aggregate.after_R) - mean(aggregate.before_R)


def every_seed(result: SuiteResult) -> str:
    """The deciding metric of every training seed, where a model has several."""
    rows = [
        (test_name(result, each), str(seed), aggregate.metric, percent(before), percent(after), _signed(after - before))
        for each in result.contrasts
        if len(each.aggregates[0].after_R) > 1
        for aggregate in each.aggregates[:1]
        for seed, before, after in _by_seed(result.entrant(each.model), aggregate)
    ]
    return page.table(("test", "seed", "metric", "versus", "model", "difference, points"), rows) if rows else ""


def _by_seed(entrant: Entrant, aggregate: Aggregate) -> Iterator[tuple[int | str, float, float]]:
    seeds = entrant.seeds if len(entrant.seeds) == len(aggregate.after_R) else entrant.members
    befores = aggregate.before_R
    if len(befores) != len(aggregate.after_R):
        befores = (mean(befores),) * len(aggregate.after_R)
    yield from zip(seeds, befores, aggregate.after_R, strict=True)


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"
