"""One lab: a model a seed, every detector on each, and the outcome as a table, JSON and a page.

Each seed's scores are kept in `seed-<k>.json` and never recomputed: a lab that was killed goes on with the next seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, read_json, write_atomic
from rlpath.evals.contamination.error_rates import FILE, markdown
from rlpath.evals.contamination.lab.corpus import PlantingPlan, build
from rlpath.evals.contamination.lab.measure import BLIND, SeedScores, corpus_search, measure
from rlpath.evals.contamination.lab.outcome import AT, GRID, Rate, blind_interval, rates, search_rates, table
from rlpath.evals.contamination.resemblance import Embed
from rlpath.report import page
from rlpath.report.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, Line, line_plot
from rlpath.runs.hardware import detect
from rlpath.runs.run_folder import config_hash
from rlpath.trunk.gpt import GPT, Shape, TrainingSchedule, token_stream, tokenizer_for, train

TABLE = ("<!-- rates -->", "<!-- /rates -->")
COLORS = (BLUE, GREEN, ORANGE, PURPLE)


@dataclass(frozen=True, slots=True)
class Preset:
    """A size of the lab: what is planted, the model, its training."""

    plan: PlantingPlan
    shape: Shape
    training: TrainingSchedule


PRESETS = {
    "smoke": Preset(
        PlantingPlan(
            exposures=(1, 16),
            each=4,
            unseen=24,
            references=20,
            set_size=20,
            ordered=((1, 2),),
            shuffled=((1, 2),),
            unseen_sets=1,
            canaries=1,
            background=20,
            shakespeare=5_000,
            vocabulary=600,
        ),
        Shape(vocabulary=600, width=32, layers=2, heads=2, hidden=64, context=192),
        TrainingSchedule(batch=4, learning_rate=5e-3),
    ),
    "cpu": Preset(PlantingPlan(), Shape(), TrainingSchedule()),
}


@dataclass(frozen=True)
class LabResult:
    """All seeds together. `record` is what reports quote: date, hardware, seeds, model and the rates."""

    rates: tuple[Rate, ...]
    record: dict[str, Any]


def run_lab(
    preset: str,
    seeds: Sequence[int],
    out: Path,
    embed: Embed | None,
    say: Callable[[str], None] = print,
) -> LabResult:
    """Run or complete a lab in `out` and write `lab.json` and `lab.html` there.

    Raises InputError for an unknown preset, repeated seeds, and where `out` holds seeds of another preset.
    """
    if preset not in PRESETS:
        raise InputError(f"--preset {preset} is not one of {', '.join(PRESETS)}")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(f"--seeds {' '.join(map(str, seeds))}: give at least one, none negative and none twice")
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    measured = [_seed(PRESETS[preset], seed, out, embed, say) for seed in seeds]
    all_rates = tuple(rates([one for one, _ in measured]))
    record = _record(preset, seeds, all_rates, [facts for _, facts in measured])
    write_atomic(out / "lab.json", json.dumps(record | {"roc": _curves(all_rates)}, indent=1) + "\n")
    write_atomic(out / "lab.html", _page(all_rates, record))
    return LabResult(all_rates, record)


def rerun_searches(record: Mapping[str, Any], embed: Embed | None) -> LabResult:
    """A record with the searches of the training text measured again, on the corpora of its preset and seeds.

    No model is trained: searches read the text alone. Without `embed` the search for rephrasings keeps its rates.
    """
    plan = PRESETS[record["preset"]].plan
    found = [SeedScores({}, {}, corpus_search(build(plan, seed), embed)) for seed in record["seeds"]]
    found_again = tuple(search_rates(found))
    date = datetime.now(UTC).date().isoformat()
    rows = {(row["detector"], row["form"], row["exposures"]): row for row in record["rates"]}
    rows |= {(rate.detector, rate.form, rate.exposures): rate.to_json() | {"date": date} for rate in found_again}
    return LabResult(found_again, {**record, "rates": list(rows.values())})


def save_record(outcome: LabResult, file: Path = FILE) -> None:
    """Make this lab the one that reports quote, and the table of the README beside `file`, where there is one."""
    write_atomic(file, json.dumps(outcome.record, indent=1) + "\n")
    readme = file.with_name("README.md")
    if readme.is_file():
        before, begin, rest = readme.read_text(encoding="utf-8").partition(TABLE[0])
        _, end, after = rest.partition(TABLE[1])
        table = "\n".join([begin, *markdown(outcome.record), end])
        write_atomic(readme, f"{before}{table}{after}")


def lines(outcome: LabResult) -> list[str]:
    """The printed table, and the blind baseline under it."""
    mean, interval = blind_interval(outcome.rates)
    verdict = "as it must be" if interval.low <= 0.5 <= interval.high else "the groups differ: believe no figure above"
    return [
        *table(outcome.rates),
        "AUC over seeds; @x%: true positives at that share of false ones; TPR, FPR: at a threshold that 5 % of the",
        "references reach, or at the search's default; planted: items, sets or canaries over all seeds",
        f"{BLIND}: AUC {mean:.3f} [{interval.low:.3f}, {interval.high:.3f}] over planted groups, chance 0.5: {verdict}",
    ]


def _seed(
    preset: Preset, seed: int, out: Path, embed: Embed | None, say: Callable[[str], None]
) -> tuple[SeedScores, dict[str, Any]]:
    path = out / f"seed-{seed}.json"
    settings = config_hash(asdict(preset) | {"rephrasings": embed is not None})
    if path.exists():
        row = read_json(path)
        if row.get("settings") != settings:
            raise InputError(f"{path} is of other settings: choose another folder with --out, or remove it")
        return SeedScores(**row["measured"]), row["facts"]
    started = time.perf_counter()
    corpus = build(preset.plan, seed)
    tokenizer = tokenizer_for(corpus.documents, preset.plan.vocabulary)
    tokens = token_stream(tokenizer, corpus.documents)
    model = GPT(preset.shape, seed)
    say(f"seed {seed}: {len(corpus.documents)} documents, {len(tokens)} tokens, {model.parameter_count} parameters")
    losses = train(model, tokens, preset.training, _progress(seed, say))
    trained = time.perf_counter()
    measured = measure(model, tokenizer, corpus, seed, embed)
    facts = {
        "tokens": len(tokens),
        "parameters": model.parameter_count,
        "last_loss": round(sum(losses[-20:]) / len(losses[-20:]), 4),
        "training_seconds": round(trained - started, 1),
        "measuring_seconds": round(time.perf_counter() - trained, 1),
    }
    row = {"settings": settings, "facts": facts, "measured": asdict(measured)}
    write_atomic(path, json.dumps(row) + "\n")
    return measured, facts


def _progress(seed: int, say: Callable[[str], None]) -> Callable[[int, int, float], None]:
    started = time.perf_counter()

    def progress(step: int, steps: int, loss: float) -> None:
        if step % max(1, steps // 10) == 0:
            left = (time.perf_counter() - started) / step * (steps - step)
            say(f"seed {seed}: step {step}/{steps}, loss {loss:.2f}, {left:.0f} s of training left")

    return progress


def _record(
    preset: str, seeds: Sequence[int], all_rates: Sequence[Rate], facts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    machine = detect()
    mean, interval = blind_interval(all_rates)
    first = facts[0]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"rlpath contamination lab --preset {preset} --seeds {' '.join(map(str, seeds))}",
        "hardware": f"{machine.cpu}, {machine.cores} cores",
        "preset": preset,
        "seeds": list(seeds),
        "model": f"{first['parameters'] / 1e6:.1f} M parameters, {first['tokens'] / 1e6:.2f} M tokens",
        "runs": [dict(fact) for fact in facts],
        "blind_auc": {"mean": round(mean, 4), "low": round(interval.low, 4), "high": round(interval.high, 4)},
        "rates": [rate.to_json() for rate in all_rates],
    }


def _curves(all_rates: Sequence[Rate]) -> dict[str, Any]:
    """ROC curves: true-positive rates at the rates of `at`."""
    curves = {f"{r.detector}, {r.form} x{r.exposures}": [round(x, 4) for x in r.roc] for r in all_rates if r.roc}
    return {"at": list(GRID), "curves": curves}


def _page(all_rates: Sequence[Rate], record: Mapping[str, Any]) -> str:
    """The table and the ROC curves of every detector on verbatim copies, as one page."""
    head = ["detector", "form", "times", "AUC", *(f"TPR at {at:.0%}" for at in AT), "TPR", "FPR"]
    rows = [
        [
            rate.detector,
            rate.form,
            str(rate.exposures),
            "" if rate.auc is None else f"{rate.auc.estimate:.2f} [{rate.auc.low:.2f}, {rate.auc.high:.2f}]",
            *([f"{value:.2f}" for value in rate.roc_at] or [""] * len(AT)),
            f"{rate.tpr:.2f}",
            f"{rate.fpr:.3f}",
        ]
        for rate in all_rates
    ]
    detectors = list(dict.fromkeys(rate.detector for rate in all_rates if rate.roc))
    figures = [_figure(number, name, all_rates) for number, name in enumerate(detectors)]
    title = "Contamination lab"
    seeds = ", ".join(map(str, record["seeds"]))
    origin = f"{record['date']} · {record['model']} · seeds {seeds} · {record['hardware']}"
    body = [
        page.heading(title),
        page.soft(origin),
        page.section("ROC on verbatim copies", page.plots(figures)),
        page.section("All rates", page.table(head, rows)),
        page.details("Record", record),
    ]
    return page.page(title, body)


def _figure(number: int, detector: str, all_rates: Sequence[Rate]) -> str:
    chance = Line("chance", (0.0, 1.0), (0.0, 1.0), GRAY, faint=True)
    curves = [
        Line(f"{rate.exposures} times", GRID, rate.roc, color)
        for rate, color in zip(
            [rate for rate in all_rates if rate.detector == detector and rate.form == "verbatim"], COLORS, strict=False
        )
    ]
    return line_plot(f"roc-{number}", detector, [*curves, chance], xlabel="false positives", percent=True)
