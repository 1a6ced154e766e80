"""The numbers a finished run is judged by, whatever recipe made it: one dictionary from name to value."""

from __future__ import annotations

from collections.abc import Sequence

from rlpath.core.errors import InputError
from rlpath.deep.runner.report import figures_of
from rlpath.runs.curves import has_curve, learning_curve
from rlpath.runs.run_folder import RunRecord

EXACT = ("greedy_return", "behavior_return")
WORDS = {
    "final": "final evaluation",
    "last_100": "last 100 training episodes",
    "area": "area under the curve",
    "greedy_return": "greedy policy, exact",
    "behavior_return": "acting as trained, exact",
    "pass@1": "pass@1 after training",
    "greedy": "greedy accuracy after training",
}


def scores(record: RunRecord) -> dict[str, float]:
    """Scores by name, the one that decides first.

    Reinforcement learning: `final` (mean return of the final evaluation), `last_100` (mean of the last training
    episodes), `area` (mean over the learning curve). Tabular methods: `greedy_return` and `behavior_return`, computed
    from the environment's table, and `area`. Language models, as shares: `pass@1`, `greedy`, pass@n after
    training. Raises `InputError` where the run has neither evaluation.
    """
    final = record.evaluations.get("final", {})
    if EXACT[0] in final:
        return {name: final[name] for name in EXACT if name in final} | (
            {"area": learning_curve(record).area} if has_curve(record) else {}
        )
    if final:
        return {name: value for name, value in figures_of(record).items() if value is not None}
    if "verdict" in record.evaluations:
        after = {change["metric"]: change["after"]["estimate"] for change in record.evaluations["verdict"]["changes"]}
        return {name: after[name] for name in sorted(after, key=lambda name: (name != "pass@1", name))}
    missing = "neither evaluations/final.json nor evaluations/verdict.json"
    raise InputError(f"{record.path} holds {missing}: there is nothing to judge it by")


def shared_names(found: Sequence[dict[str, float]]) -> list[str]:
    """The scores that every run has, in the order of the first."""
    return [name for name in found[0] if all(name in other for other in found)]
