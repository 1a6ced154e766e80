"""Packing lays groups into rows by hand-worked rules, and every token sees what it must and nothing else."""

import pytest
import torch

from rlpath.posttrain.packing.blocks import Block, best_completions_per_block, fill_rows, make_blocks, pack


def block(*lengths: int) -> Block:
    """A block whose prompt and completions have these lengths."""
    return Block((7,) * lengths[0], tuple((row, (9,) * length) for row, length in enumerate(lengths[1:])))


def rectangle(rows: list[list[int]], *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of ragged rows, padded on the left or on the right."""
    width = max(map(len, rows))
    pads = [[0] * (width - len(row)) for row in rows]
    ids = [pad + row if left else row + pad for row, pad in zip(rows, pads, strict=True)]
    mask = [pad + [1] * len(row) if left else [1] * len(row) + pad for row, pad in zip(rows, pads, strict=True)]
    return torch.tensor(ids), torch.tensor(mask)


def test_blocks_are_laid_longest_first_into_the_first_row_with_room() -> None:
    """Lengths 10, 7, 6, 4, 3, 3 with capacity 10: 10 | 7+3 | 6+4 | 3."""
    blocks = [block(2, 1), block(4, 3, 3), block(3, 4), block(3, 3), block(1, 3), block(1, 2)]
    assert sorted(map(len, blocks)) == [3, 3, 4, 6, 7, 10]

    rows = fill_rows(blocks)

    assert [[len(b) for b in row] for row in rows] == [[10], [7, 3], [6, 4], [3]]


def test_blocks_group_equal_prompts_and_leave_empty_completions_out() -> None:
    """Five completions of one prompt, one of them empty, two to a block: two blocks; another prompt has its own."""
    prompts = [(1, 2), (1, 2), (3,), (1, 2), (1, 2), (1, 2)]
    completions = [(5,), (6, 6), (8,), (), (7,), (9,)]

    blocks = make_blocks(prompts, completions, 2)

    assert blocks == [
        Block((1, 2), ((0, (5,)), (1, (6, 6)))),
        Block((1, 2), ((4, (7,)), (5, (9,)))),
        Block((3,), ((2, (8,)),)),
    ]


def test_a_packed_pair_by_hand() -> None:
    """Prompt [11 12] with completions [21 22] and [31]: ids, positions, sight, predictors, targets and cells."""
    prompt_ids, prompt_mask = rectangle([[11, 12], [11, 12]], left=True)
    completion_ids, completion_mask = rectangle([[21, 22], [31]])

    packed = pack(prompt_ids, prompt_mask, completion_ids, completion_mask, 2)

    assert packed.ids_R_L.tolist() == [[11, 12, 21, 22, 31]]
    assert packed.positions_R_L.tolist() == [[0, 1, 2, 3, 2]]
    assert packed.sees_R_L_L[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],  # the second completion sees the prompt and itself, not its neighbor
    ]
    assert packed.predictor_N.tolist() == [1, 2, 1]
    assert packed.target_N.tolist() == [21, 22, 31]
    assert packed.cell_N.tolist() == [0, 1, 2]
    assert packed.to_rectangle(torch.tensor([1.0, 2.0, 3.0]), (2, 2)).tolist() == [[1, 2], [3, 0]]


def test_blocks_of_one_row_do_not_see_each_other() -> None:
    """Two short groups behind each other: the second starts at position 0 and sees nothing of the first."""
    prompt_ids, prompt_mask = rectangle([[11, 12, 13, 14], [41], [51]], left=True)
    completion_ids, completion_mask = rectangle([[21, 22], [61], [71, 72]])

    packed = pack(prompt_ids, prompt_mask, completion_ids, completion_mask, 1)

    assert packed.ids_R_L.tolist() == [[11, 12, 13, 14, 21, 22], [51, 71, 72, 41, 61, 0]]
    assert packed.positions_R_L[1].tolist() == [0, 1, 2, 0, 1, 0]
    sees = packed.sees_R_L_L[1]
    assert not sees[3:5, :3].any()
    assert sees[5].nonzero().flatten().tolist() == [5]  # padding sees itself alone, so that its softmax is finite


@pytest.mark.parametrize("share", [1, 2, 3, 5])
def test_every_completion_token_lies_in_the_packing_once(share: int) -> None:
    """Cells are the rectangle's tokens, each once; predictors are followed by their targets or are a prompt's end."""
    generator = torch.Generator().manual_seed(share)
    lengths = torch.randint(1, 6, (6,), generator=generator).tolist()
    prompt_ids, prompt_mask = rectangle([[1, 2, 3]] * 3 + [[4]] * 3, left=True)
    completion_ids, completion_mask = rectangle([[10 * row + i for i in range(n)] for row, n in enumerate(lengths, 1)])

    packed = pack(prompt_ids, prompt_mask, completion_ids, completion_mask, share)

    assert sorted(packed.cell_N.tolist()) == completion_mask.flatten().nonzero().flatten().tolist()
    assert completion_ids.flatten()[packed.cell_N].tolist() == packed.target_N.tolist()
    following = packed.ids_R_L.flatten()[(packed.predictor_N + 1).clamp(max=packed.ids_R_L.numel() - 1)]
    at_prompt_end = torch.isin(packed.ids_R_L.flatten()[packed.predictor_N], torch.tensor([3, 4]))
    assert ((following == packed.target_N) | at_prompt_end).all()


def test_how_many_share_by_counting_multiplications() -> None:
    """Prompt 30, completion 10, 1000 weights, width 10: cost(1) = 144 000, cost(2) = 100 000, cost(4) = 84 000."""
    costs = {n: (2 * 1000 * (30 + 10 * n) + 4 * 10 * (30 + 10 * n) ** 2) / n for n in (1, 2, 4)}
    assert costs == {1: 144_000, 2: 100_000, 4: 84_000}

    assert best_completions_per_block(30, 10, 4, 1000, 10) == 4


def test_short_completions_share_all_and_long_ones_none() -> None:
    """On the shape of a 135M model: 24 tokens after a prompt of 40 share by eights, 2000 tokens don't share."""
    assert best_completions_per_block(40, 24, 8, 106_000_000, 30 * 576) == 8
    assert best_completions_per_block(40, 2000, 8, 106_000_000, 30 * 576) == 1
