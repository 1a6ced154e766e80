"""What was sampled, as tensors: everything that advantages and losses need to know of it.

Shapes: B completions of this process, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from rlpath.core.types import Completion

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Rollout:
    """Completions of one step. `completion_mask` is 1 for a token, `written_B_T` for one that the model wrote itself
    (all but the answers of tools), `mask_B_T` for one that counts in the loss.

    `rewards_B` is NaN where nothing was decided; `sampled_B_T` are the sampler's log-probabilities. The trainer's
    before the update (`old_B_T`), the reference's, and the critic's are there where the objective needs them.
    `advantages` are [B] or [B, T].
    """

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor
    written_B_T: torch.Tensor
    mask_B_T: torch.Tensor
    rewards_B: torch.Tensor
    sampled_B_T: torch.Tensor
    old_B_T: torch.Tensor | None = None
    reference_B_T: torch.Tensor | None = None
    values_B_T: torch.Tensor | None = None
    returns_B_T: torch.Tensor | None = None
    advantages: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.mask_B_T)

    def rows(self, index: torch.Tensor) -> Rollout:
        """The completions at `index`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[index] for name, value in found.items() if value is not None})

    def with_(self, **changes: Any) -> Rollout:
        """The same completions with more known of them."""
        return replace(self, **changes)

    def batch(self) -> Batch:
        """What a forward reads."""
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        return {name: getattr(self, name) for name in names}


def make_rollout(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Completion],
    rewards_B: torch.Tensor,
    device: torch.device,
    *,
    mask_truncated: bool = False,
) -> Rollout:
    """The tensors of prompts and their completions; with `mask_truncated` no token of a truncated one counts.

    What a tool answered is read, but carries no loss.
    """
    mask = rectangle([[1] * len(c.token_ids) for c in completions], device)
    written = rectangle([[int(each) for each in c.sampled] for c in completions], device)
    kept_B = torch.tensor([not (mask_truncated and c.truncated) for c in completions], device=device)
    return Rollout(
        prompt_ids=rectangle(prompts, device),
        prompt_mask=rectangle([[1] * len(ids) for ids in prompts], device),
        completion_ids=rectangle([c.token_ids for c in completions], device),
        completion_mask=mask,
        written_B_T=written,
        mask_B_T=written * kept_B[:, None],
        rewards_B=rewards_B.to(device),
        sampled_B_T=rectangle([[float(p) for p in c.logprobs] for c in completions], device),
    )


def rectangle(rows: Sequence[Sequence[float]], device: torch.device) -> torch.Tensor:
    """Rows of unequal length, padded on the right with 0."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)


def micro_batches(rollout: Rollout, rows: torch.Tensor, group_size: int, share: int, budget: int) -> list[torch.Tensor]:
    """`rows` in their order, in parts of at most `budget` tokens each (or of one row), as little as possible repeated.

    A prompt counts once for every `share` rows of a group in a part. Rows are indices; a group are `group_size`
    neighbors.
    """
    prompts, completions = rollout.prompt_mask.sum(1).tolist(), rollout.completion_mask.sum(1).tolist()
    parts: list[list[int]] = []
    used, group, members = 0, -1, 0
    for row in rows.tolist():
        same = row // group_size == group and members % share
        cost = completions[row] + (0 if same else prompts[row])
        if not parts or used + cost > budget:
            parts.append([])
            used, group, members, cost = 0, -1, 0, completions[row] + prompts[row]
        members = members + 1 if row // group_size == group else 1
        group = row // group_size
        used += cost
        parts[-1].append(row)
    return [torch.tensor(part, device=rows.device) for part in parts]
