"""Every loss that TRL has too: its trainers' own loss methods, on the same tensors, give the same value and gradient.

A trainer is made without its constructor and given only what its loss method reads; the model it calls is a stub that
hands back the tensors of the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.sft_trainer import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from rlpath import losses

B, T, BETA = 6, 9, 0.3
LENGTHS = torch.tensor([9, 1, 4, 7, 2, 8])
MASK = (torch.arange(T) < LENGTHS[:, None]).int()


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


# Log-probabilities that have moved far enough from the old ones for every clip to bind somewhere.
OLD = -random(B, T, seed=1).abs() - 0.1
NEW = OLD + random(B, T, seed=2, scale=0.4)
REFERENCE = OLD + random(B, T, seed=3, scale=0.3)
ADVANTAGES = random(B, seed=4)
ADVANTAGES_B_T = random(B, T, seed=5)

Loss = Callable[[torch.Tensor], torch.Tensor]


def agree(ours: Loss, theirs: Loss, at: torch.Tensor) -> None:
    """Equal value and equal gradient with respect to `at`, which is not zero."""
    results = []
    for loss in (ours, theirs):
        leaf = at.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        assert leaf.grad is not None
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-7)
    assert results[0][1].abs().sum() > 1e-3


class Alone:
    """The accelerator of a single process."""

    num_processes = 1
    device = torch.device("cpu")
    sync_gradients = True
    parallelism_config = None

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def gather_for_metrics(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def reduce(self, value: torch.Tensor, reduction: str) -> torch.Tensor:
        return value


def bare(kind: Any, **attributes: Any) -> Any:
    """A trainer that has nothing but what its loss method reads."""
    trainer = kind.__new__(kind)
    common = {
        "accelerator": Alone(),
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "model": SimpleNamespace(training=True),
        "aux_loss_enabled": False,
        "current_gradient_accumulation_steps": 1,
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    trainer.__dict__.update(common | attributes)
    return trainer


# Policy losses


def of_grpo(
    advantages: torch.Tensor, *, beta: float = 0.0, weights: torch.Tensor | None = None, **changes: Any
) -> Loss:
    settings = {
        "loss_type": "grpo",
        "importance_sampling_level": "token",
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "max_completion_length": 20,
        "_entropy_bonus_enabled": False,
        "use_vllm": weights is not None,
        "vllm_importance_sampling_correction": True,
        "beta": beta,
        "args": SimpleNamespace(delta=None, use_bias_correction_kl=True, steps_per_generation=1),
    }
    trainer = bare(GRPOTrainer, **(settings | changes))
    inputs = {
        "prompt_ids": torch.zeros(B, 2, dtype=torch.long),
        "prompt_mask": torch.ones(B, 2),
        "completion_ids": torch.zeros(B, T, dtype=torch.long),
        "completion_mask": MASK,
        "advantages": advantages,
        "old_per_token_logps": OLD,
        "ref_per_token_logps": REFERENCE,
        "num_items_in_batch": MASK.sum(),
        "importance_sampling_ratio": weights,
    }

    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None)
        return trainer._compute_loss(None, inputs)

    return loss


def test_grpo() -> None:
    agree(lambda x: losses.grpo_loss(x, OLD, ADVANTAGES, MASK), of_grpo(ADVANTAGES), NEW)


def test_grpo_with_its_kl_penalty() -> None:
    """TRL weights the k3 estimate by the importance ratio."""

    def ours(x: torch.Tensor) -> torch.Tensor:
        penalty = BETA * losses.kl_estimate(x, REFERENCE) * (x - OLD).exp()
        return losses.grpo_loss(x, OLD, ADVANTAGES, MASK, penalty_B_T=penalty)

    agree(ours, of_grpo(ADVANTAGES, beta=BETA), NEW)


def test_grpo_with_the_plain_k3_penalty() -> None:
    """As in the paper: the estimate itself, without a weight."""

    def ours(x: torch.Tensor) -> torch.Tensor:
        return losses.grpo_loss(x, OLD, ADVANTAGES, MASK, penalty_B_T=BETA * losses.kl_estimate(x, REFERENCE))

    plain = SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    agree(ours, of_grpo(ADVANTAGES, beta=BETA, args=plain), NEW)


def test_grpo_with_the_correction_for_the_sampler() -> None:
    weights = losses.correction_weights(OLD, REFERENCE, MASK, "token_truncate", 1.1)
    agree(
        lambda x: losses.policy_loss(x, OLD, ADVANTAGES, MASK, weights=weights),
        of_grpo(ADVANTAGES, weights=weights),
        NEW,
    )


def test_dr_grpo() -> None:
    agree(
        lambda x: losses.dr_grpo_loss(x, OLD, ADVANTAGES, MASK, max_length=20),
        of_grpo(ADVANTAGES, loss_type="dr_grpo"),
        NEW,
    )


def test_dapo() -> None:
    theirs = of_grpo(ADVANTAGES, loss_type="dapo", epsilon_high=0.28)
    agree(lambda x: losses.dapo_loss(x, OLD, ADVANTAGES, MASK), theirs, NEW)
    agree(lambda x: losses.dapo_loss(x, OLD, ADVANTAGES, MASK, tokens=MASK.sum()), theirs, NEW)


def test_gspo() -> None:
    theirs = of_grpo(ADVANTAGES, importance_sampling_level="sequence", epsilon_low=0.1, epsilon_high=0.15)
    agree(lambda x: losses.gspo_loss(x, OLD, ADVANTAGES, MASK, epsilon_low=0.1, epsilon_high=0.15), theirs, NEW)


def test_cispo() -> None:
    theirs = of_grpo(ADVANTAGES, loss_type="cispo", epsilon_high=1.2)
    agree(lambda x: losses.cispo_loss(x, OLD, ADVANTAGES, MASK, largest_ratio=1.2), theirs, NEW)


def test_sapo() -> None:
    given = {"delta": None, "use_bias_correction_kl": True, "steps_per_generation": 1}
    sharpness = SimpleNamespace(**given, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05)
    theirs = of_grpo(ADVANTAGES, loss_type="sapo", args=sharpness)
    agree(lambda x: losses.sapo_loss(x, OLD, ADVANTAGES, MASK), theirs, NEW)


def test_luspo() -> None:
    theirs = of_grpo(
        ADVANTAGES, loss_type="luspo", importance_sampling_level="sequence", epsilon_low=0.1, epsilon_high=0.15
    )
    agree(lambda x: losses.luspo_loss(x, OLD, ADVANTAGES, MASK, epsilon_low=0.1, epsilon_high=0.15), theirs, NEW)


@pytest.mark.parametrize("mode", [None, *losses.CORRECTIONS])
def test_vespo(mode: str | None) -> None:
    """With the sampler's correction inside its weight, in every mode."""
    weights = None if mode is None else losses.correction_weights(OLD, REFERENCE, MASK, mode, 1.1)
    given = {"delta": None, "use_bias_correction_kl": True, "steps_per_generation": 1}
    shape = {"vespo_k_pos": 2.0, "vespo_lambda_pos": 3.0, "vespo_k_neg": 3.0, "vespo_lambda_neg": 2.0}
    theirs = of_grpo(ADVANTAGES, loss_type="vespo", weights=weights, args=SimpleNamespace(**given, **shape))
    agree(lambda x: losses.vespo_loss(x, OLD, ADVANTAGES, MASK, weights=weights), theirs, NEW)


def test_ppo_is_the_token_mean_with_an_advantage_for_each_token() -> None:
    """TRL has no PPO, but its `bnpo` takes advantages [B, T]."""
    theirs = of_grpo(ADVANTAGES_B_T, loss_type="bnpo")
    agree(lambda x: losses.ppo_policy_loss(x, OLD, ADVANTAGES_B_T, MASK), theirs, NEW)


def test_rloo() -> None:
    trainer = bare(RLOOTrainer, epsilon_low=0.2, epsilon_high=0.2)
    inputs = {
        "prompt_ids": torch.zeros(B, 2, dtype=torch.long),
        "prompt_mask": torch.ones(B, 2),
        "completion_ids": torch.zeros(B, T, dtype=torch.long),
        "completion_mask": MASK,
        "advantages": ADVANTAGES,
        "old_logps": losses.sequence_logprobs(OLD, MASK),
    }

    def theirs(logprobs: torch.Tensor) -> torch.Tensor:
        trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None)
        return trainer._compute_loss(None, inputs)

    agree(lambda x: losses.rloo_loss(x, OLD, ADVANTAGES, MASK), theirs, NEW)


# Preferences: TRL's batch is the chosen completions, then the rejected ones

PROMPT = 2
IDS = torch.zeros(B, PROMPT + T, dtype=torch.long)
COMPLETION = torch.cat([torch.zeros(B, PROMPT, dtype=torch.int), MASK], 1)


class Answers:
    """A model that answers with the given log-probabilities [B, P+T-1] of every token but the first."""

    def __init__(self, logprobs_B_T: torch.Tensor) -> None:
        kept = logprobs_B_T * MASK
        self.log_probs = torch.cat([kept.new_zeros(B, PROMPT - 1), kept], 1)

    def __call__(self, **_: Any) -> Any:
        zeros = torch.zeros_like(self.log_probs)
        return SimpleNamespace(log_probs=self.log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def of_dpo(loss_type: str, **changes: Any) -> Loss:
    settings = {
        "loss_types": [loss_type],
        "loss_weights": [1.0],
        "beta": BETA,
        "label_smoothing": 0.0,
        "ld_alpha": None,
        "precompute_ref_logps": True,
        "f_divergence_type": "reverse_kl",
        "use_weighting": False,
    }
    trainer = bare(DPOTrainer, **(settings | changes))
    chosen, rejected = losses.sequence_logprobs(REFERENCE, MASK).chunk(2)
    inputs = {
        "input_ids": IDS,
        "attention_mask": torch.ones_like(IDS),
        "completion_mask": COMPLETION,
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    return lambda logprobs: trainer._compute_loss(Answers(logprobs), inputs, False)


def pairs(logprobs: torch.Tensor) -> list[torch.Tensor]:
    """Chosen and rejected of the policy, then of the reference."""
    found = (losses.sequence_logprobs(values, MASK).chunk(2) for values in (logprobs, REFERENCE))
    return [half for both in found for half in both]


def test_dpo() -> None:
    agree(lambda x: losses.dpo_loss(*pairs(x), beta=BETA), of_dpo("sigmoid"), NEW)


def test_ipo() -> None:
    agree(lambda x: losses.ipo_loss(*pairs(x), *LENGTHS.chunk(2), beta=BETA), of_dpo("ipo"), NEW)


def test_dpo_with_label_smoothing() -> None:
    """TRL smooths its `aot` alone, which sorts margins first: equal where they are sorted already."""

    def sorting(logprobs: torch.Tensor) -> torch.Tensor:
        policy = losses.sequence_logprobs(logprobs, MASK).chunk(2)
        reference = losses.sequence_logprobs(REFERENCE, MASK).chunk(2)
        margin, ref_margin = (one[0] - one[1] for one in (policy, reference))
        margin, ref_margin = margin.sort().values, ref_margin.sort().values
        zeros = torch.zeros_like(margin)
        return losses.dpo_loss(margin, zeros, ref_margin, zeros, beta=BETA, label_smoothing=0.1)

    agree(sorting, of_dpo("aot", label_smoothing=0.1), NEW)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_kto(shift: float) -> None:
    """With a KL estimate below 0, which counts as 0, and one above."""
    desirable = torch.tensor([True, False, True, True, False, False])
    trainer = bare(
        KTOTrainer,
        calculate_KL=True,
        precompute_ref_logps=True,
        loss_type="kto",
        beta=BETA,
        desirable_weight=1.0,
        undesirable_weight=1.3,
    )
    mismatched = losses.sequence_logprobs(OLD, MASK)
    ref_mismatched = mismatched - shift + 0.1
    inputs = {
        "input_ids": IDS,
        "attention_mask": torch.ones_like(IDS),
        "completion_mask": COMPLETION,
        "label": desirable,
        "ref_logps": losses.sequence_logprobs(REFERENCE, MASK),
        "ref_KL_logps": ref_mismatched,
    }
    trainer._compute_kl_logps = lambda *_: mismatched

    def ours(logprobs: torch.Tensor) -> torch.Tensor:
        policy, reference = (losses.sequence_logprobs(values, MASK) for values in (logprobs, REFERENCE))
        given = (policy, reference, desirable, mismatched, ref_mismatched)
        return losses.kto_loss(*given, beta=BETA, undesirable_weight=1.3)

    agree(ours, lambda x: trainer._compute_loss(Answers(x), inputs, False), NEW)


@pytest.mark.parametrize("margin", [None, torch.tensor([0.5, 0.0, 1.0])])
@pytest.mark.parametrize("centering", [None, 0.2])
def test_bradley_terry(margin: torch.Tensor | None, centering: float | None) -> None:
    trainer = bare(RewardTrainer, args=SimpleNamespace(center_rewards_coefficient=centering))
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}

    def theirs(rewards: torch.Tensor) -> torch.Tensor:
        given = dict(inputs) if margin is None else {**inputs, "margin": margin}
        return trainer.compute_loss(lambda **_: SimpleNamespace(logits=rewards[:, None]), given)

    def ours(rewards: torch.Tensor) -> torch.Tensor:
        chosen, rejected = rewards.chunk(2)
        return losses.bradley_terry_loss(chosen, rejected, margin_B=margin, centering=centering or 0.0)

    agree(ours, theirs, random(B, seed=6))


def test_sft(tiny_model: Callable[..., Any]) -> None:
    """Through a real model and TRL's fused output layer: value, and gradient of the embeddings."""
    model = tiny_model(seed=2)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    trainer = bare(SFTTrainer, compute_loss_func=None, label_smoother=None)
    trainer.args = SimpleNamespace(loss_type="nll", average_tokens_across_devices=False)
    ids = torch.randint(3, 250, (B, PROMPT + T), generator=torch.Generator().manual_seed(7))
    weight = model.get_input_embeddings().weight

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, weight)[0]

    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    theirs = trainer.compute_loss(model, {**inputs, "labels": ids.masked_fill(COMPLETION == 0, -100)})
    ours = losses.sft_loss(model(**inputs).logits, ids, COMPLETION)

    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours), gradient(theirs), rtol=1e-4, atol=1e-6)
    assert gradient(losses.sft_loss(model(**inputs).logits, ids, COMPLETION)).abs().sum() > 0.1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_distillation_is_trl_s_reverse_divergence_on_average(kind: Any) -> None:
    """Over all tokens, as often as the student samples each: the sum over the vocabulary (k2: only its gradient)."""
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    teacher = random(1, 1, 7, seed=7)
    every_token = torch.ones(7, 1)

    def ours(student: torch.Tensor) -> torch.Tensor:
        logprobs, scored = student.log_softmax(-1)[0, 0, :, None], teacher.log_softmax(-1)[0, 0, :, None]
        ratio = losses.importance_ratio(logprobs, logprobs.detach(), every_token)
        shares = logprobs.detach().exp()
        return losses.distillation_loss(logprobs, scored, ratio, every_token, kind=kind, weights=shares, tokens=1)

    def theirs(student: torch.Tensor) -> torch.Tensor:
        return GKDTrainer.generalized_jsd_loss(student, teacher, beta=1.0)

    at = random(1, 1, 7, seed=8)
    if kind != "k2":
        agree(ours, theirs, at)
        return
    mine, other = (
        torch.autograd.grad(loss(leaf), leaf)[0] for loss in (ours, theirs) for leaf in [at.clone().requires_grad_()]
    )
    torch.testing.assert_close(mine, other)
