"""Words, n-grams and the overlap rule: hand-worked counts, agreement with plain Python, recall 1 on planted copies."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.evals.contamination import ngrams
from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.overlap import CopyRule, Overlap, check_overlap
from rlpath.evals.contamination.words import hash_words, ngram_hashes, normal_bytes, with_letter, words

VOCABULARY = [f"{first}{second}{third}" for first in "bdfgk" for second in "aeiou" for third in ("", "l", "stringlong")]


def prose(seed: int, count: int) -> str:
    """`count` words without sense; two seeds share no eight in a row but by accident."""
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


def overlap(texts: list[str], items: list[Item], rule: CopyRule | None = None) -> Overlap:
    documents = [Document(Path("train.jsonl"), line, text) for line, text in enumerate(texts, start=1)]
    return check_overlap(documents, [Benchmark("made", tuple(items), "here")], rule)


def test_the_normal_form() -> None:
    """Case, punctuation and layout go; operators are words; text beyond ASCII is folded and keeps its letters."""
    assert words("It's 3+4 = 7,\n**isn’t** it?") == ["it", "s", "3", "+", "4", "=", "7", "isn", "t", "it"]
    assert words("1,000 STRASSE x^2") == ["1", "000", "strasse", "x", "^", "2"]
    assert words("Straße café—bar ﬁne") == ["strasse", "café", "bar", "fine"]
    assert words(" .,;\n") == words("") == []


def test_equal_words_have_equal_hashes_and_others_do_not() -> None:
    """Words of 1 to 40 letters that differ in one place anywhere: all hashes differ, wherever the words stand."""
    base = "abcdefghijklmnopqrstuvwxyz0123456789abcd"
    made = [base[:length] for length in range(1, 41)]
    made += [base[:at] + "X" + base[at + 1 : length] for length in (3, 8, 9, 16, 17, 40) for at in range(length)]
    text = " ".join(made)

    forward = hash_words(normal_bytes(text)).hashes
    backward = hash_words(normal_bytes(", ".join(made[::-1]))).hashes
    assert len(set(forward.tolist())) == len({word.lower() for word in made})
    assert (forward == backward[::-1]).all()


def test_letters_are_told_from_numbers() -> None:
    """A word counts as text where it has a letter."""
    data = normal_bytes("a 12 3b + é 4")
    assert with_letter(data.lower(), hash_words(data)).tolist() == [True, False, True, False, True, False]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_ngram_hashes_are_equal_exactly_where_the_words_are(n: int) -> None:
    """Against tuples of words, in a text where n-grams repeat."""
    text = random.Random(n).choices("ab", k=400)
    hashes = ngram_hashes(hash_words(" ".join(text).encode()).hashes, n)
    tuples = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]

    assert len(hashes) == len(tuples)
    assert len(set(hashes.tolist())) == len(set(tuples)) == len(set(zip(hashes.tolist(), tuples, strict=True)))
    assert len(ngram_hashes(hashes[:3], 4)) == 0


def test_a_hand_worked_overlap() -> None:
    """20 words, of which a document holds words 0-9 and 12-19: coverage 18 of 20, longest run 10, no 13-gram."""
    question = [f"w{letter}" for letter in "abcdefghijklmnopqrst"]
    text = " ".join(["x", *question[:10], "y", "z", *question[12:], "x"])
    found = overlap([text, " ".join(question[:7])], [Item("q", " ".join(question))])

    (hit,) = found.hits
    assert (hit.document, hit.item, hit.part, hit.coverage, hit.longest) == ("train.jsonl:1", "q", "question", 0.9, 10)
    assert (found.found[0].any_8["question"], found.found[0].any_13["question"], found.copied) == (1, 0, 1)


def test_the_rule_at_its_edges() -> None:
    """A run of 13 is a copy and one of 12 in a long question is not; half of a short question is not."""
    long = [f"w{i}x" for i in range(60)]
    items = [Item("long", " ".join(long))]
    assert overlap([" ".join(long[20:33])], items).copied == 1
    assert overlap([" ".join(long[20:32])], items).copied == 0
    assert overlap([" ".join(long[20:32])], items, CopyRule(n=12)).copied == 1
    short = [Item("short", " ".join(long[:12]))]
    assert overlap([" ".join(long[:8])], short).copied == 0
    assert overlap([" ".join(long[:12])], short).copied == 1
    for n, coverage in ((7, 0.5), (13, 0.0), (13, 1.1)):
        with pytest.raises(InputError, match="must"):
            CopyRule(n, coverage)


def test_words_of_the_prompt_are_not_content() -> None:
    """What stands in every question is left out, so that sharing it is no overlap; the rest still counts."""
    wording = "think step by step and then give the final answer as one number"
    items = [Item(str(i), f"{prose(i, 20)} {wording}") for i in range(20)]

    assert overlap([f"{prose(99, 30)} {wording}"], items).found[0].any_8["question"] == 0
    found = overlap([items[3].question], items)
    assert [hit.item for hit in found.hits] == ["3"] and found.hits[0].coverage == 1.0


def test_sums_are_not_text() -> None:
    """Two solutions share "12 / 4 = 3 3 + 5 = 8": not an overlap, while words around numbers are."""
    sums = "12 / 4 = 3 3 + 5 = 8 8 / 2 = 4 4"
    items = [Item("q", prose(1, 20), f"{sums} so {prose(2, 9)}")]
    assert overlap([f"{sums} thus"], items).found[0].any_8["answer"] == 0
    assert overlap([f"{sums} so {prose(2, 9)}"], items).hits[0].part == "answer"


def test_short_questions() -> None:
    """Five to seven words are looked for whole, fewer are counted as not looked for."""
    items = [Item("five", "what is the largest prime"), Item("three", "how many apples")]
    found = overlap(["Q: What is the largest prime? how many apples"], items)

    assert [hit.item for hit in found.hits] == ["five"]
    assert found.found[0].too_short == 1
    assert overlap(["what is the largest number"], items).hits == ()


def test_no_match_across_documents() -> None:
    """The end of one row and the beginning of the next are not a passage."""
    question = prose(5, 12).split()
    assert overlap([" ".join(question[:6]), " ".join(question[6:])], [Item("q", " ".join(question))]).hits == ()


@pytest.mark.parametrize("block", [200, 2**20])
def test_every_planted_copy_is_found_and_nothing_else(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 items, 100 planted with other case and punctuation among 300 texts: recall 1, no other hit, any block size.

    The coverage of partial copies equals a plain count in Python.
    """
    monkeypatch.setattr(ngrams, "BLOCK", block)
    items = [Item(str(i), prose(i, 30)) for i in range(300)]
    rng = random.Random(0)
    texts = [prose(1000 + i, 60) for i in range(300)]
    whole, part = list(range(100)), list(range(100, 120))
    for i in whole:
        texts[i] = f"{texts[i]}. {items[i].question.upper().replace(' ', ', ')}! {prose(2000 + i, 20)}"
    expected = {}
    for i in part:
        kept = [word if rng.random() < 0.93 else "changed" for word in items[i].question.split()]
        texts[i] = f"{prose(3000 + i, 10)} {' '.join(kept)} {prose(4000 + i, 10)}"
        expected[str(i)] = plain_coverage(words(items[i].question), words(texts[i]))
    found = overlap(texts, items, CopyRule(n=8))

    hits = {hit.item: hit for hit in found.hits}
    assert {str(i) for i in whole} <= set(hits) <= {str(i) for i in (*whole, *part)}
    assert all(hits[str(i)].coverage == 1.0 and hits[str(i)].longest == 30 for i in whole)
    assert {i: hits[i].coverage if i in hits else 0.0 for i in expected} == pytest.approx(expected, abs=1e-4)


def plain_coverage(question: list[str], text: list[str], n: int = 8) -> float:
    grams = {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}
    marks = np.zeros(len(question))
    for i in range(len(question) - n + 1):
        if tuple(question[i : i + n]) in grams:
            marks[i : i + n] = 1
    return float(marks.mean())


def test_nothing_to_search() -> None:
    """Empty documents and an empty set of items are no error."""
    assert overlap(["", " "], [Item("q", prose(1, 20))]).copied == 0
    assert overlap(["text"], []).found[0].items == 0


@pytest.mark.parametrize(
    "disguised",
    [
        "T\u200bhe bak\u00ader\u2060 s\ufe0fold for\ufeffty loaves",
        "Тhe bаkеr ѕоld fоrtу lоаvеѕ",
        "Τhe bαker sοld fοrty lοaνes".replace("ν", "ᴠ"),
        "𝐓𝐡𝐞 𝕓𝕒𝕜𝕖𝕣 ｓｏｌｄ 𝘧𝘰𝘳𝘵𝘺 ⓛoaves",
    ],
)
def test_a_disguise_that_no_reader_sees_changes_no_word(disguised: str) -> None:
    """Zero-width and soft hyphens, Cyrillic and Greek look-alikes, letters of mathematics: the same words."""
    assert not disguised.isascii()
    assert words(disguised) == ["the", "baker", "sold", "forty", "loaves"]


def test_text_of_another_script_keeps_its_words() -> None:
    """Folding is the same on both sides, whatever the case: a Russian text matches its copy, and no other text."""
    assert words("Сколько яблок у Маши?") == words("сколько ЯБЛОК у маши?")
    assert len(set(words("вода рука дом река"))) == 4
