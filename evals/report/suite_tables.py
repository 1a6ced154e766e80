"""The tables of a suite's report: every figure of every model beside what needs no model, and every test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rlpath.evals.compare.comparison import Aggregate, points
from rlpath.evals.report.run_report import difference, p_cell, share
from rlpath.evals.suite.answers import headline_of, ordered, tasks
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import Contrast, Entrant, SuiteResult
from rlpath.report import page

HEAD = ("greedy", "accuracy", "strict", "flexible", "truncated", "no answer", "undecided")
LENGTHS = ("mean tokens", "tokens in all")
TESTED = ("difference, points", "p, Holm", "smallest visible", "p", "versus", "model")
READINGS = (
    "Accuracy: one greedy completion a problem, judged by our verifier; strict and flexible are the same completions "
    "as a format-bound and a lenient harness would read them. All else is of the sampled completions where there are "
    "some; maj@k: the most frequent answer of k. Brackets are 95 % intervals over problems. Gray rows need no model."
)


def percent(value: float) -> str:
    """A share in percent, one decimal."""
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
        yield page.subheading(task)
        yield from _task_table(result, task)


def _task_table(result: SuiteResult, task: str) -> Iterator[str]:
    found = [
        (entrant, headline)
        for entrant in ordered(result)
        for member in entrant.members
        if (headline := headline_of(result, member, task))
    ]
    first = found[0][1]
    trivial = [
        (page.quiet(each.name), page.quiet(percent(each.accuracy)), *[""] * (len(HEAD) - 2)) for each in first.trivial
    ]
    yield page.table(HEAD, [*(_readings(entrant, headline) for entrant, headline in found), *trivial])
    below = [(headline, best) for _, headline in found if (best := headline.below_trivial)]
    if below:
        models = ", ".join(f"{headline.model} ({percent(headline.ours.estimate)})" for headline, _ in below)
        best = below[0][1]
        yield page.note(f"Not above a trivial baseline, “{best.name}” with {percent(best.accuracy)}: {models}.")
    ks = list(first.pass_at)
    head = ("sampled" if ks else "length", *(f"pass@{k}" for k in ks), *(f"maj@{k}" for k in ks[-1:]), *LENGTHS)
    yield page.table(head, [*(_samples(headline, ks) for _, headline in found), *_guesses(first, ks)])


def _readings(entrant: Entrant, headline: Headline) -> tuple[str, ...]:
    return (
        _row_name(entrant, headline),
        *(share(interval) for interval in (headline.ours, headline.strict, headline.flexible)),
        *(percent(value) for value in (headline.truncated, headline.no_answer, headline.undecided)),
    )


def _samples(headline: Headline, ks: list[int]) -> tuple[str, ...]:
    return (
        headline.model,
        *(share(headline.pass_at[k]) if k in headline.pass_at else "" for k in ks),
        *(share(headline.majority_at[k]) if k in headline.majority_at else "" for k in ks[-1:]),
        f"{headline.mean_tokens:.1f}",
        f"{headline.tokens:,}",
    )


def _guesses(headline: Headline, ks: list[int]) -> Iterator[tuple[str, ...]]:
    if any(headline.guess_at.values()):
        values = [page.quiet(percent(headline.guess_at[k])) if k in headline.guess_at else "" for k in ks]
        yield (page.quiet("guessing: the k most frequent answers"), *values, "", "", "")


def _row_name(entrant: Entrant, headline: Headline) -> page.Html:
    role = "" if entrant.role == "model" else f" ({entrant.role})"
    return page.flagged(f"{headline.model}{role}", "below trivial" if headline.below_trivial else "")


# Every test


def contrasts(result: SuiteResult) -> Iterator[str]:
    """The deciding metric of every test; the other metrics folded away, as they decide nothing."""
    if not result.contrasts:
        return
    yield page.table(("test", *TESTED), [_test_row(result, each, each.aggregates[0]) for each in result.contrasts])
    yield page.soft(
        f"Paired by problem{_how(result)}. Holm's adjustment is over the {len(result.family)} declared tests. Smallest "
        "visible: the smallest true difference, in points, that would have been seen with 80 % power; a smaller one is "
        "not ruled out. In the figure it is gray."
    )
    rows = [_test_row(result, each, other) for each in result.contrasts for other in each.aggregates[1:]]
    if rows:
        table = page.table(("test", *TESTED), rows)
        yield page.folded("Other metrics, which decide nothing (p not adjusted)", table)


def _how(result: SuiteResult) -> str:
    """The tests by name, where the result has them."""
    names = dict.fromkeys(contrast.test for contrast in result.contrasts if contrast.test)
    return f" ({'; '.join(names)})" if names else ""


def _test_row(result: SuiteResult, contrast: Contrast, aggregate: Aggregate) -> tuple[str, ...]:
    name = f"{test_name(result, contrast)}, {metric_name(aggregate)}"
    decides = aggregate is contrast.aggregates[0]
    return (
        page.flagged(name, "" if contrast.same_size else "not of one size"),
        difference(aggregate.difference) if aggregate.difference else f"{100 * gain(aggregate):+.1f}, no interval",
        p_cell(contrast.p_holm) if decides else "",
        points(aggregate.detectable),
        p_cell(contrast.p if decides else aggregate.p),
        share(aggregate.before) if aggregate.before else percent(mean(aggregate.before_R)),
        share(aggregate.after) if aggregate.after else percent(mean(aggregate.after_R)),
    )


def metric_name(aggregate: Aggregate) -> str:
    """The metric as a reader calls it."""
    return "greedy accuracy" if aggregate.metric == "greedy" else aggregate.metric


def mean(values: tuple[float, ...]) -> float:
    """The mean over training seeds."""
    return sum(values) / len(values)


def gain(aggregate: Aggregate) -> float:
    """Model less versus, the mean over training seeds, as a share."""
    return mean(aggregate.after_R) - mean(aggregate.before_R)


def every_seed(result: SuiteResult) -> str:
    """The deciding metric of every training seed, where a model has several."""
    rows = [
        (
            f"{test_name(result, each)}, {metric_name(decisive)}",
            str(seed),
            f"{100 * (after - before):+.1f}",
            percent(before),
            percent(after),
        )
        for each in result.contrasts
        if len((decisive := each.aggregates[0]).after_R) > 1
        for seed, before, after in _by_seed(result.entrant(each.model), decisive)
    ]
    return page.table(("test", "seed", "difference, points", "versus", "model"), rows) if rows else ""


def _by_seed(entrant: Entrant, aggregate: Aggregate) -> Iterator[tuple[int | str, float, float]]:
    seeds = entrant.seeds if len(entrant.seeds) == len(aggregate.after_R) else entrant.members
    befores = aggregate.before_R
    if len(befores) != len(aggregate.after_R):
        befores = (mean(befores),) * len(aggregate.after_R)
    yield from zip(seeds, befores, aggregate.after_R, strict=True)
