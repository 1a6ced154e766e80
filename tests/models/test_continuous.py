"""Continuous batching computes what transformers computes for each prompt alone, however sequences come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers

from rlpath.core.types import Completion, Decoding
from rlpath.models import continuous
from rlpath.models.continuous import ContinuousDecoder
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.padded import PaddedDecoder
from rlpath.models.ragged import PromptReading, ragged

SIZES: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 16},
    "Mistral": {"sliding_window": 7},
    "Gemma2": {
        "head_dim": 16,
        "sliding_window": 7,
        "query_pre_attn_scalar": 9,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    },
    "Gemma3Text": {"head_dim": 16, "sliding_window": 7, "sliding_window_pattern": 2},
    "Cohere2": {"head_dim": 16, "sliding_window": 7},
    "GptOss": {"head_dim": 16, "sliding_window": 7, "num_local_experts": 4, "num_experts_per_tok": 2},
}
SHARED = [(11 * at) % 250 + 4 for at in range(30)]
PROMPTS = [[*SHARED, 7], [*SHARED, *range(40, 52)], [*SHARED, 9, 8], [*SHARED, *range(60, 65)], [*SHARED, 11]]


def make(name: str) -> Any:
    """A tiny random model in fp32 with its own attention."""
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **FAMILIES[name]})
    causal = getattr(transformers, f"{name.removesuffix('Text')}ForCausalLM")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = causal._from_config(config)
        for parameter in model.parameters():
            if parameter.abs().sum() == 0:
                torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def alone(model: Any, prompt: Sequence[int], tokens: int) -> list[int]:
    """What `generate` of transformers writes greedily after one prompt."""
    ids = torch.tensor([prompt])
    model.set_attn_implementation("eager")
    model.generation_config.eos_token_id = None
    options = {"do_sample": False, "max_new_tokens": tokens, "pad_token_id": 0}
    return model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, len(prompt) :].tolist()


def forced(model: Any, prompt: Sequence[int], completion: Completion) -> torch.Tensor:
    """Log-probabilities of a completion's tokens from one plain forward."""
    ids = torch.tensor([[*prompt, *completion.token_ids]])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_is_generate_for_each_prompt_alone(name: str, tiny_tokenizer: Any) -> None:
    """Windows of 7 tokens, soft caps and sinks too: five prompts that share 30 tokens, two sequences at once."""
    sampler = HFSampler(make(name), tiny_tokenizer, max_batch=2)
    assert isinstance(sampler.decoder, ContinuousDecoder)
    sampler.stop_ids = frozenset()
    found = sampler.generate(PROMPTS, Decoding(14, temperature=0))

    model = make(name)
    for prompt, (completion,) in zip(PROMPTS, found, strict=True):
        assert list(completion.token_ids) == alone(model, prompt, 14)
        torch.testing.assert_close(
            torch.tensor(completion.logprobs), forced(model, prompt, completion), atol=1e-4, rtol=0
        )
    assert len(sampler.decoder.prefix_tokens) == 30


@pytest.mark.parametrize("places", [1, 3, 4, 100])
def test_draws_do_not_depend_on_who_is_in_the_batch(places: int, tiny_tokenizer: Any) -> None:
    """Five prompts, four completions each of 1 to 9 tokens: one, three, four or all sequences at once."""
    whole = HFSampler(make("Qwen2"), tiny_tokenizer)
    whole.stop_ids = frozenset(range(3, 60))
    few = HFSampler(make("Qwen2"), tiny_tokenizer, max_batch=places)
    few.stop_ids = whole.stop_ids
    decoding = Decoding(9, n=4, seed=3)

    expected, found = whole.generate(PROMPTS, decoding), few.generate(PROMPTS, decoding)

    assert len({len(c.token_ids) for group in expected for c in group}) > 4
    assert [[c.token_ids for c in group] for group in found] == [[c.token_ids for c in group] for group in expected]
    apart = [few.generate([prompt], decoding, first=at)[0] for at, prompt in enumerate(PROMPTS)]
    assert [[c.token_ids for c in group] for group in apart] == [[c.token_ids for c in group] for group in expected]


def test_long_prompts_are_read_in_parts(monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any) -> None:
    """Parts of 4 tokens, through the shared prefix and after it, change nothing."""
    monkeypatch.setattr(continuous, "CHUNK", 4)
    sampler = HFSampler(make("Gemma2"), tiny_tokenizer)
    sampler.stop_ids = frozenset()
    model = make("Gemma2")
    for prompt, (completion,) in zip(PROMPTS, sampler.generate(PROMPTS, Decoding(5, temperature=0)), strict=True):
        assert list(completion.token_ids) == alone(model, prompt, 5)


def test_a_prefix_is_read_once_until_the_weights_change(monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any) -> None:
    """The second call with the same 30 tokens reads only what follows them; with new weights they are read again."""
    sampler = HFSampler(make("Llama"), tiny_tokenizer)
    reads: list[int] = []
    attend = PromptReading.attend

    def counted(self: PromptReading, layer: int, *rest: Any) -> torch.Tensor:
        reads.extend([sum(self.counts)] if layer == 0 else [])
        return attend(self, layer, *rest)

    monkeypatch.setattr(PromptReading, "attend", counted)
    ends = sum(len(prompt) for prompt in PROMPTS) - 30 * len(PROMPTS)
    for expected in ([30, ends], [ends]):
        sampler.generate(PROMPTS, Decoding(1))
        assert reads == expected
        reads.clear()
    sampler.load_weights([("model.norm.weight", torch.ones(32))])
    sampler.generate(PROMPTS, Decoding(1))
    assert reads == [30, ends]


@pytest.mark.parametrize("padded", [False, True])
def test_a_string_stops_a_completion_as_soon_as_it_is_there(padded: bool, tiny_tokenizer: Any) -> None:
    """Each completion ends with the first token after which its text holds the string, and counts as stopped."""
    sampler = HFSampler(make("Llama"), tiny_tokenizer)
    sampler.stop_ids = frozenset()
    if padded:
        sampler.decoder = PaddedDecoder(sampler.model, 256, 0)
    free = [group[0] for group in sampler.generate(PROMPTS, Decoding(20, seed=4))]
    stop = tiny_tokenizer.decode(free[0].token_ids[9:11], skip_special_tokens=True)
    assert stop

    (first, *_) = (group[0] for group in sampler.generate(PROMPTS, Decoding(20, seed=4), stop=(stop,)))

    assert first.token_ids == free[0].token_ids[: len(first.token_ids)]
    assert first.finish_reason == "stop"
    assert stop in first.text
    assert stop not in tiny_tokenizer.decode(first.token_ids[:-1], skip_special_tokens=True)


def test_a_model_is_as_it_was_outside_of_decoding(tiny_tokenizer: Any) -> None:
    """The plain forward has its own attention again, also after an error."""
    sampler = HFSampler(make("Llama"), tiny_tokenizer)
    usual = sampler.model.config._attn_implementation
    with pytest.raises(RuntimeError), ragged(sampler.model):
        raise RuntimeError
    assert sampler.model.config._attn_implementation == usual == "sdpa"
    ids = torch.tensor([PROMPTS[0]])
    torch.testing.assert_close(sampler.model(ids).logits, make("Llama")(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_model_that_attends_in_another_way_is_padded(tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bloom has no place for positions; and where the probe finds a difference the model goes the same way."""
    bloom = transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=259, hidden_size=32, n_head=4, n_layer=2))
    assert isinstance(HFSampler(bloom, tiny_tokenizer).decoder, PaddedDecoder)
    attend = PromptReading.attend
    monkeypatch.setattr(PromptReading, "attend", lambda *given: 1.1 * attend(*given))
    assert isinstance(HFSampler(make("Llama"), tiny_tokenizer).decoder, PaddedDecoder)
