"""What kinds of layers a model is made of, read from its configuration: what can be sampled, packed, and how large."""

from __future__ import annotations

from typing import Any

ATTENTION = frozenset({"full_attention", "sliding_attention"})
"""Layer types whose only state is keys and values, and whose mask can be replaced by one of blocks."""


def foreign_layers(model: Any) -> list[str]:
    """The kinds of layers of `model` that are not plain attention; empty for a plain transformer.

    Recurrent state (Mamba, linear attention, convolutions) and chunked or compressed attention are such kinds.
    """
    config = model.config.get_text_config()
    kinds: set[str] = set()
    for name in ("layer_types", "layers_block_type", "block_types"):
        kinds.update(getattr(config, name, None) or [])
    foreign = sorted(kinds - ATTENTION - {"attention"})
    if not foreign and (getattr(model, "_is_stateful", False) or _has_recurrence(config)):
        return [f"{config.model_type} layers"]
    return foreign


def _has_recurrence(config: Any) -> bool:
    return any(getattr(config, name, None) for name in ("mamba_d_state", "ssm_state_size", "conv_L_cache"))


def attention_width(config: Any) -> int:
    """Query numbers of one token over all layers: heads × head size × layers (head size need not be hidden / heads)."""
    return config.num_hidden_layers * config.num_attention_heads * head_size(config)


def head_size(config: Any) -> int:
    """Numbers in one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def logit_scale(config: Any) -> float:
    """What the model multiplies its logits with after the output matrix (Cohere, Granite, HyperCLOVA); 1 for most."""
    divided = 1 / getattr(config, "logits_scaling", 1.0)
    if config.model_type == "hyperclovax":
        divided = 1 / divided
    scale = getattr(config, "logit_scale", None)
    return divided * (1.0 if scale is None else scale)


def caps_logits(config: Any) -> bool:
    """Whether logits go through a soft cap (Gemma 2), which the packed forward does not compute."""
    return bool(getattr(config, "final_logit_softcapping", None))


def caps_attention(config: Any) -> bool:
    """Whether attention scores go through a soft cap, which torch's fused kernel leaves out."""
    return bool(getattr(config, "attn_logit_softcapping", None))


def shares_keys(model: Any) -> bool:
    """Whether layers read the keys and values of another layer (Gemma 3n)."""
    return bool(getattr(model.config.get_text_config(), "num_kv_shared_layers", 0))
