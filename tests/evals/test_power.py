"""Items and seeds needed: published formulas by hand, exact power by enumeration, and simulation."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from rlpath.cli import main as cli
from rlpath.core.errors import InputError
from rlpath.core.stats import mcnemar
from rlpath.evals.compare.power import (
    Power,
    detectable_by_mcnemar,
    mcnemar_power,
    paired_items,
    seeds_against_base,
    seeds_per_arm,
    seeds_power,
    unpaired_items,
)


def test_unpaired_by_hand() -> None:
    """0.30 to 0.33: (1.95996 sqrt(2 .315 .685) + 0.84162 sqrt(.21 + .2211))^2 / .03^2 = 3,762.3."""
    value = (1.959964 * math.sqrt(2 * 0.315 * 0.685) + 0.841621 * math.sqrt(0.21 + 0.2211)) ** 2 / 0.03**2
    assert unpaired_items(0.3, 0.03) == math.ceil(value) == 3763


def test_exact_power_by_enumeration() -> None:
    """All 3^n outcomes of 7 items, each gained, lost or the same, weighed by their chance."""
    gain, loss, n = 0.55, 0.05, 7
    total = 0.0
    for outcome in product((1, -1, 0), repeat=n):
        chance = math.prod({1: gain, -1: loss, 0: 1 - gain - loss}[change] for change in outcome)
        before = [int(change == -1) for change in outcome]
        after = [int(change == 1) for change in outcome]
        total += chance * (mcnemar(before, after) < 0.05)
    assert mcnemar_power(n, gain - loss, gain + loss) == pytest.approx(total, abs=1e-9)


def test_without_effect_the_exact_test_rejects_too_rarely_rather_than_too_often() -> None:
    """Its size stays below 5 % at every sample size."""
    sizes = [mcnemar_power(n, 0.0, 0.2) for n in (10, 50, 200, 1000)]
    assert max(sizes) <= 0.05 and sizes[-1] > 0.03


@pytest.mark.parametrize(("effect", "differ"), [(0.05, 0.1), (0.1, 0.3), (0.2, 0.2)])
def test_paired_items_give_the_power_by_simulation(effect: float, differ: float) -> None:
    """3,000 simulated pairs of models: 80 % rejected, within three standard errors; a tenth fewer items fall short."""
    n = paired_items(effect, differ)
    rng = np.random.default_rng(0)
    gains = rng.multinomial(n, [(differ + effect) / 2, (differ - effect) / 2, 1 - differ], size=3000)[:, :2]
    p_values = {
        tuple(pair): mcnemar([0] * pair[0] + [1] * pair[1], [1] * pair[0] + [0] * pair[1])
        for pair in {tuple(row) for row in gains.tolist()}
        if sum(pair)
    }
    power = np.mean([p_values.get(tuple(row), 1.0) < 0.05 for row in gains.tolist()])
    assert power == pytest.approx(mcnemar_power(n, effect, differ), abs=0.022)
    assert 0.8 <= mcnemar_power(n, effect, differ) < 0.86
    assert mcnemar_power(int(0.85 * n), effect, differ) < 0.8


def test_unpaired_items_give_the_power_by_simulation() -> None:
    """4,000 simulated pairs of proportions, two-sided z-test: 80 % within three standard errors."""
    n, rng = unpaired_items(0.3, 0.1), np.random.default_rng(1)
    first, second = rng.binomial(n, 0.3, 4000) / n, rng.binomial(n, 0.4, 4000) / n
    middle = (first + second) / 2
    z = (second - first) / np.sqrt(2 * middle * (1 - middle) / n)
    assert np.mean(np.abs(z) > 1.959964) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("spread", [0.02, 0.03])
def test_seeds_give_the_power_by_simulation(spread: float) -> None:
    """t-tests on 20,000 simulated sets of seeds: the computed power within 1.2 points; one seed fewer is too few."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    for arms, seeds in ((1, seeds_against_base(0.03, spread)), (2, seeds_per_arm(0.03, spread))):
        powers = []
        for count in (seeds, seeds - 1):
            x = rng.normal(0.03, spread, (20_000, count))
            if arms == 1:
                p = stats.ttest_1samp(x, 0.0, axis=1).pvalue
            else:
                p = stats.ttest_ind(x, rng.normal(0, spread, (20_000, count)), axis=1).pvalue
            powers.append(float((p < 0.05).mean()))
        for count, simulated in zip((seeds, seeds - 1), powers, strict=True):
            assert simulated == pytest.approx(seeds_power(0.03 / spread, count, arms), abs=0.012)
        assert powers[0] > 0.79 and (powers[1] < 0.81 or seeds == 3)


def test_seeds_of_small_effects() -> None:
    """(1.95996 + 0.84162)^2 = 7.849: 30 deviations over 1 need 7,064 seeds, 10 over 1 per arm 1,570; t adds 2 to 71."""
    assert (seeds_against_base(0.001, 0.03), seeds_per_arm(0.001, 0.01)) == (7064, 1570)
    assert seeds_against_base(0.01, 0.03) == math.ceil(7.849 * 9) + 2
    assert seeds_against_base(0.5, 0.001) == seeds_per_arm(0.5, 0.001) == 3


def test_pairing_saves_items_and_more_differing_costs_them() -> None:
    """Models that agree more are told apart by fewer items; a single differing direction by fewest."""
    needed = [paired_items(0.03, differ) for differ in (0.03, 0.05, 0.1, 0.2)]
    assert needed == sorted(needed) and needed[-1] < unpaired_items(0.3, 0.03)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of the example, and one line each where the shares are given."""
    assert cli.run(["power", "--baseline", "0.3", "--effect", "0.03"]) == 0
    said = capsys.readouterr().out
    assert "3,763  each" in said and "43.2% of them (answers independent" in said
    assert cli.run(["power", "--baseline", "0.3", "--effect", "0.03", "--differ", "0.1", "--seed-sd", "0.02"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert cli.run(["power", "--baseline", "0.3", "--effect", "0.001"]) == 0


def test_a_family_costs_seeds_and_items() -> None:
    """Four tests are planned at a quarter of the level, the strictest step of Holm's."""
    assert Power(0.3, 0.05, 0.1, 0.03, tests=4).lines()[2:] != Power(0.3, 0.05, 0.1, 0.03).lines()[2:]
    assert Power(0.3, 0.05, 0.1, 0.03, tests=4).lines()[2:] == Power(0.3, 0.05, 0.1, 0.03, alpha=0.0125).lines()[2:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--baseline", "30", "--effect", "0.03"), r"--baseline 30\.0 is no accuracy"),
        (("--baseline", "0.3", "--effect", "0"), r"--effect 0\.0 must lie above 0"),
        (("--baseline", "0.9", "--effect", "0.2"), r"at most 0\.1 over this baseline"),
        (("--baseline", "0.3", "--effect", "0.03", "--differ", "0.01"), r"--differ 0\.01 must lie between the effect"),
        (("--baseline", "0.02", "--effect", "0.03", "--differ", "0.5"), r"0\.070, the most that models"),
        (("--baseline", "0.3", "--effect", "0.03", "--seed-sd", "2"), r"--seed-sd 2\.0"),
        (("--baseline", "0.3", "--effect", "0.03", "--power", "80"), r"--power 80\.0"),
    ],
)
def test_impossible_questions_are_one_sentence(words: tuple[str, ...], message: str) -> None:
    """Percent for shares, effects that do not fit, models that cannot differ so much."""
    with pytest.raises(InputError, match=message):
        fields = [word[2:].replace("-", "_") for word in words[::2]]
        values: Any = dict(zip(fields, map(float, words[1::2]), strict=True))
        Power(**values).lines()


def test_the_detectable_effect_of_mcnemar_is_the_smallest() -> None:
    """200 items of which 40 differ: a thousandth less has no power of 80 %; three items never show anything."""
    effect, differ = detectable_by_mcnemar(200, 40), 42 / 202

    assert mcnemar_power(200, effect, differ) >= 0.8 > mcnemar_power(200, effect - 0.001, differ)
    assert effect == pytest.approx(0.095, abs=0.003)
    assert detectable_by_mcnemar(3, 1) == 1.0
