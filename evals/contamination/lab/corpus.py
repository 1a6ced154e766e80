"""What the lab trains on: real text with items planted 0 to 64 times, in several forms, from one random split.

Items are GSM8K training problems (question and solution) of moderate length, dealt out at random: planted items,
references and unseen items are alike in everything but having been planted, and nothing of any test split is needed.
The rest of the corpus is other GSM8K training problems and Shakespeare.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rlpath.envs.files import data_file, read_jsonl
from rlpath.errors import InputError
from rlpath.evals.contamination.canary import make_canary
from rlpath.evals.contamination.perturb import rephrase
from rlpath.seeding import derive

Form = Literal["verbatim", "rephrased", "answer only"]
FORMS: tuple[Form, ...] = ("verbatim", "rephrased", "answer only")
END = "<|end|>"
LONGEST = 45
"""Words of a question, and of a solution, at most: five or so items fit a context."""

_CALCULATOR = re.compile(r"<<[^>]*>>")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. `exposures` are the numbers of copies; `each` items are planted in each form and number.

    An ordered set is `set_size` questions in a fixed order, planted whole; `sets` of them for each number of exposures.
    """

    exposures: tuple[int, ...] = (1, 4, 16, 64)
    each: int = 20
    unseen: int = 200
    references: int = 100
    set_size: int = 40
    sets: int = 1
    unseen_sets: int = 6
    set_exposures: tuple[int, ...] = (1, 4, 16)
    canaries: int = 5
    background: int = 900
    shakespeare: int = 150_000
    vocabulary: int = 2048


@dataclass(frozen=True, slots=True)
class Text:
    """An item: question and solution."""

    question: str
    solution: str

    @property
    def whole(self) -> str:
        """As it stands in the corpus."""
        return f"{self.question}\n{self.solution}"


@dataclass(frozen=True, slots=True)
class OrderedSet:
    """Questions in their published order, and how they were planted: `ordered` or shuffled anew each time."""

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
    planted: dict[tuple[Form, int], list[Text]] = field(default_factory=dict)
    unseen: list[Text] = field(default_factory=list)
    references: list[Text] = field(default_factory=list)
    sets: list[OrderedSet] = field(default_factory=list)
    canaries: list[Canary] = field(default_factory=list)


def build(plan: Plan, seed: int) -> Corpus:
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
    for exposures, ordered in (*((n, True) for n in plan.set_exposures), (max(plan.set_exposures), False)):
        for _ in range(plan.sets):
            one = OrderedSet(tuple(item.question for item in _take(pool, plan.set_size)), exposures, ordered)
            corpus.sets.append(one)
            for _ in range(exposures):
                order = one.questions if ordered else generator.sample(one.questions, len(one.questions))
                documents.append("\n".join(order))
    for _ in range(plan.unseen_sets):
        corpus.sets.append(OrderedSet(tuple(item.question for item in _take(pool, plan.set_size)), 0, True))
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


def set_text(questions: Sequence[str]) -> list[str]:
    """The questions of a set as they stand in the corpus, each with the line end that parts it from the next."""
    return [f"{question}\n" for question in questions]


def tokenizer_for(documents: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer trained on the documents; the token `END` closes each of them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(dict.fromkeys(documents), trainer)
    return tokenizer


def token_stream(tokenizer: Tokenizer, documents: Sequence[str]) -> list[int]:
    """All documents as one stream of tokens, each closed by `END`."""
    (end,) = tokenizer.encode(END).ids
    return [token for encoded in tokenizer.encode_batch(list(documents)) for token in (*encoded.ids, end)]


def _written(item: Text, form: Form, seed: int) -> str:
    if form == "answer only":
        return item.solution
    if form == "rephrased":
        return f"{rephrase(item.question, seed)}\n{rephrase(item.solution, seed)}"
    return item.whole


@lru_cache(maxsize=1)
def _items() -> list[Text]:
    rows = read_jsonl(_data("gsm8k/train.jsonl"), ("question", "answer"))
    items = [Text(row["question"].strip(), _CALCULATOR.sub("", row["answer"]).strip()) for row in rows]
    return [item for item in items if max(len(item.question.split()), len(item.solution.split())) <= LONGEST]


def _take(pool: list[Text], count: int) -> list[Text]:
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
