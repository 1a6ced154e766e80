"""What is known of the entrants' training text: found in the test sets, clean, or unchecked.

A run recorded the check of its own training text before its first step; files that the user names are checked here, for
every model. The text a base model was trained on is never known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlpath.core.types import ProblemSet
from rlpath.evals.contamination.verdict import UNCHECKED, ContaminationFinding, from_run, of_files
from rlpath.evals.suite.entrants import ModelEntry
from rlpath.runs.run_folder import read_run

Findings = Mapping[str, Sequence[ContaminationFinding]]


def search_training_text(
    entered: Sequence[ModelEntry], problems: Mapping[str, ProblemSet], train_files: Sequence[Path]
) -> Findings:
    """Findings by entrant's label, none where nobody looked. Raises InputError for files that cannot be read."""
    named = of_files(train_files, list(problems.values())) if train_files else None
    found: dict[str, list[ContaminationFinding]] = {}
    for one in entered:
        records = [from_run(read_run(subject.run).manifest) for subject in one.subjects if subject.run is not None]
        known = [record for record in records if record is not None]
        # Seeds of one configuration train on the same text; where one of them did not look, nobody did.
        found[one.entrant.label] = known[:1] if len(known) == len(records) else []
        if named is not None and one.entrant.role == "model":
            found[one.entrant.label].append(named)
    return found


def remark(findings: Sequence[ContaminationFinding], problems: ProblemSet) -> str:
    """What limits a claim on these problems, "" where nothing does."""
    looked = [(finding, overlap) for finding in findings if (overlap := finding.of(problems)) is not None]
    looked = [(finding, overlap) for finding, overlap in looked if overlap.items >= len(problems)]
    if not looked:
        return UNCHECKED
    copied = max((overlap.copied for finding, overlap in looked if not finding.left_out), default=0)
    return f"though {copied} of {len(problems)} test items stand in its training text" if copied else ""


def as_json(findings: Findings) -> dict[str, Any]:
    """The findings as result.json holds them, by label; a label without any is left out."""
    return {
        label: {"sentence": "; ".join(finding.sentence for finding in found)}
        | {"tasks": [_row(asdict(task)) for finding in found for task in finding.tasks]}
        for label, found in findings.items()
        if found
    }


def _row(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name != "flagged"}
