"""Copies that are not word for word: near duplicates by MinHash, rephrasings by sentence embeddings.

Both compare pieces of a document with whole questions. A piece is a line, the whole document where it is short, and
overlapping windows of a line that is long. They read megabytes and kilobytes a second: they are meant for the size
of a fine-tuning set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlpath.core.errors import InputError
from rlpath.evals.contamination.benchmarks import Benchmark
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.words import hash_words, ngram_hashes, normal_bytes, words

SHINGLE = 3
JACCARD = 0.5
PERMUTATIONS = 128
COSINE = 0.85
WINDOW, STRIDE = 80, 40
SHORTEST = 5
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Likeness:
    """A document whose piece resembles a question, and how much (Jaccard index or cosine, up to 1)."""

    document: Document
    benchmark: int
    item: int
    score: float
    piece: str


def pieces(text: str) -> Iterator[str]:
    """The parts of a document that may be a rephrased question, each of at least `SHORTEST` words."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and len(text.split()) <= WINDOW:
        lines.append(" ".join(lines))
    for line in dict.fromkeys(lines):
        parts = line.split()
        if len(parts) < SHORTEST:
            continue
        if len(parts) <= 2 * WINDOW:
            yield line
            continue
        for start in range(0, len(parts) - STRIDE, STRIDE):
            yield " ".join(parts[start : start + WINDOW])


class NearDuplicates:
    """Questions that a piece of text repeats with a few words changed: the Jaccard index of runs of `SHINGLE` words.

    MinHash with locality-sensitive hashing (Broder 1997; `datasketch`) finds candidates, the exact index decides.
    """

    def __init__(self, benchmarks: Sequence[Benchmark], threshold: float = JACCARD) -> None:
        try:
            from datasketch import MinHash, MinHashLSH
        except ModuleNotFoundError:
            raise InputError("datasketch is not installed: pip install rlpath[contamination]") from None
        self.threshold = threshold
        # Candidates are taken somewhat below the threshold, for the estimate is off by about 0.04.
        self._lsh: Any = MinHashLSH(threshold=max(0.1, threshold - 0.1), num_perm=PERMUTATIONS)
        self._empty = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
        self._shingles: dict[tuple[int, int], frozenset[int]] = {}
        for number, benchmark in enumerate(benchmarks):
            for index, item in enumerate(benchmark.items):
                found = shingles(item.question)
                if found:
                    self._shingles[number, index] = found
                    self._lsh.insert((number, index), self._sketch(found))

    def search(self, documents: Iterable[Document]) -> Iterator[Likeness]:
        """Every document and question at or above the threshold, with the best piece of the document."""
        for document in documents:
            best: dict[tuple[int, int], Likeness] = {}
            for piece in pieces(document.text):
                found = shingles(piece)
                if not found:
                    continue
                for key in self._lsh.query(self._sketch(found)):
                    score = jaccard(found, self._shingles[key])
                    if score >= self.threshold and (key not in best or score > best[key].score):
                        best[key] = Likeness(document, key[0], key[1], score, piece)
            yield from best.values()

    def _sketch(self, found: frozenset[int]) -> Any:
        sketch = self._empty.copy()
        sketch.update_batch(sorted(found))
        return sketch


class Rephrasings:
    """Questions that a piece of text asks in other words: the cosine of sentence embeddings.

    `embed` turns texts into unit vectors; by default all-MiniLM-L6-v2. Two problems of one kind resemble one another
    too: read the pairs before calling them copies.
    """

    def __init__(self, benchmarks: Sequence[Benchmark], threshold: float = COSINE, embed: Embed | None = None) -> None:
        if embed is None:
            try:
                from rlpath.evals.contamination.embedder import Embedder
            except ModuleNotFoundError as error:
                raise InputError(f"{error.name} is not installed: pip install rlpath[train]") from None
            embed = Embedder()
        self.threshold = threshold
        self._embed = embed
        self._keys = [(number, index) for number, b in enumerate(benchmarks) for index in range(len(b))]
        self._questions = embed([item.question for benchmark in benchmarks for item in benchmark.items])

    def search(self, documents: Iterable[Document], batch: int = 256) -> Iterator[Likeness]:
        """Every document and question at or above the threshold, with the best piece of the document."""
        waiting: list[tuple[Document, str]] = []
        for document in documents:
            waiting += [(document, piece) for piece in pieces(document.text)]
            if len(waiting) >= batch:
                yield from self._compare(waiting)
                waiting = []
        if waiting:
            yield from self._compare(waiting)

    def _compare(self, waiting: Sequence[tuple[Document, str]]) -> Iterator[Likeness]:
        cosines = self._embed([piece for _, piece in waiting]) @ self._questions.T
        best: dict[tuple[str, int], Likeness] = {}
        for row, column in zip(*np.nonzero(cosines >= self.threshold), strict=True):
            document, piece = waiting[row]
            score, key = float(cosines[row, column]), (document.name, int(column))
            if key not in best or score > best[key].score:
                number, index = self._keys[column]
                best[key] = Likeness(document, number, index, score, piece)
        yield from best.values()


def shingles(text: str) -> frozenset[int]:
    """Hashes (32 bits) of the runs of `SHINGLE` words of `text`; of fewer than `SHORTEST` words none."""
    if len(words(text)) < SHORTEST:
        return frozenset()
    hashes = ngram_hashes(hash_words(normal_bytes(text)).hashes, SHINGLE)
    return frozenset((hashes >> np.uint64(32)).tolist())


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Size of the intersection over the size of the union."""
    return len(one & other) / len(one | other)
