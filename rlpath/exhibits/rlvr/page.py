"""The study's page: what was found beside what was planned and what others published; nulls are said as such."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from rlpath.core.files import write_atomic
from rlpath.core.stats import Interval
from rlpath.core.types import Outcome
from rlpath.evals.compare.comparison import FEWEST, p_text, points
from rlpath.exhibits.rlvr.findings import (
    UNTRAINED,
    ArmSamples,
    Found,
    crossing,
    level,
    newly_solved_counts,
    split_of,
)
from rlpath.exhibits.rlvr.plan import (
    BASE,
    FEW_SHOT,
    GRPO,
    HYPOTHESIS,
    REJECTION,
    RETEST,
    SFT,
    TRUE,
    ArmContrast,
    contrasts,
)
from rlpath.exhibits.rlvr.published import PUBLISHED
from rlpath.exhibits.rlvr.results import Results, Study, collect, outcome, plain
from rlpath.report import page, plots
from rlpath.report.plots import Line

TEAL = "#2f9c95"
COLORS = {
    BASE: plots.GRAY,
    FEW_SHOT: TEAL,
    SFT: plots.ORANGE,
    REJECTION: plots.PURPLE,
    TRUE: plots.GREEN,
    GRPO["random"]: plots.BLUE,
    GRPO["format"]: plots.PURPLE,
    GRPO["wrong"]: plots.RED,
    GRPO["majority"]: TEAL,
}


def write_study(folder: Path, study: Study, runs: Mapping[tuple[str, int], Path]) -> Path:
    """Write `study.json` and `report.html` into `folder` from the samples in it; return the page's path.

    `runs` are the training runs by arm and seed, finished or not.
    """
    results = collect(folder, study, runs)
    write_atomic(folder / "study.json", json.dumps(plain(results), indent=1, ensure_ascii=False) + "\n")
    write_atomic(folder / "report.html", page.page("Faster, not smarter?", _sections(results)))
    return folder / "report.html"


# The page


def _sections(results: Results) -> Iterator[str]:
    study, arms = results.study, results.arms
    yield page.heading("Faster, not smarter?")
    yield page.soft(f"{study.model} on {study.problems}; rejection sampling and GRPO start from {study.start}.")
    if arms:
        yield page.soft(_protocol(next(iter(arms.values()))))
    if results.missing:
        yield page.note(f"So far: {'; '.join(results.missing)}. Only contrasts with every seed are tested.")
    yield page.section("What was found", *_found(results))
    yield page.section("pass@k", page.plots(_curves(results)), page.soft(_curves_words(results)))
    levels = page.table(_level_head(study.largest), [_level_row(results, arm) for arm in arms.values()])
    yield page.section("Every model", levels, page.soft(LEVEL_WORDS))
    yield page.section("Each seed, pass@1", page.table(("arm", *_seed_names(study)), _seed_rows(results)))
    yield page.section("The plan's contrasts", page.table(CONTRAST, [_contrast_row(f) for f in results.found.values()]))
    yield page.section("What the start never solved", *_newly_solved(results))
    yield page.section("Form or correctness", *_splits(results))
    yield page.section(
        "While training", page.plots(_training(results)), page.soft(TRAINING_WORDS) * bool(results.training)
    )
    yield page.section("Beside published figures", *_published(results))
    yield page.section("The plan", *_plan(results))


def _protocol(arm: ArmSamples) -> str:
    hot, cool = (next(iter(side.values())).protocol for side in (arm.hot, arm.cool))
    return (
        f"Every model answers the same {hot.problems} held-out problems, which no training saw: greedily, "
        f"{hot.decoding}, and {cool.samples} at temperature 0.6. All are verified by {hot.verifier}."
    )


WORDS = {Outcome.IMPROVED: "above", Outcome.WORSE: "below"}
CHIPS = {Outcome.IMPROVED: "correct", Outcome.WORSE: "wrong"}
ANSWERS = {Outcome.IMPROVED: "Yes", Outcome.WORSE: "No: worse", Outcome.NO_EVIDENCE: "No evidence"}


def _found(results: Results) -> Iterator[str]:
    """The two questions large, then what else the rules allow to say, then the nulls by name."""
    study = results.study
    questions = {
        "Faster?": ArmContrast(TRUE, study.start, "pass@1"),
        "Smarter?": ArmContrast(TRUE, study.start, f"pass@{study.largest}"),
    }
    for question, contrast in questions.items():
        found = results.found.get(contrast)
        if found is not None:
            answer = outcome(found)
            yield page.outcome_box(answer, f"{question} {ANSWERS[answer]}", f"{_sentence(found)}.")
    others = [each for contrast, each in results.found.items() if contrast not in questions.values()]
    sure = [each for each in others if outcome(each) in WORDS]
    yield page.items((CHIPS[outcome(each)], WORDS[outcome(each)], f" {_sentence(each)}") for each in sure)
    nulls = [each.contrast.name for each in others if outcome(each) not in WORDS]
    if nulls:
        yield page.paragraph("; ".join(nulls), "No evidence of a difference")
    if not results.found:
        yield page.soft("No contrast of the plan has all its models yet.")


def _sentence(found: Found) -> str:
    contrast = found.contrast
    over = f"{found.n} problems, {len(found.seeds)} seed{'s'[: len(found.seeds) != 1]}"
    metric = "solved by fresh samples" if contrast.metric == RETEST else contrast.metric
    few = f"; fewer than {FEWEST} problems give no verdict" if found.n < FEWEST else ""
    return (
        f"{contrast.arm} against {contrast.against}: {metric} {points(found.baseline)} → {points(found.value)} %, "
        f"{_difference(found.difference.interval)} points, {p_text(found.p_holm)} (Holm), {over}{few}"
    )


def _difference(interval: Interval) -> str:
    return f"{100 * interval.estimate:+.1f} [{points(interval.low)}, {points(interval.high)}]"


def _share(interval: Interval) -> str:
    return f"{points(interval.estimate)} % [{points(interval.low)}, {points(interval.high)}]"


def _curves(results: Results) -> Iterator[str]:
    start, arms = results.study.start, results.arms
    rewards = {start: start} | {name: reward for reward, name in GRPO.items()}
    references = {name: name for name in (BASE, FEW_SHOT, SFT, REJECTION, TRUE)}
    for cool, heat in ((False, "T = 1"), (True, "T = 0.6")):
        for name, title, shown in (("ways", "Ways to train", references), ("rewards", "GRPO's rewards", rewards)):
            lines = [_curve(arms[arm], label, cool) for arm, label in shown.items() if arm in arms]
            if lines:
                figure = f"{name}-{'cool' if cool else 'hot'}"
                yield plots.line_plot(figure, f"{title}, {heat}", lines, xlabel="k", percent=True, log2=True)


def _curve(arm: ArmSamples, label: str, cool: bool) -> Line:
    curve = arm.curve(cool=cool)
    band = [each.low for each in curve.values()], [each.high for each in curve.values()]
    return Line(label, list(curve), [each.estimate for each in curve.values()], COLORS[arm.name], band)


def _curves_words(results: Results) -> str:
    if not results.whole(TRUE):
        return ""
    told = []
    for name in dict.fromkeys((BASE, results.study.start)):
        if results.whole(name):
            k = crossing(results.arms[name].curve(), results.arms[TRUE].curve())
            where = f"reaches {TRUE} at k = {k}" if k else f"stays below {TRUE} at every k"
            told.append(f"the mean of {name} {where}")
    return f"At temperature 1 {' and '.join(told)}. Bands are 95 %, over problems and training seeds."


LEVEL_WORDS = (
    "Brackets are 95 %, over problems and training seeds. Greedy, truncated and tokens: means over models; entropy in "
    "nats a token, KL from the model that the arm started from in nats a completion, both on completions at T = 1."
)


def _level_head(largest: int) -> list[str]:
    levels = ["greedy", "pass@1", f"pass@{largest}", "pass@1, T = 0.6"]
    return ["arm", "models", *levels, "truncated, %", "tokens", "entropy", "KL"]


def _level_row(results: Results, arm: ArmSamples) -> list[str]:
    summaries = [evaluation.summary() for evaluation in arm.hot.values()]
    greedy = statistics.mean(summary.greedy.estimate for summary in summaries)
    moved = list(arm.moved.values())
    kl = [statistics.mean(one.kl_P) for one in moved]
    return [
        arm.name,
        str(len(arm.hot)),
        f"{points(greedy)} %",
        _share(level(arm.values(1))),
        _share(level(arm.values(results.study.largest))),
        _share(level(arm.values(1, cool=True))),
        points(statistics.mean(summary.truncated for summary in summaries)),
        f"{statistics.mean(summary.mean_tokens for summary in summaries):.1f}",
        f"{statistics.mean(one.entropy for one in moved):.2f}" if moved else "–",
        f"{round(statistics.mean(kl), 2) + 0.0:.2f}" if kl else "–",
    ]


def _seed_names(study: Study) -> list[str]:
    return [f"seed {seed}" for seed in study.seeds]


def _seed_rows(results: Results) -> Iterator[list[str]]:
    for arm in results.arms.values():
        if UNTRAINED not in arm.hot:
            values = dict(zip(arm.hot, arm.values(1).mean(1), strict=True))
            yield [arm.name, *(f"{points(values[s])} %" if s in values else "–" for s in results.study.seeds)]


CONTRAST = (
    "arm",
    "against",
    "metric",
    "against, %",
    "arm, %",
    "difference, points",
    "p (Holm)",
    "smallest detectable, points",
)


def _contrast_row(found: Found) -> list[str]:
    difference = found.difference
    return [
        found.contrast.arm,
        found.contrast.against,
        found.contrast.metric,
        points(found.baseline),
        points(found.value),
        _difference(difference.interval),
        "< 0.0001" if found.p_holm < 0.0001 else f"{found.p_holm:.2g}",
        points(difference.detectable),
    ]


NEW = ("arm", "unsolved by the start", "of these solved by the arm", "fresh samples: arm", "fresh samples: start")


def _newly_solved(results: Results) -> Iterator[str]:
    if results.start is None:
        return
    rows = []
    for name in (REJECTION, *GRPO.values()):
        if name in results.arms:
            found = newly_solved_counts(results.arms[name], results.start)
            of = f"of {found.solved}"
            rows.append([name, str(found.unsolved), str(found.solved), f"{found.again} {of}", f"{found.by_start} {of}"])
    if rows:
        yield page.table(NEW, rows)
        yield page.soft(
            f"Pairs of seed and problem. Unsolved: none of {results.study.largest} samples was right. Solving one of "
            "them may have been luck, so both models answered these again, with as many fresh samples."
        )


SPLIT = ("arm", "change of pass@1, points", "form", "correctness", "gold answer anywhere")


def _splits(results: Results) -> Iterator[str]:
    if results.start is None:
        return
    rows = []
    for name in (REJECTION, *GRPO.values()):
        split = split_of(results.arms[name], results.start) if name in results.arms else None
        if split is not None:
            rows.append([name, *(f"{100 * value:+.1f}" for value in asdict(split).values())])
    if rows:
        yield page.table(SPLIT, rows)
        yield page.soft(
            "Form: answers that became readable; correctness: readable answers that became right; together the change. "
            "Means over seeds."
        )


TRAINING_WORDS = "What each reward paid and what the true verifier said of the same completions; means over seeds."


def _training(results: Results) -> Iterator[str]:
    for arm, seeds in results.training.items():
        length = min(len(rows) for rows in seeds)
        steps = [float(row["step"]) for row in seeds[0][:length]]
        if not steps:
            continue
        series = {"reward": ("reward", plots.RED), "status/correct": ("right by the true verifier", plots.GREEN)}
        lines = [
            Line(
                label,
                steps,
                [statistics.mean(rows[at].get(key) or 0.0 for rows in seeds) for at in range(length)],
                color,
            )
            for key, (label, color) in series.items()
        ]
        yield plots.line_plot(f"training-{arm}", arm, lines, percent=True)


def _published(results: Results) -> Iterator[str]:
    here = _here(results)
    rows = [[each.question, each.source, each.setting, each.result, here.get(each.question, "–")] for each in PUBLISHED]
    yield page.table(("question", "source", "their setting", "published", "here"), rows)
    yield page.soft("Models, data and budgets differ: the figures stand beside each other, and are not compared.")


def _here(results: Results) -> dict[str, str]:
    """What this study says to each published question."""
    arms, study, told = results.arms, results.study, {}
    if results.start is not None and results.whole(TRUE) and results.whole(study.start):
        start, true = results.start.curve(), arms[TRUE].curve()
        most = study.largest
        told["coverage"] = (
            f"pass@1 {points(start[1].estimate)} → {points(true[1].estimate)}, "
            f"pass@{most} {points(start[most].estimate)} → {points(true[most].estimate)}"
        )
        new = newly_solved_counts(arms[TRUE], results.start)
        told["new problems"] = (
            f"{new.solved} of {new.unsolved} unsolved; fresh samples: {new.again}, start {new.by_start}"
        )
        split = split_of(arms[TRUE], results.start)
        if split is not None:
            told["form"] = f"{100 * split.change:+.1f}, of which {100 * split.correctness:+.1f} beyond form"
        if len(arms[TRUE].hot) > 1:
            told["seeds"] = f"{100 * statistics.stdev(arms[TRUE].values(1).mean(1).tolist()):.1f} points ({TRUE})"
    gains = [
        f"{reward} {100 * found.difference.interval.estimate:+.1f}"
        for reward, name in GRPO.items()
        if (found := results.found.get(ArmContrast(name, study.start, "pass@1"))) is not None
    ]
    if gains:
        told["rewards"] = ", ".join(gains)
    if study.problems == "gsm8k" and "coverage" in told:
        told["gain on GSM8K"] = told["coverage"]
    return told


def _plan(results: Results) -> Iterator[str]:
    yield page.paragraph(HYPOTHESIS, "Hypothesis")
    family = len(contrasts(results.study.start, results.study.largest))
    yield page.soft(
        f"{family} contrasts are one family; p is adjusted by Holm, and a contrast without its models counts as p = 1. "
        f"Everything at T = 0.6, curves between the ends, splits and training are exploratory."
    )
    yield page.items(("", "", line) for line in results.checked.lines())
