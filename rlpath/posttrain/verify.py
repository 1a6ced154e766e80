"""Completions get their verdicts and rewards, and both are written down."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Problem, Status, Verdict, Verifier, judge
from rlpath.runs.hardware import cores

RewardFunction = Callable[..., Any]
"""TRL's: called with `prompts` and `completions` as conversations and further columns, `gold` among them.

It returns a number for each completion, None to leave one out; it may be a coroutine function.
"""
CALLS = ("calls", "malformed", "refused", "raised", "hung", "flooded")
SampleLog = Callable[[int, Iterable[Mapping[str, Any]]], None]
"""Receives a step and its rows, on the main process."""


@dataclass(frozen=True)
class Reward:
    """One reward of several: its weight, and the function that gives it, or None for the verifier's score."""

    name: str = "verifier"
    function: RewardFunction | None = None
    weight: float = 1.0


@dataclass
class Verified:
    """Completions of this process with their verdicts and rewards; whole groups, side by side.

    `rewards` are the weighted sums over `parts` (each reward by its name); None where no part gave a number.
    """

    problems: list[Problem] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    rewards: list[float | None] = field(default_factory=list)
    parts: dict[str, list[float | None]] = field(default_factory=dict)

    def __add__(self, other: Verified) -> Verified:
        names = self.parts or other.parts
        return Verified(
            self.problems + other.problems,
            self.completions + other.completions,
            self.verdicts + other.verdicts,
            self.rewards + other.rewards,
            {name: self.parts.get(name, []) + other.parts.get(name, []) for name in names},
        )

    def rows(self, index: Sequence[int]) -> Verified:
        """The completions at `index`."""
        return Verified(
            [self.problems[i] for i in index],
            [self.completions[i] for i in index],
            [self.verdicts[i] for i in index],
            [self.rewards[i] for i in index],
            {name: [values[i] for i in index] for name, values in self.parts.items()},
        )

    def groups(self, size: int) -> list[range]:
        """The indices of each group."""
        return [range(start, start + size) for start in range(0, len(self.problems), size)]

    def has_signal(self, group: range) -> bool:
        """Whether rewards of a group differ: where they do not, no completion has an advantage."""
        return len({self.rewards[i] for i in group} - {None}) > 1


def verify_completions(
    verifier: Verifier, problems: Sequence[Problem], completions: Sequence[Completion]
) -> list[Verdict]:
    """The verdict on each completion of the problem beside it; those that wait for a program wait side by side."""
    with ThreadPoolExecutor(max(4, cores())) as pool:
        return list(pool.map(partial(judge, verifier), problems, completions))


def reward_completions(
    rewards: Sequence[Reward],
    problems: Sequence[Problem],
    completions: Sequence[Completion],
    verdicts: Sequence[Verdict],
) -> Verified:
    """Completions with the weighted sum of their rewards; coroutine functions run side by side.

    Raises `InputError` where two rewards have one name, or a function gives another number of rewards than there are
    completions, or one that is neither finite nor None.
    """
    if len({reward.name for reward in rewards}) < len(rewards):
        names = ", ".join(reward.name for reward in rewards)
        raise InputError(f"two rewards have one name among {names}: rename one")
    functions = [reward.function for reward in rewards if reward.function is not None]
    given = iter(_call(functions, problems, completions))
    parts: dict[str, list[float | None]] = {}
    for reward in rewards:
        values = [verdict.score for verdict in verdicts] if reward.function is None else next(given)
        parts[reward.name] = _checked(reward.name, values, problems)
    totals = [_total(rewards, each) for each in zip(*parts.values(), strict=True)]
    return Verified(list(problems), list(completions), list(verdicts), totals, parts)


def _total(rewards: Sequence[Reward], values: Sequence[float | None]) -> float | None:
    given = [reward.weight * value for reward, value in zip(rewards, values, strict=True) if value is not None]
    return sum(given) if given else None


def _call(
    functions: Sequence[RewardFunction], problems: Sequence[Problem], completions: Sequence[Completion]
) -> list[Any]:
    columns = {
        "prompts": [[{"role": "user", "content": problem.prompt}] for problem in problems],
        "completions": [[{"role": "assistant", "content": completion.text}] for completion in completions],
        "completion_ids": [list(completion.token_ids) for completion in completions],
        "gold": [problem.gold for problem in problems],
        "question": [problem.prompt for problem in problems],
        "problem_id": [problem.id for problem in problems],
    }
    results = [function(**columns) for function in functions]
    waiting = [result for result in results if inspect.isawaitable(result)]
    if not waiting:
        return results
    # In a thread of its own: a notebook has an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        answers = iter(pool.submit(asyncio.run, _all(waiting)).result())
    return [next(answers) if inspect.isawaitable(result) else result for result in results]


async def _all(waiting: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*waiting)


def _checked(name: str, values: Sequence[Any], problems: Sequence[Problem]) -> list[float | None]:
    if len(values) != len(problems):
        raise InputError(f"reward {name!r} gave {len(values)} numbers for {len(problems)} completions")
    found = [None if value is None else float(value) for value in values]
    for value, problem in zip(found, problems, strict=True):
        if value is not None and not math.isfinite(value):
            raise InputError(
                f"the reward of a completion of {problem.id} is {value} ({name}): give a number, or None for none"
            )
    return found


def sample_row(step: int, problem: Problem, completion: Completion, verdict: Verdict) -> dict[str, Any]:
    """A line of `samples.jsonl`; of an episode also its turns, each with its role, and what became of its calls."""
    episode = completion.episode
    played = {} if episode is None else {"turns": [(t.role, t.text) for t in episode.turns], "tools": episode.counts}
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
        "tokens": completion.length,
        "finish_reason": completion.finish_reason,
        **played,
    }


def sample_rows(step: int, verified: Verified, tokenizer: Any = None, detailed: int = 0) -> list[dict[str, Any]]:
    """The lines of `samples.jsonl` for what this process sampled, each with its reward and the parts of that.

    With a `tokenizer` the first `detailed` lines also have their tokens, one by one (`token_pieces`).
    """
    each = zip(verified.problems, verified.completions, verified.verdicts, verified.rewards, strict=True)
    rows = [sample_row(step, p, c, verdict) | {"reward": reward} for p, c, verdict, reward in each]
    for at, row in enumerate(rows):
        if len(verified.parts) > 1:
            row["parts"] = {name: values[at] for name, values in verified.parts.items()}
        if tokenizer is not None and at < detailed:
            row["pieces"] = token_pieces(verified.completions[at], tokenizer)
    return rows


def token_pieces(completion: Completion, tokenizer: Any) -> list[tuple[str, float | None]]:
    """The text of each token with its log-probability, None where nobody sampled it."""
    texts = tokenizer.batch_decode([[token] for token in completion.token_ids])
    known = [None if math.isnan(p) else round(p, 3) for p in completion.logprobs]
    return list(zip(texts, known, strict=True))


def counts(completions: Sequence[Completion], verdicts: Sequence[Verdict]) -> dict[str, torch.Tensor]:
    """Figures about each completion [B], NaN where it has none: `status/…` 0 or 1, `length/…` tokens by status.

    Of episodes also their turns and their tool calls: `tools/calls`, and of those `tools/malformed` and so on.
    """
    lengths = torch.tensor([float(completion.length) for completion in completions])
    figures = {
        f"status/{status}": torch.tensor([float(verdict.status is status) for verdict in verdicts]) for status in Status
    }
    for status in (Status.CORRECT, Status.WRONG):
        figures[f"length/{status}"] = torch.where(figures[f"status/{status}"] > 0, lengths, torch.nan)
    figures["length/mean"] = lengths
    figures["length/truncated"] = torch.tensor([float(completion.truncated) for completion in completions])
    episodes = [completion.episode for completion in completions if completion.episode is not None]
    if episodes:
        figures["episode/turns"] = torch.tensor([float(sum(t.role == "assistant" for t in e.turns)) for e in episodes])
        for name in CALLS:
            figures[f"tools/{name}"] = torch.tensor([float(e.counts.get(name, 0)) for e in episodes])
    return figures


def as_tensor(values: Sequence[float | None]) -> torch.Tensor:
    """Rewards [B], NaN where there is none."""
    return torch.tensor([math.nan if value is None else value for value in values], dtype=torch.float32)
