"""The model equals transformers' Llama, a cache equals none, and order reaches attention through positions alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from rlpath.trunk.gpt import GPT, Attention, Cache, Shape

SHAPE = Shape(vocabulary=50, width=32, layers=2, heads=4, hidden=48, context=24)
GROUPED = Shape(vocabulary=50, width=32, layers=2, heads=4, hidden=48, context=24, kv_heads=2)
NAMES = {
    "before_attention.scale": "input_layernorm.weight",
    "before_mlp.scale": "post_attention_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "gate.weight": "mlp.gate_proj.weight",
    "up.weight": "mlp.up_proj.weight",
    "down.weight": "mlp.down_proj.weight",
}


def llama_of(model: GPT) -> Any:
    """A transformers Llama with the same weights."""
    shape = model.shape
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads or shape.heads,
        rms_norm_eps=shape.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=True,
    )
    llama = transformers.LlamaForCausalLM(config).eval()
    state = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm.scale}
    for name, parameter in model.named_parameters():
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            state[f"model.layers.{index}.{NAMES[rest]}"] = parameter
    missing, unexpected = llama.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"]
    assert not unexpected
    llama.tie_weights()
    return llama


@pytest.mark.parametrize("shape", [SHAPE, GROUPED], ids=["every head its own", "grouped queries"])
def test_logits_equal_llama(shape: Shape) -> None:
    """To 1e-5 with the same weights."""
    model = GPT(shape, seed=1)
    ids = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        assert torch.allclose(model(ids), llama_of(model)(ids).logits, atol=1e-5)


@pytest.mark.parametrize("pieces", [[20], [1] * 20, [7, 1, 5, 7]], ids=str)
@pytest.mark.parametrize("shape", [SHAPE, GROUPED], ids=["every head its own", "grouped queries"])
def test_a_cache_equals_none(shape: Shape, pieces: list[int]) -> None:
    """However the tokens are cut into pieces, their logits are those of one pass."""
    model = GPT(shape, seed=1)
    ids = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(0))
    cache = Cache.empty(shape, batch=3)

    with torch.no_grad():
        logits = torch.cat([model(piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
        assert torch.allclose(logits, model(ids), atol=1e-5)
    assert cache.length == 20


def test_attention_without_positions_does_not_know_order() -> None:
    """The last token's mix is the same when the tokens before it are permuted; with rotary positions it is not."""
    attention = Attention(SHAPE, 0)
    x = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(0))
    shuffled = x[:, [4, 2, 7, 0, 1, 6, 3, 5, 8]]
    still = torch.ones(9, 8), torch.zeros(9, 8)
    angle = torch.arange(9)[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001]).repeat(2)

    with torch.no_grad():
        without = [attention(part, *still, None)[:, -1] for part in (x, shuffled)]
        rotary = [attention(part, angle.cos(), angle.sin(), None)[:, -1] for part in (x, shuffled)]
    assert torch.allclose(*without, atol=1e-6)
    assert (rotary[0] - rotary[1]).abs().max() > 1e-2
