"""The sampler gets merged weights; the trainer's base stays as it is, bit for bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rlpath.models.weights import sampler_weights


def adapted(model: Any, **changes: Any) -> Any:
    """The model with a random, non-zero adapter."""
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False} | changes
    torch.manual_seed(2)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))


@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}, {"target_modules": ["q_proj", "down_proj"]}])
def test_merged_weights_are_those_of_peft(tiny_model: Callable[..., Any], changes: dict[str, Any]) -> None:
    """base + scale · B A equals merge_and_unload in fp32, and only adapted matrices are sent."""
    model = adapted(tiny_model(), **changes)
    sent = {name: value.clone() for name, value in sampler_weights(model)}

    merged = dict(model.merge_and_unload().named_parameters())

    targets = changes.get("target_modules", "all-linear")
    assert len(sent) == 2 * (7 if targets == "all-linear" else len(targets))
    for name, value in sent.items():
        torch.testing.assert_close(value, merged[name], rtol=1e-6, atol=1e-6)
    untouched = tiny_model().state_dict()
    for name in merged.keys() - sent.keys():
        assert torch.equal(merged[name], untouched[name])


def test_layers_stored_transposed_are_merged_transposed() -> None:
    """GPT-2 keeps its weights as [in, out]."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=1, n_head=2))
    model = adapted(gpt2, target_modules=["c_attn"], fan_in_fan_out=True)
    (sent,) = dict(sampler_weights(model)).values()

    torch.testing.assert_close(sent, model.merge_and_unload().transformer.h[0].attn.c_attn.weight)


def test_a_thousand_pushes_leave_the_base_as_it_was(tiny_model: Callable[..., Any]) -> None:
    """In bf16, where merging in place and back rounds the base a little each time: no drift, equal pushes."""
    model = adapted(tiny_model(num_hidden_layers=1).to(torch.bfloat16))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = dict(sampler_weights(model))

    last: dict[str, Any] = {}
    for _ in range(1000):
        last = dict(sampler_weights(model))

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(last[name], value) and value.dtype is torch.bfloat16 for name, value in first.items())


def test_a_full_model_sends_every_weight(tiny_model: Callable[..., Any]) -> None:
    """Tied matrices once, under the name the sampler's model has."""
    model = tiny_model()
    assert {name for name, _ in sampler_weights(model)} == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"use_dora": True}, "q_proj.lora_"),
        ({"modules_to_save": ["norm"]}, "modules_to_save"),
        ({"target_modules": ["embed_tokens"], "ensure_weight_tying": True}, "lora_embedding_A"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, "q_proj.lora_[AB]"),
        ({"target_modules": ["q_proj"], "bias": "all"}, "bias"),
        ({"target_modules": [], "target_parameters": ["q_proj.weight"]}, "lora_A"),
    ],
)
@pytest.mark.parametrize("trains", [True, False])
def test_what_cannot_be_merged_is_refused(
    tiny_model: Callable[..., Any], changes: dict[str, Any], name: str, trains: bool
) -> None:
    """A weight that the sampler would never see, trained or loaded, is an error that names it, not a silent gap."""
    model = adapted(tiny_model(attention_bias=True), **changes)
    with pytest.raises(TypeError, match=f"{name}.* cannot be merged"):
        list(sampler_weights(model if trains else model.requires_grad_(False)))
