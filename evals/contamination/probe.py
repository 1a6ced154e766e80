"""What a model shows of a test set: likelier than its twin, completed from half of it, preferred in its own order?

None of it proves anything alone, and silence proves nothing: every line quotes the rates that the contamination lab
measured for it, on small models with planted items.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rlpath.errors import InputError
from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.error_rates import quote
from rlpath.evals.contamination.exchangeability import Exchangeability, exchangeability
from rlpath.evals.contamination.membership import (
    Gap,
    Membership,
    compare_with_references,
    min_k_plus,
    prefix_completion,
    set_gap,
    twin_gap,
)
from rlpath.evals.contamination.perturb import twin
from rlpath.evals.contamination.token_scores import Logits, TokenScores, score_tokens
from rlpath.models import load_model, resolve_model
from rlpath.seeding import derive
from rlpath.stats import Interval, mean_over_problems

LONGEST = 512
SHARD = 4
MOST_SHARDS = 20
Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Probe:
    """The outcome; `min_k_plus` needs references and is None without."""

    items: int
    gap: Gap
    completed: Interval
    twins_completed: Interval
    order: Exchangeability
    min_k_plus: Membership | None

    def lines(self) -> list[str]:
        """The printed report."""
        gap, done, twins = self.gap, self.completed, self.twins_completed
        lines = [
            f"items against twins with other numbers and names, {self.items} items: mean log-probability a token "
            f"{gap.difference.estimate:+.4f} [{gap.difference.low:+.4f}, {gap.difference.high:+.4f}], "
            f"one-sided p = {gap.p_greater:.2g}; {quote('set twin gap')}",
            f"second half completed greedily: {done.estimate:.1%} of its tokens [{done.low:.1%}, {done.high:.1%}], of "
            f"twins {twins.estimate:.1%} [{twins.low:.1%}, {twins.high:.1%}]; {quote('prefix completion')}",
        ]
        lines.append(f"published order preferred: p = {self.order.p:.2g}; {quote('exchangeability')}")
        if self.min_k_plus is not None:
            found = self.min_k_plus
            lines.append(
                f"Min-K %++ against {found.references} references: AUC {found.auc:.2f}, {found.flagged.estimate:.1%} "
                f"[{found.flagged.low:.1%}, {found.flagged.high:.1%}] above all but 5 % of them; {quote('min-k++')}"
            )
        return lines


def probe(
    logits_of: Logits,
    encode: Encode,
    benchmark: Benchmark,
    references: Sequence[Item] = (),
    *,
    size: int,
    seed: int = 0,
) -> Probe:
    """Probe a model with `size` items of a test set drawn by `seed`; `encode` turns text into token ids.

    `references` are items of the same kind that the model cannot have seen, at least 20. Raises InputError for a test
    set or references that are too few.
    """
    if size < 20 or len(benchmark) < 20 or 0 < len(references) < 20:
        raise InputError(
            f"a probe needs 20 items and 20 references or none: --size {size}, {benchmark.name} has {len(benchmark)}, "
            f"{len(references)} references"
        )
    generator = random.Random(derive(seed, "probe"))
    items = generator.sample(benchmark.items, min(size, len(benchmark)))

    def scored(texts: Sequence[str]) -> list[TokenScores]:
        return score_tokens(logits_of, [encode(text)[:LONGEST] for text in texts], batch=8)

    originals = scored([_text(item) for item in items])
    twins = scored([twin(_text(item), seed) for item in items])
    gaps = [twin_gap(one, [other]) for one, other in zip(originals, twins, strict=True)]
    return Probe(
        len(items),
        set_gap(gaps, seed),
        mean_over_problems([prefix_completion(one, len(one) // 2) for one in originals]),
        mean_over_problems([prefix_completion(one, len(one) // 2) for one in twins]),
        _order(logits_of, encode, benchmark, size, seed),
        _min_k_plus(originals, scored([_text(item) for item in references])) if references else None,
    )


def probe_model(name: str, benchmark: Benchmark, references: Sequence[Item], *, size: int, seed: int) -> Probe:
    """The same for a model by name or folder."""
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

    return probe(logits_of, encode, benchmark, references, size=size, seed=seed)


def own_items(path: Path | None) -> Sequence[Item]:
    """The items of a reference file, none without one."""
    from rlpath.evals.contamination.benchmarks import benchmark

    return benchmark(str(path)).items if path is not None else ()


def _text(item: Item) -> str:
    return f"{item.question}\n{item.answer}".strip()


def _min_k_plus(originals: Sequence[TokenScores], references: Sequence[TokenScores]) -> Membership:
    return compare_with_references([min_k_plus(one) for one in originals], [min_k_plus(one) for one in references])


def _order(logits_of: Logits, encode: Encode, benchmark: Benchmark, size: int, seed: int) -> Exchangeability:
    """Neighbours in the file's order, from its beginning: as many shards as `size` items give."""
    shards = min(size // SHARD, MOST_SHARDS)
    tokens = [encode(f"{item.question}\n") for item in benchmark.items[: shards * SHARD]]

    def log_likelihood(sequences: Sequence[Sequence[int]]) -> list[float]:
        return [float(s.logprobs.sum()) for s in score_tokens(logits_of, [list(ids) for ids in sequences], batch=4)]

    return exchangeability(tokens, log_likelihood, shards=shards, permutations=5, seed=seed)
