"""Text for a model of a few million weights: sums, bare and worked out, word problems, and what books are at hand.

The sums and problems are those of the training sides of `arithmetic` and `word_problems`, without the problems one of
whose steps is a held-out sum: what is held out there is in none of this text, by construction. `held_out_sums` looks
for it all the same. A sum is worked out column by column, as at school: such a model learns to add two digits, and to
carry, long before it learns to add two numbers at once.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet
from rlpath.envs.arithmetic import arithmetic
from rlpath.envs.files import data_file
from rlpath.envs.splits import Side
from rlpath.envs.word_problems import word_problems

FORMS = ("{a} plus {b} is {gold}.", "{a} + {b}: {worked}", "What is {a} + {b}? {worked}")
PROMPT = "What is {a} + {b}? Work it out, then give the sum."
BOOK = "text/tinyshakespeare.txt"
SUMS_A_DOCUMENT = 3
_ASKED = re.compile(r"(\d+) (?:[-+*]|plus) (?=(\d+))")


def worked_sums(split: Side, level: str, *, size: int | None = None, seed: int = 0) -> ProblemSet:
    """The sums of `arithmetic`, asked with their working, which is the solution of each.

    Raises InputError for a level that does not exist or has more than sums.
    """
    found = arithmetic(split, level, size=size, seed=seed)
    if any(problem.meta["operation"] != "+" for problem in found.problems):
        raise InputError(f"level {level} has more than sums: choose one whose name begins with add and has no sub")
    problems = []
    for problem in found.problems:
        a, b = problem.meta["operands"]
        meta = {**problem.meta, "solution": working(a, b)}
        problems.append(replace(problem, prompt=PROMPT.format(a=a, b=b), meta=meta))
    return replace(found, name=f"worked-sums:{level}", problems=tuple(problems))


def working(a: int, b: int) -> str:
    """A sum worked out from the last column: 48 + 7 is "8 + 7 = 15, 4 + 1 = 5. #### 55"; each column adds its carry."""
    columns, carry = [], 0
    for place, digits in enumerate(zip_longest(str(a)[::-1], str(b)[::-1])):
        terms = [int(digit) for digit in digits if digit is not None] + ([carry] if place else [])
        columns.append(f"{' + '.join(map(str, terms))} = {sum(terms)}")
        carry = sum(terms) // 10
    return f"{', '.join(columns)}. #### {a + b}"


def tiny_text(
    level: str, sums: int, stories: int, speeches: int = 0, seed: int = 0
) -> tuple[list[str], dict[str, int]]:
    """Short documents in an order fixed by `seed`, and how many of each kind.

    `sums` documents have three sums each, of the training side of `level`, most of them worked out; at most `stories`
    are word problems with their solutions, and at most `speeches` are from a book, where RLPATH_DATA holds one.
    Raises InputError for a level that does not exist, has more than sums, or is too large to list.
    """
    rng = random.Random(f"{seed}/tiny-text")
    asked = worked_sums("train", level).problems
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
        worked = problem.meta["solution"]
        sentences.append(rng.choice(FORMS).format(a=a, b=b, worked=worked, gold=problem.gold))
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
