"""The packed forward gives the log-probabilities, entropies and gradients of one completion at a time."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rlpath.posttrain.packing.forward import attention_window, completion_logprobs, packing_gap, patch_packed_forward

FAMILIES = ("llama", "qwen2", "qwen3")
Batch = dict[str, torch.Tensor]


def ragged_batch(groups: int = 3, size: int = 4, vocabulary: int = 250, seed: int = 0) -> Batch:
    """Groups of completions of 1 to 7 tokens after prompts of 2 to 9, padded as TRL pads them."""
    generator = torch.Generator().manual_seed(seed)

    def lengths(low: int, high: int, count: int) -> torch.Tensor:
        return torch.randint(low, high + 1, (count, 1), generator=generator)

    prompts = torch.randint(3, vocabulary, (groups, 9), generator=generator).repeat_interleave(size, 0)
    prompt_mask = (torch.arange(9) >= 9 - lengths(2, 9, groups)).int().repeat_interleave(size, 0)
    completions = torch.randint(3, vocabulary, (groups * size, 7), generator=generator)
    completion_mask = (torch.arange(7) < lengths(1, 7, groups * size)).int()
    return {
        "prompt_ids": prompts * prompt_mask,
        "prompt_mask": prompt_mask,
        "completion_ids": completions * completion_mask,
        "completion_mask": completion_mask,
    }


def one_at_a_time(model: Any, batch: Batch, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies [B, C] from a plain forward of every row without any padding."""
    logprobs = torch.zeros(batch["completion_ids"].shape)
    entropies = torch.zeros_like(logprobs)
    for row in range(len(logprobs)):
        prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()]
        completion = batch["completion_ids"][row][batch["completion_mask"][row].bool()]
        logits = model(input_ids=torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1] / temperature
        spread = torch.distributions.Categorical(logits=logits)
        logprobs[row, : len(completion)] = spread.log_prob(completion)
        entropies[row, : len(completion)] = spread.entropy().detach()
    return logprobs, entropies


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("share", [1, 2, 4])
def test_packed_equals_one_at_a_time(tiny_model: Callable[..., Any], family: str, share: int) -> None:
    """Ragged prompts and completions, several groups in a row, one to all completions sharing their prompt: 1e-5."""
    model, batch = tiny_model(family), ragged_batch()
    patch_packed_forward(model, temperature=0.8)

    with torch.no_grad():
        logprobs, entropy = completion_logprobs(model, batch, share)
        expected, spread = one_at_a_time(model, batch, 0.8)

    torch.testing.assert_close(logprobs, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, spread, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trained", ["lora", "tied", "untied"])
def test_gradients_equal_those_of_one_at_a_time(tiny_model: Callable[..., Any], family: str, trained: str) -> None:
    """Of every LoRA matrix, and of every weight with the output matrix tied to the embedding or its own."""
    batch = ragged_batch()
    plain = tiny_model(family, tie_word_embeddings=trained != "untied")
    packed = tiny_model(family, tie_word_embeddings=trained != "untied")
    if trained == "lora":
        config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        models = []
        for model in (plain, packed):
            torch.manual_seed(5)
            models.append(get_peft_model(model, config))
        plain, packed = models
    patch_packed_forward(packed.get_base_model() if trained == "lora" else packed, temperature=1.0)
    upstream = torch.linspace(-1, 1, batch["completion_ids"].numel()).view(batch["completion_ids"].shape)

    (one_at_a_time(plain, batch)[0] * upstream).sum().backward()
    (completion_logprobs(packed, batch, 4)[0] * upstream).sum().backward()

    expected = {name: p.grad for name, p in plain.named_parameters() if p.requires_grad}
    found = {name: p.grad for name, p in packed.named_parameters() if p.requires_grad}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def test_any_other_call_is_as_before(tiny_model: Callable[..., Any]) -> None:
    """Generation and evaluation find the model's own forward."""
    model, ids = tiny_model(), torch.arange(3, 10)[None]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        patch_packed_forward(model, 1.0)
        after = model(input_ids=ids).logits
    assert torch.equal(before, after)


def test_the_gap_is_rounding_alone_where_packing_holds(tiny_model: Callable[..., Any]) -> None:
    """Below 1e-5 in fp32, and below the trainer's tolerance of 0.15 under bf16 autocast."""
    for family in FAMILIES:
        model = tiny_model(family)
        patch_packed_forward(model, temperature=0.7)
        assert packing_gap(model, 250, torch.device("cpu"), 0.7) < 1e-5
        with torch.autocast("cpu", torch.bfloat16):
            assert packing_gap(model, 250, torch.device("cpu"), 0.7) < 0.15


def test_a_sliding_window_is_caught(tiny_model: Callable[..., Any]) -> None:
    """A window shorter than the sequence is dropped by the block mask: the gap shows it, the window names its limit."""
    model = tiny_model("mistral", sliding_window=3)
    patch_packed_forward(model, 1.0)

    assert packing_gap(model, 250, torch.device("cpu")) > 0.15
    assert attention_window(model) == 3
    assert attention_window(tiny_model("mistral", sliding_window=None)) == math.inf
    assert attention_window(tiny_model("llama")) == math.inf


def test_a_treated_logit_is_caught(tiny_model: Callable[..., Any]) -> None:
    """A bias on the output matrix, and an adapter on it, are outside what the packed forward computes."""
    biased = tiny_model(tie_word_embeddings=False)
    biased.lm_head.bias = torch.nn.Parameter(torch.linspace(-3, 3, 259))
    patch_packed_forward(biased, 1.0)
    assert packing_gap(biased, 250, torch.device("cpu")) > 0.15

    adapted = get_peft_model(
        tiny_model(tie_word_embeddings=False), LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM")
    ).get_base_model()
    patch_packed_forward(adapted, 1.0)
    assert packing_gap(adapted, 250, torch.device("cpu")) == math.inf
