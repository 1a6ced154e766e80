"""Prediction on random walks: TD against Monte Carlo, n steps, traces, batches, and 1,000 states in ten groups.

    python recipes/prediction.py
    python recipes/prediction.py --runs 30 --large-episodes 10000

Examples 6.2 and 9.1 and figures 6.2, 7.2, 9.1 and 12.6 of Sutton & Barto beside ours. Errors are root mean squares over
the states, against exact values. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rlpath.core.errors import run_command
from rlpath.report.plots import GRAY, Line, line_plot
from rlpath.tabular.book import COLORS, Claim, curve, over_runs, publish, read_settings
from rlpath.tabular.examples import random_walk
from rlpath.tabular.learner import Prediction, StepSize
from rlpath.tabular.model import Array, Model
from rlpath.tabular.monte_carlo import MonteCarloPrediction
from rlpath.tabular.n_step import NStepTD
from rlpath.tabular.td import TD0, TDLambda
from rlpath.tabular.walk import (
    GROUPS,
    LARGE,
    aggregated_limits,
    batch_monte_carlo,
    batch_td,
    gradient_monte_carlo,
    groups,
    large_walk_values,
    predict_by_episode,
    rms_error,
    value_error,
    walk_paths,
)

SMALL = random_walk(5)
SMALL_TRUE = np.arange(1, 6) / 6
LONG = random_walk(19, left_reward=-1.0)
LONG_TRUE = np.arange(-9, 10) / 10
ALPHAS = tuple(round(0.1 * i, 1) for i in range(1, 11))
STEPS = (1, 2, 4, 8, 16)
LAMBDAS = (0.0, 0.4, 0.8, 0.9, 0.95)
LARGE_ALPHA = 2e-5

Method = Callable[..., Prediction]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 100
    """independent runs on the small walks, as in the book"""
    episodes: int = 100
    """episodes of the five-state walk"""
    large_runs: int = 30
    """independent runs on the walk of 1,000 states; the book shows one"""
    large_episodes: int = 100_000
    """episodes of each, as in the book"""
    seed: int = 0
    """the first run's seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    smoke = Settings(runs=4, episodes=12, large_runs=2, large_episodes=200)
    settings = read_settings(Settings, smoke, __doc__)
    five = five_states(settings)
    batches = batch_errors(settings)
    print("the walk of five states is done", flush=True)
    n_step = {n: over_alphas(settings, NStepTD, n=n) for n in STEPS}
    traces = {lam: over_alphas(settings, TDLambda, lam=lam, traces="accumulating") for lam in LAMBDAS}
    print("the walk of 19 states is done", flush=True)
    seeds = range(settings.seed, settings.seed + settings.large_runs)
    weights = gradient_monte_carlo(settings.large_episodes, LARGE_ALPHA, seeds)
    claims = [*small_claims(five, batches), *long_claims(n_step, traces), *large_claims(weights)]
    drawn = figures(five, batches, n_step, traces, weights)
    remarks = [
        f"{settings.runs} runs from seed {settings.seed} on the small walks, {settings.large_runs} on the large one."
    ]
    publish("prediction", "Prediction on random walks", settings, claims, drawn, remarks)


def learn(settings: Settings, model: Model, method: Method, alpha: float, initial: float, episodes: int) -> Array:
    """The values (K, E, S) after each episode of every run, under the policy that goes either way."""
    seeds = range(settings.seed, settings.seed + settings.runs)
    learner = method(model, len(seeds), 1.0, StepSize(alpha), initial=initial)
    return predict_by_episode(model, learner, np.full((model.states, 2), 0.5), seeds, episodes)


def five_states(settings: Settings) -> dict[str, Array]:
    """Example 6.2: errors (K, E) of TD(0) and constant-α Monte Carlo (every visit), values begin at 0.5."""
    every_visit = partial(MonteCarloPrediction, first_visit=False)
    chosen: list[tuple[str, Method, float]] = [(f"TD, α = {a}", TD0, a) for a in (0.05, 0.1, 0.15)]
    chosen += [(f"MC, α = {a}", every_visit, a) for a in (0.01, 0.02, 0.03, 0.04)]
    return {
        name: rms_error(learn(settings, SMALL, method, alpha, 0.5, settings.episodes), SMALL_TRUE)
        for name, method, alpha in chosen
    }


def batch_errors(settings: Settings) -> dict[str, Array]:
    """Figure 6.2: errors (K, E) of what both methods converge to on the first 1, 2, … episodes."""
    errors: dict[str, list[list[float]]] = {"batch TD": [], "batch MC": []}
    for seed in range(settings.seed, settings.seed + settings.runs):
        paths = walk_paths(5, settings.episodes, seed)
        for name, batch in (("batch TD", batch_td), ("batch MC", batch_monte_carlo)):
            learned = np.array([batch(paths[:count], 5) for count in range(1, settings.episodes + 1)])
            errors[name].append(rms_error(learned, SMALL_TRUE).tolist())
    return {name: np.array(rows) for name, rows in errors.items()}


def over_alphas(settings: Settings, method: Method, **options: Any) -> dict[float, Array]:
    """Figures 7.2 and 12.6: the error (K,) over the first ten episodes of the 19-state walk, for each step size."""
    made = partial(method, **options)
    with np.errstate(over="ignore", invalid="ignore"):  # large step sizes diverge with long traces, in the book too
        found = {a: rms_error(learn(settings, LONG, made, a, 0.0, 10), LONG_TRUE).mean(-1) for a in ALPHAS}
    return {alpha: errors for alpha, errors in found.items() if np.isfinite(errors).all() and errors.mean() < 1}


def best(errors: Mapping[float, Array]) -> tuple[float, Array]:
    """The step size of the least mean error, and the errors there."""
    return min(errors.items(), key=lambda item: item[1].mean())


def small_claims(five: Mapping[str, Array], batches: Mapping[str, Array]) -> list[Claim]:
    """Five states: TD(0) against Monte Carlo, one pass and in batches."""
    names = {kind: [name for name in five if name.startswith(kind)] for kind in ("TD", "MC")}
    mean = {name: errors.mean(-1) for name, errors in five.items()}
    td, mc = (min((mean[name] for name in names[kind]), key=np.mean) for kind in ("TD", "MC"))
    start = float(np.sqrt(((SMALL_TRUE - 0.5) ** 2).mean()))
    return [
        Claim("6.2", "five states: error before learning", "≈ 0.24 (figure)", start, 0, 3),
        over_runs("6.2", "best TD(0), mean error", "below Monte Carlo", td, 3),
        over_runs("6.2", "best Monte Carlo − best TD(0)", "above 0", mc - td, 3),
        over_runs("6.2", "TD(0), α = 0.05: error at the end", "≈ 0.05 (figure)", five["TD, α = 0.05"][:, -1], 3),
        over_runs(
            "6.2", "batch MC − batch TD, mean error", "above 0", (batches["batch MC"] - batches["batch TD"]).mean(-1), 3
        ),
    ]


def long_claims(
    n_step: Mapping[int, Mapping[float, Array]], traces: Mapping[float, Mapping[float, Array]]
) -> list[Claim]:
    """19 states: between one step and the whole return lies the best."""
    n_best = {n: best(errors) for n, errors in n_step.items()}
    l_best = {lam: best(errors) for lam, errors in traces.items()}
    n = min(n_best, key=lambda n: n_best[n][1].mean())
    lam = min(l_best, key=lambda lam: l_best[lam][1].mean())
    return [
        over_runs("7.2", f"n-step TD, best n = {n}, α = {n_best[n][0]}: error", "best n = 4", n_best[n][1], 3),
        over_runs("7.2", "TD(0) − n = 4, each at its best α", "above 0", n_best[1][1] - n_best[4][1], 3),
        over_runs("7.2", "n = 16 − n = 4, each at its best α", "above 0", n_best[16][1] - n_best[4][1], 3),
        over_runs(
            "12.6", f"TD(λ), best λ = {lam}, α = {l_best[lam][0]}: error", "an intermediate λ", l_best[lam][1], 3
        ),
        over_runs("12.6", "λ = 0 − λ = 0.8, each at its best α", "above 0", l_best[0.0][1] - l_best[0.8][1], 3),
    ]


def large_claims(weights_KG: Array) -> list[Claim]:
    """1,000 states: time spent, the limits in closed form, and gradient Monte Carlo beside its own."""
    _, mu = large_walk_values()
    mc, td = aggregated_limits()
    share = "% of the time in state"
    return [
        Claim("9.1", f"{share} 500, the start", "about 1.37", 100 * float(mu[499]), 0, 3),
        Claim("9.1", f"{share} 499", "about 0.17", 100 * float(mu[498]), 0, 3),
        Claim("9.1", f"{share} 1", "about 0.0147", 100 * float(mu[0]), 0, 4),
        Claim("9.1", "least √VE of ten groups", "", float(value_error(mc)), 0, 4),
        over_runs("9.1", "gradient Monte Carlo, √VE", "near the least", value_error(weights_KG), 4),
        over_runs("9.1", "its largest distance from its limit", "small", np.abs(weights_KG - mc).max(-1), 3),
        Claim("9.2", "√VE of the fixed point of TD(0)", "above the least", float(value_error(td)), 0, 4),
        Claim("9.2", "TD − MC weight of the last group", "below 0: less steep", float(td[-1] - mc[-1]), 0, 3),
    ]


def figures(
    five: Mapping[str, Array],
    batches: Mapping[str, Array],
    n_step: Mapping[int, Mapping[float, Array]],
    traces: Mapping[float, Mapping[float, Array]],
    weights_KG: Array,
) -> dict[str, str]:
    """The book's figures from our numbers."""
    episodes = np.arange(1, len(next(iter(five.values()))[0]) + 1)
    colors = (*COLORS, "#5c4a3d")
    small = [curve(name, episodes, errors, color) for (name, errors), color in zip(five.items(), colors, strict=False)]
    both = [
        curve(name, episodes, errors, color) for (name, errors), color in zip(batches.items(), COLORS, strict=False)
    ]
    v, _ = large_walk_values()
    states = np.arange(1, LARGE + 1)
    _, td = aggregated_limits()
    large = [
        Line("true value", states, v, GRAY),
        curve("gradient Monte Carlo", states, weights_KG @ groups().T, COLORS[0]),
        Line("limit of semi-gradient TD(0)", states, groups() @ td, COLORS[1]),
    ]
    return {
        "example-6.2": line_plot("example-6.2", "Example 6.2: error on five states", small, xlabel="episode"),
        "figure-6.2": line_plot("figure-6.2", "Figure 6.2: batch updating", both, xlabel="episodes in the batch"),
        "figure-7.2": by_alpha(
            "figure-7.2", "Figure 7.2: n-step TD, 19 states", {f"n = {n}": e for n, e in n_step.items()}
        ),
        "figure-12.6": by_alpha(
            "figure-12.6", "Figure 12.6: TD(λ), 19 states", {f"λ = {x}": e for x, e in traces.items()}
        ),
        "figure-9.1": line_plot("figure-9.1", f"Figure 9.1: 1,000 states in {GROUPS} groups", large, xlabel="state"),
    }


def by_alpha(name: str, title: str, errors: Mapping[str, Mapping[float, Array]]) -> str:
    """Error over the first ten episodes against the step size; step sizes that diverge are left out."""
    lines = [
        curve(label, list(at), np.stack(list(at.values()), axis=-1), color)
        for (label, at), color in zip(errors.items(), COLORS, strict=False)
    ]
    return line_plot(name, title, lines, xlabel="α")


if __name__ == "__main__":
    run_command(main)
