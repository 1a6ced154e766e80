"""Byte-level byte-pair encoding, trained from scratch (Sennrich et al., arXiv 1508.07909; bytes as in GPT-2).

Text becomes words (GPT-2's pattern: letters, digits, other signs, each with the space before it), words become bytes,
and the most frequent pair of neighboring tokens is merged into a new one, again and again. Ties go to the pair whose
tokens came first. Encoding a word repeats the merges in the order in which they were learned. Any bytes can be encoded,
since every single byte is a token; nothing is ever unknown.

One way that it hurts: which digits make up a token depends on frequency, not on place value, so that equal numbers are
cut unequally (`python -m rlpath.trunk.bpe FILE` shows how many ways three-digit numbers are cut).
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import regex

WORDS = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
Pair = tuple[int, int]


def printable_order() -> list[int]:
    """The 256 bytes in GPT-2's order: printable Latin-1 first, each at its own place, then the others.

    Token ids 0 to 255 follow it, so that ids equal those of the `tokenizers` library.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return printable + [byte for byte in range(256) if byte not in set(printable)]


class BytePairEncoding:
    """A trained tokenizer: `merges` in the order learned; the bytes of every token in `tokens`."""

    def __init__(self, merges: Sequence[Pair]) -> None:
        self.tokens = [bytes([byte]) for byte in printable_order()]
        self.id_of_byte = {token[0]: index for index, token in enumerate(self.tokens)}
        self.new_id: dict[Pair, int] = {}
        for left, right in merges:
            self.new_id[left, right] = len(self.tokens)
            self.tokens.append(self.tokens[left] + self.tokens[right])

    @property
    def merges(self) -> list[Pair]:
        """Pairs of ids, first learned first."""
        return list(self.new_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; characters that UTF-8 cannot carry (lone surrogates) raise UnicodeEncodeError."""
        return [token for word in WORDS.findall(text) for token in self.encode_bytes(word.encode("utf-8"))]

    def encode_bytes(self, word: bytes) -> list[int]:
        """Token ids of any bytes, taken as one word: the earliest merge that applies is made until none does."""
        ids = [self.id_of_byte[byte] for byte in word]
        while len(ids) > 1:
            pair = min(pairwise(ids), key=lambda pair: self.new_id.get(pair, len(self.tokens)))
            if pair not in self.new_id:
                break
            ids = merged(ids, pair, self.new_id[pair])
        return ids

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of token ids: the inverse of `encode` and `encode_bytes`."""
        return b"".join(self.tokens[index] for index in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text; a sequence that is not UTF-8 shows U+FFFD where it breaks."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")


def merged(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """`ids` with every occurrence of the pair, from the left, replaced by `new`."""
    out: list[int] = []
    for token in ids:
        if out and (out[-1], token) == pair:
            out[-1] = new
        else:
            out.append(token)
    return out


def train(texts: Iterable[str], vocabulary: int) -> BytePairEncoding:
    """Learn merges until there are `vocabulary` tokens, or no pair is left.

    Pairs are counted once and then kept up to date: a merge changes only the words that hold it. Raises ValueError for
    a vocabulary below 256, which could not hold every byte.
    """
    if vocabulary < 256:
        raise ValueError(f"a vocabulary of {vocabulary} cannot hold the 256 bytes")
    id_of_byte = BytePairEncoding([]).id_of_byte
    counted = Counter(word for text in texts for word in WORDS.findall(text))
    words = [[id_of_byte[byte] for byte in word.encode("utf-8")] for word in counted]
    weights = list(counted.values())
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)

    def count(index: int, sign: int) -> None:
        for pair in pairwise(words[index]):
            counts[pair] += sign * weights[index]
            places[pair].add(index)

    for index in range(len(words)):
        count(index, 1)
    merges: list[Pair] = []
    while len(merges) < vocabulary - 256:
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 1:
            break
        new = 256 + len(merges)
        merges.append(best)
        for index in sorted(places.pop(best)):
            count(index, -1)
            words[index] = merged(words[index], best, new)
            count(index, 1)
        del counts[best]
    return BytePairEncoding(merges)


def ways_to_cut(tokenizer: BytePairEncoding) -> Counter[str]:
    """How the numbers 100 to 999 are cut: "3" is one token, "1+2" a digit and then two, and so on."""
    cut = (tokenizer.encode(f" {number}") for number in range(100, 1000))
    return Counter("+".join(str(len(tokenizer.tokens[index].strip())) for index in ids) for ids in cut)


def main() -> None:
    """Train on the file that is named and print what a token is worth, and how numbers are cut."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    for vocabulary in (256, 512, 1024, 2048):
        tokenizer = train([text], vocabulary)
        length = len(tokenizer.encode(text))
        print(f"{len(tokenizer.tokens):5d} tokens  {len(text.encode()) / length:.2f} bytes a token", end="  ")
        print("numbers:", dict(ways_to_cut(tokenizer).most_common()))


if __name__ == "__main__":
    main()
