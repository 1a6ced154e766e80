"""What a report is told of contamination: from a run's manifest, and from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet
from rlpath.evals.contamination.screen import screen
from rlpath.evals.contamination.verdict import UNCHECKED, TaskOverlap, from_run, of_files
from rlpath.rewards.verifiers.number import NumberVerifier

QUESTION = "A baker has forty loaves and sells three loaves to each of nine neighbors; how many loaves are left?"
OTHER = "The ship left harbour at dawn with a crew of twelve, none of whom had ever seen the southern ocean before."
EXAM = ("loaves", QUESTION), ("ship", OTHER), ("sum", "What is 2 + 2?")


def problems(*rows: tuple[str, str], name: str = "exam", split: str = "test") -> ProblemSet:
    made = tuple(Problem(id, prompt, "1") for id, prompt in rows)
    return ProblemSet(name, split, made, NumberVerifier(), "here")  # type: ignore[arg-type]


def test_files_are_compared_with_tasks(tmp_path: Path) -> None:
    """One item of three is copied, in one of two rows; "2 + 2" is looked for whole, and it is not there."""
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": QUESTION}) + "\n" + json.dumps({"text": "no, nothing"}) + "\n"
    )
    finding = of_files([tmp_path], [problems(*EXAM), problems(("s", OTHER), name="other", split="validation")])

    assert finding.tasks == (
        TaskOverlap("exam (test)", 3, 1, 0, ("loaves",)),
        TaskOverlap("other (validation)", 1, 0, 0, ()),
    )
    assert (finding.documents, finding.flagged_documents, finding.left_out) == (2, 1, False)
    assert (
        "exam (test) 1 of 3, other (validation) 0 of 1 (2 training documents; 1 matching, not left out of training;"
        in finding.sentence
    )
    assert finding.unchecked([problems(*EXAM), problems(name="third")]) == ["third (test)"]


def test_a_run_says_what_it_looked_for() -> None:
    """The manifest's record gives the same figures; nothing recorded is None; drop is told."""
    held = problems(*EXAM, split="validation")
    train = problems(("t-0", QUESTION), ("t-1", "A farmer grows rows of maize beside the road."), split="train")
    for on_hit, left_out in (("flag", False), ("drop", True)):
        _, record = screen(train, held, on_hit=on_hit, against=[])  # type: ignore[arg-type]
        finding = from_run({"contamination": json.loads(json.dumps(record))})
        assert finding is not None
        assert finding.tasks == (TaskOverlap("exam (validation)", 3, 1, 0, ("loaves",)),)
        assert (finding.documents, finding.flagged_documents, finding.left_out) == (2, 1, left_out)
        assert finding.of(held) == finding.tasks[0] and finding.of(problems(*EXAM)) is None
    assert from_run({}) is None


def test_compared_with_nothing_is_unchecked() -> None:
    """A screen that had no test set to look for makes no claim."""
    _, record = screen(problems(("t", QUESTION), split="train"), against=[])
    finding = from_run({"contamination": record})
    assert finding is not None and finding.sentence.startswith(UNCHECKED)


@pytest.mark.parametrize("record", [{}, {"found": 3, "hits": []}, "yes"])
def test_a_record_of_another_version(record: object) -> None:
    """One sentence, no traceback."""
    with pytest.raises(InputError, match="contamination record is not of this version"):
        from_run({"contamination": record})
