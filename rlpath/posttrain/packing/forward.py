"""A causal language model that can be asked for the log-probabilities of packed completions.

`patch_packed_forward` adds one keyword to the model's own `forward`, so that the call still passes through whatever
wraps the model (PEFT, DDP, FSDP) and their hooks run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer

from rlpath.models.layers import caps_logits, foreign_layers, logit_scale
from rlpath.posttrain.packing.blocks import Packed, pack
from rlpath.posttrain.packing.logprobs import token_logprobs

PACKING_TOLERANCE = 1e-3
"""The gap is measured in fp32, where rounding gives 1e-5; a model that is computed otherwise differs by more."""
QUANTIZED_TOLERANCE = 0.15
"""Weights in 4 bits cannot be widened: in bf16, rounding alone moves a log-probability by a few hundredths."""


def patch_packed_forward(causal_lm: Any, temperature: float, *, entropy_gradient: bool = False) -> None:
    """Let `causal_lm(packed=…)` return `{"logprobs": [N], "entropy": [N]}`; any other call is as before.

    The entropy has a gradient where `entropy_gradient` says so. With `with_hidden=True` it also returns `hidden`
    [N, H]: what the model knew before each token, for a value head.
    """
    plain = causal_lm.forward
    temperature /= logit_scale(causal_lm.config.get_text_config())

    def forward(*args: Any, packed: Packed | None = None, with_hidden: bool = False, **kwargs: Any) -> Any:
        if packed is None:
            return plain(*args, **kwargs)
        hidden = causal_lm.get_decoder()(
            input_ids=packed.ids_R_L,
            attention_mask=block_mask(packed, causal_lm),
            position_ids=packed.positions_R_L,
            use_cache=False,
        ).last_hidden_state
        head = causal_lm.get_output_embeddings().weight
        # The scale that some models give their logits is one more temperature.
        dtype = _compute_dtype(head)
        hidden_N_H = hidden.flatten(0, 1)[packed.predictor_N].to(dtype)
        logprobs, entropy = token_logprobs(
            hidden_N_H,
            head.to(dtype),
            packed.target_N,
            temperature=temperature,
            entropy_gradient=entropy_gradient,
        )
        output = {"logprobs": logprobs, "entropy": entropy}
        return output | {"hidden": hidden_N_H} if with_hidden else output

    causal_lm.forward = forward


def without_adapter(model: Any) -> Any:
    """The causal language model inside an adapter, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def leave_casting_to_autocast(model: Any) -> None:
    """Autocast casts a layer's input once, to bf16; PEFT would first cast each adapter's input up to its fp32."""
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False


def completion_logprobs(
    model: Any, batch: dict[str, torch.Tensor], completions_per_block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of a rectangle's completions, each [B, C], zero at padding.

    `batch` holds `prompt_ids`, `prompt_mask`, `completion_ids`, `completion_mask`; `model` has been through
    `patch_packed_forward`.
    """
    packed = pack(
        batch["prompt_ids"],
        batch["prompt_mask"],
        batch["completion_ids"],
        batch["completion_mask"],
        completions_per_block,
    )
    output = model(packed=packed)
    shape = batch["completion_ids"].shape
    return packed.to_rectangle(output["logprobs"], shape), packed.to_rectangle(output["entropy"], shape)


@torch.no_grad()
def packing_gap(model: Any, vocabulary: int, device: torch.device, temperature: float = 1.0) -> float:
    """Mean absolute difference of log-probabilities between sharing prompts and not, in fp32, on a few random tokens.

    `temperature` is that of `patch_packed_forward`. A model that ignores the block mask (a sliding window, positions of
    its own) or treats its logits further (a bias) gives far more than rounding, and must not be trained packed.
    Infinity where the packed forward is known not to compute the model: layers with a state, a soft cap on logits, an
    adapted output matrix, a decoder without positions or mask.
    """
    if not _may_pack(model):
        return math.inf
    with as_fp32(model) as exact, torch.autocast(device.type, enabled=False):
        gap = _gap(model, vocabulary, device, temperature)
    if exact:
        return gap
    return gap if gap >= QUANTIZED_TOLERANCE else 0.0


def _may_pack(model: Any) -> bool:
    """Whether the model is made of what the packed forward computes, as far as configuration and signature tell."""
    takes = inspect.signature(model.get_decoder().forward).parameters
    return (
        not isinstance(model.get_output_embeddings(), BaseTunerLayer)
        and not foreign_layers(model)
        and not caps_logits(model.config.get_text_config())
        and {"attention_mask", "position_ids"} <= takes.keys()
    )


@contextmanager
def as_fp32(model: Any) -> Iterator[bool]:
    """The model's weights in fp32 for a moment, and exactly as they were afterwards; yields whether all could be."""
    tensors = [*model.parameters(), *model.buffers()]
    narrow = [tensor for tensor in tensors if tensor.dtype in (torch.bfloat16, torch.float16)]
    were = [tensor.dtype for tensor in narrow]
    try:
        for tensor in narrow:
            tensor.data = tensor.data.float()
        yield all(parameter.is_floating_point() for parameter in model.parameters())
    finally:
        for tensor, dtype in zip(narrow, were, strict=True):
            tensor.data = tensor.data.to(dtype)


def _gap(model: Any, vocabulary: int, device: torch.device, temperature: float) -> float:
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, vocabulary, (2, 9), generator=generator).repeat_interleave(3, 0)
    completions = torch.randint(0, vocabulary, (6, 7), generator=generator)
    batch = {
        "prompt_ids": prompts.to(device),
        "prompt_mask": torch.ones_like(prompts).to(device),
        "completion_ids": completions.to(device),
        "completion_mask": torch.ones_like(completions).to(device),
    }
    shared, _ = completion_logprobs(model, batch, 3)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, prompts.shape[1] - 1 : -1]
    alone = (logits.float() / temperature).log_softmax(-1).gather(-1, batch["completion_ids"][..., None])[..., 0]
    return (shared - alone).abs().mean().item()


def attention_window(model: Any) -> float:
    """Tokens up to which the model's own attention is the plain causal one; infinity where it always is.

    A packed forward brings its own mask and so drops a sliding window or chunks: beyond this length it is another
    model.
    """
    config = model.config.get_text_config()
    local = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return min((size for size in local if size), default=math.inf)


def _compute_dtype(weight: torch.Tensor) -> torch.dtype:
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def block_mask(packed: Packed, model: Any) -> torch.Tensor:
    """What attention adds to its scores, [R, 1, L, L], in the precision it computes in."""
    dtype = _compute_dtype(model.get_input_embeddings().weight)
    sees = packed.sees_R_L_L[:, None]
    return torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill(~sees, torch.finfo(dtype).min)
