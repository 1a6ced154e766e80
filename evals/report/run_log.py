"""A dated LOG.md entry drafted from a run: what was tried, what happened, and blanks for what only a person can say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlpath.evals.compare.comparison import Comparison
from rlpath.evals.measure.scores import EXACT, WORDS
from rlpath.evals.report.run_report import comparison_of, curve, title_of
from rlpath.runs.run_folder import RunRecord, read_run

BLANK = "…"


def draft_entry(run: Path) -> str:
    """The entry as Markdown. Raises InputError where `run` is no run folder."""
    record = read_run(run)
    date = str(record.manifest.get("started", ""))[:10] or "undated"
    lines = [
        f"## {date} {title_of(record)}, seed {record.config.get('seed', '?')} ({record.path.resolve().parent.name})",
        "",
        f"**Tried.** {_tried(record)}",
        f"**Happened.** {_happened(record, comparison_of(run))}",
        f"**Learned.** {BLANK}",
        f"**Next.** {BLANK}",
        "",
    ]
    return "\n".join(lines)


def previous_run(record: RunRecord) -> RunRecord | None:
    """The last run of the same recipe that was started before this one with another configuration, if any."""
    here = record.path.resolve()
    started = str(record.manifest.get("started", ""))
    others = [read_run(path.parent) for path in sorted(here.parent.parent.glob("*/seed-*/config.json"))]
    earlier = [
        other
        for other in others
        if other.path.resolve().parent != here.parent and str(other.manifest.get("started", "")) < started
    ]
    return max(earlier, key=lambda other: str(other.manifest.get("started", "")), default=None)


def config_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed, one "field: old → new" a field, seed and folder left out."""
    names = sorted({*old, *new} - {"seed", "root"})
    return [
        f"{name}: {_value(old, name)} → {_value(new, name)}" for name in names if _value(old, name) != _value(new, name)
    ]


def _value(config: Mapping[str, Any], name: str) -> str:
    return str(config[name]) if name in config else "(absent)"


def _tried(record: RunRecord) -> str:
    before = previous_run(record)
    if before is None:
        return f"{BLANK} (the first configuration of this recipe)"
    changed = config_difference(before.config, record.config)
    where = before.path.resolve().parent.name
    what = "; ".join(changed) if changed else "nothing in the configuration"
    return f"{BLANK} Changed since {where}: {what}."


def _happened(record: RunRecord, comparison: Comparison | None) -> str:
    return " ".join(_findings(record, comparison))


def _findings(record: RunRecord, comparison: Comparison | None) -> Iterable[str]:
    if "final" in record.evaluations:
        yield f"{_final(record)}."
        return
    steps, rewards = curve(record.metrics, "reward")
    yield f"{comparison.sentence}." if comparison else "No verdict: the evaluations are not complete."
    if rewards:
        yield f"Training reward {rewards[0]:.3f} at step {steps[0]:g}, {rewards[-1]:.3f} at step {steps[-1]:g}."
    if not record.finished:
        yield "The run was cut short."


def _final(record: RunRecord) -> str:
    """What a finished run of reinforcement learning on an environment gave."""
    final = record.evaluations["final"]
    if EXACT[0] in final:
        values = ", ".join(f"{WORDS[name]} {final[name]:z.4f}" for name in EXACT if name in final)
        return f"{record.config['env_id']}, {record.config.get('algorithm', 'a table')}: {values}"
    said = f"mean {final['mean']:z.2f} (sd {final['sd']:z.2f} over {final['episodes']} episodes)"
    last = final.get("last_100")
    training = "none ended" if last is None else f"{last:z.2f}"
    return f"{record.config['env_id']}: final evaluation {said}, last 100 training episodes {training}"
