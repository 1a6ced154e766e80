"""Text to words and word hashes: the normal form in which training text and test items are compared.

Normal form: letters in lower case; everything but letters, digits and the operators + / = ^ % separates words;
each operator is a word of its own. Text that is not ASCII is first put into NFKC and case-folded, without characters
that are not seen and with look-alikes of Latin letters folded; its punctuation separates too; other letters stay.
Formatting (spaces, line ends, commas, quotes, Markdown, most of LaTeX) therefore makes no difference, and "1,000" is
the two words "1" and "000". Scripts that do not separate words, such as Chinese, give few and long words: their
overlap is understated.

Hashing is numpy over a whole block of text. Different words have different hashes but for an accident of 64 bits.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rlpath.evals.contamination.lookalikes import plain_text

Hashes = NDArray[np.uint64]
OPERATORS = b"+/=^%"
_SPACED = [(bytes([operator]), b" %c " % operator) for operator in OPERATORS]
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789" + bytes(range(128, 256))


def _table(inside: bytes) -> bytes:
    """For each byte 1 where it is one of `inside`, in lower case, else 0."""
    return bytes(int(bytes([byte]).lower() in inside) for byte in range(256))


_OF_WORDS = _table(_LETTERS + OPERATORS)
_IS_LETTER = _table(_LETTERS.translate(None, b"0123456789"))
_FOREIGN_PUNCTUATION = re.compile(r"[^\w\x00-\x7f]+")
_FOLD = "rlpath-fold"
_LONG = 16
_MASKS = np.array([2 ** (8 * length) - 1 for length in range(9)], dtype=np.uint64)
_A, _B, _C, _STEP = (
    np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0x9FB21C651E98DF25)
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a block: where each starts and ends (bytes into the block), and its hash."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.starts)


def normal_bytes(text: str) -> bytes:
    """`text` as bytes that `hash_words` reads: spaces around operators; beyond ASCII NFKC, folded, no punctuation."""
    data = text.encode() if text.isascii() else unicodedata.normalize("NFC", text).encode("ascii", _FOLD)
    for operator in _SPACED:
        data = data.replace(*operator)
    return data


def _fold(error: UnicodeError) -> tuple[bytes, int]:
    """What becomes of a run of characters beyond ASCII: an error handler, so that the rest is encoded at full speed."""
    assert isinstance(error, UnicodeEncodeError)
    return _folded(error.object[error.start : error.end]), error.end


@lru_cache(maxsize=4096)
def _folded(run: str) -> bytes:
    return _FOREIGN_PUNCTUATION.sub(" ", plain_text(run)).encode("utf-8", "replace")


codecs.register_error(_FOLD, _fold)


def words(text: str) -> list[str]:
    """The words of `text`, one by one; the plain form of what `hash_words` does to a block."""
    data = normal_bytes(text).lower()
    starts, ends = _bounds(data)
    return [data[start:end].decode("utf-8", "replace") for start, end in zip(starts, ends, strict=True)]


def hash_words(data: bytes) -> Words:
    """The words of a block of normal bytes with their hashes (about 20 bytes of memory for a byte of text)."""
    data = data.lower()
    starts, ends = _bounds(data)
    lengths = ends - starts
    # Eight bytes from any address at once: an unaligned view, padded so that the last word can be read too.
    eight = np.ndarray(len(data) + 1, dtype="<u8", buffer=data + bytes(8), strides=(1,))
    hashes = eight[starts] & _MASKS[np.minimum(lengths, 8)]
    (middling,) = np.nonzero(lengths > 8)
    hashes *= _A
    hashes[middling] ^= eight[ends[middling] - 8] * _B
    hashes ^= lengths.astype(np.uint64) * _C
    for index in np.nonzero(lengths > _LONG)[0]:
        hashes[index] = _digest(data[starts[index] : ends[index]])
    hashes ^= hashes >> np.uint64(32)
    hashes *= _B
    hashes ^= hashes >> np.uint64(29)
    return Words(starts, ends, hashes)


def with_letter(data: bytes, words: Words) -> NDArray[np.bool_]:
    """Which words of a block hold a letter, and are neither a number nor an operator."""
    letters = np.cumsum(np.frombuffer(bytes(1) + data.translate(_IS_LETTER), dtype=np.uint8), dtype=np.int64)
    return letters[words.ends] > letters[words.starts]


def ngram_hashes(hashes: Hashes, n: int, known: dict[int, Hashes] | None = None) -> Hashes:
    """The hash of each run of `n` words, `len(hashes) - n + 1` of them, by joining runs: 8 words take three steps.

    `known` keeps what was joined, for where several lengths of one text are wanted.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one word, got n={n}")
    if n == 1 or len(hashes) < n:
        return hashes[: len(hashes) - n + 1] if len(hashes) >= n else np.empty(0, dtype=np.uint64)
    known = {} if known is None else known
    if n not in known:
        first = 2 ** ((n - 1).bit_length() - 1)
        runs, rest = ngram_hashes(hashes, first, known), ngram_hashes(hashes, n - first, known)
        known[n] = runs[: first - n] * _power(n - first) + rest[first:]
    return known[n]


def _bounds(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where words start and end."""
    inside = np.frombuffer(bytes(1) + data.translate(_OF_WORDS) + bytes(1), dtype=np.bool_)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    return edges[::2], edges[1::2]


def _digest(word: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little"))


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(int(_STEP), exponent, 2**64))
