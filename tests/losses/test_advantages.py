"""Advantages: hand-worked, those of TRL's trainers, and those of Stable-Baselines3's rollout buffer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from rlpath import losses

NAN = math.nan
# Groups of four: varied, with an undecided one, all equal, and one where only a single reward is known.
REWARDS = [1.0, 0.0, 0.0, 0.5, 1.0, NAN, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0, NAN, NAN, 3.0, NAN]


def close(found: torch.Tensor, expected: Any) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


# By hand


def test_group_advantages_by_hand() -> None:
    """Rewards 1, 0, 0, 1 have mean 1/2 and, with Bessel's correction, standard deviation √(1/3)."""
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0])

    close(losses.group_advantages(rewards, 4, scale="none"), [0.5, -0.5, -0.5, 0.5])
    close(losses.group_advantages(rewards, 4, epsilon=0.0), [s * math.sqrt(3) / 2 for s in (1, -1, -1, 1)])
    close(losses.group_advantages(rewards, 2, scale="none"), [0.5, -0.5, -0.5, 0.5])
    by_batch = losses.group_advantages(torch.tensor([1.0, 0.0, 3.0, 3.0]), 2, scale="batch", epsilon=0.0)
    close(by_batch, [0.5 / 1.5, -0.5 / 1.5, 0, 0])


def test_leave_one_out_by_hand() -> None:
    """The others of 1 average (0 + 0.5) / 2; of 0, 0.75; of 0.5, 0.5."""
    rewards = torch.tensor([1.0, 0.0, 0.5])

    close(losses.rloo_advantages(rewards, 3), [0.75, -0.75, 0.0])
    close(losses.rloo_advantages(rewards, 3), losses.group_advantages(rewards, 3, scale="none") * 3 / 2)


def test_an_undecided_reward_is_left_out() -> None:
    """It neither moves its group's mean nor gets an advantage; one known reward alone says nothing."""
    rewards = torch.tensor([1.0, NAN, 0.0, NAN, NAN, 5.0])

    close(losses.group_advantages(rewards, 3, scale="none"), [0.5, 0.0, -0.5, 0.0, 0.0, 0.0])
    close(losses.rloo_advantages(rewards, 3), [1.0, 0.0, -1.0, 0.0, 0.0, 0.0])


def test_whitening_by_hand() -> None:
    """1, 3 and 5 (9 is padding): mean 3, variance 4."""
    values, mask = torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([[1, 1], [1, 0]])

    close(losses.whiten(values, mask), [[-1.0, 0.0], [1.0, 0.0]])
    close(losses.whiten(values, mask, shift_mean=False), [[2.0, 3.0], [4.0, 0.0]])


def test_whitening_one_token_or_equal_ones_is_finite() -> None:
    """The variance is 0, the result too."""
    close(losses.whiten(torch.tensor([[4.0, 0.0]]), torch.tensor([[1, 0]])), [[0.0, 0.0]])
    close(losses.whiten(torch.full((2, 2), 4.0), torch.ones(2, 2)), torch.zeros(2, 2))


def test_reinforce_pp_by_hand() -> None:
    """β = 0.5; rewards to go 2 - 0.5·3, 2 - 0.5·2, 0 - 0.5·4, whitened: 0.5, 1 and -2 have mean -1/6."""
    kl, mask = torch.tensor([[1.0, 2.0], [4.0, 100.0]]), torch.tensor([[1, 1], [1, 0]])

    found = losses.reinforce_pp_advantages(torch.tensor([2.0, 0.0]), kl, mask, beta=0.5)

    expected = np.array([0.5, 1.0, -2.0])
    expected = (expected - expected.mean()) / expected.std(ddof=1)
    close(found, [expected[:2].tolist(), [expected[2], 0.0]])
    undecided = losses.reinforce_pp_advantages(torch.tensor([2.0, NAN]), kl, mask, beta=0.5)
    close(undecided, [[-math.sqrt(0.5), math.sqrt(0.5)], [0.0, 0.0]])


def test_gae_by_hand() -> None:
    """γ = 0.5, λ = 0.5. The first completion: δ = 1.5, -2, 7 from the end 7, -2 + 7/4, 1.5 - 1/16.

    δ_3 = 8 - 1, δ_2 = 0.5·1 - 2.5 = -2, δ_1 = 1 + 0.5·2.5 - 0.75 = 1.5. The second ends after one token: 3 - 2.
    """
    rewards = torch.tensor([[1.0, 0.0, 8.0], [3.0, 50.0, 50.0]])
    values = torch.tensor([[0.75, 2.5, 1.0], [2.0, 70.0, 70.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])

    close(losses.gae(rewards, values, mask, gamma=0.5, lam=0.5), [[1.4375, -0.25, 7.0], [1.0, 0.0, 0.0]])


def test_gae_at_its_two_ends() -> None:
    """λ = 1 is the reward to go less the value; λ = 0 is one step of temporal difference."""
    rewards, values, mask = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.2, 0.5, 0.9]]), torch.ones(1, 3)

    close(losses.gae(rewards, values, mask, lam=1.0), [[0.8, 0.5, 0.1]])
    close(losses.gae(rewards, values, mask, lam=0.0), [[0.3, 0.4, 0.1]])


def test_advantages_have_no_gradient() -> None:
    """They are data to the loss that uses them."""
    values = torch.rand(2, 3, requires_grad=True)

    assert not losses.gae(torch.zeros(2, 3), values, torch.ones(2, 3)).requires_grad


# Libraries


def test_gae_is_that_of_stable_baselines3() -> None:
    """Completions laid end to end are episodes of one environment."""
    buffers = pytest.importorskip("stable_baselines3.common.buffers")
    spaces = pytest.importorskip("gymnasium.spaces")
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([3, 1, 5, 2])
    mask = (torch.arange(5) < lengths[:, None]).int()
    rewards, values = torch.randn(4, 5, generator=generator), torch.randn(4, 5, generator=generator)
    kept = mask.bool()
    starts = torch.zeros(4, 5)
    starts[:, 0] = 1
    space = spaces.Box(-1, 1, (1,))
    buffer = buffers.RolloutBuffer(int(kept.sum()), space, space, gae_lambda=0.9, gamma=0.97)
    for reward, value, start in zip(rewards[kept], values[kept], starts[kept], strict=True):
        row = (np.zeros(1), np.zeros(1), reward.numpy(), start.numpy(), value[None], torch.zeros(1))
        buffer.add(*row)
    buffer.compute_returns_and_advantage(last_values=torch.zeros(1), dones=np.ones(1))

    ours = losses.gae(rewards, values, mask, gamma=0.97, lam=0.9)

    close(ours[kept], buffer.advantages[:, 0])
    close((ours + values)[kept], buffer.returns[:, 0])


def trl_advantages(kind: Any, config: Any, model: Any, tokenizer: Any) -> torch.Tensor:
    """The advantages that a trainer of TRL computes for `REWARDS` in groups of four."""

    class Scripted(kind):  # type: ignore[misc]
        def _generate_single_turn(self, prompt_ids: list[Any], *_: Any, **__: Any) -> Any:
            tokens = [[5, 6, 2]] * len(prompt_ids)
            return (tokens, None) if issubclass(kind, GRPOTrainer) else tokens

    def reward(completions: list[Any], **_: Any) -> list[float | None]:
        return [None if math.isnan(value) else value for value in REWARDS]

    rows = [{"prompt": f"question {i // 4}"} for i in range(len(REWARDS))]
    trainer = Scripted(
        model=model, reward_funcs=reward, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    trainer.model.train()
    return trainer._generate_and_score_completions(rows)["advantages"]


def trl_arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": len(REWARDS),
        "num_generations": 4,
        "max_completion_length": 3,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "gradient_checkpointing": False,
        "beta": 0.0,
    }


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_group_advantages_are_those_of_trl(
    scale: Any, tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """With an undecided reward, a group of equal ones and a single known one."""
    config = GRPOConfig(**trl_arguments(tmp_path), scale_rewards=scale)

    theirs = trl_advantages(GRPOTrainer, config, tiny_model(), tiny_tokenizer)

    close(losses.group_advantages(torch.tensor(REWARDS), 4, scale=scale), theirs)


def test_leave_one_out_is_that_of_trl(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """The same rewards."""
    theirs = trl_advantages(RLOOTrainer, RLOOConfig(**trl_arguments(tmp_path)), tiny_model(), tiny_tokenizer)

    close(losses.rloo_advantages(torch.tensor(REWARDS), 4), theirs)
