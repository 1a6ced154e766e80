"""Thirty stories in the manner of grade-school word problems, told of names, things and numbers that can be redrawn.

They are written for this project. A story says which numbers it can be told of and how its answer is worked out, step
by step; numbers under which a step would not be a whole, positive number are not used. No story speaks of a person by a
pronoun, so that any name fits, nor of the ages, years and addresses that a distracting sentence may add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Steps = Callable[..., Sequence[Fraction]]


@dataclass(frozen=True, slots=True)
class Story:
    """A story. `text` holds {name}, {other}, {thing} and the numbers by the names of `numbers`.

    numbers: the values each number may have
    steps: the results of its one to three steps from the numbers, in order; the last is the answer
    things: what {thing} may be
    """

    name: str
    text: str
    numbers: Mapping[str, range]
    steps: Steps
    things: tuple[str, ...] = ("apples", "cards", "coins", "marbles", "pencils", "shells", "stamps", "stickers")


BAKED = ("rolls", "muffins", "biscuits", "pies", "buns")

STORIES = (
    Story(
        "bakery",
        "{name} bakes {a} trays of {b} {thing} each and sells {c} of them at the market. How many {thing} are left?",
        {"a": range(3, 10), "b": range(6, 25), "c": range(5, 61)},
        lambda a, b, c: (a * b, a * b - c),
        BAKED,
    ),
    Story(
        "change",
        "{name} buys {a} {thing} at ${b} each and hands over ${c}. How many dollars does {name} get back?",
        {"a": range(2, 10), "b": range(2, 13), "c": range(20, 101, 10)},
        lambda a, b, c: (a * b, c - a * b),
        ("notebooks", "lamps", "cups", "scarves", "baskets"),
    ),
    Story(
        "sharing",
        "{name} has {a} {thing} and is given {b} more. All of them are shared equally among {c} children. "
        "How many {thing} does each child get?",
        {"a": range(8, 60), "b": range(4, 40), "c": range(3, 10)},
        lambda a, b, c: (a + b, (a + b) / c),
    ),
    Story(
        "walks",
        "{name} walks {a} kilometres every morning and {b} kilometres every evening. "
        "How many kilometres does {name} walk in {c} days?",
        {"a": range(2, 9), "b": range(2, 9), "c": range(3, 15)},
        lambda a, b, c: (a + b, (a + b) * c),
    ),
    Story(
        "reading",
        "A book has {a} pages. {name} reads {b} pages on each of {c} days. How many pages are still to be read?",
        {"a": range(120, 400), "b": range(8, 30), "c": range(3, 10)},
        lambda a, b, c: (b * c, a - b * c),
    ),
    Story(
        "times as many",
        "{name} has {a} {thing}, and {other} has {b} times as many. How many {thing} do the two have together?",
        {"a": range(3, 25), "b": range(2, 7)},
        lambda a, b: (a * b, a + a * b),
    ),
    Story(
        "wages",
        "{name} earns ${a} an hour and works {b} hours a day. How many dollars does {name} earn in {c} days?",
        {"a": range(9, 25), "b": range(3, 9), "c": range(2, 7)},
        lambda a, b, c: (a * b, a * b * c),
    ),
    Story(
        "sale",
        "A coat costs ${a}. In a sale its price is lowered by {b} percent. "
        "How many dollars does the coat cost in the sale?",
        {"a": range(20, 400, 5), "b": range(5, 65, 5)},
        lambda a, b: (a * b / 100, a - a * b / 100),
    ),
    Story(
        "buses",
        "{a} pupils and {b} teachers go on a trip in buses with {c} seats each, and every seat is taken. "
        "How many buses are there?",
        {"a": range(60, 220), "b": range(4, 20), "c": range(20, 56, 4)},
        lambda a, b, c: (a + b, (a + b) / c),
    ),
    Story(
        "fence",
        "A rectangular garden is {a} metres long and {b} metres wide. "
        "How many metres of fence are needed to go all the way around it?",
        {"a": range(12, 50), "b": range(5, 30)},
        lambda a, b: (a + b, 2 * (a + b)),
    ),
    Story(
        "tank",
        "A pump fills {b} litres a minute into an empty tank of {a} litres, and a leak loses {c} litres a minute. "
        "After how many minutes is the tank full?",
        {"a": range(60, 400, 10), "b": range(8, 30), "c": range(2, 8)},
        lambda a, b, c: (b - c, a / (b - c)),
    ),
    Story(
        "hens",
        "A farm has {a} hens, and each lays {b} eggs a week. The eggs are sold in boxes of {c}. "
        "How many boxes are filled each week?",
        {"a": range(12, 60), "b": range(3, 8), "c": range(6, 13, 2)},
        lambda a, b, c: (a * b, a * b / c),
    ),
    Story(
        "saving",
        "{name} has ${a} and saves ${b} every week. After how many weeks does {name} have ${c}?",
        {"a": range(10, 80), "b": range(4, 20), "c": range(100, 260, 5)},
        lambda a, b, c: (c - a, (c - a) / b),
    ),
    Story(
        "half",
        "{name} has {a} {thing}, gives half of them to {other} and then buys {b} more. "
        "How many {thing} does {name} have now?",
        {"a": range(8, 60, 2), "b": range(3, 30)},
        lambda a, b: (a / 2, a / 2 + b),
    ),
    Story(
        "bicycles",
        "A school has {a} pupils. One in {b} comes by bicycle, and all the others walk. How many pupils walk?",
        {"a": range(60, 400, 4), "b": range(3, 9)},
        lambda a, b: (a / b, a - a / b),
    ),
    Story(
        "more than",
        "{name} is given {a} {thing}, and {other} is given {b} more than {name}. How many {thing} are given in all?",
        {"a": range(5, 50), "b": range(3, 25)},
        lambda a, b: (a + b, a + (a + b)),
    ),
    Story(
        "fewer",
        "{name} picks {a} {thing}, and {other} picks {b} fewer. How many {thing} do the two pick together?",
        {"a": range(12, 60), "b": range(3, 30)},
        lambda a, b: (a - b, a + (a - b)),
        ("apples", "pears", "plums", "peaches", "tulips"),
    ),
    Story(
        "chairs",
        "In a hall there are {a} rows of {b} chairs and {c} rows of {d} chairs. How many chairs are in the hall?",
        {"a": range(4, 15), "b": range(8, 20), "c": range(3, 10), "d": range(5, 13)},
        lambda a, b, c, d: (a * b, c * d, a * b + c * d),
    ),
    Story(
        "tickets",
        "A ticket costs ${a} for an adult and ${b} for a child. How many dollars do {c} adults and {d} children pay?",
        {"a": range(8, 20), "b": range(3, 8), "c": range(2, 7), "d": range(2, 9)},
        lambda a, b, c, d: (a * c, b * d, a * c + b * d),
    ),
    Story(
        "train",
        "A train leaves with {a} passengers. At the first stop {b} get off and {c} get on, and at the second stop {d} "
        "get off. How many passengers are on the train then?",
        {"a": range(60, 200), "b": range(10, 50), "c": range(5, 40), "d": range(5, 60)},
        lambda a, b, c, d: (a - b, a - b + c, a - b + c - d),
    ),
    Story(
        "speed",
        "A car drives {a} kilometres in {b} hours. At the same speed, how many kilometres does it drive in {c} hours?",
        {"a": range(100, 500, 10), "b": range(2, 7), "c": range(3, 11)},
        lambda a, b, c: (a / b, a / b * c),
    ),
    Story(
        "soup",
        "A soup for {a} people needs {b} grams of lentils. How many grams of lentils are needed for {c} people?",
        {"a": range(2, 9), "b": range(120, 800, 10), "c": range(3, 15)},
        lambda a, b, c: (b / a, b / a * c),
    ),
    Story(
        "two purchases",
        "{name} buys {a} {thing} at ${b} each, and {other} buys {c} at ${d} each. "
        "How many dollars more than {other} does {name} spend?",
        {"a": range(5, 12), "b": range(4, 12), "c": range(2, 8), "d": range(2, 9)},
        lambda a, b, c, d: (a * b, c * d, a * b - c * d),
        ("plants", "books", "bowls", "toys", "hats"),
    ),
    Story(
        "paint",
        "A tin of paint is enough for {a} square metres. A wall is {b} metres long and {c} metres high. "
        "How many tins are needed to paint it once?",
        {"a": range(4, 13), "b": range(6, 30), "c": range(2, 7)},
        lambda a, b, c: (b * c, b * c / a),
    ),
    Story(
        "practice",
        "{name} practices the piano for {a} minutes on each of {b} days and for {c} minutes on each of {d} other days. "
        "How many minutes does {name} practice on all these days together?",
        {"a": range(15, 50, 5), "b": range(3, 7), "c": range(20, 95, 5), "d": range(2, 5)},
        lambda a, b, c, d: (a * b, c * d, a * b + c * d),
    ),
    Story(
        "profit",
        "{name} pays ${a} for {b} {thing} and sells each of them for ${c}. How many dollars does {name} gain?",
        {"a": range(20, 150), "b": range(6, 20), "c": range(5, 20)},
        lambda a, b, c: (b * c, b * c - a),
        ("plants", "books", "bowls", "toys", "hats"),
    ),
    Story(
        "average",
        "{name} scores {a}, {b} and {c} points in three games. How many points is that on average for a game?",
        {"a": range(8, 40), "b": range(8, 40), "c": range(8, 40)},
        lambda a, b, c: (a + b + c, (a + b + c) / 3),
    ),
    Story(
        "rope",
        "From a rope of {a} metres {name} first cuts off {b} metres and then cuts the rest into {c} equal pieces. "
        "How many metres long is each of these pieces?",
        {"a": range(30, 120), "b": range(4, 25), "c": range(3, 10)},
        lambda a, b, c: (a - b, (a - b) / c),
    ),
    Story(
        "library",
        "A library lends {a} books on Monday and {b} books on Tuesday. How many books does it lend on the two days?",
        {"a": range(25, 200), "b": range(25, 200)},
        lambda a, b: (a + b,),
    ),
    Story(
        "crates",
        "A lorry carries {a} crates, and each of them weighs {b} kilograms. How many kilograms do the crates weigh?",
        {"a": range(6, 30), "b": range(8, 40)},
        lambda a, b: (a * b,),
    ),
)
