"""Merges and encodings equal the `tokenizers` library's; any bytes come back; numbers are cut unequally."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from rlpath.trunk.bpe import BytePairEncoding, train

CORPUS = [
    "the cat sat on the mat; the cats' mats aren't the cat's. aaaa aaa aaaaaaa bananas banana",
    "In 1999 there were 1999 of 199 things, 19 of them 9; über naïve façade — 日本語 日本 本 🙂🙂",
    "  spaces   and\ttabs\n\nand lines \n that end in blanks   ",
    "import numpy as np\nfor i in range(10):\n    print(i ** 2, 'squared')\n",
]


def library(vocabulary: int) -> Any:
    """The same settings in the library: byte level, no space added in front, all 256 bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer


@pytest.fixture(scope="module")
def ours() -> BytePairEncoding:
    return train(CORPUS, 350)


@pytest.mark.parametrize("vocabulary", [256, 270, 300, 350, 5000])
def test_ids_equal_the_library(vocabulary: int) -> None:
    """The same ids on the corpus and on a text that training never saw, also where all pairs have run out."""
    mine, theirs = train(CORPUS, vocabulary), library(vocabulary)

    assert len(mine.tokens) == theirs.get_vocab_size()
    for text in [*CORPUS, "A text about cats and mats of 2024, naïvely; aaaaaaaaaaaa 本日🙂 \x00\x7f"]:
        assert mine.encode(text) == theirs.encode(text).ids


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
@example(b"\xff\xfe\x00")
def test_any_bytes_come_back(data: bytes) -> None:
    """encode_bytes and decode_bytes are inverse on every byte string."""
    tokenizer = SMALL
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back(text: str) -> None:
    """Splitting into words loses nothing."""
    assert SMALL.decode(SMALL.encode(text)) == text


SMALL = train(CORPUS, 300)


def test_a_merge_by_hand() -> None:
    """In "aaab" three times and "ab" once, a+a (6) beats a+b (4); then aa+a (3) ties with a+b (4): a+b is next."""
    tokenizer = train(["aaab aaab aaab ab"], 258)
    pieces = [tokenizer.tokens[left] + b"|" + tokenizer.tokens[right] for left, right in tokenizer.merges]

    assert pieces == [b"a|a", b"a|b"]


def test_numbers_are_cut_unequally(ours: BytePairEncoding) -> None:
    """The corpus made 1999 a token: it costs less than 1998, though no number is harder than its neighbor."""
    assert len(ours.encode(" 1999")) < len(ours.encode(" 1998"))


def test_a_vocabulary_too_small_for_bytes_is_refused() -> None:
    """255 tokens cannot hold 256 bytes."""
    with pytest.raises(ValueError, match="255"):
        train(CORPUS, 255)
