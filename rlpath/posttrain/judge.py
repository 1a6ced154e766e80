"""What the judges say of a step's completions: scores, a line for each in the log, shares and lengths by status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from rlpath.core.types import Completion, Problem, Status, Verdict, Verifier

RewardFunction = Callable[..., Sequence[float | None]]
"""TRL's: called with `prompts` and `completions` as conversations and a column `gold`; None leaves one out."""
SampleLog = Callable[[int, Iterable[Mapping[str, Any]]], None]
"""Receives a step and its rows, on the main process."""


def judge(verifier: Verifier, problems: Sequence[Problem], completions: Sequence[Completion]) -> list[Verdict]:
    """The verdict on each completion of the problem beside it."""
    return [
        verifier(completion.text, problem.gold, question=problem.prompt, truncated=completion.truncated)
        for problem, completion in zip(problems, completions, strict=True)
    ]


def score(reward: RewardFunction, problems: Sequence[Problem], completions: Sequence[Completion]) -> list[float | None]:
    """What a reward function gives each completion of the problem beside it."""
    return list(
        reward(
            prompts=[[{"role": "user", "content": problem.prompt}] for problem in problems],
            completions=[[{"role": "assistant", "content": completion.text}] for completion in completions],
            gold=[problem.gold for problem in problems],
        )
    )


def sample_row(step: int, problem: Problem, completion: Completion, verdict: Verdict) -> dict[str, Any]:
    """A line of `samples.jsonl`."""
    return {
        "step": step,
        "problem_id": problem.id,
        "prompt": problem.prompt,
        "completion": completion.text,
        "gold": problem.gold,
        "status": str(verdict.status),
        "score": verdict.score,
        "answer": verdict.answer,
        "reason": verdict.reason,
        "tokens": len(completion.token_ids),
        "finish_reason": completion.finish_reason,
    }


def counts(completions: Sequence[Completion], verdicts: Sequence[Verdict]) -> dict[str, torch.Tensor]:
    """Figures about each completion [B], NaN where it has none: `status/…` 0 or 1, `length/…` tokens by status."""
    lengths = torch.tensor([float(len(completion.token_ids)) for completion in completions])
    figures = {
        f"status/{status}": torch.tensor([float(verdict.status is status) for verdict in verdicts]) for status in Status
    }
    for status in (Status.CORRECT, Status.WRONG):
        figures[f"length/{status}"] = torch.where(figures[f"status/{status}"] > 0, lengths, torch.nan)
    figures["length/truncated"] = torch.tensor([float(completion.truncated) for completion in completions])
    return figures
