"""N-gram overlap: which test items stand, word for word or in large part, in gigabytes of training text.

The test side is indexed (small), the training side streams past (large). The index holds the runs of 8 words of every
question and every reference answer; hits that follow one another in both texts are joined, so that one pass gives the
8-gram coverage, the longest copied run, and with it any longer n-gram: a run of 13 words is a 13-gram match.

- An 8-gram that stands in more passages of one test set than content does (`WORDING`) is its wording ("Answer with the
  number only."), and is left out on both sides; so is one that is mostly numbers and operators (`LETTERS`).
- Runs of 5 words are looked for too, so that a copy with a word added or dropped here and there, or dealt out over
  several rows, can be told: a document that holds `PIECE` words of a passage in them gives a loose match.
- A question of 5 to 7 words is looked for whole. Shorter ones are not looked for and are counted as too short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlpath.evals.contamination.benchmarks import Benchmark
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.encoded import in_the_clear
from rlpath.evals.contamination.words import Hashes, hash_words, ngram_hashes, normal_bytes, with_letter

N = 8
SHORTEST = 5
LOOSE = 5
PIECE = 8
"""Words of a passage in common runs of `LOOSE` below which a document gives no loose match."""

WORDING = (2, 0.01)
"""An n-gram is wording where more passages of one set hold it than two, and than 1 % of its items."""

LETTERS = 0.25
"""Share of an n-gram's words that must hold a letter: "5 * 3 = 15 15 15 / 5" is a sum that any two texts may share."""

BLOCK = 2**20
Ints = NDArray[np.int64]
Part = Literal["question", "answer"]


@dataclass(frozen=True, slots=True)
class Passage:
    """What is looked for: one part of one item. `countable` words stand in n-grams that are looked for.

    `loose` words stand in runs of `LOOSE` that are looked for.
    """

    benchmark: int
    item: int
    part: Part
    words: int
    countable: int
    loose: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """A training document that shares n-grams with a passage.

    `covered` counts the passage's countable words (those in n-grams that are not wording) that the document holds in
    matching n-grams, `coverage` is their share; `longest` is the longest run of words common to both, and `opening`
    the longest that begins with the passage's first word. A loose match is one of runs of `LOOSE` words: `covered` and
    `coverage` count these, and `positions` are the words of the passage that stand in them.
    """

    document: int
    passage: int
    covered: int
    coverage: float
    longest: int
    opening: int = 0
    positions: frozenset[int] | None = None

    @property
    def is_loose(self) -> bool:
        """Whether it was found by the shorter runs."""
        return self.positions is not None


@dataclass(frozen=True, slots=True)
class Grams:
    """The n-grams of one length: distinct hashes in order, and where each stands (rows of `passage`, `position`).

    `begins` marks the leading bits of the hashes: all of a hash but its last `shift` bits.
    """

    n: int
    hashes: Hashes
    rows: Ints
    passage: Ints
    position: Ints
    begins: NDArray[np.bool_]
    shift: np.uint64

    def find(self, hashes: Hashes) -> tuple[Ints, Ints]:
        """Indices into `hashes` of those that are in the index, and which of its n-grams each one is."""
        # One mark in 32 or fewer is set: nearly all of the text is dismissed here, without a search.
        likely = np.flatnonzero(self.begins[(hashes >> self.shift).view(np.int64)])
        found = np.searchsorted(self.hashes, hashes[likely])
        found[found == len(self.hashes)] = 0
        sure = self.hashes[found] == hashes[likely]
        return likely[sure], found[sure]


class NgramIndex:
    """The n-grams of test sets, made once; `matches` streams training text past them."""

    def __init__(self, benchmarks: Sequence[Benchmark]) -> None:
        self.benchmarks = tuple(benchmarks)
        self.passages: list[Passage] = []
        gathered: dict[int, list[tuple[Hashes, Ints, Ints]]] = {}
        loose: list[tuple[Hashes, Ints, Ints]] = []
        for number, benchmark in enumerate(self.benchmarks):
            self._add(number, benchmark, gathered, loose)
        self.grams = [_grams(n, parts) for n, parts in sorted(gathered.items())]
        self.loose = _grams(LOOSE, loose) if loose else None
        self._countable = np.array([passage.countable for passage in self.passages], dtype=np.int64)

    @property
    def too_short(self) -> list[tuple[int, int]]:
        """Benchmark and item of the questions that cannot be looked for."""
        return [(p.benchmark, p.item) for p in self.passages if p.part == "question" and not p.countable]

    def _add(
        self,
        number: int,
        benchmark: Benchmark,
        gathered: dict[int, list[tuple[Hashes, Ints, Ints]]],
        loose: list[tuple[Hashes, Ints, Ints]],
    ) -> None:
        """Index one test set, all its passages in one block."""
        texts = [normal_bytes(text) for item in benchmark.items for text in (item.question, item.answer)]
        data = b"\n".join(texts)
        block = hash_words(data)
        owner = np.searchsorted(_begins(texts), block.starts, side="right") - 1
        count = np.bincount(owner, minlength=len(texts))
        first = np.cumsum(count) - count
        letters = np.cumsum(np.r_[0, with_letter(data, block)])
        countable, countable_loose = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.int64)
        grams = ngram_hashes(block.hashes, LOOSE)
        at = np.nonzero(owner[: len(grams)] == owner[LOOSE - 1 :])[0]
        at = at[letters[at + LOOSE] - letters[at] >= LETTERS * LOOSE]
        at = at[~_is_wording(grams[at], owner[at], len(benchmark))]
        if len(at):
            _add_covered(countable_loose, owner[at], at - first[owner[at]], LOOSE)
            loose.append((grams[at], owner[at] + len(self.passages), at - first[owner[at]]))
        for n in range(SHORTEST, N + 1):
            grams = ngram_hashes(block.hashes, n)
            at = np.nonzero(owner[: len(grams)] == owner[n - 1 :])[0] if n == N else first[0::2][count[0::2] == n]
            at = at[letters[at + n] - letters[at] >= LETTERS * n]
            if n == N:
                at = at[~_is_wording(grams[at], owner[at], len(benchmark))]
            if len(at):
                _add_covered(countable, owner[at], at - first[owner[at]], n)
                gathered.setdefault(n, []).append((grams[at], owner[at] + len(self.passages), at - first[owner[at]]))
        for index in range(len(texts)):
            part: Part = "answer" if index % 2 else "question"
            words, within = int(count[index]), (int(countable[index]), int(countable_loose[index]))
            self.passages.append(Passage(number, index // 2, part, words, *within))

    def matches(self, documents: Iterable[Document]) -> Iterator[tuple[list[Document], int, list[Match]]]:
        """For each block of about a mebibyte: its documents, its bytes, and the matches in it.

        `Match.document` counts within the block.
        """
        for block, texts in _blocks(documents):
            data = b"\n".join(texts)
            yield block, sum(map(len, texts)), self._search(data, texts)

    def _search(self, data: bytes, texts: Sequence[bytes]) -> list[Match]:
        block = hash_words(data)
        begins = _begins(texts)
        found: list[Match] = []
        runs: dict[int, Hashes] = {}
        for grams in (*self.grams, *([self.loose] if self.loose else [])):
            at, gram = grams.find(ngram_hashes(block.hashes, grams.n, runs))
            if not len(at):
                continue
            document = np.searchsorted(begins, block.starts[at], side="right") - 1
            last = np.searchsorted(begins, block.starts[at + grams.n - 1], side="right") - 1
            inside = document == last
            found += self._join(grams, at[inside], gram[inside], document[inside])
        # A loose match comes after the others of its document.
        return sorted(found, key=lambda match: match.document)

    def _join(self, grams: Grams, at: Ints, gram: Ints, document: Ints) -> list[Match]:
        """From single n-gram hits to matches: union of the covered words, and the longest run on one diagonal."""
        count = grams.rows[gram + 1] - grams.rows[gram]
        hit = np.repeat(np.arange(len(at)), count)
        if not len(hit):
            return []
        row = np.arange(len(hit)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(grams.rows[gram], count)
        passage, position = grams.passage[row], grams.position[row]
        document, at = document[hit], at[hit]
        loose = grams is self.loose
        longest, opening = ({}, {}) if loose else _longest_runs(document, passage, at - position, position, grams.n)
        order = np.lexsort((position, passage, document))
        document, passage, position = document[order], passage[order], position[order]
        new = _begins_group(document, passage)
        step = np.minimum(np.diff(position, prepend=0), grams.n)
        step[new] = grams.n
        firsts = np.nonzero(new)[0]
        covered = np.add.reduceat(step, firsts)
        if loose:
            return self._loose_matches(document, passage, position, firsts, covered)
        found: list[Match] = []
        for d, p, c in zip(document[firsts].tolist(), passage[firsts].tolist(), covered.tolist(), strict=True):
            coverage = min(1.0, c / int(self._countable[p]))
            found.append(Match(d, p, c, coverage, longest[d, p], opening.get((d, p), 0)))
        return found

    def _loose_matches(self, document: Ints, passage: Ints, position: Ints, firsts: Ints, covered: Ints) -> list[Match]:
        """Matches that hold enough of their passage, with its words that they hold."""
        ends = np.append(firsts[1:], len(position))
        found: list[Match] = []
        for begin, end, words in zip(firsts, ends, covered, strict=True):
            if words >= PIECE:
                where = int(document[begin]), int(passage[begin])
                held = frozenset((position[begin:end, None] + np.arange(LOOSE)).ravel().tolist())
                found.append(Match(*where, int(words), words / self.passages[where[1]].loose, 0, positions=held))
        return found


def _blocks(documents: Iterable[Document]) -> Iterator[tuple[list[Document], list[bytes]]]:
    block: list[Document] = []
    texts: list[bytes] = []
    size = 0
    for document in documents:
        text = normal_bytes(in_the_clear(document.text))
        block.append(document)
        texts.append(text)
        size += len(text)
        if size >= BLOCK:
            yield block, texts
            block, texts, size = [], [], 0
    if block:
        yield block, texts


def _begins(texts: Sequence[bytes]) -> Ints:
    """Where each text begins in the block of them all, one byte apart."""
    return np.cumsum([0, *(len(text) + 1 for text in texts[:-1])])


def _is_wording(grams: Hashes, owner: Ints, items: int) -> NDArray[np.bool_]:
    """Which n-grams stand in more passages than content does."""
    limit = max(WORDING[0], int(WORDING[1] * items))
    order = np.lexsort((owner, grams))
    distinct = _begins_group(grams[order], owner[order])
    hashes, counts = np.unique(grams[order][distinct], return_counts=True)
    return np.isin(grams, hashes[counts > limit])


def _begins_group(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a row differs from the one before it in any column."""
    begins = np.ones(len(columns[0]), dtype=np.bool_)
    begins[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return begins


def _add_covered(countable: Ints, owner: Ints, position: Ints, n: int) -> None:
    """Add the words that n-grams cover to their passages; n-grams in order of passage and position."""
    step = np.minimum(np.diff(position, prepend=0), n)
    step[_begins_group(owner)] = n
    np.add.at(countable, owner, step)


def _grams(n: int, parts: Sequence[tuple[Hashes, Ints, Ints]]) -> Grams:
    hashes, passage, position = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(hashes, kind="stable")
    distinct, firsts = np.unique(hashes[order], return_index=True)
    power = max(10, int(32 * len(distinct)).bit_length())
    shift = np.uint64(64 - power)
    begins = np.zeros(2**power, dtype=np.bool_)
    begins[(distinct >> shift).view(np.int64)] = True
    rows = np.append(firsts, len(hashes)).astype(np.int64)
    return Grams(n, distinct, rows, passage[order], position[order], begins, shift)


Longest = dict[tuple[int, int], int]


def _longest_runs(document: Ints, passage: Ints, diagonal: Ints, position: Ints, n: int) -> tuple[Longest, Longest]:
    """Words of the longest run of hits that follow one another in both texts, for each document and passage.

    And of the longest that begins with the passage's first word, where there is one.
    """
    order = np.lexsort((position, diagonal, passage, document))
    document, passage, diagonal, position = (a[order] for a in (document, passage, diagonal, position))
    # Along one run the position less its rank stays the same.
    firsts = np.nonzero(_begins_group(document, passage, diagonal, position - np.arange(len(position))))[0]
    lengths = np.diff(np.append(firsts, len(position))) + n - 1
    best: Longest = {}
    opening: Longest = {}
    for d, p, start, length in zip(document[firsts], passage[firsts], position[firsts], lengths, strict=True):
        key = (int(d), int(p))
        best[key] = max(best.get(key, 0), int(length))
        if start == 0:
            opening[key] = max(opening.get(key, 0), int(length))
    return best, opening
