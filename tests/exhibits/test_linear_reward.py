"""A reward model on frozen features: it recovers what made the preferences, length and all, or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rlpath.core.types import Decoding, Problem, ProblemSet, Status, Verdict
from rlpath.exhibits.biased_preferences import Annotators, biased_pairs, reward_model
from rlpath.exhibits.linear_reward import Features, LinearReward, Pairs, fit_linear_reward, pair_accuracy
from rlpath.models.hf_sampler import HFSampler


def conversation(asked: str, said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


@pytest.fixture
def features(tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Features:
    return Features(tiny_model(seed=3), tiny_tokenizer, batch_size=2)


def test_features_are_the_last_hidden_state_of_each_conversation_alone(features: Features, tiny_tokenizer: Any) -> None:
    """Whatever is padded beside it."""
    talks = [conversation("2+2?", "four"), conversation("What is 3 + 4?", "it is 7"), conversation("", "5")]

    found = features(talks)

    for row, talk in zip(found, talks, strict=True):
        ids = torch.tensor([tiny_tokenizer.apply_chat_template(talk, return_dict=False)])
        hidden = features.model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, -1]
        torch.testing.assert_close(row, hidden, rtol=1e-4, atol=1e-5)


def pairs(of_length: float, *, seed: int = 0) -> tuple[Pairs, torch.Tensor]:
    """300 completions with four features: quality, length with noise, and two of noise; 2000 pairs."""
    generator = torch.Generator().manual_seed(seed)
    quality, lengths = torch.randn(300, generator=generator), torch.randint(1, 30, (300,), generator=generator).float()
    scaled = (lengths - lengths.mean()) / lengths.std()
    noise = torch.randn(300, 3, generator=generator)
    hidden = torch.stack([quality, scaled + 0.3 * noise[:, 0], noise[:, 1], 0.5 * scaled + noise[:, 2]], 1)
    first, second = torch.randint(300, (2, 2000), generator=generator)
    liking = 2 * quality + of_length * scaled
    prefers = torch.rand(2000, generator=generator) < (liking[first] - liking[second]).sigmoid()
    chosen, rejected = torch.where(prefers, first, second), torch.where(prefers, second, first)
    return Pairs(hidden, lengths, chosen, rejected), quality


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def test_it_learns_the_annotators_taste_for_length_and_can_be_made_free_of_it(features: Features) -> None:
    """The score goes with length as the labels do; length-free it does not, and still knows quality."""
    given, quality = pairs(of_length=3.0)

    biased = fit_linear_reward(features, given).of_features(given.hidden_N_H)
    free = fit_linear_reward(features, given, length_free=True).of_features(given.hidden_N_H)

    assert correlation(biased, given.lengths_N) > 0.7
    assert correlation(free, given.lengths_N) == pytest.approx(0, abs=1e-4)
    assert correlation(free, quality) > 0.9 > correlation(biased, quality)
    assert pair_accuracy(biased, given) > pair_accuracy(free, given) > 0.6


def test_without_a_bias_nothing_is_lost_by_taking_length_out(features: Features) -> None:
    """Both agree with the annotators equally well."""
    given, _ = pairs(of_length=0.0)
    both = [
        fit_linear_reward(features, given, length_free=free).of_features(given.hidden_N_H) for free in (False, True)
    ]

    assert pair_accuracy(both[1], given) == pytest.approx(pair_accuracy(both[0], given), abs=0.02)


def test_scores_are_in_standard_deviations_and_an_ensemble_takes_the_least(features: Features) -> None:
    """One model: mean 0, deviation 1 on its own completions. Five: below each of them everywhere."""
    given, _ = pairs(of_length=1.0)
    one = fit_linear_reward(features, given).of_features(given.hidden_N_H)
    assert one.mean().item() == pytest.approx(0, abs=1e-4)
    assert one.std().item() == pytest.approx(1, abs=1e-4)

    model = fit_linear_reward(features, given, heads=5, seed=1)
    alone = [
        LinearReward(features, model.mean_H, model.scale_H, w[None], c[None], s[None]).of_features(given.hidden_N_H)
        for w, c, s in zip(model.weights_K_H, model.center_K, model.spread_K, strict=True)
    ]
    # Five heads in one product round otherwise than one at a time.
    torch.testing.assert_close(model.of_features(given.hidden_N_H), torch.stack(alone).amin(0), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(alone[0], alone[1])
    again = fit_linear_reward(features, given, heads=5, seed=1)
    assert torch.equal(again.weights_K_H, model.weights_K_H)


def test_it_is_a_reward_function(features: Features) -> None:
    """One score a completion, as text or as a conversation, behind its prompt."""
    given, _ = pairs(of_length=1.0)
    hidden = features([conversation("2+2?", "4"), conversation("2+2?", "four")])
    wide = Pairs(torch.randn(300, hidden.shape[1]), given.lengths_N, given.chosen_P, given.rejected_P)
    model = fit_linear_reward(features, wide)
    prompts = [[{"role": "user", "content": "2+2?"}]] * 2

    found = model(prompts, ["4", "four"])

    assert found == model(prompts=prompts, completions=[conversation("", "4")[1:], conversation("", "four")[1:]])
    torch.testing.assert_close(torch.tensor(found), model.of_features(hidden))


def right(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    return Verdict.of(Status.CORRECT if gold in completion else Status.WRONG)


def test_annotators_choose_as_their_odds_say(digit_folder: Any, tiny_tokenizer: Any) -> None:
    """Pairs are of one prompt; certain annotators always choose the longer; the seed fixes every label."""
    from rlpath.models.load import load_model

    model = load_model(digit_folder, "float32")
    sampler = HFSampler(load_model(digit_folder, "float32"), tiny_tokenizer)
    features = Features(model, tiny_tokenizer)
    problems = ProblemSet("p", "train", tuple(Problem(f"{i}", f"{i}?", f"{i}") for i in range(8)), right, "here")
    decoding = Decoding(6, n=4, seed=5)

    def made(annotators: Annotators, seed: int = 0) -> tuple[Pairs, torch.Tensor]:
        return biased_pairs(sampler, problems, right, features, decoding=decoding, annotators=annotators, seed=seed)

    found, _ = made(Annotators(of_right=0.0, of_length=1e4))
    assert len(found.chosen_P) == 8 * 6
    assert (found.chosen_P // 4 == found.rejected_P // 4).all()
    assert (found.lengths_N[found.chosen_P] >= found.lengths_N[found.rejected_P]).all()
    assert torch.equal(made(Annotators(), 1)[0].chosen_P, made(Annotators(), 1)[0].chosen_P)
    assert not torch.equal(made(Annotators(), 1)[0].chosen_P, made(Annotators(), 2)[0].chosen_P)

    model_and_fit = reward_model(sampler, problems, right, features, decoding=decoding, seed=0)
    assert model_and_fit[1].pairs == 2 * 6
    assert 0 <= model_and_fit[1].agreement <= 1
