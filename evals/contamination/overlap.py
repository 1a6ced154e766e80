"""The overlap check: training text against test sets, what was found for each item, and which documents to drop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rlpath.core.errors import InputError
from rlpath.evals.contamination.benchmarks import Benchmark
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.ngrams import LOOSE, Match, N, NgramIndex, Part, Passage

LONG = 13
COVERAGE = 0.5
OPENING = 10
"""A question's first so many words are a copy of it: fewer than `LONG`, as no text begins so by chance."""

LOOSE_COVERAGE = 0.7
LOOSE_WORDS = 20
"""What share of a passage, and how many words, common runs of five must cover to be a copy with changes."""

ROWS_APART = 2
"""Rows over which a passage may be dealt out: its pieces lie at most so many rows apart."""


@dataclass(frozen=True, slots=True)
class CopyRule:
    """When a document holds a copy of a passage: a common run of `n` words, or `coverage` of it in common 8-grams.

    Those 8-grams must cover `n` words, or all of a passage that has fewer: one 8-gram is half of a short question. Also
    a question's first `OPENING` words, and a copy with changes: runs of five words in common that cover most of it.
    """

    n: int = LONG
    coverage: float = COVERAGE

    def __post_init__(self) -> None:
        if self.n < N:
            raise InputError(f"--n {self.n} must be at least {N}, the length of the n-grams that are indexed")
        if not 0 < self.coverage <= 1:
            raise InputError(f"--coverage {self.coverage} must lie above 0 and be at most 1")

    def __call__(self, match: Match) -> bool:
        """Whether this match is a copy."""
        if match.is_loose:
            return is_copied_loosely(match.covered, match.coverage)
        if match.opening >= min(OPENING, self.n):
            return True
        much = match.covered >= self.n or match.coverage == 1.0
        return match.longest >= self.n or (match.coverage >= self.coverage and much)

    def __str__(self) -> str:
        share = f"{self.coverage:.0%} of the passage (and {self.n} words, or all of fewer) in common {N}-grams"
        loose = f"{LOOSE_COVERAGE:.0%} and {LOOSE_WORDS} words in runs of {LOOSE}, within {ROWS_APART + 1} rows"
        return f"a run of {self.n} words in common, its first {OPENING}, {share}, or {loose}"


def is_copied_loosely(covered: int, coverage: float) -> bool:
    """Whether common runs of five words cover enough of a passage."""
    return coverage >= LOOSE_COVERAGE and covered >= LOOSE_WORDS


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that holds a copy of a part of an item, by the rule."""

    document: str
    benchmark: str
    item: str
    part: Part
    coverage: float
    longest: int


@dataclass(frozen=True, slots=True)
class Found:
    """What the training text holds of one test set: numbers of items, by part where there are two.

    `any_8` and `any_13` count items of which an 8-gram or a 13-gram was seen anywhere, `half` those half covered by one
    document's 8-grams, `copied` those that the rule calls copies; `too_short` were not looked for.
    """

    benchmark: str
    source: str
    items: int
    too_short: int
    any_8: dict[str, int]
    any_13: dict[str, int]
    half: dict[str, int]
    copied: int


@dataclass(frozen=True)
class Overlap:
    """The outcome of a check. `hits` has one row for each document, item and part that the rule calls a copy.

    `seconds` is the reading of the training text, without the making of the index.
    """

    rule: CopyRule
    documents: int
    megabytes: float
    seconds: float
    found: tuple[Found, ...]
    hits: tuple[Hit, ...]

    @property
    def copied(self) -> int:
        """Test items of which a copy was found."""
        return sum(found.copied for found in self.found)

    @property
    def flagged(self) -> frozenset[str]:
        """Names of the documents that hold a copy."""
        return frozenset(hit.document for hit in self.hits)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; megabytes and seconds rounded."""
        row = asdict(self) | {"rule": asdict(self.rule) | {"words": str(self.rule)}}
        return row | {
            "megabytes": round(self.megabytes, 3),
            "seconds": round(self.seconds, 3),
            "copied": self.copied,
            "flagged_documents": len(self.flagged),
        }


@dataclass(slots=True)
class _Best:
    """The most that any document held of a passage."""

    coverage: float = 0.0
    longest: int = 0


def check_overlap(
    documents: Iterable[Document], benchmarks: Sequence[Benchmark], rule: CopyRule | None = None
) -> Overlap:
    """Stream `documents` past an index of `benchmarks`; memory grows with the test sets and the hits alone."""
    rule = rule or CopyRule()
    index = NgramIndex(benchmarks)
    started = time.perf_counter()
    best: dict[int, _Best] = {}
    hits: dict[tuple[str, int], Hit] = {}
    read, last, size = 0, "", 0
    pieces, read_before = _Pieces(index.passages), 0
    for block, length, matches in index.matches(documents):
        size += length
        for document in block:
            # The chunks of a long text follow one another under one name.
            read += document.name != last
            last = document.name
        for match in matches:
            if match.is_loose:
                for document, one in pieces.add(read_before + match.document, block[match.document], match):
                    hits.setdefault((document.name, match.passage), _hit(document, index, one))
                continue
            seen = best.setdefault(match.passage, _Best())
            seen.coverage, seen.longest = max(seen.coverage, match.coverage), max(seen.longest, match.longest)
            if rule(match):
                hit = _hit(block[match.document], index, match)
                known = hits.get((hit.document, match.passage))
                if known is None or hit.coverage > known.coverage:
                    hits[hit.document, match.passage] = hit
        read_before += len(block)
    copied = [
        {index.passages[passage].item for _, passage in hits if index.passages[passage].benchmark == number}
        for number in range(len(benchmarks))
    ]
    found = tuple(_found(number, index, best, len(copied[number])) for number in range(len(benchmarks)))
    return Overlap(rule, read, size / 1e6, time.perf_counter() - started, found, tuple(hits.values()))


class _Pieces:
    """Loose matches of neighboring rows, put together: what no row holds enough of, a few may hold between them."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self._recent: dict[int, list[tuple[int, Document, Match]]] = {}

    def add(self, number: int, document: Document, match: Match) -> list[tuple[Document, Match]]:
        """The rows, of which `document` is the last and the `number`-th read, that hold a copy between them."""
        if is_copied_loosely(match.covered, match.coverage):
            return [(document, match)]
        held = [
            one
            for one in self._recent.get(match.passage, [])
            if number - ROWS_APART <= one[0] < number and one[1].file == document.file
        ]
        held.append((number, document, match))
        self._recent[match.passage] = held
        together = frozenset().union(*(one.positions or () for _, _, one in held))
        coverage = len(together) / self.passages[match.passage].loose
        if not is_copied_loosely(len(together), coverage):
            return []
        return [(document, replace(one, coverage=coverage)) for _, document, one in held]


def _hit(document: Document, index: NgramIndex, match: Match) -> Hit:
    passage = index.passages[match.passage]
    benchmark = index.benchmarks[passage.benchmark]
    item = benchmark.items[passage.item].id
    return Hit(document.name, benchmark.name, item, passage.part, round(match.coverage, 4), match.longest)


def _found(number: int, index: NgramIndex, best: dict[int, _Best], copied: int) -> Found:
    benchmark = index.benchmarks[number]
    seen = [(index.passages[key], value) for key, value in best.items() if index.passages[key].benchmark == number]

    def count(at_least: int = 0, coverage: float = 0.0) -> dict[str, int]:
        parts: tuple[Part, Part] = ("question", "answer")
        return {
            part: sum(p.part == part and b.longest >= at_least and b.coverage >= coverage for p, b in seen)
            for part in parts
        }

    short = sum(which == number for which, _ in index.too_short)
    return Found(
        benchmark.name, benchmark.source, len(benchmark), short, count(), count(LONG), count(0, COVERAGE), copied
    )
