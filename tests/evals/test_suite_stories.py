"""Our own word problems: every gold answer computed again from the words, and what a change leaves as it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from rlpath.core.errors import InputError
from rlpath.evals.stress.probes import FORMATS
from rlpath.evals.stress.stories import STORIES
from rlpath.evals.stress.variants import STORIES_TASK, distracted, renamed, stories, tellings, with_other_numbers
from rlpath.rewards.verifiers.number import NumberVerifier

# Written from the texts alone: the numbers of a question in the order in which they are read, and its answer.
ANSWERS: dict[str, Callable[..., float]] = {
    "bakery": lambda trays, each, sold: trays * each - sold,
    "change": lambda count, price, paid: paid - price * count,
    "sharing": lambda had, given, children: (had + given) / children,
    "walks": lambda morning, evening, days: days * morning + days * evening,
    "reading": lambda pages, daily, days: pages - days * daily,
    "times as many": lambda first, times: first * (1 + times),
    "wages": lambda rate, hours, days: days * hours * rate,
    "sale": lambda price, percent: price * (100 - percent) / 100,
    "buses": lambda pupils, teachers, seats: (teachers + pupils) / seats,
    "fence": lambda long, wide: 2 * long + 2 * wide,
    "tank": lambda pumped, size, lost: size / (pumped - lost),
    "hens": lambda hens, eggs, box: hens * eggs / box,
    "saving": lambda start, weekly, goal: (goal - start) / weekly,
    "half": lambda had, bought: 0.5 * had + bought,
    "bicycles": lambda pupils, one_in: pupils * (one_in - 1) / one_in,
    "more than": lambda first, more: 2 * first + more,
    "fewer": lambda first, fewer: 2 * first - fewer,
    "chairs": lambda a, b, c, d: a * b + c * d,
    "tickets": lambda adult, child, adults, children: adults * adult + children * child,
    "train": lambda start, off, on, off_again: start + on - off - off_again,
    "speed": lambda distance, hours, other: distance * other / hours,
    "soup": lambda people, grams, other: grams * other / people,
    "two purchases": lambda a, b, c, d: a * b - c * d,
    "paint": lambda each, long, high: long * high / each,
    "practice": lambda a, days, c, others: days * a + others * c,
    "profit": lambda paid, count, price: price * count - paid,
    "average": lambda a, b, c: (a + b + c) / 3,
    "rope": lambda rope, cut, pieces: (rope - cut) / pieces,
    "library": lambda monday, tuesday: tuesday + monday,
    "crates": lambda crates, each: each * crates,
}


def numbers_in(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\d+", text)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gold_answers_follow_from_the_words(seed: int) -> None:
    """Every gold answer is whole, positive and what a second computation from the question's own numbers gives."""
    told = tellings(120, seed)
    told = [*told, *(with_other_numbers(telling, seed) for telling in told)]
    assert {telling.story.name for telling in told} == set(ANSWERS)
    for telling in told:
        gold = ANSWERS[telling.story.name](*numbers_in(telling.question))
        assert gold == int(telling.gold) > 0, telling.question


def test_there_are_thirty_stories_equally_often() -> None:
    """120 published tellings, four of each story, no two alike, and of few stories one each."""
    problems = stories().problems
    assert len(STORIES) == 30
    assert set(Counter(problem.meta["story"] for problem in problems).values()) == {4}
    assert len({problem.prompt for problem in problems}) == len({problem.id for problem in problems}) == 120
    assert set(Counter(problem.meta["story"] for problem in stories(45).problems).values()) == {2}
    assert len(stories(7)) == len({problem.meta["story"] for problem in stories(7).problems}) == 7


def test_published_stories_do_not_change_with_the_seed() -> None:
    """The task asks the same whatever the seed; another seed tells other problems under the same ids."""
    assert STORIES_TASK.load(30, 0) == STORIES_TASK.load(30, 5)
    published, fresh = stories(), stories(seed=5)
    assert [p.id for p in published.problems] == [p.id for p in fresh.problems]
    same = sum(a.prompt == b.prompt for a, b in zip(published.problems, fresh.problems, strict=True))
    assert same == 0


def test_there_are_enough_numbers_to_each_story() -> None:
    """1,500 different problems can be told, and a request for more is refused."""
    assert len({problem.prompt for problem in stories(1500).problems}) == 1500
    with pytest.raises(InputError, match="at most 1500 stories"):
        stories(1501)


def test_other_numbers_keep_the_people() -> None:
    """New numbers change the question and nothing else, and one seed gives the same ones again."""
    for telling in tellings():
        other = with_other_numbers(telling, 3)
        assert (other.name, other.other, other.thing) == (telling.name, telling.other, telling.thing)
        assert other.numbers != telling.numbers
        assert other == with_other_numbers(telling, 3)
    changed = sum(with_other_numbers(telling, 3).gold != telling.gold for telling in tellings())
    assert changed > 100


def test_renaming_keeps_the_answer() -> None:
    """Other people, none of those before, the same numbers and the same gold."""
    for telling in tellings():
        other = renamed(telling, 3)
        assert other.gold == telling.gold and numbers_in(other.question) == numbers_in(telling.question)
        assert not {other.name, other.other} & {telling.name, telling.other}


def test_a_distraction_adds_one_unused_number_before_the_question() -> None:
    """One sentence more with one number that is neither in the question nor its answer; the last sentence stays."""
    for problem in stories().problems:
        text = distracted(problem.prompt, problem.gold, 3)
        (added,) = [n for n in numbers_in(text) if n not in numbers_in(problem.prompt)]
        assert added != int(problem.gold)
        assert text.split(". ")[-1] == problem.prompt.split(". ")[-1]
        assert len(re.split(r"[.?] ", text)) == len(re.split(r"[.?] ", problem.prompt)) + 1
    assert re.fullmatch(r"(The|A) .*\d\d.*\. What is 8 \+ 95\?", distracted("What is 8 + 95?", "103", 0))


SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety"


def in_words(number: int) -> str:
    """An English number below 10,000, written for this test."""
    small, tens = SMALL.split(), TENS.split()
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            head, rest = divmod(number, size)
            join = " " if rest >= 100 else " and "
            return f"{in_words(head)} {name}" + (join + in_words(rest) if rest else "")
    if number < 20:
        return small[number]
    return tens[number // 10] + (f"-{small[number % 10]}" if number % 10 else "")


def test_the_verifier_reads_every_format() -> None:
    """The gold of every story is read in words, in a box and as JSON, and another number is not taken for it."""
    verify = NumberVerifier()
    forms: dict[str, Callable[[int], str]] = {
        "words": lambda n: f"First we count.\n#### {in_words(n)}",
        "box": lambda n: f"First we count. So it is \\boxed{{{n}}}.",
        "json": lambda n: f'First we count.\n```json\n{{"answer": {n}}}\n```',
    }
    assert set(forms) == set(FORMATS)
    for problem in stories().problems:
        gold = int(problem.gold)
        for name, say in forms.items():
            assert verify(say(gold), problem.gold, question=problem.prompt).correct, (name, say(gold))
            assert not verify(say(gold + 1), problem.gold, question=problem.prompt).correct
