"""Detectors that ask the model: hand-worked scores, exact rates, and tests that keep their level on unseen data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.canary import make_canary
from rlpath.evals.contamination.exchangeability import exchangeability
from rlpath.evals.contamination.membership import (
    auc,
    compare_with_references,
    completion_agreement,
    mean_logprob,
    min_k,
    min_k_plus,
    performance_gap,
    prefix_completion,
    roc,
    set_gap,
    threshold,
    twin_gap,
)
from rlpath.evals.contamination.perturb import NAMES, rephrase, twin
from rlpath.evals.contamination.probe import probe, probe_canary
from rlpath.evals.contamination.token_scores import TokenScores, score_tokens
from rlpath.evals.contamination.words import words


def scores(logprobs: list[float], means: float = -2.0, deviation: float = 0.5, top: str = "") -> TokenScores:
    """Scores with one mean and deviation everywhere; `top` marks first choices by "+"."""
    size = len(logprobs)
    marks = np.array([mark == "+" for mark in top.ljust(size, "-")])
    return TokenScores(np.array(logprobs), np.full(size, means), np.full(size, deviation), marks)


def test_token_scores_by_hand() -> None:
    """Two tokens with logits 0 and log 3: probabilities 1/4 and 3/4, mean and deviation worked out, padding ignored."""
    table = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]])
    given = score_tokens(lambda ids: table[ids], [[0, 1, 1], [0, 0, 1, 0, 1], [1, 0]], batch=2)

    assert [len(one) for one in given] == [2, 4, 1]
    np.testing.assert_allclose(given[0].logprobs, np.log([0.75, 0.25]), rtol=1e-6)
    mean = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    deviation = math.sqrt(0.25 * math.log(0.25) ** 2 + 0.75 * math.log(0.75) ** 2 - mean**2)
    np.testing.assert_allclose(given[0].means, [mean, mean], rtol=1e-6)
    np.testing.assert_allclose(given[0].deviations, [deviation, deviation], rtol=1e-5)
    assert given[0].top.tolist() == [True, False]
    with pytest.raises(ValueError, match="fewer than two tokens"):
        score_tokens(lambda ids: table[ids], [[0]])


def test_token_scores_of_a_transformers_model(tiny_model: Any) -> None:
    """The same log-probabilities as the model's own loss, alone and in a padded batch."""
    model = tiny_model(seed=3)
    texts = [[5, 9, 33, 7, 101, 4], [8, 8, 15]]
    given = score_tokens(lambda ids: model(ids).logits, texts)

    for text, one in zip(texts, given, strict=True):
        loss = model(torch.tensor([text]), labels=torch.tensor([text])).loss.item()
        assert mean_logprob(one) == pytest.approx(-loss, rel=1e-5)


def test_min_k_by_hand() -> None:
    """Of ten tokens the lowest two; at least one token of a short text; ++ standardizes first."""
    ten = scores([-1.0, -9.0, -2.0, -3.0, -5.0, -1.0, -1.0, -1.0, -1.0, -1.0])

    assert (min_k(ten), min_k(ten, 0.1), min_k(ten, 1.0)) == (-7.0, -9.0, -2.5)
    assert min_k(scores([-4.0, -1.0])) == -4.0
    assert min_k_plus(ten) == pytest.approx((-7.0 + 2.0) / 0.5)
    assert min_k_plus(scores([0.0], deviation=0.0)) == 0.0
    with pytest.raises(ValueError, match="share"):
        min_k(ten, 0.0)


def test_prefix_completion_by_hand() -> None:
    """Unbroken first choices after the start, as a share of what is left."""
    one = scores([-1.0] * 8, top="-+-+++-+")

    assert prefix_completion(one, 3) == 3 / 5
    assert (prefix_completion(one, 2), prefix_completion(one, 7)) == (0.0, 1.0)
    with pytest.raises(ValueError, match="nothing is left"):
        prefix_completion(one, 8)


def test_prefix_completion_is_what_greedy_decoding_writes(tiny_model: Any) -> None:
    """One forward counts the tokens that `generate` repeats of a text, for a text that the model half knows."""
    model = tiny_model(seed=5)
    prompt = torch.tensor([[4, 60, 200, 31]])
    written = model.generate(prompt, max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)[0].tolist()
    text = [*written[:11], (written[11] + 1) % 250 + 3, *written[12:]]
    (one,) = score_tokens(lambda ids: model(ids).logits, [text])

    assert prefix_completion(one, 3) == 7 / 12


def test_completion_by_words() -> None:
    """For a model that only writes: leading words in common, layout aside."""
    assert completion_agreement("Six apples, then more", "six apples were sold") == 0.5
    assert completion_agreement("", "six apples") == 0.0


def test_auc_threshold_and_roc_by_hand() -> None:
    """Ties count half; a 25 % threshold lets one of four unseen items pass."""
    assert auc([3, 2], [1, 2, 0, 2]) == (4 + 2 + 1.0) / 8
    unseen = [0.1, 0.2, 0.3, 0.4]
    assert [sum(x >= threshold(unseen, rate) for x in unseen) for rate in (0.0, 0.24, 0.25, 0.5)] == [0, 0, 1, 2]
    assert sum(x >= threshold([1, 1, 1, 1], 0.25) for x in (1, 1, 1, 1)) == 0
    assert roc([0.35, 0.5, 0.0], unseen, (0.0, 0.25, 1.0)) == [1 / 3, 2 / 3, 1.0]


def test_items_against_references() -> None:
    """Items like the references are flagged at about 5 %, shifted ones more; too few references are refused."""
    rng = np.random.default_rng(0)
    same = compare_with_references(rng.normal(size=4000), rng.normal(size=4000))
    assert same.flagged.low < 0.05 < same.flagged.high + 0.01 and abs(same.auc - 0.5) < 0.02
    assert compare_with_references(rng.normal(1.5, 1, 500), rng.normal(size=500)).flagged.estimate > 0.3
    with pytest.raises(ValueError, match="at least 20 references"):
        compare_with_references([1.0], [0.0] * 19)


def test_gaps() -> None:
    """An item less the mean of its twins; a set by a paired test, one- and two-sided."""
    assert twin_gap(scores([-1.0, -2.0]), [scores([-3.0, -3.0]), scores([-2.0, -2.0])]) == 1.0
    gap = performance_gap([1.0] * 9 + [0.0], [0.0] * 10)
    assert gap.difference.estimate == pytest.approx(0.9)
    assert (gap.p, gap.p_greater) == (2 / 2**9, 1 / 2**9)
    assert set_gap([-1.0, -2.0, -1.5, -1.0]).p_greater > 0.9


def likes_order(sequences: Sequence[Sequence[int]], strength: float) -> list[float]:
    """A model that likes 5 to follow 4, 6 to follow 5 and so on."""
    return [strength * sum(b == a + 1 for a, b in pairwise(ids)) for ids in sequences]


def test_order_is_noticed_where_it_was_learned() -> None:
    """Forty one-token items, ten shards: the published order wins by hand-worked advantages."""
    items = [[index] for index in range(40)]
    found = exchangeability(items, lambda s: likes_order(s, 1.0), shards=10, permutations=30)

    assert found.p < 1e-6 and len(found.advantages) == 10
    assert all(1.5 < advantage < 3.0 for advantage in found.advantages)
    assert found == exchangeability(items, lambda s: likes_order(s, 1.0), shards=10, permutations=30)
    for bad in ({"shards": 1}, {"shards": 30}, {"permutations": 0}):
        with pytest.raises(ValueError, match="more items or fewer shards"):
            exchangeability(items, lambda s: likes_order(s, 1.0), **bad)


def test_the_order_test_keeps_its_level() -> None:
    """600 models with a random taste for pairs, which have seen no order: p <= 0.05 in 5 % +- 2.7 %."""
    rejected = 0
    for seed in range(600):
        taste = np.random.default_rng(seed).normal(size=(20, 20))

        def log_likelihood(sequences: Sequence[Sequence[int]], taste: np.ndarray = taste) -> list[float]:
            return [float(taste[ids[:-1], ids[1:]].sum()) for ids in map(list, sequences)]

        rejected += exchangeability([[i] for i in range(20)], log_likelihood, shards=5, permutations=6).p <= 0.05
    assert abs(rejected / 600 - 0.05) < 0.027


QUESTION = "Sam has 12 apples and buys 30 more. He gives 12 to Mary. How many apples has Sam got?"


def test_a_twin_keeps_the_text_and_changes_names_and_numbers() -> None:
    """The same name and number always become the same other ones; the seed fixes which."""
    made = twin(QUESTION, 1)
    before, after = words(QUESTION), words(made)

    assert len(after) == len(before) and twin(QUESTION, 1) == made != twin(QUESTION, 2)
    changed = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
    assert {a for a, _ in changed} == {"sam", "12", "30", "mary"} and len(changed) == 4
    assert {b for a, b in changed if a in ("sam", "mary")} <= {name.lower() for name in NAMES} - {"sam", "mary"}
    assert twin("No names, 0 or 1.", 0) == "No names, 0 or 1."


def test_a_rephrasing_keeps_names_and_numbers() -> None:
    """The question comes first and few runs of words survive."""
    made = rephrase(QUESTION, 0)

    assert words(made)[0] == "how" and made.index("?") < made.index("Mary")
    assert sorted(word for word in words(made) if word.isdigit()) == ["12", "12", "30"]
    assert rephrase(QUESTION, 0, share=0.0).endswith("He gives 12 to Mary.")


def test_a_probe_of_a_model_that_knows_the_set() -> None:
    """A model that likes exactly the set's next tokens: gap, completion and order all speak; an even one is silent."""
    items = tuple(Item(str(i), f"item {i} says {i * 7919 % 997} {i * 104729 % 1009} words", "") for i in range(40))
    known: dict[str, int] = {}

    def encode(text: str) -> list[int]:
        return [known.setdefault(word, len(known)) for word in text.split()]

    stream = [token for item in items for token in encode(item.question)]
    follows = dict(pairwise(stream))

    def knowing(ids: torch.Tensor, weight: float = 6.0) -> torch.Tensor:
        logits = torch.zeros(*ids.shape, 4000)
        for position in np.ndindex(*ids.shape):
            logits[*position, follows.get(int(ids[position]), 0)] = weight
        return logits

    benchmark = Benchmark("made", items, "here")
    found = probe(knowing, encode, benchmark, items[:20], size=24)
    assert found.gap.p_greater < 0.01 and found.completed.estimate > found.twins_completed.estimate
    gained = found.completed.estimate - found.twins_completed.estimate
    assert found.performance.difference.estimate == pytest.approx(gained)
    assert set(found.membership) == {"min-k", "min-k++"}
    assert len(found.lines()) == 6 and found.gap_beside_references is not None
    assert found.gap_beside_references.p_greater > 0.05, "the references are the set's own items"
    assert all("measured" in line for line in found.lines())
    even = probe(lambda ids: torch.zeros(*ids.shape, 4000), encode, benchmark, size=24)
    assert even.gap.difference.estimate == pytest.approx(0.0) and even.order.p == 0.5
    assert not even.membership and "they need --references" in even.lines()[-1]
    for few, references, size in ((benchmark, (), 5), (benchmark, items[:3], 24), (one_word(40), (), 24)):
        with pytest.raises(InputError, match="a probe needs 20 items"):
            probe(knowing, encode, few, references, size=size)


def one_word(count: int) -> Benchmark:
    """A set whose items give a model nothing to go by."""
    return Benchmark("short", tuple(Item(str(i), f"w{i}") for i in range(count)), "here")


def test_a_canary_that_a_model_knows() -> None:
    """A model that likes one canary's letters ranks it first of 200: p = 1 / 200; one that knows none does not."""
    canary = make_canary("exam")

    def encode(text: str) -> list[int]:
        return list(text.encode())

    follows = {(place, left): right for place, (left, right) in enumerate(pairwise(encode(canary)))}

    def knowing(ids: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*ids.shape, 256)
        for row, place in np.ndindex(*ids.shape):
            logits[row, place, follows.get((place, int(ids[row, place])), 0)] = 4.0
        return logits

    found = probe_canary(knowing, encode, "exam")
    assert (found.p, found.exposure) == (1 / 200, pytest.approx(math.log2(200)))
    assert "canary of exam: exposure 7.64 of at most 7.64, p = 0.005; " in found.line()
    assert probe_canary(knowing, encode, "another").p > 0.01
