"""The replay buffers keep the newest, store where an action led, draw by priority, and come back bit for bit."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.deep.parts.prioritized import PrioritizedReplayBuffer, SumTree
from rlpath.deep.parts.replay import ReplayBuffer
from rlpath.deep.parts.vec import Step, VectorEnv

Array = np.ndarray[Any, Any]


def step(rewards: list[float], terminated: bool = False, truncated: bool = False) -> Step:
    """What N environments gave: observations after the step are the reward + 0.5, and of a new episode −1."""
    count = len(rewards)
    led = np.array(rewards, np.float32)[:, None] + 0.5
    obs = np.full_like(led, -1) if terminated or truncated else led
    flags = [np.full(count, flag) for flag in (terminated, truncated)]
    return Step(obs, led, np.array(rewards, np.float32), flags[0], flags[1], [])


def fill(buffer: ReplayBuffer, rewards: list[float]) -> None:
    """Add one transition for each reward, which is also its observation and action."""
    for reward in rewards:
        buffer.add(np.full((1, 1), reward, np.float32), np.full((1, 1), reward, np.float32), step([reward]))


def prioritized(capacity: int, alpha: float = 1.0) -> PrioritizedReplayBuffer:
    return PrioritizedReplayBuffer(capacity, 1, 1, seed=0, alpha=alpha)


# The ring


def test_the_oldest_make_way() -> None:
    """Seven transitions through a ring of four: 4, 5, 6 lie over 0, 1, 2."""
    buffer = ReplayBuffer(4, 1, 1, seed=0)
    fill(buffer, [0, 1, 2, 3, 4, 5, 6])

    assert len(buffer) == 4
    rows = buffer.rows(np.arange(4))
    assert rows.reward.tolist() == [4, 5, 6, 3]
    assert rows.obs[:, 0].tolist() == rows.action[:, 0].tolist() == [4, 5, 6, 3]
    assert rows.final_obs[:, 0].tolist() == [4.5, 5.5, 6.5, 3.5]


def test_several_environments_wrap_within_a_step() -> None:
    """Three at a time into a ring of five: the second step goes around the corner."""
    buffer = ReplayBuffer(5, 1, None, seed=0)
    for first in (0, 3):
        obs = np.arange(first, first + 3, dtype=np.float32)[:, None]
        written = buffer.add(obs, np.array([0, 1, 0]), step([first, first + 1, first + 2]))

    assert written.tolist() == [3, 4, 0]
    assert buffer.rows(np.arange(5)).reward.tolist() == [5, 1, 2, 3, 4]
    assert buffer.rows(np.arange(5)).action.dtype == torch.int64


@pytest.mark.parametrize(("terminated", "truncated"), [(True, False), (False, True)])
def test_where_the_action_led_is_stored_and_only_an_end_is_terminated(terminated: bool, truncated: bool) -> None:
    """Neither the next episode's first observation, nor `done`."""
    buffer = ReplayBuffer(4, 1, 1, seed=0)
    buffer.add(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), step([2.0], terminated, truncated))

    rows = buffer.rows(np.array([0]))
    assert rows.final_obs.item() == 2.5
    assert rows.terminated.item() == float(terminated)


def test_a_real_episode_is_stored_as_it_was() -> None:
    """CartPole pushed one way falls within ten steps: one terminated row, whose `final_obs` is out of bounds."""
    envs = VectorEnv("CartPole-v1", 1, seed=0)
    buffer = ReplayBuffer(100, 4, None, seed=0)
    for _ in range(12):
        obs = envs.obs
        buffer.add(obs, np.ones(1, np.int64), envs.step(np.ones(1, np.int64)))

    rows = buffer.rows(np.arange(12))
    end = int(rows.terminated.argmax())
    assert rows.terminated.sum() == 1
    assert rows.final_obs[end, 2].abs() > 12 * 2 * np.pi / 360 > rows.obs[end + 1, 2].abs()
    assert torch.equal(rows.final_obs[:end], rows.obs[1 : end + 1])


def test_draws_are_uniform_over_what_is_filled() -> None:
    """Of 3 rows of 10, each a third of 3000 draws, to within four standard deviations; none from the empty ones."""
    buffer = ReplayBuffer(10, 1, 1, seed=0)
    fill(buffer, [0, 1, 2])

    counts = np.bincount(buffer.sample(3000).reward.numpy().astype(int))
    assert len(counts) == 3
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(3000 * 2 / 9)


def test_an_empty_ring_is_refused() -> None:
    """Capacity zero."""
    with pytest.raises(InputError, match="buffer_size must be at least 1, got 0"):
        ReplayBuffer(0, 1, 1, seed=0)


# The sum tree


@pytest.mark.parametrize("capacity", [1, 2, 5, 8, 1000])
def test_sums_hold_whatever_is_written(capacity: int) -> None:
    """After any writes the total is the sum, and every leaf is found in proportion, as a cumulative sum finds it."""
    rng = np.random.default_rng(0)
    tree, numbers = SumTree(capacity), np.zeros(capacity)
    for _ in range(20):
        index = rng.choice(capacity, size=min(capacity, 3), replace=False)
        numbers[index] = rng.random(len(index))
        tree[index] = numbers[index]

    assert tree.total == pytest.approx(numbers.sum(), rel=1e-12)
    points = rng.random(200) * tree.total
    assert tree.find(points).tolist() == np.searchsorted(numbers.cumsum(), points, side="right").tolist()


def test_a_row_drawn_twice_is_written_once() -> None:
    """Duplicates in a batch leave sums right; the last of them counts, as NumPy assigns."""
    tree = SumTree(4)
    tree[np.arange(4)] = 1.0
    tree[np.array([2, 2])] = np.array([5.0, 3.0])

    assert tree[np.arange(4)].tolist() == [1, 1, 3, 1]
    assert tree.total == 6


# Priorities


def test_draws_follow_priorities() -> None:
    """Errors 1, 2, 3, 4 with α = 1: tenths of the draws."""
    buffer = prioritized(4)
    fill(buffer, [0, 1, 2, 3])
    buffer.set_priorities(np.arange(4), np.array([1.0, -2.0, 3.0, -4.0], np.float32))

    counts = np.zeros(4)
    for _ in range(100):
        counts += np.bincount(buffer.draw(10, 1.0)[1], minlength=4)
    # Stratified: nearer than independent draws would be.
    assert counts == pytest.approx([100, 200, 300, 400], abs=20)


@pytest.mark.parametrize(("alpha", "shares"), [(0.0, [0.5, 0.5]), (0.5, [1 / 3, 2 / 3]), (1.0, [0.2, 0.8])])
def test_alpha_tempers_priorities(alpha: float, shares: list[float]) -> None:
    """Errors 1 and 4: by their α-th powers."""
    buffer = prioritized(2, alpha)
    fill(buffer, [0, 1])
    buffer.set_priorities(np.arange(2), np.array([1.0, 4.0], np.float32))

    tree = buffer.tree[np.arange(2)] / buffer.tree.total
    assert tree == pytest.approx(shares, rel=1e-5)


def test_weights_undo_the_uneven_draw() -> None:
    """Errors 1, 1, 2: P = ¼, ¼, ½, so with β = 1 w = 1, 1, ½ of the largest, with β = ½ its root, with β = 0 all 1."""
    buffer = prioritized(3)
    fill(buffer, [0, 1, 2])
    buffer.set_priorities(np.arange(3), np.array([1.0, 1.0, 2.0], np.float32))

    for beta, half in ((1.0, 0.5), (0.5, 0.5**0.5), (0.0, 1.0)):
        _, index, weight = buffer.draw(60, beta)
        expected = np.where(index == 2, half, 1.0)
        assert weight.numpy() == pytest.approx(expected, rel=1e-5)


def test_new_transitions_are_drawn_before_what_is_known() -> None:
    """They take the highest priority seen; a row that is written over loses its own."""
    buffer = prioritized(4)
    fill(buffer, [0, 1])
    buffer.set_priorities(np.array([0, 1]), np.array([7.0, 0.5], np.float32))
    fill(buffer, [2, 3, 4])

    assert buffer.tree[np.arange(4)] == pytest.approx([7, 0.5, 7, 7], rel=1e-5)


def test_nothing_empty_is_drawn() -> None:
    """Five rows of a tree of eight leaves, drawn many times."""
    buffer = prioritized(8)
    fill(buffer, [0, 1, 2, 3, 4])

    assert max(buffer.draw(64, 1.0)[1].max() for _ in range(50)) == 4


# State


@pytest.mark.parametrize("kind", ["uniform", "prioritized"])
@pytest.mark.parametrize("count", [3, 9])
def test_a_saved_buffer_goes_on_with_the_same_draws(kind: str, count: int) -> None:
    """Half full and wrapped around: through a file, only the filled rows, and the next batches and rows are equal."""
    make = prioritized if kind == "prioritized" else lambda capacity: ReplayBuffer(capacity, 1, 1, seed=0)
    first, second = make(6), make(6)
    fill(first, list(range(count)))
    if isinstance(first, PrioritizedReplayBuffer):
        first.set_priorities(np.arange(3), np.array([0.1, 5.0, 2.0], np.float32))
    first.sample(4)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    second.load_state_dict(state)

    assert len(state["columns"][0]) == min(count, 6)
    for buffer in (first, second):
        fill(buffer, [20.0, 21.0])
    for _ in range(3):
        assert torch.equal(first.sample(8).reward, second.sample(8).reward)
        if isinstance(first, PrioritizedReplayBuffer) and isinstance(second, PrioritizedReplayBuffer):
            ours, theirs = first.draw(8, 0.4), second.draw(8, 0.4)
            assert ours[1].tolist() == theirs[1].tolist()
            assert torch.equal(ours[2], theirs[2])


def test_another_capacity_is_refused() -> None:
    """A wrapped ring cannot be poured into a larger or smaller one."""
    saved = ReplayBuffer(4, 1, 1, seed=0)
    fill(saved, [0, 1, 2, 3, 4])

    for capacity in (3, 5):
        with pytest.raises(InputError, match=f"holds 4 transitions, this one at most {capacity}"):
            ReplayBuffer(capacity, 1, 1, seed=0).load_state_dict(saved.state_dict())
