"""The networks of the loop in one model: policy, reference (the policy without its adapter, or a copy), critic.

`forward` gives log-probabilities and entropies of completions, packed so that a group shares its prompt
(`packing`). A model that cannot be packed, or a sequence longer than its attention window, is computed plainly.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel

from rlpath.core.errors import InputError
from rlpath.models.layers import attention_width
from rlpath.posttrain.packing.blocks import Packed, best_completions_per_block, pack
from rlpath.posttrain.packing.forward import (
    PACKING_TOLERANCE,
    attention_window,
    leave_casting_to_autocast,
    packing_gap,
    patch_packed_forward,
    without_adapter,
)
from rlpath.posttrain.rollout import Batch, rectangle

TENSORS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


class PolicyModel(torch.nn.Module):
    """A policy, with a value head on what it knows before each token where there is a critic."""

    def __init__(self, policy: Any, temperature: float, *, critic: bool = False) -> None:
        super().__init__()
        self.policy = policy
        self.base: Any = without_adapter(policy)
        self.temperature = temperature
        config = self.base.config.get_text_config()
        self.value_head = torch.nn.Linear(config.hidden_size, 1) if critic else None
        if self.value_head is not None:
            torch.nn.init.zeros_(self.value_head.weight)  # detail 5 of ppo_rlhf.py
            torch.nn.init.zeros_(self.value_head.bias)
        self.sizes = (self.base.num_parameters(exclude_embeddings=True), attention_width(config))
        self.window = attention_window(self.base)
        self.packing_gap = 0.0

    @property
    def packs(self) -> bool:
        """Whether the packed forward gives this model's numbers."""
        return self.packing_gap < PACKING_TOLERANCE

    def forward(self, packed: Packed | None = None, plain: Batch | None = None) -> Batch:
        """`logprobs`, `entropy` and `values` of packed completion tokens, each [N]; of a plain batch, each [B, T]."""
        if plain is not None:
            return self._plain(plain)
        output = self.policy(packed=packed, with_hidden=self.value_head is not None)
        if self.value_head is None:
            return output
        hidden_N_H = output.pop("hidden").float()
        with torch.autocast(hidden_N_H.device.type, enabled=False):
            return output | {"values": self.value_head(hidden_N_H)[:, 0]}  # detail 4 of ppo_rlhf.py

    def _plain(self, batch: Batch) -> Batch:
        prompts, completions = batch["prompt_mask"].sum(1).tolist(), batch["completion_mask"].sum(1).tolist()
        rows = zip(batch["prompt_ids"].tolist(), batch["completion_ids"].tolist(), prompts, completions, strict=True)
        device = batch["prompt_ids"].device
        ids = rectangle([prompt[:p] + completion[:c] for prompt, completion, p, c in rows], device)
        mask = rectangle([[1] * (p + c) for p, c in zip(prompts, completions, strict=True)], device)
        logits = self.policy(input_ids=ids, attention_mask=mask, use_cache=False).logits.float() / self.temperature
        shape = batch["completion_ids"].shape
        before = torch.tensor(prompts, device=device)[:, None] + torch.arange(shape[1], device=device) - 1
        before = before.clamp(max=ids.shape[1] - 1)
        logprobs = logits.gather(1, before[..., None].expand(-1, -1, logits.shape[-1])).log_softmax(-1)
        kept = batch["completion_mask"].bool()
        chosen = logprobs.gather(-1, batch["completion_ids"][..., None])[..., 0]
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        return {"logprobs": torch.where(kept, chosen, 0.0), "entropy": torch.where(kept, entropy, 0.0)}

    def completions_per_block(self, batch: Mapping[str, torch.Tensor], group_size: int) -> int:
        """How many completions of a group should share their prompt."""
        prompt, completion = (batch[name].sum(1).float().mean().item() for name in ("prompt_mask", "completion_mask"))
        return best_completions_per_block(prompt, completion, group_size, *self.sizes)


def policy_model(
    policy: Any,
    temperature: float,
    device: torch.device,
    *,
    bf16: bool,
    critic: bool = False,
    checkpointing: bool = False,
    entropy_gradient: bool = False,
) -> PolicyModel:
    """The policy made ready for the loop, on `device`.

    Dropout is off: rollout and update are of one policy, so that without an update the ratio is exactly 1. Raises
    `InputError` where a critic, or an entropy with a gradient, is asked of a model that cannot be packed.
    """
    model = PolicyModel(policy, temperature, critic=critic).to(device)
    base = model.base
    patch_packed_forward(base, temperature, entropy_gradient=entropy_gradient)  # detail 8 of ppo_rlhf.py
    if bf16:
        leave_casting_to_autocast(policy)
    base.eval()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        vocabulary = base.config.get_text_config().vocab_size
        model.packing_gap = packing_gap(base, min(vocabulary, 1000), device, temperature)
    if critic and not model.packs:
        raise InputError(
            "PPO here needs a model whose prompts can be shared: this one answers otherwise when they are "
            f"(log-probabilities differ by {model.packing_gap:.2f}); choose another model, or GRPO, which has a way "
            "around it"
        )
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if checkpointing:
        if isinstance(policy, PeftModel):
            base.enable_input_require_grads()
        base.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def reference_model(policy: Any, temperature: float, device: torch.device) -> PolicyModel | None:
    """A frozen copy of the policy as it is now; None where it has an adapter, which can be switched off instead.

    To be made before the policy itself is made ready.
    """
    if isinstance(policy, PeftModel):
        return None
    return frozen_model(copy.deepcopy(policy), temperature, device)


def frozen_model(model: Any, temperature: float, device: torch.device) -> PolicyModel:
    """A model that only scores completions, ready for the loop on `device`."""
    frozen = PolicyModel(model, temperature).to(device).requires_grad_(False).eval()
    patch_packed_forward(frozen.base, temperature)
    vocabulary = frozen.base.config.get_text_config().vocab_size
    frozen.packing_gap = packing_gap(frozen.base, min(vocabulary, 1000), device, temperature)
    return frozen


def completion_rectangles(model: Any, own: PolicyModel, batch: Mapping[str, torch.Tensor], group_size: int) -> Batch:
    """`logprobs`, `entropy` (and `values`) of a batch's completions, each [B, T]; `model` is `own` or what wraps it.

    Raises `InputError` where a critic meets a sequence beyond the attention window.
    """
    prompt_ids, prompt_mask, completion_ids, completion_mask = (batch[name] for name in TENSORS)
    longest = int((prompt_mask.sum(1) + completion_mask.sum(1)).max())
    if longest > own.window and own.value_head is not None:
        raise InputError(
            f"a prompt with its completion has {longest} tokens, more than the model's attention window of "
            f"{own.window:.0f}: shorten the prompts or --max-completion-length"
        )
    if not own.packs or longest > own.window:
        return model(plain=dict(batch))
    packed = pack(
        prompt_ids, prompt_mask, completion_ids, completion_mask, own.completions_per_block(batch, group_size)
    )
    return {name: packed.to_rectangle(part, completion_ids.shape) for name, part in model(packed).items()}
