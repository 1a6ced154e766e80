"""What the lab trains on: real text with items planted 0 to 64 times, in several forms, from one random split.

Items are GSM8K training problems (question and solution) of moderate length, dealt out at random: planted items,
references and unseen items are alike in everything but having been planted, and nothing of any test split is needed.
The rest of the corpus is other GSM8K training problems and Shakespeare.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.envs.files import data_file, read_jsonl
from rlpath.evals.contamination.canary import make_canary
from rlpath.evals.contamination.perturb import rephrase

Form = Literal["verbatim", "rephrased", "answer only"]
FORMS: tuple[Form, ...] = ("verbatim", "rephrased", "answer only")
LONGEST = 45
"""Words of a question, and of a solution, at most: five or so items fit a context."""

_CALCULATOR = re.compile(r"<<[^>]*>>")


@dataclass(frozen=True, slots=True)
class PlantingPlan:
    """How much of everything. `exposures` are the numbers of copies; `each` items are planted in each form and number.

    A set is `set_size` questions, planted whole: `ordered` and `shuffled` say how many sets are planted how often, in
    their own order each time or in a new one.
    """

    exposures: tuple[int, ...] = (1, 4, 16, 64)
    each: int = 20
    unseen: int = 200
    references: int = 100
    set_size: int = 40
    ordered: tuple[tuple[int, int], ...] = ((3, 1), (3, 4), (3, 16), (1, 64))
    shuffled: tuple[tuple[int, int], ...] = ((3, 16),)
    unseen_sets: int = 6
    canaries: int = 5
    background: int = 900
    shakespeare: int = 150_000
    vocabulary: int = 2048


@dataclass(frozen=True, slots=True)
class ItemText:
    """An item: question and solution."""

    question: str
    solution: str

    @property
    def whole(self) -> str:
        """As it stands in the corpus."""
        return f"{self.question}\n{self.solution}"


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions in their published order, and how they were planted: `ordered` or shuffled again each time."""

    questions: tuple[str, ...]
    exposures: int
    ordered: bool


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary and how often it was planted."""

    name: str
    exposures: int


@dataclass
class Corpus:
    """Documents in training order (`plays` are those by Shakespeare), and what was planted in them."""

    documents: list[str] = field(default_factory=list)
    plays: frozenset[str] = frozenset()
    planted: dict[tuple[Form, int], list[ItemText]] = field(default_factory=dict)
    unseen: list[ItemText] = field(default_factory=list)
    references: list[ItemText] = field(default_factory=list)
    sets: list[QuestionSet] = field(default_factory=list)
    canaries: list[Canary] = field(default_factory=list)


def build(plan: PlantingPlan, seed: int) -> Corpus:
    """The corpus of one seed, which fixes the split, the rephrasings and the order of the documents.

    Raises InputError where RLPATH_DATA lacks GSM8K's training split or Shakespeare, or has too few items.
    """
    pool = random.Random(derive(seed, "split")).sample(_items(), len(_items()))
    corpus = Corpus()
    documents: list[str] = []
    for form in FORMS:
        for exposures in plan.exposures:
            corpus.planted[form, exposures] = _take(pool, plan.each)
            for index, item in enumerate(corpus.planted[form, exposures]):
                documents += [_written(item, form, derive(seed, "rephrase", index))] * exposures
    corpus.unseen, corpus.references = _take(pool, plan.unseen), _take(pool, plan.references)
    generator = random.Random(derive(seed, "order"))
    for count, exposures, ordered in _sets(plan):
        for _ in range(count):
            one = QuestionSet(tuple(item.question for item in _take(pool, plan.set_size)), exposures, ordered)
            corpus.sets.append(one)
            for _ in range(exposures):
                order = one.questions if ordered else generator.sample(one.questions, len(one.questions))
                documents.append("\n".join(order))
    for exposures in (0, *plan.exposures):
        for index in range(plan.canaries):
            corpus.canaries.append(Canary(f"lab-{seed}-{exposures}-{index}", exposures))
            documents += [make_canary(corpus.canaries[-1].name)] * exposures
    documents += [item.whole for item in _take(pool, plan.background)]
    plays = _shakespeare(plan.shakespeare)
    documents += plays
    corpus.plays = frozenset(plays)
    corpus.documents = generator.sample(documents, len(documents))
    return corpus


def _sets(plan: PlantingPlan) -> Iterator[tuple[int, int, bool]]:
    """Number of sets, how often each is planted, and whether in order."""
    yield from ((count, exposures, True) for count, exposures in plan.ordered)
    yield from ((count, exposures, False) for count, exposures in plan.shuffled)
    yield plan.unseen_sets, 0, True


def set_text(questions: Sequence[str]) -> list[str]:
    """The questions of a set as they stand in the corpus, each with the line end that parts it from the next."""
    return [f"{question}\n" for question in questions]


def _written(item: ItemText, form: Form, seed: int) -> str:
    if form == "answer only":
        return item.solution
    if form == "rephrased":
        return f"{rephrase(item.question, seed)}\n{rephrase(item.solution, seed)}"
    return item.whole


@lru_cache(maxsize=1)
def _items() -> list[ItemText]:
    rows = read_jsonl(_data("gsm8k/train.jsonl"), ("question", "answer"))
    items = [ItemText(row["question"].strip(), _CALCULATOR.sub("", row["answer"]).strip()) for row in rows]
    return [item for item in items if max(len(item.question.split()), len(item.solution.split())) <= LONGEST]


def _take(pool: list[ItemText], count: int) -> list[ItemText]:
    if len(pool) < count:
        raise InputError(f"the plan needs {count} more items than GSM8K has of this length: ask for fewer")
    taken = pool[:count]
    del pool[:count]
    return taken


def _shakespeare(characters: int, each: int = 1000) -> list[str]:
    """The beginning of the plays, in pieces."""
    text = _data("text/tinyshakespeare.txt").read_text(encoding="utf-8")[:characters]
    return [text[start : start + each] for start in range(0, len(text), each)]


def _data(relative: str) -> Path:
    path = data_file(relative)
    if path is None:
        raise InputError(f"the lab needs {relative}: set RLPATH_DATA to a folder that holds it")
    return path
