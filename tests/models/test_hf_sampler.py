"""The Hugging Face sampler: the model's own distribution, one draw a token, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy import stats

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding
from rlpath.models.drawing import choose, filter_logits
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.stopping import Stops
from rlpath.models.weights import sampler_weights

PROMPTS = ([5, 6, 7, 8, 9, 10, 11], [40], [100, 101, 102])
LAST_UNIFORM = 1 - 2**-24
"""The largest number that torch.rand draws in fp32."""


def teacher_forced(model: Any, prompt: Sequence[int], completion: Completion, temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities of a completion's tokens from one plain forward."""
    ids = torch.tensor([[*prompt, *completion.token_ids]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]


@pytest.fixture
def sampler(tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> HFSampler:
    return HFSampler(tiny_model(), tiny_tokenizer)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_greedy_is_generate_of_transformers(tiny_model: Callable[..., Any], tiny_tokenizer: Any, family: str) -> None:
    """Token for token, for prompts of 7, 1 and 3 tokens in one batch, with log-probabilities at temperature 1."""
    found = HFSampler(tiny_model(family), tiny_tokenizer).generate(PROMPTS, Decoding(12, temperature=0.0))

    model = tiny_model(family)
    for prompt, (completion,) in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
        assert list(completion.token_ids) == expected[0, len(prompt) :].tolist()
        torch.testing.assert_close(torch.tensor(completion.logprobs), teacher_forced(model, prompt, completion))


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_a_teacher_forced_forward(
    sampler: HFSampler, tiny_model: Callable[..., Any], temperature: float
) -> None:
    """Within 1e-4 in fp32, at the temperature that was sampled at, for rows of different length in one batch."""
    sampler.stop_ids = frozenset(range(3, 60))
    groups = sampler.generate(PROMPTS, Decoding(10, temperature=temperature, n=4, seed=3))

    assert len({len(completion.token_ids) for group in groups for completion in group}) > 3
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for completion in group:
            expected = teacher_forced(tiny_model(), prompt, completion, temperature)
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)


def test_logprobs_under_top_k_are_of_the_distribution_drawn_from(
    sampler: HFSampler, tiny_model: Callable[..., Any]
) -> None:
    """Renormalized over the five most probable tokens."""
    (completion,) = sampler.generate(PROMPTS[:1], Decoding(1, top_k=5, seed=1))[0]

    with torch.no_grad():
        logits = tiny_model()(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1]
    top = logits.topk(5)
    place = top.indices.tolist().index(completion.token_ids[0])
    assert completion.logprobs[0] == pytest.approx(top.values.log_softmax(-1)[place].item(), abs=1e-5)


def test_a_completion_ends_with_the_first_stop_token_or_at_the_limit(sampler: HFSampler) -> None:
    """`stop` exactly where the last token ends a turn, no such token before it, and never more than the limit."""
    sampler.stop_ids = frozenset(range(3, 40))

    completions = [c for group in sampler.generate(PROMPTS, Decoding(6, n=16, seed=0)) for c in group]

    assert {completion.finish_reason for completion in completions} == {"stop", "length"}
    for completion in completions:
        stops = [token in sampler.stop_ids for token in completion.token_ids]
        assert not any(stops[:-1])
        assert stops[-1] == (completion.finish_reason == "stop")
        assert len(stops) == 6 or stops[-1]
        assert len(completion.logprobs) == len(stops)


def test_a_stop_token_as_the_last_allowed_one_still_stops(sampler: HFSampler) -> None:
    """A turn that ends exactly at the limit is whole."""
    sampler.stop_ids = frozenset(range(259))
    (completion,) = sampler.generate(PROMPTS[:1], Decoding(1))[0]
    assert completion.finish_reason == "stop"


def test_the_text_is_what_the_tokens_say_without_the_turn_end(sampler: HFSampler) -> None:
    """Special tokens are not part of the text."""
    tokens = sampler.tokenizer("12 apples")["input_ids"]
    assert sampler._completion([*tokens, 2], [0.0] * (len(tokens) + 1), Stops()).text == "12 apples"


def test_completions_do_not_depend_on_the_batch(sampler: HFSampler) -> None:
    """A prompt's completions are the same alone, among others, and with one prompt in the model at a time."""
    sampler.stop_ids = frozenset(range(3, 40))
    decoding = Decoding(8, n=5, seed=7)
    together = sampler.generate(PROMPTS, decoding)

    (alone,) = sampler.generate(PROMPTS[:1], decoding)
    sampler.decoder.max_batch = 5
    one_by_one = sampler.generate(PROMPTS, decoding)

    assert [c.token_ids for c in alone] == [c.token_ids for c in together[0]]
    for group, other in zip(together, one_by_one, strict=True):
        assert [c.token_ids for c in group] == [c.token_ids for c in other]
        for completion, again in zip(group, other, strict=True):
            assert completion.logprobs == pytest.approx(again.logprobs, abs=1e-5)


def test_a_seed_fixes_the_draws_and_another_changes_them(sampler: HFSampler) -> None:
    """Same seed, same tokens and log-probabilities; equal prompts at two places of a call draw differently."""
    first = sampler.generate([PROMPTS[0], PROMPTS[0]], Decoding(6, n=2, seed=5))

    assert sampler.generate([PROMPTS[0], PROMPTS[0]], Decoding(6, n=2, seed=5)) == first
    assert sampler.generate([PROMPTS[0], PROMPTS[0]], Decoding(6, n=2, seed=6)) != first
    assert len({completion.token_ids for group in first for completion in group}) == 4


def test_draws_follow_the_exact_distribution() -> None:
    """20,000 draws over 259 tokens (not a multiple of the block of 128): chi-square does not reject at 1 %."""
    logits = torch.randn(1, 259, generator=torch.Generator().manual_seed(0)) * 1.5
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(1))

    tokens, logprobs = choose(logits.expand(20_000, -1), uniforms, Decoding(1, temperature=0.8))

    exact = (logits[0] / 0.8).log_softmax(-1)
    torch.testing.assert_close(logprobs, exact[tokens], rtol=1e-4, atol=1e-4)
    counts = torch.bincount(tokens, minlength=259).double()
    expected = 20_000 * exact.double().exp()
    often = expected >= 5
    found = [*counts[often].tolist(), counts[~often].sum().item()]
    wanted = [*expected[often].tolist(), expected[~often].sum().item()]
    scale = sum(found) / sum(wanted)
    assert stats.chisquare(found, [scale * count for count in wanted]).pvalue > 0.01


@pytest.mark.parametrize(
    ("top_k", "top_p", "support"),
    [
        (0, 1.0, {0, 1, 2, 3, 4}),
        (2, 1.0, {3, 1}),
        (9, 1.0, {0, 1, 2, 3, 4}),
        (0, 0.4, {3}),
        (0, 0.7, {3, 1}),
        (0, 0.8, {3, 1, 0}),
        (2, 0.95, {3, 1}),
    ],
)
def test_filters_keep_the_most_probable(top_k: int, top_p: float, support: set[int]) -> None:
    """Of 1/8, 1/4, 1/16, 1/2, 1/16: the first k in order, or the least set of mass top-p; draws stay within it."""
    logits = torch.tensor([[1 / 8, 1 / 4, 1 / 16, 1 / 2, 1 / 16]]).log()

    assert set(filter_logits(logits, top_k, top_p)[0].isfinite().nonzero().flatten().tolist()) == support
    uniforms = torch.linspace(0, LAST_UNIFORM, 400)
    tokens, logprobs = choose(logits.expand(400, -1), uniforms, Decoding(1, top_k=top_k, top_p=top_p))
    assert set(tokens.tolist()) == support
    mass = sum(logits[0, token].exp().item() for token in support)
    torch.testing.assert_close(logprobs, (logits[0].exp() / mass).log()[tokens])


@pytest.mark.parametrize("vocabulary", [5, 128, 129, 259, 1000])
def test_a_token_without_probability_is_never_drawn(vocabulary: int) -> None:
    """Not for the smallest nor for the largest uniform, with whole blocks of zeros at either end and in between."""
    generator = torch.Generator().manual_seed(vocabulary)
    uniforms = torch.tensor([0.0, 2**-24, 0.5, LAST_UNIFORM])
    for _ in range(200):
        count = int(torch.randint(1, 4, (), generator=generator))
        support = torch.randint(0, vocabulary, (count,), generator=generator)
        logits = torch.full((vocabulary,), -torch.inf)
        logits[support] = torch.randn(count, generator=generator) * 5
        impossible = torch.rand(vocabulary, generator=generator) < 0.5
        logits[impossible & logits.isinf()] = -500.0  # a weight that underflows to zero

        tokens, logprobs = choose(logits.expand(4, -1), uniforms, Decoding(1))

        assert torch.isin(tokens, support).all()
        assert logprobs.isfinite().all()


def test_after_a_push_sampler_and_trainer_agree(sampler: HFSampler, tiny_model: Callable[..., Any]) -> None:
    """On the log-probabilities of the same tokens, within 1e-4; without the push they don't."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    trainer = get_peft_model(tiny_model(), config)

    def gap() -> float:
        (completion,) = sampler.generate(PROMPTS[:1], Decoding(20, seed=2))[0]
        return (teacher_forced(trainer, PROMPTS[0], completion) - torch.tensor(completion.logprobs)).abs().max().item()

    assert gap() > 0.5
    sampler.load_weights(sampler_weights(trainer))
    assert gap() < 1e-4


def test_a_turn_is_written_with_the_chat_template(sampler: HFSampler) -> None:
    """The prompt ends where the assistant is to answer; a system turn comes first where there is one."""
    plain = sampler.tokenizer.decode(sampler.encode("2 + 2?"))
    assert plain == "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    sampler.system = "Be brief."
    assert sampler.tokenizer.decode(sampler.encode("2 + 2?")).startswith("<|im_start|>system\nBe brief.<|im_end|>\n")


def test_every_end_of_turn_stops(tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> None:
    """The tokenizer's own and all of the generation config's."""
    model = tiny_model()
    model.generation_config.eos_token_id = [7, 8]
    assert HFSampler(model, tiny_tokenizer).stop_ids == {2, 7, 8}


def test_impossible_decodings_are_errors() -> None:
    """Sizes below one and probabilities outside (0, 1]."""
    for changes in ({"max_tokens": 0}, {"n": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}):
        with pytest.raises(ValueError, match="must"):
            replace(Decoding(4), **changes)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverged_model_is_one_sentence(temperature: float, bad: float) -> None:
    """A logit that is not finite is refused before a token is drawn from it."""
    logits = torch.zeros(2, 5)
    logits[1, 3] = bad

    with pytest.raises(InputError, match="logits that are not finite, so its weights have diverged"):
        choose(logits, torch.tensor([0.5, 0.5]), Decoding(1, temperature=temperature))
