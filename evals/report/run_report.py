"""`report.html` of one run: the verdict first, then the curves, the completions and where the numbers come from.

Made from what the run folder holds, finished or not; one file without scripts that can be sent to anyone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlpath.core.files import write_atomic
from rlpath.core.stats import Interval
from rlpath.core.types import Status
from rlpath.evals.compare.comparison import Change, Comparison, p_text, points, read_comparison
from rlpath.evals.contamination.verdict import UNCHECKED, from_run
from rlpath.evals.measure.evaluation import Evaluation, Sample, Summary, read_evaluation
from rlpath.evals.measure.findings import Finding, read_findings
from rlpath.report import page, plots
from rlpath.report.plots import Line, Points
from rlpath.report.rollouts import rollouts_page
from rlpath.runs.run_folder import RunRecord, read_run

Row = Mapping[str, Any]
ROLLOUTS = "rollouts.html"
SHOWN = 10
STATUSES = [str(status) for status in Status if status is not Status.ERROR]


def write_report(run: Path) -> Path:
    """Write `report.html` into the run folder and return its path.

    Raises InputError where `run` is no run folder or a file in it is damaged.
    """
    record = read_run(run)
    evaluations = {side: read_side(run, side) for side in ("before", "after")}
    comparison = comparison_of(run)
    findings = read_findings(run)
    title = f"{title_of(record)}, seed {record.config.get('seed', '?')}"
    body = [
        page.heading(title),
        page.soft(_origin(record)),
        *(page.note(text) for text in _substitutions(run)),
        *_standing(record, comparison, evaluations, findings),
        _verifiers(record.manifest.get("verifiers")),
        _contamination(record.manifest),
        page.section("Before and after", _changes(comparison), _measures(evaluations)),
        *(page.section(finding.title, *_finding(finding)) for finding in findings),
        page.section("Training", page.plots(training_plots(record.metrics, evaluations))),
        page.section("Completions", *_completions(record, evaluations), _all_rollouts(record)),
        page.section("Where this comes from", *(_provenance(record))),
    ]
    if record.samples:
        write_atomic(run / ROLLOUTS, rollouts_page(f"{title}: rollouts", record.samples))
    path = run / "report.html"
    write_atomic(path, page.page(title, [part for part in body if part]))
    return path


def _all_rollouts(record: RunRecord) -> str:
    count = len(record.samples)
    told = f"All {count:,} rollouts of training, with their groups and rewards, are in {ROLLOUTS} beside this page."
    return page.soft(told) if count else ""


def title_of(record: RunRecord) -> str:
    """The recipe's name: runs/<recipe>/<hash>/seed-<k>."""
    return record.path.resolve().parent.parent.name


def read_side(run: Path, side: str) -> Evaluation | None:
    """The evaluation before or after training, or None where there is none yet."""
    path = run / "evaluations" / f"{side}.jsonl"
    return read_evaluation(path) if path.exists() else None


def comparison_of(run: Path) -> Comparison | None:
    """The run's verdict, or None where it has not got so far."""
    path = run / "evaluations" / "verdict.json"
    return read_comparison(path) if path.exists() else None


def _origin(record: RunRecord) -> str:
    manifest = record.manifest
    model = manifest.get("model") or {}
    data = manifest.get("data") or []
    parts = [
        str(model.get("name", "")) if isinstance(model, Mapping) else str(model),
        ", ".join(dict.fromkeys(str(d.get("name", d)) if isinstance(d, Mapping) else str(d) for d in data)),
        str(manifest.get("started", ""))[:16].replace("T", " "),
    ]
    return " · ".join(part for part in parts if part)


def _substitutions(run: Path) -> list[str]:
    """What the run did in place of what was asked, one sentence each."""
    path = run / "substitutions.json"
    return [str(text) for text in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def _finding(finding: Finding) -> Iterable[str]:
    yield page.soft(f"{finding.sentence[:1].upper()}{finding.sentence[1:]}.")
    if finding.rows:
        yield page.table(finding.head, finding.rows)
    yield page.plots(finding.figures)


def _standing(
    record: RunRecord,
    comparison: Comparison | None,
    evaluations: Mapping[str, Evaluation | None],
    findings: Sequence[Finding],
) -> Iterable[str]:
    """The verdict, or why there is none; where no problems were completed, the findings' own verdicts."""
    if comparison:
        yield page.verdict_box(comparison.verdict, comparison.sentence)
    examined = any(evaluations.values())
    decided = [(finding.verdict, finding.sentence) for finding in findings if finding.verdict]
    if not examined:
        yield from (page.verdict_box(verdict, sentence) for verdict, sentence in decided)
    if not record.finished:
        step = record.metrics[-1]["step"] if record.metrics else 0
        steps = record.config.get("steps")
        yield page.note(
            f"This run has not finished: the last logged step is {step}{f' of {steps}' if steps else ''}. "
            "If it is no longer running, the same command goes on from the last checkpoint."
        )
    if not comparison and (examined or not decided):
        missing = " and ".join(side for side, found in evaluations.items() if not (found and found.complete))
        why = f"the evaluation {missing} training is missing or incomplete" if missing else "no comparison was written"
        yield page.note(f"There is no verdict: {why}.")


def _verifiers(named: Mapping[str, Any] | None) -> str:
    """What rewarded training and what verified the evaluation: the same code cannot find its own mistakes."""
    if not named:
        return ""
    training, evaluation = named["training"], named["evaluation"]
    if named["same_code"]:
        return page.note(
            f"Training was rewarded and the evaluation verified by the same code, {evaluation}: what it wrongly "
            "accepts, training may have learned, and no figure here would show it."
        )
    return page.soft(f"Training was rewarded by {training}; the evaluation was verified by {evaluation}, other code.")


def _contamination(manifest: Mapping[str, Any]) -> str:
    """What the training set holds of held-out and test items; where nobody looked, the verdict stands with that."""
    found = from_run(manifest)
    if found is None:
        return page.note(f"{UNCHECKED.capitalize()}: the training set was compared with no test set.")
    return page.soft(f"{found.sentence[:1].upper()}{found.sentence[1:]}.")


# Figures before and after


def share(interval: Interval) -> str:
    """An interval of a share, in percent."""
    return f"{points(interval.estimate)} % [{points(interval.low)}, {points(interval.high)}]"


def difference(interval: Interval) -> str:
    """An interval of a difference, in percentage points."""
    return f"{100 * interval.estimate:+.1f} [{points(interval.low)}, {points(interval.high)}]"


def p_cell(p: float) -> str:
    """A p-value for a column headed p, kept on one line."""
    return p_text(p).removeprefix("p ").removeprefix("= ").replace(" ", "\u00a0")


def _changes(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    protocol = comparison.protocol
    rows = [_change_row(change) for change in comparison.changes]
    head = ("metric", "before", "after", "difference, points", "p", "gained, lost", "smallest visible effect")
    words = (
        f"{protocol.problems} held-out problems of {protocol.name} ({protocol.split}), {protocol.decoding}, "
        f"verified by {protocol.verifier}. "
        "Brackets are 95 % intervals over problems; p is from exact McNemar for greedy, a sign-flip permutation else. "
        "Gained and lost are the problems that got better and worse, of greedy answers McNemar's discordant pairs. The "
        "last column is the smallest true difference that would have been seen with 80 % power."
    )
    return page.table(head, rows) + page.soft(words)


def _change_row(change: Change) -> tuple[str, ...]:
    name = "greedy accuracy" if change.metric == "greedy" else change.metric
    figures = (share(change.before), share(change.after), difference(change.difference), p_cell(change.p))
    counts = "" if change.gained is None else f"{change.gained}, {change.lost}"
    return (name, *figures, counts, points(change.detectable))


def _measures(evaluations: Mapping[str, Evaluation | None]) -> str:
    """Status shares of the sampled completions, truncated share and length, before and after."""
    found = {side: e.summary() for side, e in evaluations.items() if e is not None and e.complete}
    if not found:
        return ""
    rows = [
        [status.replace("_", " "), *(_percent(summary.sampled_status[status]) for summary in found.values())]
        for status in STATUSES
    ]
    rows.append(["truncated by the length limit", *(_percent(s.truncated) for s in found.values())])
    rows.append(["mean tokens", *(f"{s.mean_tokens:.1f}" for s in found.values())])
    return page.table(["sampled completions", *found], rows)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


# Curves


def curve(metrics: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric, steps without a value left out."""
    found = [(row["step"], row[name]) for row in metrics if row.get(name) is not None]
    return [float(step) for step, _ in found], [float(value) for _, value in found]


def training_plots(metrics: Sequence[Row], evaluations: Mapping[str, Evaluation | None]) -> list[str]:
    """Reward, statuses, lengths, log-prob gap, groups without signal, pass@k before and after; of PPO KL and critic."""
    figures = [
        _curves("reward", "Mean reward of the training completions", metrics, {"reward": "reward"}, percent=True)
    ]
    rows = [row for row in metrics if row.get("status/correct") is not None]
    if rows:
        shares = {status: [float(row.get(f"status/{status}") or 0.0) for row in rows] for status in STATUSES}
        steps = [float(row["step"]) for row in rows]
        figures.append(plots.share_plot("status", "What the training completions were", steps, shares))
    figures.append(_pass_plot(evaluations))
    lengths = {"correct": "length/correct", "wrong": "length/wrong", "all": "length/mean"}
    figures.append(_curves("length", "Completion length, tokens", metrics, lengths, from_zero=True))
    gap = {"mean": "logprob_gap/mean", "largest": "logprob_gap/max"}
    figures.append(_curves("gap", "Trainer against sampler, log-prob gap", metrics, gap, log=True))
    figures.append(_curves("signal", "Groups without signal", metrics, {"share": "groups/no_signal"}, percent=True))
    figures.append(_curves("kl", "KL from the starting model, nats a completion", metrics, {"KL": "kl/completion"}))
    figures.append(_curves("critic", "Variance explained by the critic", metrics, {"share": "explained_variance"}))
    if not any("reward" in row for row in metrics):
        figures.append(_curves("loss", "Training loss", metrics, {"loss": "loss"}, from_zero=True))
    pairs = {"share of pairs in the right order": "pairs/accuracy"}
    figures.append(_curves("pairs", "Training pairs in the right order", metrics, pairs, percent=True))
    figures.append(_curves("margin", "Margin of training pairs", metrics, {"margin": "pairs/margin"}))
    return [figure for figure in figures if figure]


_COLORS = {"correct": plots.GREEN, "wrong": plots.RED, "all": plots.GRAY, "largest": plots.ORANGE}


def _curves(
    name: str,
    title: str,
    metrics: Sequence[Row],
    keys: Mapping[str, str],
    *,
    percent: bool = False,
    log: bool = False,
    from_zero: bool = False,
) -> str:
    lines = [
        Line(label, *curve(metrics, key), color=_COLORS.get(label, plots.BLUE))
        for label, key in keys.items()
        if curve(metrics, key)[0]
    ]
    if not lines:
        return ""
    values = [value for line in lines for value in line.y]
    fits = percent and min(values) >= 0 and max(values) <= 1
    positive = min(values) > 0
    return plots.line_plot(name, title, lines, percent=fits, log=log and positive, from_zero=from_zero)


def _pass_plot(evaluations: Mapping[str, Evaluation | None]) -> str:
    colors = {"before": plots.GRAY, "after": plots.BLUE}
    summaries = {side: e.summary() for side, e in evaluations.items() if e is not None and e.complete}
    if not summaries:
        return ""
    series = [_pass_points(side, summary, colors[side]) for side, summary in summaries.items()]
    ticks = [float(k) for k in next(iter(summaries.values())).pass_at]
    title = "pass@k on held-out problems, 95 % intervals"
    return plots.points_plot("pass", title, series, xlabel="k", xticks=ticks, log2=True)


def _pass_points(side: str, summary: Summary, color: str) -> Points:
    shift = {"before": 0.985, "after": 1.015}[side]
    intervals = list(summary.pass_at.values())
    return Points(
        side,
        [k * shift for k in summary.pass_at],
        [interval.estimate for interval in intervals],
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
        color,
    )


# Completions


def _completions(record: RunRecord, evaluations: Mapping[str, Evaluation | None]) -> Iterable[str]:
    """Ten problems, evenly spaced and so not chosen by result, with a sampled completion of each side."""
    sides = {side: first_samples(e) for side, e in evaluations.items() if e is not None and e.of("sample")}
    if sides:
        yield page.soft("Ten problems spread evenly over the held-out set, the first sampled completion of each.")
        for id in spread(list(next(iter(sides.values()))), SHOWN):
            rows = {side: samples[id] for side, samples in sides.items() if id in samples}
            one = next(iter(rows.values()))
            texts = [page.completion(side, s.status, s.completion, s.tokens) for side, s in rows.items()]
            yield page.sample(one.prompt, one.gold, texts)
    elif record.samples:
        yield page.soft("The last completions of training (no evaluation has been written yet).")
        for row in record.samples[-SHOWN:]:
            text = page.completion(f"step {row.get('step', '?')}", row["status"], row["completion"], row.get("tokens"))
            yield page.sample(row["prompt"], str(row.get("gold", "")), [text])


def first_samples(evaluation: Evaluation) -> dict[str, Sample]:
    """The first sampled completion of every problem, by problem id."""
    return {sample.problem_id: sample for sample in evaluation.of("sample") if sample.index == 0}


def spread(items: Sequence[str], count: int) -> list[str]:
    """`count` of the items, evenly spaced, or all where there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _provenance(record: RunRecord) -> Iterable[str]:
    if record.manifest:
        yield page.details("Manifest: code, packages, hardware, data, model", record.manifest)
    yield page.details("Configuration", record.config)
    yield page.soft(f"{len(record.metrics)} steps logged in {_minutes(record.metrics)}.")


def _minutes(metrics: Sequence[Row]) -> str:
    seconds = max((float(row.get("wall_s") or row.get("time") or 0.0) for row in metrics), default=0.0)
    return f"{seconds / 60:.1f} minutes"
