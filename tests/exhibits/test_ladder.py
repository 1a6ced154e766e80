"""The ladder's table from evaluations made by hand: levels, differences, Holm, tokens, and mismatched starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, ProblemSet
from rlpath.envs.arithmetic import arithmetic
from rlpath.evals.measure.evaluation import evaluate
from rlpath.exhibits.ladder_page import BASE, StageRuns, rows, start_mismatches, write_ladder

PROBLEMS = arithmetic("validation", "add-1x2", size=20)
GREEDY = Decoding(8, temperature=0.0)


class Knows:
    """A sampler that answers the first `known` problems rightly and the others with 0."""

    backend = "scripted"

    def __init__(self, problems: ProblemSet, known: int) -> None:
        self.problems, self.known = problems, known

    def encode(self, prompt: str) -> list[int]:
        return [next(i for i, problem in enumerate(self.problems.problems) if problem.prompt == prompt)]

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        golds = [self.problems.problems[at].gold if at < self.known else "0" for (at,) in prompts]
        return [[Completion(gold, (1, 2), (0.0, 0.0), "stop")] * decoding.n for gold in golds]


def run(folder: Path, before: int, after: int, tokens: int = 0) -> Path:
    """A run folder whose model knew so many problems before and after."""
    for side, known in (("before", before), ("after", after)):
        sampled = replace(GREEDY, temperature=1.0, n=2)
        evaluate(Knows(PROBLEMS, known), PROBLEMS, GREEDY, sampled, path=folder / "evaluations" / f"{side}.jsonl")
    (folder / "samples.jsonl").write_text("".join(json.dumps({"tokens": 5}) + "\n" for _ in range(tokens // 5)))
    return folder


@pytest.fixture
def stages(tmp_path: Path) -> list[StageRuns]:
    """Two seeds: the base knows 2 and 2 of 20, SFT 10 and 12, GRPO 20 and 18, DPO what SFT knew."""
    sft = tuple(run(tmp_path / f"sft{i}", 2, after) for i, after in enumerate((10, 12)))
    grpo = tuple(run(tmp_path / f"grpo{i}", *known, tokens=50) for i, known in enumerate(((10, 20), (12, 18))))
    dpo = tuple(run(tmp_path / f"dpo{i}", known, known, tokens=100) for i, known in enumerate((10, 12)))
    times = (1.0, 3.0)
    return [
        StageRuns("sft", BASE, sft, times),
        StageRuns("dpo", "sft", dpo, times),
        StageRuns("grpo", "sft", grpo, times),
    ]


def test_levels_and_differences(stages: list[StageRuns]) -> None:
    """Base 10 %, SFT 55 %, GRPO 95 %: +45 and +40 points over their starts; DPO +0 with p = 1; 50 tokens, 2 minutes."""
    base, sft, dpo, grpo = rows(stages)

    assert [row.name for row in (base, sft, dpo, grpo)] == ["base", "sft", "dpo", "grpo"]
    assert base.versus is None
    assert base.metrics[1].after_R == pytest.approx((0.1, 0.1))
    assert sft.metrics[1].after_R == pytest.approx((0.5, 0.6))
    assert sft.versus is not None
    assert grpo.versus is not None
    assert sft.versus.aggregates[1].difference is not None
    assert sft.versus.aggregates[1].difference.estimate == pytest.approx(0.45)
    assert grpo.versus.aggregates[1].difference is not None
    assert grpo.versus.aggregates[1].difference.estimate == pytest.approx(0.40)
    assert dpo.p == 1.0
    assert grpo.p is not None
    # Holm: three comparisons, the smallest p times 3, the next times 2.
    raw = sorted(row.versus.aggregates[1].p for row in (sft, dpo, grpo) if row.versus)
    assert min(row.p for row in (sft, dpo, grpo) if row.p is not None) == pytest.approx(3 * raw[0])
    assert (grpo.tokens, dpo.tokens, sft.tokens) == (50, 100, 0)
    assert grpo.minutes == 2.0


def test_the_table_is_written_three_times(stages: list[StageRuns], tmp_path: Path) -> None:
    """Markdown, JSON and a page with a plot; every seed is shown; no seam is open."""
    report = write_ladder(tmp_path, {"sums": stages}, ["sums: shown 3 solutions"])

    text = (tmp_path / "ladder.md").read_text()
    assert "| grpo | sft | 95.0 % [" in text
    assert "| sft | 50.0 % | 60.0 % |" in text
    assert "- sums: shown 3 solutions" in text
    assert "differ" not in text
    assert json.loads((tmp_path / "ladder.json").read_text())["sums"][0]["stage"] == "base"
    assert report.read_text().count("<svg") == 1
    assert start_mismatches(stages) == []


def test_a_start_mismatch_is_reported(stages: list[StageRuns], tmp_path: Path) -> None:
    """A stage whose model did not answer at first as its start did at last was not started from it."""
    other = StageRuns("dpo", "sft", (run(tmp_path / "x", 3, 3), stages[1].runs[1]), (1.0, 1.0))

    (sentence,) = start_mismatches([stages[0], other])

    assert sentence.startswith("dpo, run 0: 21 of 60 answers before training differ from those of sft")


def test_what_is_missing_is_named(stages: list[StageRuns]) -> None:
    """A stage without its evaluation."""
    (stages[1].runs[0] / "evaluations" / "after.jsonl").unlink()

    with pytest.raises(InputError, match=r"dpo0.*after\.jsonl is missing: run the ladder to its end"):
        rows(stages)
