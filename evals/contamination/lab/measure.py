"""What every detector says of one trained model and of its corpus: scores of planted, reference and unseen items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.canary import canaries, canary_p, make_canary, references, search
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.exchangeability import exchangeability
from rlpath.evals.contamination.lab.blind import blind_scores
from rlpath.evals.contamination.lab.corpus import Corpus, ItemText, set_text
from rlpath.evals.contamination.membership import mean_logprob, min_k, min_k_plus, prefix_completion, set_gap, twin_gap
from rlpath.evals.contamination.overlap import check_overlap
from rlpath.evals.contamination.perturb import twin
from rlpath.evals.contamination.resemblance import Embed, NearDuplicates, Rephrasings
from rlpath.evals.contamination.token_scores import TokenScores, score_tokens
from rlpath.trunk.gpt import END, GPT

TWINS = 2
CANARY_REFERENCES = 31
SHARDS, PERMUTATIONS = 10, 8
BLIND = "blind baseline"
Scores = dict[str, list[float]]


@dataclass(frozen=True)
class SeedScores:
    """One seed. Item-level scores of each group of items by detector; p-values of sets and canaries by exposures;
    which items the searches of the corpus found."""

    groups: dict[str, Scores]
    p_values: dict[str, dict[str, list[float]]]
    found: dict[str, dict[str, list[bool]]]


def group_name(form: str, exposures: int) -> str:
    """The name of a planted group."""
    return f"{form} x{exposures}"


def groups_of(corpus: Corpus) -> dict[str, list[ItemText]]:
    """Every group of items by name: the planted ones, "unseen" and "references"."""
    planted = {group_name(*key): items for key, items in corpus.planted.items()}
    return planted | {"unseen": corpus.unseen, "references": corpus.references}


def measure(model: GPT, tokenizer: Tokenizer, corpus: Corpus, seed: int, embed: Embed | None) -> SeedScores:
    """Run every detector. `embed` serves the search for rephrasings; without it that search is left out."""
    groups = {name: item_scores(model, tokenizer, items, seed) for name, items in groups_of(corpus).items()}
    _add_blind(groups, corpus, seed)
    p_values = {
        "exchangeability": _set_p_values(model, tokenizer, corpus, seed),
        "canary": _canary_p_values(model, tokenizer, corpus),
        "set twin gap": _set_gap_p_values(groups, "twin gap", seed),
        "performance gap": _set_gap_p_values(groups, "completion gap", seed),
    }
    return SeedScores(groups, p_values, corpus_search(corpus, embed))


def item_scores(model: GPT, tokenizer: Tokenizer, items: Sequence[ItemText], seed: int) -> Scores:
    """The scores of items by every detector that asks the model; each item is read from its beginning."""
    longest = model.shape.context

    def scored(texts: Sequence[str]) -> list[TokenScores]:
        return score_tokens(model, [_ids(tokenizer, text)[:longest] for text in texts])

    originals = scored([item.whole for item in items])
    twins = [scored([twin(item.whole, seed * TWINS + index) for item in items]) for index in range(TWINS)]
    return {
        "mean log-probability": [mean_logprob(scores) for scores in originals],
        "min-k": [min_k(scores) for scores in originals],
        "min-k++": [min_k_plus(scores) for scores in originals],
        "prefix completion": [completed(scores) for scores in originals],
        "twin gap": [twin_gap(scores, [one[index] for one in twins]) for index, scores in enumerate(originals)],
        "completion gap": [
            completed(scores) - sum(completed(one[index]) for one in twins) / TWINS
            for index, scores in enumerate(originals)
        ],
    }


def completed(scores: TokenScores) -> float:
    """Share of the second half of a text that greedy decoding writes out."""
    return prefix_completion(scores, len(scores) // 2)


def _add_blind(groups: dict[str, Scores], corpus: Corpus, seed: int) -> None:
    """The blind baseline on every planted group against the unseen items; the unseen items' scores are per group."""
    items = groups_of(corpus)
    for name in list(groups):
        if name not in ("unseen", "references"):
            seen, unseen = [i.whole for i in items[name]], [i.whole for i in corpus.unseen]
            scores = blind_scores(seen, unseen, seed)
            groups[name][BLIND] = scores[: len(seen)].tolist()
            groups[name][f"{BLIND}, unseen"] = scores[len(seen) :].tolist()


def _set_p_values(model: GPT, tokenizer: Tokenizer, corpus: Corpus, seed: int) -> dict[str, list[float]]:
    def log_likelihood(sequences: Sequence[Sequence[int]]) -> list[float]:
        return [float(s.logprobs.sum()) for s in score_tokens(model, [list(ids) for ids in sequences])]

    values: dict[str, list[float]] = {}
    for one in corpus.sets:
        items = [tokenizer.encode(text).ids for text in set_text(one.questions)]
        found = exchangeability(items, log_likelihood, shards=SHARDS, permutations=PERMUTATIONS, seed=seed)
        kind = "unseen" if not one.exposures else f"{'ordered' if one.ordered else 'shuffled'} x{one.exposures}"
        values.setdefault(kind, []).append(found.p)
    return values


def _canary_p_values(model: GPT, tokenizer: Tokenizer, corpus: Corpus) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for one in corpus.canaries:
        texts = [make_canary(one.name), *references(one.name, CANARY_REFERENCES)]
        sums = [float(s.logprobs.sum()) for s in score_tokens(model, [_ids(tokenizer, t) for t in texts])]
        kind = f"x{one.exposures}" if one.exposures else "unseen"
        values.setdefault(kind, []).append(canary_p(sums[0], sums[1:]))
    return values


def _set_gap_p_values(groups: dict[str, Scores], gap: str, seed: int) -> dict[str, list[float]]:
    """One-sided p-values that a set does no better than its twin: of planted groups, and of unseen sets as large."""
    size = min(len(scores[gap]) for scores in groups.values())
    values = {}
    for name, scores in groups.items():
        if name != "references":
            gaps = scores[gap]
            sets = [gaps[start : start + size] for start in range(0, len(gaps) - size + 1, size)]
            values[name] = [set_gap(one, seed).p_greater for one in sets]
    return values


def corpus_search(corpus: Corpus, embed: Embed | None) -> dict[str, dict[str, list[bool]]]:
    """Which items of each group the searches of training text flag; unseen items that are flagged are false alarms.

    The slow search for rephrasings leaves the plays out.
    """
    groups = {name: items for name, items in groups_of(corpus).items() if name != "references"}
    benchmarks = [
        Benchmark(name, tuple(Item(str(i), item.question, item.solution) for i, item in enumerate(items)), "lab")
        for name, items in groups.items()
    ]
    texts = list(dict.fromkeys(corpus.documents))
    documents = [Document("corpus", line, text) for line, text in enumerate(texts, start=1)]
    overlap = check_overlap(documents, benchmarks)
    near = NearDuplicates(benchmarks).search(documents)
    hits = {
        "overlap": {(hit.benchmark, int(hit.item)) for hit in overlap.hits},
        "near duplicates": {(benchmarks[hit.benchmark].name, hit.item) for hit in near},
    }
    if embed is not None:
        prose = [document for document in documents if document.text not in corpus.plays]
        found = Rephrasings(benchmarks, embed=_once(embed)).search(prose)
        hits["rephrasings"] = {(benchmarks[hit.benchmark].name, hit.item) for hit in found}
    return {name: _flags(groups, flagged) for name, flagged in hits.items()} | {
        "canary search": _canaries_found(corpus, documents)
    }


def _canaries_found(corpus: Corpus, documents: Sequence[Document]) -> dict[str, list[bool]]:
    guids = {guid for _, guid in search(documents)}
    found: dict[str, list[bool]] = {}
    for one in corpus.canaries:
        kind = f"canary x{one.exposures}" if one.exposures else "unseen"
        found.setdefault(kind, []).append(canaries(make_canary(one.name))[0] in guids)
    return found


def _once(embed: Embed) -> Embed:
    """The same, which reads a text once however often it is asked: shuffled sets repeat their questions."""
    known: dict[str, NDArray[np.float32]] = {}

    def remembered(texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    return remembered


def _flags(groups: dict[str, list[ItemText]], hits: set[tuple[str, int]]) -> dict[str, list[bool]]:
    return {name: [(name, index) in hits for index in range(len(items))] for name, items in groups.items()}


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """A document's tokens after the end of another one, as in training."""
    return [*tokenizer.encode(END).ids, *tokenizer.encode(text).ids]
