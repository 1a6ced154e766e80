"""Bandits on the 10-armed testbed: figures 2.2 to 2.6 and exercise 2.5 of Sutton & Barto beside ours.

    python recipes/bandits.py
    python recipes/bandits.py --runs 200 --steps 500

2,000 problems of ten actions, true values normal, rewards normal about them; every method plays the same problems. The
page compares what the book's text states, and draws its figures. In exercise 2.5 all values begin equal and walk at
random: what was learned long ago is no longer true. `--smoke` plays 50 problems for 60 steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlpath.core.errors import run_command
from rlpath.core.seeding import derive
from rlpath.report.plots import line_plot
from rlpath.tabular.bandits import (
    ActionValues,
    BanditMethod,
    BanditRun,
    GradientBandit,
    UpperConfidenceBound,
    play,
    testbed,
)
from rlpath.tabular.book import COLORS, Claim, curve, over_runs, publish, read_settings
from rlpath.tabular.model import Array, Flags


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One experiment."""

    runs: int = 2000
    """problems, each played once by every method"""
    steps: int = 1000
    """plays of each problem"""
    walk_steps: int = 10_000
    """plays of each problem whose values walk (exercise 2.5)"""
    seed: int = 0
    """fixes the problems and every draw"""
    root: Path = Path("runs")
    """folder of all runs"""


METHODS: dict[str, Mapping[str, BanditMethod]] = {
    "2.2": {
        "greedy": ActionValues(),
        "ε = 0.01": ActionValues(0.01),
        "ε = 0.1": ActionValues(0.1),
    },
    "2.3": {
        "optimistic, q₁ = 5": ActionValues(alpha=0.1, initial=5.0),
        "realistic, ε = 0.1": ActionValues(0.1, alpha=0.1),
    },
    "2.4": {
        "UCB, c = 2": UpperConfidenceBound(c=2.0),
        "ε = 0.1": ActionValues(0.1),
    },
    "2.5": {
        f"α = {alpha}{'' if baseline else ', no baseline'}": GradientBandit(alpha, baseline)
        for alpha in (0.1, 0.4)
        for baseline in (True, False)
    },
}
WALKING: dict[str, BanditMethod] = {
    "sample averages": ActionValues(0.1),
    "constant step, α = 0.1": ActionValues(0.1, alpha=0.1),
}
"""Exercise 2.5: ε = 0.1 in both."""
SWEPT: dict[str, dict[int, BanditMethod]] = {
    "ε-greedy": {p: ActionValues(2.0**p) for p in range(-7, -1)},
    "gradient": {p: GradientBandit(2.0**p) for p in range(-5, 2)},
    "UCB": {p: UpperConfidenceBound(c=2.0**p) for p in range(-4, 3)},
    "optimistic greedy": {p: ActionValues(alpha=0.1, initial=2.0**p) for p in range(-2, 3)},
}
"""Figure 2.6: each method's parameter (ε, α, c, q₁) as a power of two."""


def main() -> None:
    settings = read_settings(Settings, Settings(runs=50, steps=60, walk_steps=60), __doc__)
    played = {
        figure: {name: run(settings, player, 4.0 if figure == "2.5" else 0.0) for name, player in methods.items()}
        for figure, methods in METHODS.items()
    }
    print("figures 2.2 to 2.5 are played", flush=True)
    swept = {
        name: {power: run(settings, player).reward_RT.mean(-1) for power, player in players.items()}
        for name, players in SWEPT.items()
    }
    remarks = [
        f"{settings.runs} problems, {settings.steps} steps, seed {settings.seed}; intervals over problems.",
        "“At the end” is the mean of the last tenth of the steps. All methods play the same problems.",
    ]
    walked = {name: run_walking(settings, player) for name, player in WALKING.items()}
    claims = [*evaluate(played), *evaluate_walking(walked), *evaluate_sweep(swept)]
    drawn = {**figures(played, swept), "exercise-2.5": draw_walking(walked)}
    publish("bandits", "Bandits: the 10-armed testbed", settings, claims, drawn, remarks)


def run(settings: Settings, player: BanditMethod, mean: float = 0.0) -> BanditRun:
    """One method on the seed's problems; each method has the same stream of draws of its own."""
    true = testbed(settings.runs, np.random.default_rng(derive(settings.seed, "bandits", "problems")), mean=mean)
    return play(player, true, settings.steps, np.random.default_rng(derive(settings.seed, "bandits", "play")))


def run_walking(settings: Settings, player: BanditMethod) -> BanditRun:
    """One method where true values begin at 0 and walk; both methods meet the same walks."""
    walk = np.random.default_rng(derive(settings.seed, "bandits", "walk"))
    rng = np.random.default_rng(derive(settings.seed, "bandits", "play"))
    return play(player, np.zeros((settings.runs, 10)), settings.walk_steps, rng, drift=walk)


def end(values_RT: Array | Flags) -> Array:
    """Mean of each problem over the last tenth of the steps."""
    return values_RT[:, -max(1, values_RT.shape[1] // 10) :].mean(-1)


def evaluate(played: Mapping[str, Mapping[str, BanditRun]]) -> list[Claim]:
    """What the text says of figures 2.2 to 2.5."""
    greedy, slow, fast = played["2.2"].values()
    optimistic, realistic = played["2.3"].values()
    ucb, epsilon = played["2.4"].values()
    with_01, without_01, with_04, without_04 = (gradient.optimal_RT for gradient in played["2.5"].values())
    spike = ucb.reward_RT[:, 10] - ucb.reward_RT[:, 11]
    first = slice(0, ucb.reward_RT.shape[1] // 10)
    early = optimistic.optimal_RT[:, first].mean(-1) - realistic.optimal_RT[:, first].mean(-1)
    return [
        over_runs("2.2", "greedy: reward at the end", "about 1", end(greedy.reward_RT)),
        over_runs(
            "2.2", "greedy: share of best actions at the end", "about a third", end(greedy.optimal_RT), least=0, most=1
        ),
        over_runs("2.2", "ε = 0.1: reward at the end", "≈ 1.4 (figure)", end(fast.reward_RT)),
        over_runs(
            "2.2", "ε = 0.1: share of best actions at the end", "never over 0.91", end(fast.optimal_RT), least=0, most=1
        ),
        over_runs("2.2", "ε = 0.01: reward at the end", "≈ 1.3 (figure)", end(slow.reward_RT)),
        over_runs("2.3", "optimistic − realistic, best actions, first tenth", "below 0", early),
        over_runs("2.3", "the same at the end", "above 0", end(optimistic.optimal_RT) - end(realistic.optimal_RT)),
        over_runs("2.4", "UCB − ε-greedy, reward at the end", "above 0", end(ucb.reward_RT) - end(epsilon.reward_RT)),
        over_runs("2.4", "UCB, reward of step 11 − step 12", "a spike at 11", spike),
        over_runs("2.5", "baseline − none, α = 0.1, best actions", "above 0", end(with_01) - end(without_01)),
        over_runs("2.5", "baseline − none, α = 0.4, best actions", "above 0", end(with_04) - end(without_04)),
    ]


def evaluate_walking(walked: Mapping[str, BanditRun]) -> list[Claim]:
    """Exercise 2.5, whose answer the book leaves to the reader: a mean over all the past cannot follow a walk."""
    averages, constant = walked.values()
    reward = end(constant.reward_RT) - end(averages.reward_RT)
    best = end(constant.optimal_RT) - end(averages.optimal_RT)
    return [
        over_runs("ex. 2.5", "constant step − sample averages, reward at the end", "above 0", reward),
        over_runs("ex. 2.5", "the same, share of best actions", "above 0", best),
        over_runs(
            "ex. 2.5", "constant step: share of best actions at the end", "", end(constant.optimal_RT), least=0, most=1
        ),
    ]


def draw_walking(walked: Mapping[str, BanditRun]) -> str:
    """Share of best actions in each two-hundredth of the steps."""
    lines = []
    for (name, played), color in zip(walked.items(), COLORS, strict=False):
        problems, steps = played.optimal_RT.shape
        width = max(1, steps // 200)
        blocks = played.optimal_RT[:, : steps // width * width].reshape(problems, -1, width).mean(-1)
        lines.append(curve(name, (np.arange(blocks.shape[1]) + 1) * width, blocks, color))
    return line_plot("exercise-2.5", "Exercise 2.5: share of best actions", lines, percent=True)


def evaluate_sweep(swept: Mapping[str, Mapping[int, Array]]) -> list[Claim]:
    """Figure 2.6: every method at the parameter that was best for it; the book ranks UCB first.

    The parameter is chosen on the problems that are reported, as in the book: with a handful of values and 2,000
    problems the choice adds next to nothing.
    """
    best = {name: max(values.items(), key=lambda item: item[1].mean()) for name, values in swept.items()}
    claims = [
        over_runs(
            "2.6", f"{name}, best at 2^{power}: mean reward", "highest of all" if name == "UCB" else "below UCB", values
        )
        for name, (power, values) in best.items()
    ]
    others = max((values for name, (_, values) in best.items() if name != "UCB"), key=lambda values: values.mean())
    return [*claims, over_runs("2.6", "UCB − the best other method", "above 0", best["UCB"][1] - others, 3)]


def figures(played: Mapping[str, Mapping[str, BanditRun]], swept: Mapping[str, Mapping[int, Array]]) -> dict[str, str]:
    """Rewards or shares of best actions over steps, and the parameter study."""
    drawn = {}
    for figure, methods in played.items():
        kinds = {"reward": "mean reward", "optimal": "share of best actions"}
        for kind, words in kinds.items():
            if figure == "2.5" and kind == "reward":
                continue
            lines = [
                curve(name, np.arange(1, p.reward_RT.shape[1] + 1), getattr(p, f"{kind}_RT"), color)
                for (name, p), color in zip(methods.items(), COLORS, strict=False)
            ]
            name = f"figure-{figure}-{kind}"
            drawn[name] = line_plot(name, f"Figure {figure}: {words}", lines, percent=kind == "optimal")
    lines = [
        curve(name, list(values), np.stack(list(values.values()), axis=-1), color)
        for (name, values), color in zip(swept.items(), COLORS, strict=False)
    ]
    drawn["figure-2.6"] = line_plot(
        "figure-2.6", "Figure 2.6: mean reward of all steps", lines, xlabel="log₂ of ε, α, c or q₁"
    )
    return drawn


if __name__ == "__main__":
    run_command(main)
