"""Questions over a small collection of texts that must be searched, often twice: which town, then what of the town.

The collection is generated, so that no model has read it, and searched by words (BM25, Robertson and Zaragoza 2009, by
the library bm25s). A question names a firm or asks about the town where a firm is; the answer is one word of one text.
"""

from __future__ import annotations

import functools
import random
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.problems import environment_problems

INSTRUCTION = "Look it up with the tool search, more than once if you must, then call the tool answer with one word."
SHOWN = 3
TOWNS, FIRMS = 60, 240
STARTS = (
    "Bar",
    "Cal",
    "Dor",
    "Fen",
    "Gil",
    "Har",
    "Kel",
    "Lor",
    "Mar",
    "Nor",
    "Pel",
    "Ros",
    "Sel",
    "Tar",
    "Ver",
    "Wil",
)
ENDS = ("bury", "den", "field", "ford", "ham", "holm", "ley", "mere", "mouth", "stead", "ton", "wick")
GOODS = (
    "boots",
    "bricks",
    "clocks",
    "gloves",
    "kettles",
    "lamps",
    "ladders",
    "paper",
    "ropes",
    "spoons",
    "tiles",
    "wagons",
)
RIVERS = ("Aven", "Brill", "Corve", "Dunn", "Esk", "Frome", "Glyme", "Isla", "Lune", "Moy", "Otter", "Yarrow")
TREES = ("alder", "ash", "beech", "birch", "cherry", "elm", "linden", "maple", "oak", "pine", "poplar", "willow")


class TextSearch:
    """Reward 1 for the right word in the first call of `answer`."""

    def __init__(self) -> None:
        self.gold, self.given, self.done = "", "", False
        self.texts, self.index = collection()

    def reset(self, question: str, gold: str, **row: object) -> str:
        """A new question."""
        self.gold, self.given, self.done = gold, "", False
        return f"{question}\n\n{INSTRUCTION}"

    def search(self, query: str) -> str:
        """Find the texts that have most to do with some words.

        Args:
            query: the words to look for
        """
        found, scores = self.index.retrieve([words(str(query))], k=SHOWN, show_progress=False)
        hits = [self.texts[at] for at, score in zip(found[0], scores[0], strict=True) if score > 0]
        return "\n".join(hits) or "nothing was found"

    def answer(self, word: str) -> str:
        """Give the final answer. Only the first one counts.

        Args:
            word: the word alone
        """
        if not self.done:
            self.given, self.done = str(word), True
        return "thank you"

    def get_reward(self) -> float:
        """1 for the right word, whatever its case, else 0."""
        return float(self.given.strip().strip(".").casefold() == self.gold.casefold())


def words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return ["".join(filter(str.isalnum, word)) for word in text.casefold().split()]


@functools.cache
def facts() -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    """Of each town its river and tree, and of each firm its goods and town; always the same."""
    rng = random.Random("text-search")
    names = [start + end for start in STARTS for end in ENDS]
    rng.shuffle(names)
    towns = {name: (rng.choice(RIVERS), rng.choice(TREES)) for name in names[:TOWNS]}
    middle, last = names[TOWNS : TOWNS + 60], ("Brothers", "Company", "Sons", "Works")
    firms = {f"{a} {b}": (rng.choice(GOODS), rng.choice(sorted(towns))) for a in middle for b in last}
    return towns, dict(list(firms.items())[:FIRMS])


@functools.cache
def collection() -> tuple[list[str], Any]:
    """The texts and their index."""
    try:
        import bm25s
    except ImportError as error:
        raise InputError("bm25s is not installed: install rlpath[train] to search texts") from error
    towns, firms = facts()
    texts = [f"{firm} makes {goods}. Its workshop is in {town}." for firm, (goods, town) in firms.items()]
    texts += [f"{town} lies on the river {river}. Its tree is the {tree}." for town, (river, tree) in towns.items()]
    index = bm25s.BM25()
    index.index([words(text) for text in texts], show_progress=False)
    return texts, index


def text_search(
    split: Side = "train",
    *,
    size: int = 200,
    seed: int = 0,
    held_out_fraction: float = 0.25,
    limits: Limits | None = None,
) -> ProblemSet:
    """`size` questions of one side, whose firms are asked about on no other. Raises InputError where they are fewer."""
    check_split(split, held_out_fraction)
    towns, firms = facts()
    rows = []
    for firm, (goods, town) in firms.items():
        if side_of(f"text-search/{firm}", held_out_fraction) == split:
            river, tree = towns[town]
            asked = {
                "goods": (f"What does {firm} make?", goods),
                "town": (f"In which town is the workshop of {firm}?", town),
                "river": (f"On which river lies the town where {firm} has its workshop?", river),
                "tree": (f"What is the tree of the town where {firm} has its workshop?", tree),
            }
            rows += [{"id": f"{firm}/{what}", "question": q, "gold": gold} for what, (q, gold) in asked.items()]
    random.Random(f"{seed}/{split}/text-search").shuffle(rows)
    if not 1 <= size <= len(rows):
        raise InputError(f"there are {len(rows)} {split} questions for text search: {size} were asked for")
    return environment_problems("text-search", TextSearch, rows[:size], split=split, limits=limits)
