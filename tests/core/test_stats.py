"""Statistics against hand-worked numbers, scipy, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlpath.core import stats

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 9, 30, 1001])
@pytest.mark.parametrize("probability", [0.025, 0.4, 0.5, 0.9, 0.975, 0.9995])
def test_t_quantiles_agree_with_scipy(df: int, probability: float) -> None:
    """The quantiles by bisection equal scipy's to nine digits."""
    assert stats.t_quantile(probability, df) == pytest.approx(scipy_stats.t.ppf(probability, df), rel=1e-8, abs=1e-9)


def test_t_interval_by_hand() -> None:
    """1, 2, 3: mean 2, deviation 1, t(2) = 4.302653, so the half width is 2.484138."""
    interval = stats.t_interval([1, 2, 3])
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((2, 2 - 2.484138, 2 + 2.484138), abs=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (8, 10), (20, 20), (131, 1319)])
def test_wilson_agrees_with_scipy(successes: int, trials: int) -> None:
    """8 of 10 is [0.490, 0.943]; none of 20 still allows 16 %."""
    interval = stats.wilson(successes, trials)
    expected = scipy_stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    if successes == 8:
        assert (interval.low, interval.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_seeds_get_t_at_any_number() -> None:
    """Neither three seeds nor ten are bootstrapped."""
    assert stats.interval_over_seeds([0.1, 0.2, 0.3]).method == "t over 3"
    assert stats.interval_over_seeds(np.arange(10.0)).method == "t over 10"
    with pytest.raises(ValueError, match="at least two"):
        stats.interval_over_seeds([0.5])


def test_intervals_of_three_seeds_cover_what_they_claim() -> None:
    """Over 2,000 simulated triples the 95 % interval holds the true mean 95 % of the time, within 1.5 points."""
    rng = np.random.default_rng(0)
    hits = [
        interval.low <= 0 <= interval.high for interval in map(stats.interval_over_seeds, rng.normal(size=(2000, 3)))
    ]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


def test_iqm_by_hand() -> None:
    """Of eight values the two lowest and the two highest are dropped; of three, none."""
    assert stats.iqm([100, 1, 2, 3, 4, 5, 6, -50]) == 3.5
    assert stats.iqm([1, 2, 6]) == 3.0
    values = np.random.default_rng(1).normal(size=(11, 3))
    assert stats.iqm(values) == pytest.approx(scipy_stats.trim_mean(values, 0.25, axis=None))


def test_stratified_bootstrap_keeps_tasks_apart() -> None:
    """Tasks of constant score have no variance between runs, however far apart they are."""
    scores = np.tile([0.0, 1.0, 10.0], (12, 1))
    interval = stats.stratified_bootstrap(scores, lambda x: float(x.mean()), resamples=200)
    assert (interval.low, interval.high) == pytest.approx((11 / 3, 11 / 3))
    noisy = np.random.default_rng(0).normal(size=(20, 1))
    ours = stats.stratified_bootstrap(noisy, lambda x: float(x.mean()), seed=3)
    assert (ours.high - ours.low) / 2 == pytest.approx(1.96 * noisy.std() / math.sqrt(20), rel=0.08)
    assert ours == stats.stratified_bootstrap(noisy, lambda x: float(x.mean()), seed=3)


def test_pass_at_k_by_hand() -> None:
    """4 samples, 2 correct: pass@1 = 1/2, pass@2 = 1 - 1/6, pass@3 = 1; k above n is refused."""
    assert [stats.pass_at_k(4, 2, k) for k in (1, 2, 3, 4)] == pytest.approx([0.5, 5 / 6, 1.0, 1.0])
    assert stats.pass_at_k(8, 0, 8) == 0.0
    with pytest.raises(ValueError, match="k <= n"):
        stats.pass_at_k(4, 2, 5)


@given(st.integers(1, 7), st.data())
@settings(max_examples=40, deadline=None)
def test_pass_at_k_is_the_average_over_every_choice_of_k(n: int, data: st.DataObject) -> None:
    """The closed form equals listing every subset of k samples."""
    from itertools import combinations

    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([1] * correct + [0] * (n - correct), k))
    assert stats.pass_at_k(n, correct, k) == pytest.approx(sum(map(max, subsets)) / len(subsets))


def test_mean_pass_at_k_by_hand_and_never_certain() -> None:
    """Counts 0, 4, 2 of 4 give pass@1 = 1/2; thirty problems never solved still allow 12 %."""
    assert stats.mean_pass_at_k(4, [0, 4, 2], 1).estimate == pytest.approx(0.5)
    none = stats.mean_pass_at_k(8, [0] * 30, 1)
    assert (none.estimate, none.low) == (0.0, 0.0)
    t = scipy_stats.t.ppf(0.975, 29)
    assert none.high == pytest.approx(t * t / 30 / (1 + t * t / 30))
    mixed = stats.mean_pass_at_k(8, [0, 8] * 50, 8)
    assert (mixed.low, mixed.high) == pytest.approx((0.40, 0.60), abs=0.003)


def test_intervals_over_problems_narrow_with_less_variance() -> None:
    """Values all near one half are known better than coin flips: 0.4 and 0.6 in turn give ± t * 0.1 / 10."""
    interval = stats.mean_over_problems([0.4, 0.6] * 50)
    assert interval.high - interval.low == pytest.approx(2 * scipy_stats.t.ppf(0.975, 99) * 0.1005 / 10, rel=1e-3)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        stats.mean_over_problems([2.0, 3.0])


@pytest.mark.parametrize(
    ("a", "b", "problems"), [(10.0, 0.7, 20), (10.0, 0.7, 300), (0.5, 2.0, 20), (0.5, 2.0, 300), (0.05, 1.0, 100)]
)
def test_intervals_over_problems_cover_what_they_claim(a: float, b: float, problems: int) -> None:
    """Over 500 draws of problems the 95 % interval of pass@1 of 8 samples holds the truth in at least 92 %."""
    rng = np.random.default_rng(problems)
    hits = []
    for _ in range(500):
        interval = stats.mean_over_problems(rng.binomial(8, rng.beta(a, b, problems)) / 8)
        hits.append(interval.low <= a / (a + b) <= interval.high)
    assert np.mean(hits) >= 0.92


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1.0), (1, 0, 1.0), (2, 0, 0.5), (5, 0, 0.0625), (8, 2, 0.109375), (3, 3, 1.0)]
)
def test_mcnemar_by_hand(gained: int, lost: int, p: float) -> None:
    """Five gained and none lost is 2 / 2**5, never p = 0."""
    before = [0] * gained + [1] * lost + [1, 0]
    after = [1] * gained + [0] * lost + [1, 0]
    assert stats.mcnemar(before, after) == pytest.approx(p)


def test_mcnemar_agrees_with_the_binomial_test_when_large() -> None:
    """1,300 changed problems do not overflow."""
    before, after = [0] * 700 + [1] * 600, [1] * 700 + [0] * 600
    assert stats.mcnemar(before, after) == pytest.approx(scipy_stats.binomtest(700, 1300).pvalue, rel=1e-6)
    with pytest.raises(ValueError, match="0 and 1"):
        stats.mcnemar([0.5], [1])


def test_sign_flip_by_hand() -> None:
    """Differences 1, 1, 1: of eight sign patterns two are as extreme; zeros change nothing."""
    assert stats.sign_flip([1, 1, 1]) == 0.25
    assert stats.sign_flip([1, 1, 1, 0, 0]) == 0.25
    assert stats.sign_flip([0, 0]) == 1.0
    assert stats.sign_flip([0.1, 0.2, -0.3]) == 1.0


def test_sign_flip_equals_mcnemar_on_binary_differences() -> None:
    """On 0/1 outcomes the exact permutation test is McNemar's."""
    before, after = np.array([0] * 9 + [1] * 3), np.array([1] * 9 + [0] * 3)
    assert stats.sign_flip(after - before) == pytest.approx(stats.mcnemar(before, after))


def test_sampled_sign_flip_agrees_with_exact_and_never_reaches_zero() -> None:
    """With 25 clusters the sampled p is near the exact binomial one, and at least 1 / (draws + 1)."""
    x = np.array([1.0] * 18 + [-1.0] * 7)
    assert stats.sign_flip(x) == pytest.approx(scipy_stats.binomtest(7, 25).pvalue, abs=0.005)
    assert stats.sign_flip(np.ones(60), resamples=999) == 0.001
    assert stats.sign_flip(x, seed=1) == stats.sign_flip(x, seed=1)


def test_clusters_flip_together() -> None:
    """Eight equal differences of one problem are one observation, not eight."""
    assert stats.sign_flip([1] * 8, clusters=["a"] * 8) == 1.0
    assert stats.sign_flip([1] * 8, clusters=list("aabbccdd")) == 2 / 16
    assert stats.cluster_means([1, 0, 1], ["b", "a", "b"]).tolist() == [1.0, 0.0]


def test_paired_difference_by_hand() -> None:
    """100 problems, 15 gained, 5 lost: difference 0.10; Bonett and Price's interval with t for z."""
    before = np.array([0] * 15 + [1] * 5 + [1] * 80)
    after = np.array([1] * 15 + [0] * 5 + [1] * 80)
    interval = stats.paired_difference(before, after)
    gained, lost = 16 / 102, 6 / 102
    half = scipy_stats.t.ppf(0.975, 101) * math.sqrt((gained + lost - (gained - lost) ** 2) / 102)
    assert interval.estimate == pytest.approx(0.10)
    assert (interval.low, interval.high) == pytest.approx((gained - lost - half, gained - lost + half))


def test_clusters_are_the_observations_of_an_interval() -> None:
    """Clusters of 1, 2 and 3 problems count as three: the mean stays that over problems, and equal sizes give means."""
    before, after = [0, 0, 1, 0, 0, 0], [1, 0, 0, 1, 1, 1]
    uneven = stats.paired_difference(before, after, clusters=list("abbccc"))
    # Totals 1, -1 and 3 are 0.5, -2 and 1.5 off the mean of 0.5 a problem; times 3 / 6, and the mean added again.
    alone = np.array([0.75, -0.5, 1.25])
    units = 6**2 / (1 + 4 + 9)
    half = scipy_stats.t.ppf(0.975, units + 1) * np.append(alone, [1.25, -1.25]).std() / math.sqrt(5)
    assert uneven.estimate == pytest.approx(0.5)
    assert uneven.method == "paired over 3 clusters"
    assert (uneven.low, uneven.high) == pytest.approx((max(-1.0, 0.3 - half), min(1.0, 0.3 + half)))
    even = stats.paired_difference(before, after, clusters=list("aabbcc"))
    means = stats.paired_difference([0, 0.5, 0], [0.5, 0.5, 1.0])
    assert (even.estimate, even.low, even.high) == pytest.approx((means.estimate, means.low, means.high))


def test_nothing_changed_is_not_certainty() -> None:
    """Twenty problems that stayed the same leave an interval of about 14 points each way, and an MDE above zero."""
    interval = stats.paired_difference([0] * 20, [0] * 20)
    assert interval.estimate == 0 and interval.high == -interval.low == pytest.approx(0.1345, abs=1e-3)
    assert stats.minimal_detectable_effect([0] * 20, [0] * 20) == pytest.approx(0.1801, abs=1e-3)


def _shifted(rng: np.random.Generator, n: int) -> np.ndarray:
    """Hard problems become mostly solved: true difference 10 / 10.7 - 0.2."""
    before, after = rng.beta(0.5, 2.0, n), rng.beta(10.0, 0.7, n)
    return (rng.binomial(8, after) - rng.binomial(8, before)) / 8


def _rare(rng: np.random.Generator, n: int) -> np.ndarray:
    """Three problems in a hundred become solved."""
    return (rng.random(n) < 0.03).astype(float)


def _rarely_some(rng: np.random.Generator, n: int) -> np.ndarray:
    """Five problems in a hundred become solvable in 30 % of samples: true difference 0.015."""
    return rng.binomial(8, 0.3 * (rng.random(n) < 0.05)) / 8


@pytest.mark.parametrize("problems", [20, 100, 300])
@pytest.mark.parametrize(("draw", "truth"), [(_shifted, 10 / 10.7 - 0.2), (_rare, 0.03), (_rarely_some, 0.015)])
def test_paired_intervals_cover_what_they_claim(draw, truth: float, problems: int) -> None:
    """The 95 % interval holds the true difference in at least 92 % of 400 evaluations, also where few problems change.

    A plain t-interval holds it in fewer than half where 3 in 100 problems change and 20 were asked.
    """
    rng = np.random.default_rng(problems)
    hits = []
    for _ in range(400):
        difference = draw(rng, problems)
        interval = stats.paired_difference(np.maximum(-difference, 0), np.maximum(difference, 0))
        hits.append(interval.low <= truth <= interval.high)
    assert np.mean(hits) >= 0.92


def test_minimal_detectable_effect_by_hand() -> None:
    """1,319 problems of which a tenth changed, evenly: 2.8016 * sqrt((132 + 2) / 1321**2) = 2.45 points."""
    before, after = [0] * 66 + [1] * 66 + [0] * 1187, [1] * 66 + [0] * 66 + [0] * 1187
    assert stats.minimal_detectable_effect(before, after) == pytest.approx(2.8016 * math.sqrt(134) / 1321, abs=1e-6)


def test_paired_tests_reject_a_true_null_five_percent_of_the_time() -> None:
    """Of 400 pairs of evaluations of one model on 40 problems at most 7.5 % are called different."""
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=(400, 40))
    before, after = rng.binomial(4, chance) / 4, rng.binomial(4, chance) / 4
    rejected = [stats.sign_flip(a - b, resamples=500) < 0.05 for a, b in zip(after, before, strict=True)]
    covered = [
        interval.low <= 0 <= interval.high
        for interval in (stats.paired_difference(b, a) for a, b in zip(after, before, strict=True))
    ]
    assert np.mean(rejected) <= 0.075
    assert np.mean(covered) >= 0.93


def test_required_n_by_hand() -> None:
    """Variance 1/9 and 3 points need 969 problems at 80 % power (Miller, arXiv 2411.00640)."""
    assert stats.required_n(0.03, 1 / 3) == 969
    with pytest.raises(ValueError, match="positive"):
        stats.required_n(0, 1)


def test_holm_by_hand() -> None:
    """0.01, 0.04, 0.03 become 0.03, 0.06, 0.06: multiplied by 3, 2, 1 in order of size and never decreasing."""
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([]) == []
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


def test_probability_of_improvement_by_hand() -> None:
    """Of the pairs (1,1), (1,2), (3,1), (3,2) one is a tie, one lost and two won: 0.625."""
    result = stats.probability_of_improvement([[1], [3]], [[1], [2]], resamples=200)
    assert result.estimate == 0.625
    assert result.low <= 0.625 <= result.high
    sure = stats.probability_of_improvement([[2, 5]] * 4, [[1, 4]] * 4, resamples=50)
    assert (sure.estimate, sure.low, sure.high) == (1.0, 1.0, 1.0)


def test_empty_and_non_finite_input_is_refused() -> None:
    """No statistic is made of nothing, or of nan."""
    for bad in ([], [float("nan")], [[1.0]]):
        with pytest.raises(ValueError, match="finite"):
            stats.t_interval(bad)
    with pytest.raises(ValueError, match="trials"):
        stats.wilson(1, 0)


def test_a_band_holds_the_mean_point_by_point() -> None:
    """Below 10 curves each point is Student's interval; from 10 the band of equal curves has no width."""
    curves = np.array([[1.0, 4.0], [2.0, 4.0], [3.0, 7.0]])
    low, high = stats.mean_band(curves)
    for point in range(2):
        interval = stats.t_interval(curves[:, point])
        assert (low[point], high[point]) == pytest.approx((interval.low, interval.high))

    rng = np.random.default_rng(0)
    many = rng.normal(size=(12, 3))
    low, high = stats.mean_band(many)
    expected = stats.interval_over_seeds(many[:, 1])
    assert (low[1], high[1]) == pytest.approx((expected.low, expected.high), abs=0.03)
    assert np.allclose(stats.mean_band(np.ones((10, 3))), 1)
    with pytest.raises(ValueError, match="at least two curves"):
        stats.mean_band([[1.0, 2.0]])


BEFORE, AFTER = [10.0, 12.0, 9.0, 11.0, 13.0], [12.0, 15.0, 10.0, 15.0, 14.0]


def test_paired_runs_agree_with_scipy_and_by_hand() -> None:
    """Gains 2, 3, 1, 4, 1: mean 2.2, deviation 1.30384, so the half width is 2.77645 * 0.58310 = 1.61893."""
    found = stats.paired_difference_of_runs(BEFORE, AFTER)
    expected = scipy_stats.ttest_rel(AFTER, BEFORE)

    limits = (found.interval.estimate, found.interval.low, found.interval.high)
    assert limits == pytest.approx((2.2, 2.2 - 1.61893, 2.2 + 1.61893), abs=1e-4)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.detectable == pytest.approx((2.776445 + 0.940965) * 0.583095, rel=1e-4)
    assert stats.sign_flip(np.subtract(AFTER, BEFORE)) == stats.smallest_p(5) == 0.0625


def test_independent_runs_agree_with_scipy() -> None:
    """Welch, exactly where its degrees of freedom are whole, a little wider where they are rounded down."""
    found = stats.difference_of_runs(BEFORE, AFTER)
    interval = scipy_stats.ttest_ind(AFTER, BEFORE, equal_var=False)
    half, exact = found.interval.high - found.interval.estimate, interval.confidence_interval().high - 2.2
    assert exact <= half < 1.02 * exact and interval.pvalue <= found.p < 1.05 * interval.pvalue

    equal = stats.difference_of_runs([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert equal.p == pytest.approx(scipy_stats.ttest_ind([4, 5, 6], [1, 2, 3], equal_var=False).pvalue, rel=1e-6)


def test_permutation_by_hand_and_by_scipy() -> None:
    """1, 2, 3 against 4, 5, 6: only this deal and its mirror are as far apart, 2 of 20."""
    assert stats.permutation([1, 2, 3], [4, 5, 6]) == stats.smallest_p(3, 3) == 0.1
    assert stats.smallest_p(3, 4) == 1 / 35
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), rng.normal(0.8, size=12)
    expected = scipy_stats.ttest_ind(y, x).pvalue
    assert stats.permutation(x, y) == pytest.approx(expected, abs=0.01)


def test_runs_that_do_not_vary() -> None:
    """-200 in every run on both sides: no difference, and no claim about how small a one would show."""
    for test in (stats.paired_difference_of_runs, stats.difference_of_runs):
        same, apart = test([-200.0] * 4, [-200.0] * 4), test([0.0] * 4, [3.0] * 4)
        assert (same.interval.low, same.interval.high, same.p) == (0, 0, 1)
        assert math.isinf(same.detectable) and math.isinf(apart.detectable)
        assert apart.p == (stats.smallest_p(4) if "pair" in apart.test else stats.smallest_p(4, 4))


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_of_differences_cover_as_they_say(paired: bool) -> None:
    """Five seeds a side, 600 repetitions: between 93 and 97 in a hundred hold the truth, 1; so does the power."""
    rng = np.random.default_rng(3)
    test = stats.paired_difference_of_runs if paired else stats.difference_of_runs
    covered = 0
    for _ in range(600):
        shared = rng.normal(size=5) * (2 if paired else 0)
        interval = test(rng.normal(size=5) + shared, 1 + rng.normal(0, 2, size=5) + shared).interval
        covered += interval.low <= 1 <= interval.high
    assert 0.93 <= covered / 600 <= 0.98


def test_performance_profile_by_hand() -> None:
    """Two tasks of two runs: above 1 lie one of two and both, so three quarters; the seed fixes the limits."""
    scores = [[1.0, 2.0], [3.0, 4.0]]
    share, low, high = stats.performance_profile(scores, [0.0, 1.0, 3.0, 4.0])

    assert share.tolist() == [1.0, 0.75, 0.25, 0.0]
    assert (low <= share).all() and (share <= high).all() and low[0] == high[0] == 1
    assert np.array_equal(low, stats.performance_profile(scores, [0.0, 1.0, 3.0, 4.0])[1])


def test_prediction_holds_a_new_run() -> None:
    """Ten reference runs, 4000 repetitions: one new run, and the mean of three, fall outside as often as said."""
    rng = np.random.default_rng(5)
    for new in (1, 3):
        reference, fresh = rng.normal(size=(4000, 10)), rng.normal(size=(4000, new))
        half = stats.prediction_half_width(reference.std(1, ddof=1), 10, new, 0.05)
        outside = np.abs(fresh.mean(1) - reference.mean(1)) > half
        assert outside.mean() == pytest.approx(0.05, abs=0.011)


def test_our_statistics_of_runs_are_those_of_rliable() -> None:
    """IQM, profile and probability of improvement to the digit; its bootstrap, which ignores seeds, within noise."""
    try:
        from rliable import library as rly  # pyright: ignore[reportMissingImports]
        from rliable import metrics  # pyright: ignore[reportMissingImports]
    except (ImportError, TypeError) as error:  # rliable 1.2 with pandas 3: a TypeError on import
        pytest.skip(f"rliable cannot be imported: {error}")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(0.3, size=(12, 3))

    assert stats.iqm(x) == pytest.approx(metrics.aggregate_iqm(x))
    assert stats.probability_of_improvement(y, x).estimate == pytest.approx(metrics.probability_of_improvement(y, x))
    levels = np.linspace(-2, 2, 9)
    profiles, _ = rly.create_performance_profile({"x": x}, levels, reps=10)
    assert np.allclose(stats.performance_profile(x, levels)[0], profiles["x"])
    np.random.seed(0)
    _, limits = rly.get_interval_estimates({"x": x}, lambda s: np.array([metrics.aggregate_iqm(s)]), reps=2000)
    ours = stats.stratified_bootstrap(x, stats.iqm)
    assert np.allclose([ours.low, ours.high], limits["x"].ravel(), atol=0.05)


def test_the_detectable_effect_of_the_sign_flip() -> None:
    """100 problems, 20 gained and 20 lost: a root of the test's own equation, above the normal formula."""
    before, after = [0] * 20 + [1] * 20 + [0] * 60, [1] * 20 + [0] * 20 + [0] * 60
    effect = stats.detectable_by_sign_flip(before, after)
    n, upper = 102, 101 / scipy_stats.chi2.ppf(0.1, 101)
    variance = 42 / 102 * upper
    by_hand = 1.95996 * math.sqrt((variance + effect**2) / n) + 0.84162 * math.sqrt(variance / n)
    assert effect == pytest.approx(by_hand, abs=1e-4)
    assert effect > stats.minimal_detectable_effect(before, after)
    assert stats.detectable_by_sign_flip([0], [1]) == 1.0


@pytest.mark.parametrize("df", [5, 50, 500])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_chi_square_quantiles(probability: float, df: int) -> None:
    """Within half a percent of SciPy's."""
    assert stats.chi_square_quantile(probability, df) == pytest.approx(scipy_stats.chi2.ppf(probability, df), rel=5e-3)
