"""Text for a model of a few million weights: sums in plain words, worked word problems, and what books are at hand.

The sums and problems are those of the training sides of `arithmetic` and `word_problems`, without the problems one of
whose steps is a held-out sum: what is held out there is in none of this text, by construction.
"""

from __future__ import annotations

import random
import re

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
_STEP = re.compile(r"(\d+) [-+*] (\d+) =")


def tiny_text(level: str, size: int, seed: int = 0) -> tuple[list[str], dict[str, int]]:
    """`size` short documents in an order fixed by `seed`, and how many of each kind; a book's speeches are added.

    A third are word problems with their solutions, the others three sums each, of the training side of `level`.
    Raises InputError for an unknown level, and one too large to list.
    """
    rng = random.Random(f"{seed}/tiny-text")
    sums = arithmetic("train", level).problems
    held_out = {tuple(sorted(p.meta["operands"])) for p in arithmetic("validation", level).problems}
    stories = [
        story
        for story in word_problems("train", size=size // 3, seed=seed).problems
        if not any(tuple(sorted(map(int, step))) in held_out for step in _STEP.findall(story.meta["solution"]))
    ]
    documents = [f"{p.prompt.split(chr(10))[0]} {p.meta['solution']}".replace("\n", " ") for p in stories]
    for _ in range(size - len(documents)):
        lines = []
        for problem in rng.choices(sums, k=3):
            a, b = problem.meta["operands"]
            sign = problem.meta["operation"]
            lines.append(rng.choice(FORMS).format(a=a, b=b, sign=sign, word=WORDS[sign], gold=problem.gold))
        documents.append(" ".join(lines))
    counts = {"sums": len(documents) - len(stories), "word problems": len(stories)}
    if book := data_file(BOOK):
        speeches = [part for part in book.read_text(encoding="utf-8").split("\n\n") if part.strip()]
        documents += speeches
        counts["speeches of a book"] = len(speeches)
    rng.shuffle(documents)
    return documents, counts
