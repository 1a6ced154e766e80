"""Tabular reinforcement learning over seeds, every policy evaluated exactly: the first step of the path.

    python recipes/tabular.py --env-id FrozenLake-v1 --algorithm q_learning --seeds 30
    python recipes/tabular.py --env-id CliffWalking-v1 --algorithm all
    python recipes/tabular.py --map my_maze.txt

All seeds are trained as one array. What each has learned is not sampled but computed: the expected return of its greedy
policy inside the time limit, from the environment's own transition table, beside the optimum from the same table.
Seeds are kept in `runs/tabular/<hash>/seed-<k>`; the same command shows them again, and more seeds are added to them.
`--smoke` trains two seeds for 2,000 steps, to see that everything works.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import tyro

from rlpath.core.errors import run_command
from rlpath.core.files import write_atomic
from rlpath.report.page import heading, page, plots, preformatted, section, soft, table
from rlpath.runs.run_folder import config_hash
from rlpath.tabular.dp import optimum, value_iteration
from rlpath.tabular.draw import draw_policy
from rlpath.tabular.experiment import RECIPE, MethodResult, curves_plot, interval, run_method
from rlpath.tabular.model import Array, Model
from rlpath.tabular.settings import TabularSettings
from rlpath.tabular.stationary import Stationary, best_stationary

SMOKE: dict[str, Any] = {"seeds": 2, "steps": 2000, "checkpoints": 4}
ROOT_DECAY = {"alpha": 1.0, "alpha_power": 0.5}
FASTER_DECAY = {"alpha": 1.0, "alpha_power": 0.6}
CONSTANT = {"alpha": 0.5, "alpha_power": 0.0}
TO_NONE = {"explore_start": 1.0, "explore_end": 0.01}
TO_THIRD = {"explore_start": 1.0, "explore_end": 0.3}
TENTH = {"explore_start": 0.1, "explore_end": 0.1}

# Chosen by scripts/tune_tabular.py on seeds 1000 to 1009; "" holds what the methods share. On the large lake the choice
# was made for Q-learning alone.
TUNED: dict[str, dict[str, dict[str, Any]]] = {
    "FrozenLake-v1": {
        "": {"steps": 100_000, "gamma": 0.99, **FASTER_DECAY, **TO_NONE},
        "n_step_sarsa": ROOT_DECAY,
        "double_q_learning": ROOT_DECAY,
    },
    "FrozenLake8x8-v1": {"": {"steps": 400_000, "gamma": 0.999, **ROOT_DECAY, **TO_THIRD}},
    "CliffWalking-v1": {
        "": {"steps": 50_000, "gamma": 1.0, **ROOT_DECAY, **TENTH},
        "double_q_learning": CONSTANT,
    },
    "Taxi-v4": {
        "": {"steps": 200_000, "gamma": 0.99, **ROOT_DECAY, **TO_NONE},
        "sarsa": TENTH,
        "expected_sarsa": CONSTANT,
        "double_q_learning": CONSTANT,
    },
}


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """What can be had at all, by dynamic programming."""

    model: Model
    optimum: float
    stationary: Stationary
    q_SA: Array
    """action values of an optimal policy without a limit, for the drawing"""

    def sentences(self) -> list[str]:
        """The limits of the task in words."""
        size = f"{self.model.states} states, {self.model.actions} actions, at most {self.model.limit} steps an episode"
        found = "best policy that does not" if self.stationary.is_proven else "best policy found that does not"
        best = f"{found}, all that a table of values can express: {self.stationary.value:.5f}"
        return [
            f"{self.model.name}: {size}",
            f"optimum inside the limit, undiscounted, by a policy that may watch the clock: {self.optimum:.5f}",
            "a policy that does not can do as well" if self.stationary.is_optimal else best,
        ]


def main() -> None:
    settings = read_settings(sys.argv[1:])
    tuned = TUNED.get(settings.env_id, {}) if settings.map is None and not settings.env_options else {}
    resolved = [
        settings.resolve(method, {**tuned.get("", {}), **tuned.get(method, {})}) for method in settings.methods()
    ]
    model = settings.model()
    reference = solve(model, max(chosen.gamma or 0.0 for chosen in resolved))
    print("\n".join(reference.sentences()), flush=True)
    outcomes = []
    for chosen in resolved:
        outcomes.append(run_method(chosen, model))
        print(progress(outcomes[-1]), flush=True)
    print("\n" + as_text(HEAD, rows(outcomes, reference)) + "\n")
    for title, picture in drawings(settings, outcomes, reference):
        print(f"{title}\n{picture}\n")
    print(f"report: {write_report(settings, outcomes, reference)}")


def read_settings(words: Sequence[str]) -> TabularSettings:
    """The command line's settings; `--smoke` makes them the smallest, for tests."""
    default = TabularSettings()
    if "--smoke" in words:
        words = [word for word in words if word != "--smoke"]
        default = replace(default, **SMOKE)
    return tyro.cli(TabularSettings, default=default, args=words, description=__doc__)


def solve(model: Model, gamma: float) -> Optimum:
    """The optimum inside the limit, the best stationary policy found, and optimal action values."""
    stationary = best_stationary(model)
    return Optimum(model, optimum(model), stationary, value_iteration(model, min(gamma, 0.9999)).q_SA)


def progress(outcome: MethodResult) -> str:
    """One line a method: what was trained now and what was there already."""
    chosen, kept = outcome.settings, len(outcome.seeds) - outcome.trained_now
    trained = f"{outcome.trained_now} seeds × {chosen.steps} steps in {outcome.seconds:.1f} s"
    return f"{chosen.algorithm}: {trained if outcome.trained_now else 'nothing to train'}" + (
        f", {kept} finished before" if kept else ""
    )


HEAD = (
    "method",
    "seeds",
    "greedy policy, exact [95 %]",
    "worst seed",
    "best seed",
    "below optimum",
    "acting as trained, exact [95 %]",
    "last returns in training",
)


def rows(outcomes: Sequence[MethodResult], reference: Optimum) -> list[tuple[str, ...]]:
    """One row a method. Returns are undiscounted and inside the time limit."""
    made = []
    for outcome in outcomes:
        final_K, online_K = outcome.greedy_return_KC[:, -1], outcome.online_return_KC[:, -1]
        made.append(
            (
                outcome.settings.algorithm,
                str(len(outcome.seeds)),
                with_interval(final_K, reference.optimum),
                f"{final_K.min():z.4f}",
                f"{final_K.max():z.4f}",
                f"{reference.optimum - final_K.mean():z.4f}",
                with_interval(outcome.behavior_return_K, reference.optimum),
                "no episode ended" if (online_K != online_K).any() else f"{online_K.mean():z.4f}",
            )
        )
    return made


def with_interval(values_K: Array, optimum: float) -> str:
    """Mean over seeds with Student's interval, not beyond the optimum; of a single seed the value alone."""
    limits = interval(values_K)
    if limits is None:
        return f"{values_K.mean():z.4f}"
    return f"{values_K.mean():z.4f} [{limits.low:z.4f}, {min(limits.high, optimum):z.4f}]"


def as_text(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in columns."""
    lines = [head, *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def drawings(settings: TabularSettings, outcomes: Sequence[MethodResult], reference: Optimum) -> list[tuple[str, str]]:
    """Policies as arrows: the optimum without a limit, and each method's first seed. None where there is no grid."""
    env = settings.environment()
    pictures = [("optimal policy, discounted", draw_policy(env, reference.q_SA))]
    pictures += [
        (f"{outcome.settings.algorithm}, seed {outcome.seeds[0]}", draw_policy(env, outcome.q_KSA[0]))
        for outcome in outcomes
    ]
    env.close()
    return [(title, picture) for title, picture in pictures if picture]


def write_report(settings: TabularSettings, outcomes: Sequence[MethodResult], reference: Optimum) -> str:
    """Write report.html and a curve of each method beside the seeds (for `all`, in a folder of its own)."""
    folder = outcomes[0].folder
    if settings.algorithm == "all":
        folder = settings.root / RECIPE / f"all-{config_hash(settings.config())}"
        folder.mkdir(parents=True, exist_ok=True)
    curves = {outcome.settings.algorithm: curves_plot(outcome, reference.optimum) for outcome in outcomes}
    for method, curve in curves.items():
        write_atomic(folder / f"curves-{method}.svg", curve)
    policies = "".join(
        preformatted(f"{title}\n\n{picture}") for title, picture in drawings(settings, outcomes, reference)
    )
    body = [
        heading(f"Tabular methods on {reference.model.name}"),
        *(soft(sentence) for sentence in reference.sentences()),
        section("Returns over seeds", table(HEAD, rows(outcomes, reference))),
        section("Learning curves", plots(curves.values())),
        section("Policies", policies),
    ]
    path = folder / "report.html"
    write_atomic(path, page(f"Tabular methods on {reference.model.name}", body))
    return str(path)


if __name__ == "__main__":
    run_command(main)
