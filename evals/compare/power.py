"""How many items and seeds a comparison needs, before anything is run: `rlpath power --baseline 0.3 --effect 0.03`.

Two levels: items say how well two given models were told apart, training seeds say how much the recipe itself varies.
A claim about a recipe needs both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rlpath.core.errors import InputError
from rlpath.core.stats import normal_quantile, t_power

DIFFER = (0.05, 0.1, 0.2, 0.3)
SPREADS = (0.005, 0.01, 0.02, 0.03)
EXACT_UP_TO = 20_000
"""Items beyond which Connor's formula is taken as it is: the exact test needs less than 1 % more there."""
FEWEST_SEEDS = 3
SEEDS_BY_T_UP_TO = 500
"""Training seeds beyond which the normal formula is taken as it is: Student's t needs two more there."""


def unpaired_items(baseline: float, effect: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items for each model where each answers its own: the z-test of two proportions (Fleiss, Levin and Paik 2003)."""
    first, second = baseline, baseline + effect
    middle = (first + second) / 2
    null = normal_quantile(1 - alpha / 2) * math.sqrt(2 * middle * (1 - middle))
    real = normal_quantile(power) * math.sqrt(first * (1 - first) + second * (1 - second))
    return math.ceil(((null + real) / effect) ** 2)


def paired_items(effect: float, differ: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items that both models answer, of which a share `differ` is right for one and wrong for the other.

    Connor's formula (1987) for McNemar's test, raised until the exact test, `rlpath.core.stats.mcnemar`, has the power.
    """
    null, real = normal_quantile(1 - alpha / 2), normal_quantile(power)
    n = math.ceil(((null * math.sqrt(differ) + real * math.sqrt(differ - effect**2)) / effect) ** 2)
    while n < EXACT_UP_TO and mcnemar_power(n, effect, differ, alpha) < power:
        n += max(1, n // 200)
    return n


def mcnemar_power(n: int, effect: float, differ: float, alpha: float = 0.05) -> float:
    """The chance that the exact two-sided McNemar test of `n` items rejects: gains (differ + effect) / 2 of the items.

    Summed over the number of items that differ (binomial) and the gains among them (binomial).
    """
    gain = (differ + effect) / 2 / differ
    spread = 8 * math.sqrt(n * differ * (1 - differ)) + 8
    low, high = max(0, math.floor(n * differ - spread)), min(n, math.ceil(n * differ + spread))
    weights = _binomial(n, differ, np.arange(low, high + 1))
    total = 0.0
    for changed, weight in zip(range(low, high + 1), weights, strict=True):
        if weight < 1e-12:
            continue
        counts = np.arange(changed + 1)
        # The losing side may hold so many at most: its doubled tail under a fair coin stays below alpha.
        tails = 2 * np.cumsum(_binomial(changed, 0.5, counts))
        most = int(np.searchsorted(tails, alpha)) - 1
        if most >= 0:
            chances = _binomial(changed, gain, counts)
            total += float(weight) * float(chances[: most + 1].sum() + chances[changed - most :].sum())
    return total


@lru_cache(maxsize=1024)
def detectable_by_mcnemar(n: int, changed: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest effect that McNemar's exact test of `n` items sees with this power, where `changed` of them differ.

    The share that differs is taken as (changed + 2) / (n + 2), so that none observed is not none possible; an effect
    needs at least its own share of items to differ. To a thousandth, and 1 where even that would not be seen.
    """
    differ = (changed + 2) / (n + 2)
    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        effect = middle / 1000
        seen = mcnemar_power(n, effect, max(differ, effect), alpha) >= power
        low, high = (low, middle) if seen else (middle, high)
    return high / 1000


def seeds_against_base(effect: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Training seeds of one recipe whose gain over a fixed base model has mean `effect`, deviation `spread`: t-test."""
    return _seeds(effect / spread, 1, alpha, power)


def seeds_per_arm(effect: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Training seeds of each of two recipes whose scores have deviation `spread`: t-test of two means."""
    return _seeds(effect / spread, 2, alpha, power)


def seeds_power(ratio: float, seeds: int, arms: int, alpha: float = 0.05) -> float:
    """The power of the t-test where an effect is `ratio` deviations, by the non-central t."""
    return t_power(ratio * math.sqrt(seeds / arms), arms * (seeds - 1), alpha)


def _seeds(ratio: float, arms: int, alpha: float, power: float) -> int:
    """The fewest seeds with that power, never below three: of two, the deviation is hardly known."""
    normal = (normal_quantile(1 - alpha / 2) + normal_quantile(power)) ** 2 * arms / ratio**2
    seeds = max(FEWEST_SEEDS, math.ceil(normal))
    while seeds < SEEDS_BY_T_UP_TO and seeds_power(ratio, seeds, arms, alpha) < power:
        seeds += 1
    return seeds


def _percent(share: float) -> str:
    """As many decimals as it has, four at most: small effects must show."""
    return f"{round(100 * share, 4):.8g}%"


def _binomial(n: int, p: float, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Binomial probabilities of `counts`, by logarithms."""
    if p >= 1:
        return (counts == n).astype(np.float64)
    logs = _log_factorials(1 << n.bit_length())
    return np.exp(logs[n] - logs[counts] - logs[n - counts] + counts * math.log(p) + (n - counts) * math.log1p(-p))


@lru_cache(maxsize=32)
def _log_factorials(size: int) -> NDArray[np.float64]:
    """log 0! to log (size - 1)!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size)))])


@dataclass(frozen=True)
class Power:
    """Items and training seeds needed to see an effect; nothing is run."""

    baseline: float
    """Accuracy of the baseline, between 0 and 1."""
    effect: float
    """Difference to be seen, as a share: 0.03 is three points."""
    differ: float | None = None
    """Share of items on which exactly one of the two models is right; by default several are shown."""
    seed_sd: float | None = None
    """Standard deviation of the accuracy between training seeds, as a share; by default several are shown."""
    alpha: float = 0.05
    """Level of the two-sided test."""
    power: float = 0.8
    """Chance to see the effect where it is real."""
    tests: int = 1
    """Tests of the family (models times tasks) that Holm's adjustment is over: planned for its strictest step."""

    def check(self) -> None:
        """Raises InputError naming the field that is impossible."""
        if not 0 <= self.baseline < 1:
            raise InputError(f"--baseline {self.baseline} is no accuracy: give a share from 0 to below 1, such as 0.3")
        if not 0 < self.effect <= 1 - self.baseline:
            limit = round(1 - self.baseline, 6)
            raise InputError(f"--effect {self.effect} must lie above 0 and be at most {limit} over this baseline")
        if not 0 < self.alpha < 0.5 or not 0.5 <= self.power < 1:
            raise InputError(
                f"--alpha {self.alpha} must lie within 0 and 0.5, and --power {self.power} within 0.5 and 1"
            )
        if self.tests < 1:
            raise InputError(f"--tests is {self.tests}: a family has one test or more")
        most = self.largest_differ
        if self.differ is not None and not self.effect <= self.differ <= most:
            raise InputError(
                f"--differ {self.differ} must lie between the effect, {self.effect}, and {most:.3f}, the most that "
                "models of these accuracies can differ on"
            )
        if self.seed_sd is not None and not 0 < self.seed_sd < 0.5:
            raise InputError(f"--seed-sd {self.seed_sd} must lie above 0 and below 0.5: 0.01 is one point")

    @property
    def largest_differ(self) -> float:
        """The share of items two models of these accuracies differ on where they agree as little as they can."""
        total = 2 * self.baseline + self.effect
        return min(total, 2 - total)

    @property
    def independent(self) -> float:
        """The share of items that two models differ on whose answers have nothing to do with each other."""
        other = self.baseline + self.effect
        return self.baseline * (1 - other) + other * (1 - self.baseline)

    def shares(self) -> list[tuple[float, str]]:
        """The shares of differing items to show, each with a remark."""
        if self.differ is not None:
            return [(self.differ, "")]
        shown = [(share, "") for share in DIFFER if self.effect <= share < self.independent]
        return [*shown, (self.independent, " (answers independent of each other)")]

    def lines(self) -> list[str]:
        """The printed answer."""
        self.check()
        options = (self.alpha / self.tests, self.power)
        family = f" over {self.tests} tests by Holm" if self.tests > 1 else ""
        lines = [
            f"from {_percent(self.baseline)} to {_percent(self.baseline + self.effect)}, two-sided level "
            f"{_percent(self.alpha)}{family}, power {_percent(self.power)}",
            "items",
            f"  {unpaired_items(self.baseline, self.effect, *options):>8,}  each, where each model has its own items",
        ]
        for share, remark in self.shares():
            needed = paired_items(self.effect, share, *options)
            lines.append(f"  {needed:>8,}  where both answer the same and differ on {share:.1%} of them{remark}")
        lines += ["training seeds, where the accuracy varies between seeds by a standard deviation of"]
        for spread in (self.seed_sd,) if self.seed_sd is not None else SPREADS:
            base, arm = (f(self.effect, spread, *options) for f in (seeds_against_base, seeds_per_arm))
            lines.append(
                f"  {_percent(spread)}: {base:>4,} against a fixed base model, {arm:>4,} of each of two recipes"
            )
        return lines

    def run(self) -> int:
        """Print."""
        print("\n".join(self.lines()))
        return 0
