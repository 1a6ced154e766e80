"""Every architecture is computed rightly or refused: sampled as its own forward would, packed without a difference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding
from rlpath.models.hf_sampler import HFSampler
from rlpath.posttrain.packing.forward import PACKING_TOLERANCE, as_fp32, packing_gap, patch_packed_forward

SIZES = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
PLAIN: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen3": {"head_dim": 16},
    "Granite": {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "Cohere": {"logit_scale": 0.0625},
    "Cohere2": {"logit_scale": 0.0625, "head_dim": 16, "sliding_window": 64},
    "Gemma3Text": {"head_dim": 16, "sliding_window": 64},
    "Mistral": {"sliding_window": 64},
    "GptOss": {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64},
}
"""Sampled and packed."""
NOT_PACKED: dict[str, dict[str, Any]] = {
    "Gemma2": {"head_dim": 16, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    "Bloom": {"n_head": 4, "n_layer": 2},
}
"""Sampled; the plain forward trains them."""
WITH_STATE: dict[str, dict[str, Any]] = {
    "Lfm2": {"layer_types": ["conv", "full_attention"]},
    "Qwen3Next": {"layer_types": ["linear_attention", "full_attention"], "head_dim": 16, **EXPERTS},
    "Mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    "RecurrentGemma": {"lru_width": 32, "attention_window_size": 64},
    "FalconH1": {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
    "Bamba": {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "attn_layer_indices": [1]},
}
"""Refused by the sampler, and not packed."""


def make(name: str, changes: dict[str, Any]) -> Any:
    """A tiny random model in fp32, with the attention it loads with."""
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **changes})
    causal = getattr(transformers, f"{name.removesuffix('Text')}ForCausalLM")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = causal._from_config(config) if hasattr(causal, "_from_config") else causal(config)
        for parameter in model.parameters():
            # Heads and sinks that start at zero would hide what is left out of them.
            if parameter.abs().sum() == 0:
                torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.mark.parametrize("name", [*PLAIN, *NOT_PACKED])
def test_samples_are_of_the_models_own_distribution(name: str, tiny_tokenizer: Any) -> None:
    """Log-probabilities equal those of a teacher-forced eager forward within 1e-4, for prompts of two lengths."""
    changes = {**PLAIN, **NOT_PACKED}[name]
    prompts = ([5, 6, 7, 8, 9], [40, 41])
    groups = HFSampler(make(name, changes), tiny_tokenizer).generate(prompts, Decoding(8, n=2, seed=1))

    own = make(name, changes)
    own.set_attn_implementation("eager")
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            ids = torch.tensor([[*prompt, *completion.token_ids]])
            with torch.no_grad():
                logits = own(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
            expected = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_packed_is_right_in_fp32(name: str) -> None:
    """Logit scales are computed, sinks and windows too: 1e-5, at another temperature, and from bf16 weights as well."""
    model = make(name, PLAIN[name])
    patch_packed_forward(model, 0.7)
    assert packing_gap(model, 250, torch.device("cpu"), 0.7) < 1e-5

    narrow = make(name, PLAIN[name]).to(torch.bfloat16)
    before = {key: value.clone() for key, value in narrow.state_dict().items()}
    patch_packed_forward(narrow, 0.7)
    with torch.autocast("cpu", torch.bfloat16):
        assert packing_gap(narrow, 250, torch.device("cpu"), 0.7) < 1e-5
    assert all(torch.equal(value, before[key]) for key, value in narrow.state_dict().items())


@pytest.mark.parametrize("name", [*NOT_PACKED, *WITH_STATE])
def test_what_the_packed_forward_does_not_compute_is_not_packed(name: str) -> None:
    """Soft caps, states and models without position ids: the gap is beyond the tolerance, and nothing crashes."""
    model = make(name, {**NOT_PACKED, **WITH_STATE}[name])
    patch_packed_forward(model, 1.0)
    assert packing_gap(model, 250, torch.device("cpu")) > PACKING_TOLERANCE


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_model_with_a_state_is_refused_before_any_work(name: str, tiny_tokenizer: Any) -> None:
    """One sentence, when the sampler is made."""
    with pytest.raises(InputError, match=r"keeps more than keys and values.*choose --rollouts vllm"):
        HFSampler(make(name, WITH_STATE[name]), tiny_tokenizer)


def test_weights_are_as_they_were_after_an_error() -> None:
    """Widening to fp32 for the check is undone whatever happens in it."""
    model = make("Llama", {}).to(torch.bfloat16)
    with pytest.raises(RuntimeError), as_fp32(model):
        assert model.dtype is torch.float32
        raise RuntimeError
    assert model.dtype is torch.bfloat16
