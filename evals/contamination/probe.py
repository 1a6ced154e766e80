"""What a model shows of a test set: more probable than its twin, completed from half of it, preferred in its own order?

And of a canary: more probable than others like it?

None of it proves anything alone, and silence proves nothing: every line quotes the rates that the contamination lab
measured for it, on small models with planted items.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.stats import Interval, mean_over_problems
from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.canary import canary_p, exposure, make_canary, references
from rlpath.evals.contamination.error_rates import quote
from rlpath.evals.contamination.exchangeability import Exchangeability, exchangeability
from rlpath.evals.contamination.membership import (
    Gap,
    Membership,
    compare_with_references,
    gap_beside_references,
    min_k,
    min_k_plus,
    performance_gap,
    prefix_completion,
    set_gap,
    twin_gap,
)
from rlpath.evals.contamination.perturb import twin
from rlpath.evals.contamination.token_scores import Logits, TokenScores, score_tokens
from rlpath.models.load import load_model, resolve_model

LONGEST = 512
SHARD = 4
MOST_SHARDS = 20
CANARY_REFERENCES = 199
Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class ContaminationProbe:
    """The outcome. `membership` has Min-K % and Min-K %++ by the names of their rates; it needs references."""

    items: int
    gap: Gap
    gap_beside_references: Gap | None
    completed: Interval
    twins_completed: Interval
    performance: Gap
    order: Exchangeability
    membership: dict[str, Membership]

    def lines(self) -> list[str]:
        """The printed report."""
        done, twins = self.completed, self.twins_completed
        lines = []
        if self.gap_beside_references is not None:
            more = self.gap_beside_references
            lines.append(
                f"gap to twins with other numbers and names beside that of the references, {self.items} items: mean "
                f"log-probability a token {more.difference.estimate:+.4f} [{more.difference.low:+.4f}, "
                f"{more.difference.high:+.4f}], one-sided p = {more.p_greater:.2g}; "
                f"{quote('set twin gap beside references')}"
            )
        lines += [
            f"second half completed greedily: {done.estimate:.1%} of its tokens [{done.low:.1%}, {done.high:.1%}], of "
            f"twins {twins.estimate:.1%} [{twins.low:.1%}, {twins.high:.1%}]; {quote('prefix completion')}",
            f"completed better than its twins: {100 * self.performance.difference.estimate:+.1f} points, one-sided "
            f"p = {self.performance.p_greater:.2g}; {quote('performance gap')}",
            f"published order preferred: p = {self.order.p:.2g}; {quote('exchangeability')}",
        ]
        for name, found in self.membership.items():
            lines.append(
                f"{name} against {found.references} references: AUC {found.auc:.2f}, {found.flagged.estimate:.1%} "
                f"[{found.flagged.low:.1%}, {found.flagged.high:.1%}] above all but 5 % of them; {quote(name)}"
            )
        if not self.membership:
            lines.append(
                "min-k, min-k++ and the gap to twins: not asked, they need --references (a twin is less likely than "
                "any published item, seen or not, so the gap says nothing without unseen items beside it)"
            )
        return lines


def check_sizes(benchmark: Benchmark, references: Sequence[Item], size: int) -> None:
    """Raise InputError for a test set, references or a size too small to say anything."""
    asked, known = len(_askable(benchmark.items)), len(_askable(references))
    if size < 20 or asked < 20 or (references and known < 20):
        raise InputError(
            f"a probe needs 20 items and 20 references or none, of two words or more: --size {size}, "
            f"{benchmark.name} has {asked}, {known} references"
        )


def probe(
    logits_of: Logits,
    encode: Encode,
    benchmark: Benchmark,
    references: Sequence[Item] = (),
    *,
    size: int,
    seed: int = 0,
) -> ContaminationProbe:
    """Probe a model with `size` items of a test set drawn by `seed`; `encode` turns text into token ids.

    `references` are items of the same kind that the model cannot have seen, at least 20. Raises InputError for a test
    set or references that are too few.
    """
    check_sizes(benchmark, references, size)
    generator = random.Random(derive(seed, "probe"))
    asked = _askable(benchmark.items)
    items = generator.sample(asked, min(size, len(asked)))

    def scored(texts: Sequence[str]) -> list[TokenScores]:
        return score_tokens(logits_of, [encode(text)[:LONGEST] for text in texts], batch=8)

    originals, twins, gaps = _with_twins(scored, items, seed)
    known, _, known_gaps = _with_twins(scored, _askable(references), seed)
    completed, twins_completed = (
        [prefix_completion(one, len(one) // 2) for one in side] for side in (originals, twins)
    )
    return ContaminationProbe(
        len(items),
        set_gap(gaps, seed),
        gap_beside_references(gaps, known_gaps) if references else None,
        mean_over_problems(completed),
        mean_over_problems(twins_completed),
        performance_gap(completed, twins_completed, seed=seed),
        _order(logits_of, encode, benchmark, size, seed),
        _membership(originals, known) if references else {},
    )


@dataclass(frozen=True, slots=True)
class CanaryProbe:
    """A canary's rank among others: `p` is the chance of so high a rank if it was never seen."""

    name: str
    p: float
    exposure: float

    def line(self) -> str:
        """The printed report."""
        return (
            f"canary of {self.name}: exposure {self.exposure:.2f} of at most {math.log2(CANARY_REFERENCES + 1):.2f}, "
            f"p = {self.p:.2g}; {quote('canary')}"
        )


def probe_canary(logits_of: Logits, encode: Encode, name: str, seed: int = 0) -> CanaryProbe:
    """Ask whether the canary of `name` and `seed` is more probable to a model than canaries of no set."""
    texts = [make_canary(name, seed), *references(name, CANARY_REFERENCES, seed)]
    sums = [float(scores.logprobs.sum()) for scores in score_tokens(logits_of, [encode(text) for text in texts])]
    return CanaryProbe(name, canary_p(sums[0], sums[1:]), exposure(sums[0], sums[1:]))


def load_probed(name: str) -> tuple[Logits, Encode]:
    """Logits and tokenizer of a model by name or folder, on the GPU where there is one."""
    from transformers import AutoTokenizer

    path = resolve_model(name)
    model = load_model(path, "float32" if not torch.cuda.is_available() else "bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(path)
    model.to("cuda" if torch.cuda.is_available() else "cpu")  # pyright: ignore[reportArgumentType]
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []

    def logits_of(ids: torch.Tensor) -> torch.Tensor:
        return model(ids.to(model.device)).logits.cpu()

    def encode(text: str) -> list[int]:
        return [*start, *tokenizer(text, add_special_tokens=False)["input_ids"]]

    return logits_of, encode


def own_items(path: Path | None) -> Sequence[Item]:
    """The items of a reference file, none without one."""
    from rlpath.evals.contamination.benchmarks import benchmark

    return benchmark(str(path)).items if path is not None else ()


def _askable(items: Sequence[Item]) -> list[Item]:
    """Those with two words or more: a single token has nothing before it, and nothing can be asked of it."""
    return [item for item in items if len(_text(item).split()) > 1]


def _text(item: Item) -> str:
    return f"{item.question}\n{item.answer}".strip()


def _with_twins(
    scored: Callable[[Sequence[str]], list[TokenScores]], items: Sequence[Item], seed: int
) -> tuple[list[TokenScores], list[TokenScores], list[float]]:
    """Scores of items, of their twins, and the gap of each."""
    originals = scored([_text(item) for item in items])
    twins = scored([twin(_text(item), seed) for item in items])
    return originals, twins, [twin_gap(one, [other]) for one, other in zip(originals, twins, strict=True)]


def _membership(originals: Sequence[TokenScores], references: Sequence[TokenScores]) -> dict[str, Membership]:
    return {
        name: compare_with_references([score(one) for one in originals], [score(one) for one in references])
        for name, score in (("min-k", min_k), ("min-k++", min_k_plus))
    }


def _order(logits_of: Logits, encode: Encode, benchmark: Benchmark, size: int, seed: int) -> Exchangeability:
    """Neighbors in the file's order, from its beginning: as many shards as `size` items give."""
    shards = min(size // SHARD, MOST_SHARDS)
    tokens = [encode(f"{item.question}\n") for item in benchmark.items[: shards * SHARD]]

    def log_likelihood(sequences: Sequence[Sequence[int]]) -> list[float]:
        return [float(s.logprobs.sum()) for s in score_tokens(logits_of, [list(ids) for ids in sequences], batch=4)]

    return exchangeability(tokens, log_likelihood, shards=shards, permutations=5, seed=seed)
