"""Blackjack by Monte Carlo: exploring starts, and what a random player's games say of another policy.

    python recipes/blackjack.py
    python recipes/blackjack.py --runs 10 --steps 50000

Figures 5.2, 5.3 and 5.4 of Sutton & Barto beside ours. The game's tables are exact, so that what is learned can be held
against dynamic programming. `--smoke` is the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlpath.core.errors import run_command
from rlpath.report.plots import Line, line_plot
from rlpath.tabular.blackjack import (
    blackjack,
    exploring_starts,
    loop_episodes,
    off_policy_episodes,
    optimal_policy,
    ordinary,
    state,
    sticks_from,
    weighted,
)
from rlpath.tabular.book import COLORS, Claim, curve, over_runs, publish, read_settings
from rlpath.tabular.dp import expected_return, greedy, policy_values
from rlpath.tabular.model import Array, Ints, Model

START = state(13, 2, True)
"""Of figure 5.3: a sum of 13 with a usable ace, the dealer shows a deuce."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 30
    """independent runs with exploring starts"""
    steps: int = 200_000
    """steps of each, about 130,000 games"""
    estimates: int = 100
    """independent runs off-policy, as in the book"""
    episodes: int = 10_000
    """games of each, as in the book"""
    seed: int = 0
    """the first run's seed"""
    root: Path = Path("runs")
    """folder of all runs"""


def main() -> None:
    smoke = Settings(runs=2, steps=2000, estimates=4, episodes=200)
    settings = read_settings(Settings, smoke, __doc__)
    model = blackjack()
    best = optimal_policy(model)
    errors = squared_errors(settings, model)
    looped = {
        name: estimate(*loop_episodes(settings.runs, 10 * settings.episodes, settings.seed))
        for name, estimate in (("ordinary", ordinary), ("weighted", weighted))
    }
    print("importance sampling is done", flush=True)
    q = exploring_starts(model, range(settings.seed, settings.seed + settings.runs), settings.steps)
    claims = [*control_claims(model, q, best), *sampling_claims(model, errors), *loop_claims(looped)]
    remarks = [
        f"{settings.runs} runs of {settings.steps} steps with exploring starts, seed {settings.seed}; "
        f"{settings.estimates} runs of {settings.episodes} games off-policy.",
        "Infinite deck, and a natural counts as any other 21.",
    ]
    texts = {"optimal policy, exact": draw(best), f"learned, seed {settings.seed}": draw(q[0].argmax(-1))}
    publish("blackjack", "Blackjack by Monte Carlo", settings, claims, figures(errors, looped), remarks, texts)


def squared_errors(settings: Settings, model: Model) -> dict[str, Array]:
    """Figure 5.3: squared errors (K, E) of both estimates of one state's value, from a random player's games."""
    target = sticks_from(20)
    exact = policy_values(model, target, 1.0)[START]
    played = off_policy_episodes(model, target, START, settings.estimates, settings.episodes, settings.seed)
    return {
        "ordinary importance sampling": (ordinary(*played) - exact) ** 2,
        "weighted importance sampling": (weighted(*played) - exact) ** 2,
    }


def control_claims(model: Model, q_KSA: Array, best: Ints) -> list[Claim]:
    """Figure 5.2: the policy that exploring starts find, against dynamic programming."""
    learned = greedy(q_KSA)
    value = float(expected_return(model, np.eye(2)[best]))
    return [
        over_runs(
            "5.2",
            "states with the optimal action, of 200",
            "all",
            200 * (q_KSA.argmax(-1) == best).mean(-1),
            1,
            most=200,
        ),
        Claim("5.2", "optimum, mean over the states", "", value, 0, 4),
        over_runs("5.2", "the learned policy, exact", "optimal", expected_return(model, learned), 4, most=value),
    ]


def sampling_claims(model: Model, errors: Mapping[str, Array]) -> list[Claim]:
    """Figure 5.3: both converge; the weighted estimate is nearer at the beginning."""
    plain, weighed = errors.values()
    apart = plain - weighed
    return [
        Claim(
            "5.3",
            "value of the state",
            "−0.27726, of 10⁸ games",
            policy_values(model, sticks_from(20), 1.0)[START],
            0,
            5,
        ),
        over_runs("5.3", "squared error after 10 games, ordinary − weighted", "above 0", apart[:, 9], 3),
        over_runs("5.3", "mean of the first 100 games", "above 0", apart[:, :100].mean(-1), 3),
        over_runs("5.3", "ordinary: squared error at the end", "near 0", plain[:, -1], 5, least=0),
        over_runs("5.3", "weighted: squared error at the end", "near 0", weighed[:, -1], 5, least=0),
    ]


def loop_claims(estimates: Mapping[str, Array]) -> list[Claim]:
    """Figure 5.4: without a finite variance the ordinary estimate does not settle on 1."""
    missed = {name: np.abs(values[:, -1] - 1) for name, values in estimates.items()}
    return [
        over_runs(
            "5.4", "ordinary: distance from the value 1 at the end", "does not converge", missed["ordinary"], 3, least=0
        ),
        over_runs("5.4", "weighted: distance from the value 1 at the end", "0", missed["weighted"], 3, least=0),
    ]


def figures(errors: Mapping[str, Array], looped: Mapping[str, Array]) -> dict[str, str]:
    """Mean squared errors over games, and single runs of the loop, both on a logarithmic axis of games."""
    games = points(next(iter(errors.values())).shape[1])
    mean = [
        curve(name, np.log10(games), values[:, games - 1], color)
        for (name, values), color in zip(errors.items(), COLORS, strict=False)
    ]
    long = points(looped["ordinary"].shape[1])
    runs = [Line(None, np.log10(long), run[long - 1], COLORS[0]) for run in looped["ordinary"][:10]]
    return {
        "figure-5.3": line_plot("figure-5.3", "Figure 5.3: mean squared error", mean, xlabel="log₁₀ of games"),
        "figure-5.4": line_plot("figure-5.4", "Figure 5.4: ten ordinary estimates", runs, xlabel="log₁₀ of episodes"),
    }


def points(last: int) -> Ints:
    """Whole numbers from 1 to `last` at even distances of their logarithms."""
    return np.unique(np.geomspace(1, last, 200).round().astype(np.int64))


def draw(action_S: Ints) -> str:
    """A policy as two grids: the player's sum from 21 down to 12, the dealer's card from ace to ten."""
    blocks = []
    for usable in (True, False):
        rows = [
            f"{total} " + "".join("SH"[action_S[state(total, shown, usable)]] for shown in range(1, 11))
            for total in range(21, 11, -1)
        ]
        blocks.append(f"{'usable ace' if usable else 'no usable ace'}\n" + "\n".join(rows))
    return "\n\n".join(blocks)


if __name__ == "__main__":
    run_command(main)
