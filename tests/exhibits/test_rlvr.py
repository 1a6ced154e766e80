"""The study of verifiable rewards from evaluations made by hand: levels, contrasts, Holm, what was newly solved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rlpath.core.files import write_atomic
from rlpath.core.types import Completion, Decoding, Outcome, ProblemSet
from rlpath.envs.arithmetic import arithmetic
from rlpath.evals.measure.evaluation import Evaluation, evaluate
from rlpath.exhibits.rlvr.findings import (
    UNTRAINED,
    ArmSamples,
    compare,
    crossing,
    newly_solved_counts,
    place,
    read_arm,
    retest_pairs,
    split_of,
)
from rlpath.exhibits.rlvr.page import write_study
from rlpath.exhibits.rlvr.plan import ARMS, BASE, GRPO, REJECTION, RETEST, SFT, TRUE, ArmContrast, contrasts, plan_text
from rlpath.exhibits.rlvr.results import Study, collect, outcome
from rlpath.exhibits.rlvr.sampling import COOL_FILE, HOT_FILE, SamplingPlan, newly_solved, sample_model
from rlpath.runs.prereg import parse_prereg
from rlpath.runs.provenance import describe_prereg

PROBLEMS = arithmetic("validation", "add-1x2", size=40)
SEEDS = (0, 1, 2)


class Right:
    """A sampler that answers each problem rightly in so many of its samples, else with `other`."""

    backend = "scripted"

    def __init__(self, right_P: Sequence[int], other: str = "0", problems: ProblemSet = PROBLEMS) -> None:
        self.right_P, self.other, self.problems = right_P, other, problems

    def encode(self, prompt: str) -> list[int]:
        return [next(i for i, problem in enumerate(self.problems.problems) if problem.prompt == prompt)]

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        return [[self._completion(at, number < self.right_P[at]) for number in range(decoding.n)] for (at,) in prompts]

    def _completion(self, at: int, right: bool) -> Completion:
        return Completion(self.problems.problems[at].gold if right else self.other, (1, 2), (0.0, 0.0), "stop")


def asked(right_P: Sequence[int], other: str = "0", problems: ProblemSet = PROBLEMS) -> Evaluation:
    """An evaluation of 4 samples a problem, so many of them right."""
    greedy = Decoding(8, temperature=0.0)
    return evaluate(Right(right_P, other, problems), problems, greedy, replace(greedy, temperature=1.0, n=4))


def arm(name: str, by_seed: Mapping[int, Evaluation]) -> ArmSamples:
    return ArmSamples(name, by_seed, by_seed, {}, {})


def spread(first: int, second: int, solved: int = 20) -> list[int]:
    """So many right on the first `solved` problems, and so many on the others."""
    return [first] * solved + [second] * (len(PROBLEMS) - solved)


@pytest.fixture(scope="module")
def arms() -> dict[str, ArmSamples]:
    """SFT is right once of four on half of the problems; the true reward always there, and never elsewhere."""
    sft = {seed: asked(spread(1, 0)) for seed in SEEDS}
    return {
        SFT: arm(SFT, sft),
        TRUE: arm(TRUE, {seed: asked(spread(4, 0, 20 + (seed == 0))) for seed in SEEDS}),
        GRPO["random"]: arm(GRPO["random"], {seed: asked(spread(1, 0)) for seed in SEEDS}),
        GRPO["wrong"]: arm(GRPO["wrong"], {0: asked(spread(0, 0))}),
    }


def test_faster_and_not_smarter(arms: dict[str, ArmSamples]) -> None:
    """pass@1 12.5 → 50.8 %: faster; pass@4 50 → 50.8 %: no evidence; p by Holm over the thirteen of the plan."""
    family = contrasts(SFT, 4)
    found = compare(arms, family, SEEDS)

    faster, smarter = found[ArmContrast(TRUE, SFT, "pass@1")], found[ArmContrast(TRUE, SFT, "pass@4")]
    assert (faster.baseline, faster.value) == pytest.approx((0.125, 61 / 120))
    assert outcome(faster) is Outcome.IMPROVED
    assert faster.p_holm == pytest.approx(13 * faster.difference.p)
    assert (smarter.baseline, smarter.value) == pytest.approx((0.5, 61 / 120))
    assert outcome(smarter) is Outcome.NO_EVIDENCE
    assert outcome(found[ArmContrast(TRUE, GRPO["random"], "pass@1")]) is Outcome.IMPROVED
    assert outcome(found[ArmContrast(GRPO["random"], SFT, "pass@1")]) is Outcome.NO_EVIDENCE
    # An arm that has one of three seeds is not tested, nor one that is not there.
    assert {contrast.arm for contrast in found} == {TRUE, GRPO["random"]}
    assert len(family) == 13


def test_a_crossing_is_the_first_k_that_is_no_worse(arms: dict[str, ArmSamples]) -> None:
    """A base that is right once of four everywhere is level with the true reward at k = 4 and not before."""
    base = arm(BASE, {UNTRAINED: asked(spread(1, 1))})

    assert crossing(base.curve(), arms[TRUE].curve()) == 4
    assert crossing(arms[SFT].curve(), arms[TRUE].curve()) is None


def test_what_is_newly_solved_is_asked_again(arms: dict[str, ArmSamples]) -> None:
    """Of 60 pairs that SFT never solved seed 0 has one; fresh samples solve it by the arm, and not by its start."""
    assert newly_solved(arms[SFT].hot[0], arms[TRUE].hot[0]) == [PROBLEMS.problems[20].id]
    few = replace(PROBLEMS, problems=PROBLEMS.problems[20:21])
    again = ArmSamples(
        TRUE, arms[TRUE].hot, arms[TRUE].cool, {}, {0: (asked([3], problems=few), asked([0], problems=few))}
    )

    counts = newly_solved_counts(again, arms[SFT])

    assert (counts.unsolved, counts.solved, counts.again, counts.by_start) == (60, 1, 1, 0)
    assert retest_pairs(again)[2] == [PROBLEMS.problems[20].id]
    found = compare({**arms, TRUE: again}, contrasts(SFT, 4), SEEDS)[ArmContrast(TRUE, SFT, RETEST)]
    # One problem is no basis for a verdict, whatever it shows.
    assert (found.value, found.baseline, found.n, found.p_holm) == (1.0, 0.0, 1, 1.0)


def test_a_gain_of_form_is_told_from_one_of_correctness() -> None:
    """Half of all readable and right before; all readable and half right after: everything is form."""
    before = arm(SFT, {seed: asked(spread(2, 0, 40), other="none") for seed in SEEDS})
    form = arm(TRUE, {seed: asked(spread(2, 0, 40), other="0") for seed in SEEDS})
    better = arm(TRUE, {seed: asked(spread(4, 0, 40)) for seed in SEEDS})

    only_form, correct = split_of(form, before), split_of(better, form)

    assert only_form is not None
    assert correct is not None
    assert (only_form.change, only_form.form, only_form.correctness) == pytest.approx((0, 0.375, -0.375))
    assert (correct.change, correct.form, correct.correctness) == pytest.approx((0.5, 0, 0.5))


def test_the_plan_can_be_read_and_holds_two_rules_a_contrast() -> None:
    """As a preregistration: thirteen contrasts from SFT, twelve from the base, of every seed and problem."""
    plan = parse_prereg(plan_text("sums", SFT, 64, 32, SEEDS), "here")

    assert (plan.n, plan.seeds, plan.baseline, plan.models) == (32, SEEDS, SFT, ARMS)
    assert len(plan.rules) == 26
    assert plan.rules[0].when == "low > 0 and p < 0.05"
    assert len({rule.name for rule in plan.rules}) == 26
    assert len(contrasts(BASE, 64)) == 12
    assert REJECTION in {contrast.arm for contrast in contrasts(BASE, 64)}


def test_a_page_of_what_is_there_so_far(tmp_path: Path) -> None:
    """Base and two of three seeds of SFT: levels and curves, no test, and the plan's rules are not analyzed."""
    plan = SamplingPlan(PROBLEMS, 4, 2, 8)
    for name, seed, right in ((BASE, UNTRAINED, 0), (SFT, 0, 1), (SFT, 1, 1)):
        sample_model(Right(spread(right, right)), plan, place(tmp_path, name, seed), name, seed)
    write_atomic(tmp_path / "plan.toml", plan_text("sums", SFT, 4, len(PROBLEMS), SEEDS))
    recorded = describe_prereg(None, tmp_path / "plan.toml")
    write_atomic(tmp_path / "manifest.json", json.dumps({"prereg": recorded}))
    study = Study("tiny", "sums", SFT, 4, SEEDS)

    page = write_study(tmp_path, study, {}).read_text()

    assert "sft has 2 of 3 models" in page
    assert "not analyzed: grpo-true above sft in pass@1" in page
    assert "25.0 %" in page
    assert "the same 40 held-out problems" in page
    assert not collect(tmp_path, study, {}).found
    # An evaluation that was cut short does not count.
    cut = place(tmp_path, SFT, 1) / COOL_FILE
    cut.write_text("".join(cut.read_text().splitlines(keepends=True)[:-1]))
    found = read_arm(tmp_path, SFT, SEEDS)
    assert found is not None
    assert list(found.hot) == [0]
    assert (place(tmp_path, SFT, 1) / HOT_FILE).exists()
