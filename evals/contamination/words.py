"""Text to words and word hashes: the normal form in which training text and test items are compared.

Normal form: letters in lower case; everything but letters, digits and the operators + / = ^ % separates words;
each operator is a word of its own. Text that is not ASCII is first put into NFKC and case-folded, and its punctuation
separates too; letters beyond ASCII stay letters. Formatting (spaces, line ends, commas, quotes, Markdown, most of
LaTeX) therefore makes no difference, and "1,000" is the two words "1" and "000". Scripts that do not separate words,
such as Chinese, give few and long words: their overlap is understated.

Hashing is numpy over a whole block of text. Different words have different hashes but for an accident of 64 bits.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
OPERATORS = b"+/=^%"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789" + bytes(range(128, 256))
_SEPARATE, _LETTER, _OPERATOR = 0, 1, 2


def _tables() -> tuple[bytes, bytes]:
    """For each byte its lower case, and its class."""
    lower = bytearray(range(256))
    lower[ord("A") : ord("Z") + 1] = b"abcdefghijklmnopqrstuvwxyz"
    kinds = bytearray(256)
    for byte in range(256):
        kinds[byte] = _OPERATOR if byte in OPERATORS else _LETTER if lower[byte] in _LETTERS else _SEPARATE
    return bytes(lower), bytes(kinds)


_LOWER, _KINDS = _tables()
_IS_LETTER = bytes(chr(byte).isalpha() if byte < 128 else True for byte in range(256))
_FOREIGN_PUNCTUATION = re.compile(r"[^\w\x00-\x7f]+|_+")
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
    """`text` as bytes that `hash_words` reads: ASCII as it is, anything else in NFKC, case-folded, no punctuation."""
    if text.isascii():
        return text.encode()
    folded = _FOREIGN_PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return folded.encode("utf-8", "replace")


def words(text: str) -> list[str]:
    """The words of `text`, one by one; the plain form of what `hash_words` does to a block."""
    data = normal_bytes(text).translate(_LOWER)
    starts, ends = _bounds(data)
    return [data[start:end].decode("utf-8", "replace") for start, end in zip(starts, ends, strict=True)]


def hash_words(data: bytes) -> Words:
    """The words of a block of normal bytes with their hashes (about 20 bytes of memory for a byte of text)."""
    data = data.translate(_LOWER)
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


def ngram_hashes(hashes: Hashes, n: int) -> Hashes:
    """The hash of each run of `n` words, `len(hashes) - n + 1` of them, by doubling: 8 words take three steps."""
    if n < 1:
        raise ValueError(f"an n-gram has at least one word, got n={n}")
    if len(hashes) < n:
        return np.empty(0, dtype=np.uint64)
    if n == 1:
        return hashes.copy()
    half = n // 2
    runs = ngram_hashes(hashes, half)
    doubled = runs[:-half] * _power(half) + runs[half:]
    if n % 2 == 0:
        return doubled
    return doubled[:-1] * _STEP + hashes[n - 1 :]


def _bounds(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where words start and end: at each change of class, and around every operator."""
    kinds = np.frombuffer(bytes(1) + data.translate(_KINDS) + bytes(1), dtype=np.uint8)
    here, before, after = kinds[1:-1], kinds[:-2], kinds[2:]
    operator = here == _OPERATOR
    word = here != _SEPARATE
    (starts,) = np.nonzero(word & ((here != before) | operator))
    (ends,) = np.nonzero(word & ((here != after) | operator))
    return starts, ends + 1


def _digest(word: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little"))


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(int(_STEP), exponent, 2**64))
