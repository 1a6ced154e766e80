"""Verdicts for many completions at once."""

from __future__ import annotations

from collections.abc import Sequence

from rlpath.types import Completion, Verdict, Verifier


def verdicts_of(
    verifier: Verifier, completions: Sequence[Completion], golds: Sequence[str], questions: Sequence[str]
) -> list[Verdict]:
    """The verdict of each completion, in order; a completion cut by the length limit is judged as cut."""
    return [
        verifier(completion.text, gold, question=question, truncated=completion.truncated)
        for completion, gold, question in zip(completions, golds, questions, strict=True)
    ]
