"""Text for a model of a few million weights: sums in plain words, worked word problems, and what books are at hand.

The sums and problems are those of the training sides of `arithmetic` and `word_problems`, without the problems one of
whose steps is a held-out sum: what is held out there is in none of this text, by construction. `held_out_sums` looks
for it all the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from rlpath.core.types import Problem
from rlpath.envs.arithmetic import arithmetic
from rlpath.envs.files import data_file
from rlpath.envs.word_problems import word_problems

FORMS = (
    "{a} {sign} {b} = {gold}.",
    "{a} {word} {b} is {gold}.",
    "{a} {word} {b} makes {gold}.",
    "If you have {a} {sign} {b}, you have {gold}.",
    "The answer to {a} {sign} {b} is {gold}.",
)
WORDS = {"+": "plus", "-": "minus", "*": "times"}
BOOK = "text/tinyshakespeare.txt"
SUMS_A_DOCUMENT = 3
_ASKED = re.compile(rf"(\d+) (?:[-+*]|{'|'.join(WORDS.values())}) (?=(\d+))")


def tiny_text(
    level: str, sums: int, stories: int, speeches: int = 0, seed: int = 0
) -> tuple[list[str], dict[str, int]]:
    """Short documents in an order fixed by `seed`, and how many of each kind.

    `sums` documents have three sums each, of the training side of `level`; at most `stories` are word problems with
    their solutions, and at most `speeches` are from a book, where RLPATH_DATA holds one.
    Raises InputError for an unknown level, and one too large to list.
    """
    rng = random.Random(f"{seed}/tiny-text")
    asked = arithmetic("train", level).problems
    found = word_problems("train", size=stories, seed=seed).problems if stories else ()
    worked = [f"{p.prompt.split(chr(10))[0]} {p.meta['solution']}".replace("\n", " ") for p in found]
    held_out = _pairs(arithmetic("validation", level).problems)
    kinds = {
        "sums": [_sentences(rng.choices(asked, k=SUMS_A_DOCUMENT), rng) for _ in range(sums)],
        "word problems": [text for text in worked if not _pairs_in(text) & held_out],
        "speeches of a book": _speeches(speeches, rng),
    }
    documents = [document for kind in kinds.values() for document in kind]
    rng.shuffle(documents)
    return documents, {kind: len(texts) for kind, texts in kinds.items() if texts}


def held_out_sums(documents: Iterable[str], held_out: Iterable[Problem]) -> list[str]:
    """The documents that ask for one of these problems in signs or words, with the operands in either order."""
    pairs = _pairs(held_out)
    return [document for document in documents if _pairs_in(document) & pairs]


def _sentences(problems: Iterable[Problem], rng: random.Random) -> str:
    sentences = []
    for problem in problems:
        a, b = problem.meta["operands"]
        sign = problem.meta["operation"]
        sentences.append(rng.choice(FORMS).format(a=a, b=b, sign=sign, word=WORDS[sign], gold=problem.gold))
    return " ".join(sentences)


def _speeches(count: int, rng: random.Random) -> list[str]:
    book = data_file(BOOK) if count else None
    if book is None:
        return []
    parts = [part for part in book.read_text(encoding="utf-8").split("\n\n") if part.strip()]
    return rng.sample(parts, min(count, len(parts)))


def _pairs(problems: Iterable[Problem]) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for problem in problems for pair in [problem.meta["operands"]]}


def _pairs_in(text: str) -> set[tuple[int, int]]:
    """The two numbers of everything that is asked in a text, the smaller first."""
    return {(min(pair), max(pair)) for found in _ASKED.findall(text) for pair in [(int(found[0]), int(found[1]))]}
