"""The study's plan: which arms are compared in what, and the sentence that each outcome would allow.

It is written as a preregistration before the first run; its p-values are one family under Holm's adjustment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlpath.runs.prereg import prereg_head, rule_lines

BASE, FEW_SHOT, SFT, REJECTION = "base", "base few-shot", "sft", "rejection"
REWARDS = ("true", "random", "format", "wrong", "majority")
GRPO = {reward: f"grpo-{reward}" for reward in REWARDS}
TRUE = GRPO["true"]
ARMS = (BASE, FEW_SHOT, SFT, REJECTION, *GRPO.values())
RETEST = "retest"
"""The metric of problems that the start never solved and the arm did: the share solved by fresh samples."""

HYPOTHESIS = (
    "GRPO with the true reward raises pass@1 over the model it starts from (faster), and does not raise pass@k at the "
    "largest k, nor solve on fresh samples what its start never solved (not smarter). On generated problems that no "
    "model has been trained on, random, format and wrong rewards raise nothing; the majority's may."
)


@dataclass(frozen=True)
class ArmContrast:
    """One comparison of the plan: an arm against another in one metric, on held-out problems at temperature 1."""

    arm: str
    against: str
    metric: str

    @property
    def name(self) -> str:
        """How page and rules call it."""
        return f"{self.metric} of {self.arm} against {self.against}"

    def task(self, problems: str) -> str:
        """How a preregistration calls the problems, which know of one baseline alone."""
        return f"{problems} against {self.against}"


def contrasts(start: str, largest: int) -> tuple[ArmContrast, ...]:
    """The family, for arms that start from `start` and pass@k up to `largest`."""
    most = f"pass@{largest}"
    from_start = [ArmContrast(arm, start, "pass@1") for arm in (*GRPO.values(), REJECTION)]
    coverage = [ArmContrast(TRUE, start, most), ArmContrast(REJECTION, start, most)]
    if start != BASE:
        coverage.append(ArmContrast(TRUE, BASE, most))
    between = [ArmContrast(TRUE, GRPO["random"], "pass@1"), ArmContrast(TRUE, GRPO["majority"], "pass@1")]
    return (*from_start, *coverage, *between, ArmContrast(SFT, BASE, "pass@1"), ArmContrast(TRUE, start, RETEST))


def plan_text(problems: str, start: str, largest: int, n: int, seeds: Sequence[int]) -> str:
    """The preregistration as TOML: two rules a contrast, above and below."""
    family = contrasts(start, largest)
    head = prereg_head(
        HYPOTHESIS,
        models=ARMS,
        baseline=start,
        tasks=list(dict.fromkeys(contrast.task(problems) for contrast in family)),
        metric="pass@1",
        n=n,
        seeds=seeds,
    )
    return "\n".join([*head, *(line for contrast in family for line in _rules(contrast, problems))]) + "\n"


def _rules(contrast: ArmContrast, problems: str) -> Iterator[str]:
    for side, when in (("above", "low > 0 and p < 0.05"), ("below", "high < 0 and p < 0.05")):
        rule = {
            "name": f"{contrast.arm} {side} {contrast.against} in {contrast.metric}",
            "task": contrast.task(problems),
            "metric": contrast.metric,
            "model": contrast.arm,
            "when": when,
            "then": f"say that {contrast.arm} is {side} {contrast.against} in {contrast.metric}",
        }
        yield from rule_lines(rule)
