"""Before against after: the right word for what happened, over problems and over training seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.core.stats import t_cdf, t_quantile
from rlpath.core.types import Decoding, Status
from rlpath.evals.compare.comparison import Comparison, aggregate, compare, p_text, read_comparison
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample


def evaluation(greedy: list[int], sampled: list[int], n: int = 4, seed: int = 0) -> Evaluation:
    """An evaluation in which problem i is right `greedy[i]` of 1 and `sampled[i]` of n times."""
    decodings = (Decoding(8, 0.0), Decoding(8, n=n, seed=seed))
    protocol = Protocol("set", "validation", "here", "0" * 64, len(greedy), "NumberVerifier", *decodings)
    rows = []
    for mode, counts, each in (("greedy", greedy, 1), ("sample", sampled, n)):
        for i, count in enumerate(counts):
            for index in range(each):
                status = Status.CORRECT if index < count else Status.WRONG
                score = float(index < count)
                rows.append(Sample(f"p{i}", f"q{i}", "1", mode, index, "1", status, score, "1", "", 1, "stop"))  # type: ignore[arg-type]
    return Evaluation(protocol, tuple(rows))


def pair(before: list[int], after: list[int]) -> Comparison:
    return compare(
        evaluation([int(c >= 2) for c in before], before), evaluation([int(c >= 2) for c in after], after, seed=9)
    )


def test_improvement_by_hand() -> None:
    """Ten problems of 36 from 0 to 4 of 4: difference 10/36, the larger p is that of t."""
    result = pair([0] * 36, [4] * 10 + [0] * 26)
    assert result.verdict == "improved"
    change = result.change("pass@1")
    assert change.difference.estimate == pytest.approx(10 / 36)
    # 38 with the added gain and loss: mean 10/38, t = 3.27.
    assert change.p == pytest.approx(0.002348, abs=1e-6)
    assert result.change("greedy").p == pytest.approx(2 / 2**10)
    assert result.sentence.startswith("improved: pass@1 0.0 % before, 27.8 % after, difference +27.8 points [")
    assert "p = 0.0023, 36 problems" in result.sentence


def test_getting_worse_is_called_so() -> None:
    """The same change the other way round."""
    assert pair([4] * 10 + [0] * 26, [0] * 36).verdict == "got worse"


def test_no_evidence_names_the_smallest_visible_effect() -> None:
    """Where p is large the sentence gives the minimal detectable effect in points."""
    result = pair([1, 2, 3, 0] * 10, [2, 1, 3, 0] * 10)
    assert result.verdict == "no evidence of improvement"
    detectable = 100 * result.change("pass@1").detectable
    assert f"no evidence of improvement; the smallest effect this run could have seen is {detectable:.1f} points" in (
        result.sentence
    )
    # 20 differences of 1/4, and one gain and one loss added: 2.8016 * sqrt(20 / 16 + 2) / 42
    assert detectable == pytest.approx(100 * 2.8016 * np.sqrt(20 / 16 + 2) / 42, abs=0.01)


def test_nothing_solved_is_no_evidence_either_way() -> None:
    """A model that solves nothing before and after gets no verdict of certainty."""
    result = pair([0] * 50, [0] * 50)
    change = result.change("pass@1")
    assert result.verdict == "no evidence of improvement"
    assert change.p == 1.0
    assert change.detectable > 0.05
    assert change.difference.low < -0.03 and change.difference.high > 0.03


def test_five_lucky_problems_are_not_an_improvement() -> None:
    """5 gained and none lost has p = 0.0625 however large the number of unchanged problems."""
    result = pair([0] * 100, [4] * 5 + [0] * 95)
    assert result.change("pass@1").p == pytest.approx(0.0625)
    assert result.verdict == "no evidence of improvement"


def test_metrics_are_greedy_pass1_and_passn() -> None:
    """All three stand in the comparison, with intervals that hold their estimates."""
    result = pair([1, 2, 3, 0] * 5, [2, 3, 4, 0] * 5)
    assert [change.metric for change in result.changes] == ["greedy", "pass@1", "pass@4"]
    assert result.change("pass@4").after.estimate == 0.75
    for change in result.changes:
        for interval in (change.before, change.after, change.difference):
            assert interval.low <= interval.estimate <= interval.high


def test_json_round_trip(tmp_path: Path) -> None:
    """verdict.json reads back equal; anything else is refused by name."""
    result = pair([0, 1, 2, 3], [4, 3, 2, 1])
    result.save(tmp_path / "verdict.json")
    assert read_comparison(tmp_path / "verdict.json") == result
    (tmp_path / "verdict.json").write_text('{"protocol": 1}')
    with pytest.raises(InputError, match=r"verdict\.json"):
        read_comparison(tmp_path / "verdict.json")


def test_only_the_same_protocol_is_compared() -> None:
    """Other problems, another n or missing completions are refused."""
    base = evaluation([0, 1], [0, 1])
    other_set = replace(base, protocol=replace(base.protocol, sha256="1" * 64))
    cut = replace(base, samples=base.samples[:-1])
    for other, message in [
        (other_set, "same protocol"),
        (evaluation([0, 1], [0, 1], n=8), "4 and 8 samples a problem"),
        (cut, "cut"),
    ]:
        with pytest.raises(InputError, match=message):
            compare(base, other)


def test_seeds_by_hand() -> None:
    """Three seeds from 0 to 1/4, 2/4, 3/4 on each of 40 problems: the two variances add, Satterthwaite's df."""
    result = aggregate([pair([0] * 40, [count] * 40) for count in (1, 2, 3)])
    metric = result.aggregate("pass@1")
    assert metric.after_R == (0.25, 0.5, 0.75)
    assert metric.difference is not None
    seeds, problems = 0.25**2 / 3, np.append(np.full(40, 0.5), [1, -1]).var() / 42
    df = (seeds + problems) ** 2 / (seeds**2 / 2 + problems**2 / 41)
    half = t_quantile(0.975, df) * np.sqrt(seeds + problems)
    assert metric.difference.low == pytest.approx(max(-1, 0.5 * 40 / 42 - half), abs=1e-9)
    assert metric.p == pytest.approx(2 * t_cdf(-0.5 * 40 / 42 / np.sqrt(seeds + problems), df))
    # Three seeds so different do not carry the claim.
    assert result.verdict == "no evidence of improvement"
    assert aggregate([pair([0] * 40, [count] * 40) for count in (2, 2, 3)]).verdict == "improved"


def test_few_problems_give_no_verdict() -> None:
    """29 problems that all went from never to always solved are too few for samples, 30 are enough."""
    assert pair([0] * 29, [4] * 29).verdict == "no evidence of improvement"
    assert pair([0] * 30, [4] * 30).verdict == "improved"


def test_copies_of_a_question_count_once() -> None:
    """Six gains of 36 problems, each asked under six ids: the p-value is that of 36 problems, not of 216."""

    def copied(counts: list[int], times: int) -> Evaluation:
        once = evaluation([int(c >= 2) for c in counts], counts)
        rows = [replace(s, problem_id=f"{s.problem_id}-{t}") for t in range(times) for s in once.samples]
        rows.sort(key=lambda sample: sample.mode)
        return replace(once, protocol=replace(once.protocol, problems=len(counts) * times), samples=tuple(rows))

    before, after = [0] * 36, [4] * 5 + [0] * 31
    alone, sixfold = (compare(copied(before, n), copied(after, n)) for n in (1, 6))
    for metric in ("greedy", "pass@1"):
        assert sixfold.change(metric).p == pytest.approx(alone.change(metric).p, abs=0.03)
        assert sixfold.change(metric).difference.low == pytest.approx(alone.change(metric).difference.low, abs=0.02)
    assert alone.verdict == sixfold.verdict == "no evidence of improvement"
    assert "216 problems in 36 clusters" in sixfold.sentence


def test_seeds_that_agree_on_few_problems_are_not_enough() -> None:
    """Ten seeds that all solve the same three more problems of 30 measured three problems, not thirty."""
    result = aggregate([pair([0] * 30, [4] * 3 + [0] * 27)] * 10)
    assert result.aggregate("pass@1").p > 0.1
    assert result.verdict == "no evidence of improvement"
    assert result.aggregate("pass@1").detectable > 0.1


def test_seeds_that_agree_perfectly_are_not_certain() -> None:
    """Where every seed ends at 100 % the interval is that of 20 problems, not of no width; no limit passes 100 %."""
    metric = aggregate([pair([0] * 20, [4] * 20)] * 3).aggregate("pass@1")
    assert metric.after is not None and metric.difference is not None
    assert (metric.after.estimate, metric.after.high) == (1.0, 1.0)
    assert metric.after.low == pytest.approx(1 / (1 + 2.093024**2 / 20), abs=1e-5)
    assert 0.5 < metric.difference.low < metric.difference.high <= 1.0


def test_one_seed_says_so() -> None:
    """A single run keeps its verdict over problems and has no interval over seeds."""
    result = aggregate([pair([0] * 36, [4] * 36)])
    assert result.aggregate("pass@1").difference is None
    assert result.verdict == "improved"
    assert result.sentence.endswith("one training seed only")


def test_runs_of_different_protocols_do_not_mix() -> None:
    """Nothing, or two problem sets, cannot be averaged."""
    one = pair([0, 1], [1, 1])
    with pytest.raises(InputError, match="no finished run"):
        aggregate([])
    with pytest.raises(InputError, match="one protocol"):
        aggregate([one, replace(one, protocol=replace(one.protocol, sha256="1" * 64))])


def test_p_is_never_printed_as_zero() -> None:
    """A permutation p has a floor."""
    assert [p_text(p) for p in (0.00001, 0.0004, 0.0625, 1.0)] == ["p < 0.0001", "p = 0.0004", "p = 0.062", "p = 1"]
