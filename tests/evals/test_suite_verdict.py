"""Verdicts of the suite: who is compared with whom, what counts, and the limits a claim bears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding, Status
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.evals.suite.result import Contrast, Entrant, Role
from rlpath.evals.suite.verdict import Declared, Evidence, decide, declare

TASKS = ("sums",)


def entrant(
    label: str, role: Role = "model", seeds: tuple[int, ...] = (), parameters: int = 100, base: str = ""
) -> Entrant:
    """An entrant with a member for each seed, or one."""
    members = tuple(f"{label}, seed {seed}" for seed in seeds) if len(seeds) > 1 else (label,)
    return Entrant(label, role, members, seeds, parameters, members, base)


def greedy(right: Sequence[int]) -> Evaluation:
    """A greedy evaluation in which problem i is right where `right[i]` is 1."""
    protocol = Protocol("sums", "test", "here", "0" * 64, len(right), "V", Decoding(8, 0.0), None)
    rows = []
    for i, one in enumerate(right):
        status = Status.CORRECT if one else Status.WRONG
        rows.append(Sample(f"p{i}", f"q{i}", "1", "greedy", 0, "1", status, float(one), "1", "", 1, "stop"))
    return Evaluation(protocol, tuple(rows))


def one_sample(problem: int, index: int, right: bool) -> Sample:
    """One judged sample."""
    status = Status.CORRECT if right else Status.WRONG
    return Sample(f"p{problem}", f"q{problem}", "1", "sample", index, "1", status, float(right), "1", "", 1, "stop")


def sampled(right: Sequence[int], n: int) -> Evaluation:
    """The same with `right[i]` of n samples right."""
    first = greedy([int(2 * one >= n) for one in right])
    rows = [one_sample(i, j, j < count) for i, count in enumerate(right) for j in range(n)]
    protocol = Protocol("sums", "test", "here", "0" * 64, len(right), "V", Decoding(8, 0.0), Decoding(8, n=n))
    return Evaluation(protocol, (*first.samples, *rows))


def verdict(
    model: Entrant, versus: Entrant, before: Evaluation, after: Sequence[Evaluation], **evidence: Any
) -> Contrast:
    """One contrast on one task."""
    found = {(versus.label, "sums"): before} | {(m, "sums"): e for m, e in zip(model.members, after, strict=True)}
    (contrast,) = decide(declare([model, versus], TASKS), [model, versus], Evidence(found, **evidence))
    return contrast


BASELINE = entrant("base", "baseline")
NONE, ALL = greedy([0] * 30), greedy([1] * 12 + [0] * 18)


def test_the_family_is_every_model_against_baseline_and_base() -> None:
    """Two models on two tasks, one of them trained from another base: six tests; a base that is the baseline is one."""
    entrants = [
        entrant("one", base="base"),
        entrant("two", base="other"),
        BASELINE,
        entrant("other", "base"),
    ]
    family = declare(entrants, ["sums", "words"])

    assert len(family) == 6
    assert [str(one) for one in family[2:4]] == ["two vs base on sums", "two vs base on words"]
    assert Declared("two", "other", "words") in family


def test_an_improvement_by_hand() -> None:
    """12 of 30 problems gained, none lost: exact McNemar 2 / 2^12, and the difference 40 points."""
    contrast = verdict(entrant("one"), BASELINE, NONE, [ALL])

    assert contrast.verdict == "improved"
    assert contrast.p == contrast.p_holm == pytest.approx(2 / 2**12)
    assert contrast.test == "exact McNemar"
    assert contrast.claim.startswith("improved (greedy 40.0 % against 0.0 %, difference +40.0 points [")
    assert contrast.claim.endswith("p = 0.00049, 30 problems)")


def test_the_other_way_round_got_worse() -> None:
    """The same change reversed."""
    assert verdict(entrant("one"), BASELINE, ALL, [NONE]).verdict == "got worse"


def test_a_larger_model_does_not_improve() -> None:
    """At 111 % of the baseline's parameters there is no verdict, at 110 % there is."""
    larger = verdict(entrant("one", parameters=111), BASELINE, NONE, [ALL])

    assert not larger.same_size
    assert larger.verdict == "no evidence of improvement"
    assert larger.claim.startswith("no verdict: 0.000111 M parameters against 0.0001 M of base (")
    assert verdict(entrant("one", parameters=110), BASELINE, NONE, [ALL]).verdict == "improved"


def test_a_claim_bears_its_limits() -> None:
    """What is not known of training, and a single training seed, stand beside the word."""
    remarks = {("one", "sums"): ["contamination unchecked"]}
    contrast = verdict(entrant("one", seeds=(0,)), BASELINE, NONE, [ALL], remarks=remarks)

    assert contrast.claim.startswith("improved, contamination unchecked, one training seed (")


def test_no_evidence_names_what_could_have_been_seen() -> None:
    """Nothing changed: the sentence gives the detectable effect of 30 problems."""
    contrast = verdict(entrant("one"), BASELINE, NONE, [NONE])

    detectable = 100 * contrast.aggregates[0].detectable
    assert contrast.claim.startswith(
        f"no evidence of improvement; the smallest effect this suite could have seen is {detectable:.1f} points ("
    )


def test_holm_is_over_the_whole_family() -> None:
    """Six gained of 30 has p = 0.031: enough alone, not among five tests of which the others show nothing."""
    six = greedy([1] * 6 + [0] * 24)
    tasks = [f"t{i}" for i in range(5)]
    found = {(label, task): NONE for label in ("one", "base") for task in tasks} | {("one", "t0"): six}
    entrants = [entrant("one"), BASELINE]
    first = decide(declare(entrants, tasks), entrants, Evidence(found))[0]

    assert verdict(entrant("one"), BASELINE, NONE, [six]).verdict == "improved"
    assert first.p == pytest.approx(2 / 2**6)
    assert first.p_holm == pytest.approx(5 * 2 / 2**6)
    assert first.verdict == "no evidence of improvement"
    assert "by Holm over 5 tests" in first.claim


def test_problems_of_one_template_count_once() -> None:
    """Twelve gains from three templates are three of 33 observations: p = 2 / 2^3."""
    before, after = greedy([0] * 42), greedy([1] * 12 + [0] * 30)
    clusters = {"sums": {f"p{i}": i // 4 if i < 12 else i for i in range(42)}}
    contrast = verdict(entrant("one"), BASELINE, before, [after], clusters=clusters)

    assert contrast.p == pytest.approx(0.25)
    assert contrast.verdict == "no evidence of improvement"
    assert contrast.test == "sign-flip permutation and t, over clusters"


def test_few_clusters_give_no_verdict() -> None:
    """Sixty problems of twelve templates that all improved: twelve observations, and the claim says so."""
    clusters = {"sums": {f"p{i}": i // 5 for i in range(60)}}
    contrast = verdict(entrant("one"), BASELINE, greedy([0] * 60), [greedy([1] * 60)], clusters=clusters)

    assert contrast.verdict == "no evidence of improvement"
    assert contrast.claim.startswith("no verdict: 12 problems or clusters, fewer than 30 (")


def test_training_seeds_are_a_level_of_their_own() -> None:
    """Three seeds that agree improve; where they do not, many problems cannot make up for it."""
    model = entrant("one", seeds=(0, 1, 2))
    agreeing = verdict(model, BASELINE, NONE, [ALL, ALL, greedy([1] * 11 + [0] * 19)])
    apart = verdict(model, BASELINE, NONE, [ALL, NONE, greedy([1] * 2 + [0] * 28)])

    assert agreeing.verdict == "improved"
    assert "3 training seeds" in agreeing.claim and "one training seed" not in agreeing.claim
    assert agreeing.aggregates[0].after_R == pytest.approx((0.4, 0.4, 11 / 30))
    assert apart.p > 0.05
    assert apart.verdict == "no evidence of improvement"


def test_samples_decide_where_there_are_any() -> None:
    """pass@1 stands first, then greedy and pass@n."""
    contrast = verdict(entrant("one"), BASELINE, sampled([0] * 30, 4), [sampled([3] * 12 + [0] * 18, 4)])

    assert [one.metric for one in contrast.aggregates] == ["pass@1", "greedy", "pass@4"]
    assert contrast.aggregates[0].difference is not None
    assert contrast.aggregates[0].difference.estimate == pytest.approx(0.3)
    assert contrast.verdict == "improved"


def test_other_samples_cannot_be_compared() -> None:
    """Two samples against four."""
    with pytest.raises(InputError, match="have 2 and 4 samples a problem"):
        verdict(entrant("one"), BASELINE, sampled([0] * 30, 2), [sampled([0] * 30, 4)])


def test_two_recipes_need_the_same_seeds() -> None:
    """Seeds are paired."""
    model, versus = entrant("one", seeds=(0, 1)), entrant("two", "baseline", seeds=(0, 2))
    found = {(member, "sums"): NONE for member in (*model.members, *versus.members)}
    with pytest.raises(InputError, match=r"has training seeds \[0, 1\], two has \[0, 2\]"):
        decide(declare([model, versus], TASKS), [model, versus], Evidence(found))
