"""The networks of PPO in one model: policy (with its adapter), reference (without it), critic (a head on its trunk).

Numbers in brackets are those of the details in `ppo.py`. A batch holds `prompt_ids`, `prompt_mask`, `completion_ids`
and `completion_mask`, each [B, …], 0 at padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from peft import PeftModel
from torch.nn.utils.rnn import pad_sequence

from rlpath.core.errors import InputError
from rlpath.posttrain.packing.blocks import Packed, best_completions_per_block, pack
from rlpath.posttrain.packing.forward import (
    PACKING_TOLERANCE,
    attention_window,
    completion_logprobs,
    install,
    leave_casting_to_autocast,
    packing_gap,
)
from rlpath.posttrain.settings import PPOSettings

Batch = dict[str, torch.Tensor]
TENSORS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


class ActorCritic(torch.nn.Module):
    """A policy with an adapter and a value head on what it knows before each token."""

    def __init__(self, policy: PeftModel) -> None:
        super().__init__()
        self.policy = policy
        self.base: Any = policy.get_base_model()
        config = self.base.config.get_text_config()
        self.value_head = torch.nn.Linear(config.hidden_size, 1)
        torch.nn.init.zeros_(self.value_head.weight)  # (5)
        torch.nn.init.zeros_(self.value_head.bias)
        self.sizes = (self.base.num_parameters(exclude_embeddings=True), config.num_hidden_layers * config.hidden_size)

    def forward(self, packed: Packed) -> dict[str, torch.Tensor]:
        """`logprobs`, `entropy` and `values` of the packed completion tokens, each [N], fp32."""
        output = self.policy(packed=packed, with_hidden=True)
        hidden_N_H = output.pop("hidden").float()
        with torch.autocast(hidden_N_H.device.type, enabled=False):
            return output | {"values": self.value_head(hidden_N_H)[:, 0]}  # (4)


def actor_critic(policy: PeftModel, settings: PPOSettings, device: torch.device, *, bf16: bool) -> ActorCritic:
    """The policy made ready for PPO, on `device`. Raises `InputError` where it cannot be trained packed."""
    actor = ActorCritic(policy).to(device)
    base = actor.base
    install(base, settings.temperature)  # (8)
    if bf16:
        leave_casting_to_autocast(policy)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        vocabulary = base.config.get_text_config().vocab_size
        gap = packing_gap(base, min(vocabulary, 1000), device, settings.temperature)
    if not gap < PACKING_TOLERANCE:
        raise InputError(
            f"PPO here needs a model whose prompts can be shared: {settings.model} answers otherwise when they are "
            f"(log-probabilities differ by {gap:.2f}); choose another model, or GRPO, which has a way around it"
        )
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if settings.gradient_checkpointing:
        base.enable_input_require_grads()
        base.gradient_checkpointing_enable({"use_reentrant": False})
    return actor.train()


def forward(model: Any, actor: ActorCritic, batch: Mapping[str, torch.Tensor], group_size: int) -> Batch:
    """`logprobs`, `entropy` and `values` of a micro-batch, each [B, T]; `model` is `actor` or what wraps it."""
    prompt_ids, prompt_mask, completion_ids, completion_mask = (batch[name] for name in TENSORS)
    longest = int((prompt_mask.sum(1) + completion_mask.sum(1)).max())
    if longest > attention_window(actor.base):
        raise InputError(
            f"a prompt with its completion has {longest} tokens, more than the model's attention window of "
            f"{attention_window(actor.base):.0f}: shorten the prompts or --max-completion-length"
        )
    packed = pack(prompt_ids, prompt_mask, completion_ids, completion_mask, _share(actor, batch, group_size))
    return {name: packed.to_rectangle(part, completion_ids.shape) for name, part in model(packed).items()}


def reference(actor: ActorCritic, batch: Batch, group_size: int) -> Batch:
    """`logprobs` of a micro-batch under the model without its adapter, [B, T]."""
    with actor.policy.disable_adapter():
        return {"logprobs": completion_logprobs(actor.policy, batch, _share(actor, batch, group_size))[0]}


def in_parts(batch: Batch, size: int, forward: Callable[[Batch], Batch]) -> Batch:
    """`forward` on micro-batches of `size` completions, its results joined."""
    slices = [slice(start, start + size) for start in range(0, len(batch["prompt_ids"]), size)]
    parts = [forward({name: tensor[part] for name, tensor in batch.items()}) for part in slices]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def make_batch(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], device: torch.device) -> Batch:
    """Token ids and masks of prompts and their completions."""
    return {
        "prompt_ids": rectangle(prompts, device),
        "prompt_mask": rectangle([[1] * len(ids) for ids in prompts], device),
        "completion_ids": rectangle(completions, device),
        "completion_mask": rectangle([[1] * len(ids) for ids in completions], device),
    }


def rectangle(rows: Sequence[Sequence[float]], device: torch.device) -> torch.Tensor:
    """Rows of unequal length, padded on the right with 0."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)


def _share(actor: ActorCritic, batch: Mapping[str, torch.Tensor], group_size: int) -> int:
    prompt, completion = (batch[name].sum(1).float().mean().item() for name in ("prompt_mask", "completion_mask"))
    return best_completions_per_block(prompt, completion, group_size, *actor.sizes)
