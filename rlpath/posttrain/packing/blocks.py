"""One prompt, many completions, computed once: groups packed into rows with a block mask.

GRPO samples several completions of each prompt. Padded to a rectangle, the prompt is computed again for every
completion and the padding with it. Here a block is one prompt followed by several of its completions; a completion
sees its prompt and itself, its positions continue from the prompt's end, and blocks are laid into rows so that little
padding is left. The numbers are those of the rectangle: tests compare log-probabilities and gradients.

Shapes: B completions, C tokens of the longest one, R rows of L tokens, N completion tokens in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A prompt and some of its completions: `members` are (row of the batch, tokens)."""

    prompt: Tokens
    members: tuple[tuple[int, Tokens], ...]

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(tokens) for _, tokens in self.members)


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch in packed form, and where each completion token lies in it and in the rectangle.

    `predictor_N` indexes the flattened [R·L] hidden states that predict `target_N`; `cell_N` indexes the flattened
    [B·C] rectangle.
    """

    ids_R_L: torch.Tensor
    positions_R_L: torch.Tensor
    sees_R_L_L: torch.Tensor
    predictor_N: torch.Tensor
    target_N: torch.Tensor
    cell_N: torch.Tensor

    def to_rectangle(self, values_N: torch.Tensor, shape: torch.Size | tuple[int, int]) -> torch.Tensor:
        """Values of the completion tokens as [B, C], zero where there is no token; differentiable."""
        return values_N.new_zeros(shape[0] * shape[1]).index_copy(0, self.cell_N, values_N).view(*shape)


def pack(
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    completions_per_block: int,
) -> Packed:
    """Pack a rectangle of prompts [B, P] and completions [B, C] (masks of the same shapes: 1 for a token).

    Rows with the same prompt share it, up to `completions_per_block` of them at a time; 1 shares nothing and only
    removes the padding. A completion's mask must be a run of ones from the start.
    """
    prompts = _tokens(prompt_ids, prompt_mask)
    completions = _tokens(completion_ids, completion_mask)
    rows = fill_rows(make_blocks(prompts, completions, completions_per_block))
    device = completion_ids.device
    length = max(sum(map(len, row)) for row in rows)
    width = completion_ids.shape[1]
    ids = torch.zeros((len(rows), length), dtype=torch.long)
    positions = torch.zeros_like(ids)
    block_of = torch.full_like(ids, -1)
    part_of = torch.zeros_like(ids)
    predictor: list[int] = []
    target: list[int] = []
    cell: list[int] = []
    for r, row in enumerate(rows):
        start = 0
        for number, block in enumerate(row):
            end = start + len(block.prompt)
            spans = [(0, start, end, block.prompt)]
            for part, (member, tokens) in enumerate(block.members, start=1):
                begin, end = end, end + len(tokens)
                spans.append((part, begin, end, tokens))
                last_of_prompt = start + len(block.prompt) - 1
                predictor += [r * length + at for at in (last_of_prompt, *range(begin, end - 1))]
                target += tokens
                cell += range(member * width, member * width + len(tokens))
            for part, begin, stop, tokens in spans:
                first = 0 if part == 0 else len(block.prompt)
                ids[r, begin:stop] = torch.tensor(tokens)
                positions[r, begin:stop] = torch.arange(first, first + len(tokens))
                part_of[r, begin:stop] = part
            block_of[r, start:end] = number
            start = end
    return Packed(
        ids.to(device),
        positions.to(device),
        _visibility(block_of.to(device), part_of.to(device)),
        torch.tensor(predictor, device=device),
        torch.tensor(target, device=device),
        torch.tensor(cell, device=device),
    )


def pack_padded(
    ids_B_L: torch.Tensor, mask_B_L: torch.Tensor, starts_B: torch.Tensor, completions_per_block: int
) -> tuple[Packed, torch.Tensor, torch.Tensor]:
    """Pack rows [B, L] padded on the right: what precedes column `starts_B` is the prompt, the rest the completion.

    The two tensors [N] say of each completion token which row it belongs to, and its number in the completion.
    """
    width = ids_B_L.shape[1]
    columns_L = torch.arange(width, device=ids_B_L.device)
    in_prompt = columns_L < starts_B[:, None]
    counts_B = (mask_B_L * ~in_prompt).sum(1, keepdim=True)
    shifted = (columns_L + starts_B[:, None]).clamp(max=width - 1)
    completion_mask = (columns_L < counts_B).long()
    packed = pack(ids_B_L, mask_B_L * in_prompt, ids_B_L.gather(1, shifted), completion_mask, completions_per_block)
    return packed, packed.cell_N // width, packed.cell_N % width


def make_blocks(prompts: Sequence[Tokens], completions: Sequence[Tokens], completions_per_block: int) -> list[Block]:
    """Blocks of at most `completions_per_block` completions of one prompt; empty completions are left out."""
    groups: dict[Tokens, list[tuple[int, Tokens]]] = {}
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if completion:
            groups.setdefault(prompt, []).append((row, completion))
    return [
        Block(prompt, tuple(members[start : start + completions_per_block]))
        for prompt, members in groups.items()
        for start in range(0, len(members), completions_per_block)
    ]


def fill_rows(blocks: Sequence[Block]) -> list[list[Block]]:
    """Lay blocks into rows no longer than the longest block, longest first, each into the first row with room."""
    capacity = max(map(len, blocks))
    rows: list[list[Block]] = []
    room: list[int] = []
    for block in sorted(blocks, key=len, reverse=True):
        at = next((row for row, left in enumerate(room) if left >= len(block)), len(rows))
        if at == len(rows):
            rows.append([])
            room.append(capacity)
        rows[at].append(block)
        room[at] -= len(block)
    return rows


def best_completions_per_block(
    prompt_length: float, completion_length: float, group_size: int, weights: int, attention_width: int
) -> int:
    """How many completions should share a prompt: the fewest multiplications, counted.

    Sharing saves prompt tokens in the linear layers (2 · `weights` multiplications a token) but attention is computed
    over the whole row, other completions included (4 · `attention_width` a pair of tokens; `attention_width` is heads
    × head size × layers). Short completions share all, long ones few or none.
    """

    def cost(share: int) -> float:
        row = prompt_length + share * completion_length
        return (2 * weights * row + 4 * attention_width * row**2) / share

    shares = [share for share in range(1, group_size + 1) if group_size % share == 0]
    return min(shares, key=cost)


def _tokens(ids: torch.Tensor, mask: torch.Tensor) -> list[Tokens]:
    """The tokens of each row that the mask keeps."""
    counts = mask.sum(1).tolist()
    flat = ids[mask.bool()].tolist()
    edges = [0]
    for count in counts:
        edges.append(edges[-1] + int(count))
    return [tuple(flat[start:end]) for start, end in pairwise(edges)]


def _visibility(block_of: torch.Tensor, part_of: torch.Tensor) -> torch.Tensor:
    """[R, L, L]: a token sees what is before it in its block and belongs to the prompt or its own completion."""
    length = block_of.shape[1]
    causal = torch.ones((length, length), dtype=torch.bool, device=block_of.device).tril()
    same_block = block_of[:, :, None] == block_of[:, None, :]
    prompt_or_own = (part_of[:, None, :] == 0) | (part_of[:, :, None] == part_of[:, None, :])
    # Padding sees itself alone: a row of the mask with nothing to see would turn into NaN.
    itself = torch.eye(length, dtype=torch.bool, device=block_of.device)
    return causal & same_block & prompt_or_own & (block_of >= 0)[:, :, None] | itself
