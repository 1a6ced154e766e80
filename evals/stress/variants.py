"""The same word problem told again: with other numbers, other names and things, or a number that must not be used.

`STORIES_TASK` asks the published telling of every story: it is fixed, so that anyone may have trained on it. What a
fresh seed tells is new, and no harder on average to a model that reads.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Problem, ProblemSet
from rlpath.evals.contamination.perturb import NAMES
from rlpath.evals.stress.stories import STORIES, Story
from rlpath.evals.suite.task import Task, Template
from rlpath.evals.suite.tasks import NUMBER_TEMPLATES, NUMBER_TRIVIAL, WORD_PROBLEM
from rlpath.rewards.verifiers.number import NumberVerifier

PUBLISHED = 0
"""The seed of the published telling."""
MOST = 50
"""Most tellings of one story."""
DISTRACTIONS = (
    "The clock on the wall was made {n} years ago.",
    "The house across the street has the number {n}.",
    "A radio nearby is tuned to channel {n}.",
    "The bus to the airport is line {n}.",
    "The oldest tree in the town is {n} years old.",
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Telling:
    """A story told of numbers, two names and a thing. `number` tells apart the tellings of one story."""

    story: Story
    number: int
    numbers: Mapping[str, int]
    name: str
    other: str
    thing: str

    @property
    def question(self) -> str:
        """What is asked."""
        return self.story.text.format(name=self.name, other=self.other, thing=self.thing, **self.numbers)

    @property
    def gold(self) -> str:
        """The answer: the last of the story's steps."""
        return str(_steps(self.story, self.numbers)[-1])

    def problem(self) -> Problem:
        """As a problem; `meta` names the story, the cluster of the statistics."""
        return Problem(f"{self.story.name}-{self.number}", self.question, self.gold, {"story": self.story.name})


def tellings(size: int | None = None, seed: int = PUBLISHED) -> list[Telling]:
    """`size` tellings or a few more, equally many of each story; 4 of each unless told, one each of few stories.

    Raises InputError for more than there are.
    """
    rng = random.Random(derive(seed, "stories"))
    stories = STORIES if size is None or size >= len(STORIES) else rng.sample(STORIES, size)
    each = 4 if size is None else math.ceil(size / len(stories))
    if each > MOST:
        raise InputError(f"there are at most {MOST * len(STORIES)} stories, asked for {size}")
    told = [_tell(story, each, seed) for story in stories]
    return [telling for row in zip(*told, strict=True) for telling in row]


def _tell(story: Story, count: int, seed: int) -> list[Telling]:
    """`count` tellings of a story, no two of the same numbers."""
    found: list[Telling] = []
    for number in range(count):
        child = derive(seed, "telling", story.name, number)
        numbers = _numbers(story, child, [telling.numbers for telling in found])
        found.append(Telling(story, number, numbers, *_who_and_what(story, child)))
    return found


def with_other_numbers(telling: Telling, seed: int) -> Telling:
    """The telling of new numbers, from the same ranges; the answer is computed again."""
    seed = derive(seed, "numbers", telling.story.name, telling.number)
    return replace(telling, numbers=_numbers(telling.story, seed, [telling.numbers]))


def renamed(telling: Telling, seed: int) -> Telling:
    """The telling of other people and, mostly, other things; the answer stays."""
    seed = derive(seed, "names", telling.story.name, telling.number)
    name, other, thing = _who_and_what(telling.story, seed, (telling.name, telling.other))
    return replace(telling, name=name, other=other, thing=thing)


def distracted(question: str, gold: str, seed: int) -> str:
    """`question` with a sentence before its last one whose number, found nowhere else in it, must not be used."""
    rng = random.Random(derive(seed, "distraction", question))
    taken = {*_DIGITS.findall(question), gold}
    number = rng.choice([n for n in range(11, 100) if str(n) not in taken])
    *before, last = _SENTENCE.split(question.strip())
    return " ".join([*before, rng.choice(DISTRACTIONS).format(n=number), last])


def _who_and_what(story: Story, seed: int, besides: tuple[str, ...] = ()) -> tuple[str, str, str]:
    rng = random.Random(derive(seed, "who and what"))
    name, other = rng.sample([name for name in NAMES if name not in besides], 2)
    return name, other, rng.choice(story.things)


def _numbers(story: Story, seed: int, besides: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    """Numbers under which every step is whole and positive, and the telling is none of `besides`."""
    rng = random.Random(derive(seed, "numbers"))
    while True:
        numbers = {slot: rng.choice(values) for slot, values in story.numbers.items()}
        steps = _steps(story, numbers)
        if numbers not in besides and all(step > 0 and step.denominator == 1 for step in steps):
            return numbers


def _steps(story: Story, numbers: Mapping[str, int]) -> list[Fraction]:
    return list(story.steps(**{slot: Fraction(value) for slot, value in numbers.items()}))


def stories(size: int | None = None, seed: int = PUBLISHED) -> ProblemSet:
    """The tellings of `seed` as problems; whatever the seed, their ids are the same."""
    problems = tuple(telling.problem() for telling in tellings(size, seed))
    return ProblemSet("stories", "test", problems, NumberVerifier(), "procedural")


PLAIN_TEXT = Template("text", "Question: {question}\nAnswer:", chat=False, stop=("Question:",))

STORIES_TASK = Task(
    "stories",
    lambda size, _: stories(size),
    templates=(*(template for template in NUMBER_TEMPLATES if not template.shots), PLAIN_TEXT),
    max_tokens=192,
    strict=WORD_PROBLEM["strict"],
    flexible=WORD_PROBLEM["flexible"],
    trivial=NUMBER_TRIVIAL,
)
