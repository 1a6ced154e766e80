"""What a study has so far: its samples read back, the contrasts judged by the recorded plan, all of it as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlpath.core.files import read_json, read_json_lines
from rlpath.core.types import Outcome
from rlpath.evals.compare.comparison import ALPHA
from rlpath.evals.compare.prereg_check import Checked, RecordedResult, check_prereg
from rlpath.exhibits.rlvr.findings import UNTRAINED, ArmSamples, Found, compare, read_arm
from rlpath.exhibits.rlvr.plan import ARMS, BASE, FEW_SHOT, GRPO, ArmContrast, contrasts
from rlpath.runs.prereg import read_prereg


@dataclass(frozen=True)
class Study:
    """What the page is about: model, problems, what arms start from, the largest k, and the plan's training seeds."""

    model: str
    problems: str
    start: str
    largest: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Results:
    """Everything that is there so far. `start` is None until the model that arms start from was sampled."""

    study: Study
    arms: Mapping[str, ArmSamples]
    found: Mapping[ArmContrast, Found]
    checked: Checked
    training: Mapping[str, list[list[dict[str, Any]]]]

    @property
    def start(self) -> ArmSamples | None:
        return self.arms.get(self.study.start)

    def lacking(self, name: str) -> list[int]:
        """The training seeds of the plan that an arm has not."""
        seeds = self.arms[name].hot if name in self.arms else {}
        return [seed for seed in self.wanted(name) if seed not in seeds]

    def wanted(self, name: str) -> tuple[int, ...]:
        """The training seeds that an arm should have."""
        return (UNTRAINED,) if name in (BASE, FEW_SHOT) else self.study.seeds

    def whole(self, name: str) -> bool:
        """Whether an arm has every seed of the plan."""
        return not self.lacking(name)

    @property
    def missing(self) -> list[str]:
        """Sentences about arms that have not every seed."""
        counts = {name: (len(self.wanted(name)), len(self.lacking(name))) for name in ARMS}
        return [f"{name} has {wanted - lack} of {wanted} models" for name, (wanted, lack) in counts.items() if lack]


def collect(folder: Path, study: Study, runs: Mapping[tuple[str, int], Path]) -> Results:
    """Read the samples, and judge them by the plan that was recorded before the first run."""
    arms = {name: arm for name in ARMS if (arm := read_arm(folder, name, study.seeds)) is not None}
    found = compare(arms, contrasts(study.start, study.largest), study.seeds)
    analyses = tuple(each.analysis(study.problems) for each in found.values())
    recorded = read_json(folder / "manifest.json")["prereg"]
    checked = check_prereg(read_prereg(folder / "plan.toml"), RecordedResult(analyses, recorded))
    training: dict[str, list[list[dict[str, Any]]]] = {}
    for (arm, _), path in runs.items():
        if arm in GRPO.values() and (path / "metrics.jsonl").exists():
            training.setdefault(arm, []).append(read_json_lines(path / "metrics.jsonl"))
    return Results(study, arms, found, checked, training)


def outcome(found: Found) -> Outcome:
    """By the plan's rules: the interval beside zero and p, adjusted, below 5 %."""
    interval = found.difference.interval
    if found.p_holm >= ALPHA or interval.low <= 0 <= interval.high:
        return Outcome.NO_EVIDENCE
    return Outcome.IMPROVED if interval.low > 0 else Outcome.WORSE


def plain(results: Results) -> dict[str, Any]:
    """The results as JSON values, with the analyses as `rlpath prereg check` reads them."""
    return {
        "study": asdict(results.study),
        "missing": results.missing,
        "arms": {
            name: {
                "seeds": [seed for seed in arm.hot if seed != UNTRAINED],
                "pass_at": {k: asdict(each) for k, each in arm.curve().items()},
                "pass_at_cool": {k: asdict(each) for k, each in arm.curve(cool=True).items()},
                "pass@1": arm.values(1).mean(1).tolist(),
                "kl": [statistics.mean(one.kl_P) for one in arm.moved.values()],
                "entropy": [one.entropy for one in arm.moved.values()],
                "tokens": [one.tokens for one in arm.moved.values()],
            }
            for name, arm in results.arms.items()
        },
        "contrasts": [
            {
                **asdict(each.contrast),
                "value": each.value,
                "baseline": each.baseline,
                **asdict(each.difference),
                "p_holm": each.p_holm,
                "n": each.n,
                "seeds": list(each.seeds),
                "outcome": str(outcome(each)),
            }
            for each in results.found.values()
        ],
        "manifest": {"prereg": results.checked.recorded},
        "analyses": [asdict(each.analysis(results.study.problems)) for each in results.found.values()],
    }
