"""Each environment is solved by a policy written by hand, not by a random one, and not by cheating."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from rlpath.core.types import ProblemSet
from rlpath.envs.calculator import Calculator, calculator, in_figures, value_of
from rlpath.envs.code_tasks import CodeTask, code_problems, code_tasks, own_code_tasks
from rlpath.envs.number_guessing import NumberGuessing, bisect, number_guessing
from rlpath.envs.python_tool import PythonTool, python_questions
from rlpath.envs.turns.by_hand import Call, Move, play
from rlpath.envs.turns.calls import Limits
from rlpath.envs.word_problems import ONE_STEP, TWO_STEP
from rlpath.rewards.sandbox import Limits as BoxLimits
from rlpath.rewards.verifiers.countdown import Unreadable

needs_train = pytest.mark.needs("train")


def rows(problems: ProblemSet) -> list[dict[str, Any]]:
    return [problem.meta["row"] for problem in problems.problems]


def search_rows() -> list[dict[str, Any]]:
    from rlpath.envs.text_search import text_search

    return rows(text_search(size=40))


ROWS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "Calculator": lambda: rows(calculator(size=60)),
    "NumberGuessing": lambda: rows(number_guessing(size=100)),
    "PythonTool": lambda: rows(python_questions(size=9)),
    "CodeTask": lambda: [*rows(own_code_tasks("train")), *rows(own_code_tasks("validation"))],
    "TextSearch": search_rows,
}


def factory_of(name: str) -> Any:
    if name == "TextSearch":
        from rlpath.envs.text_search import TextSearch

        return TextSearch
    return {c.__name__: c for c in (Calculator, NumberGuessing, PythonTool, CodeTask)}[name]


# Solvers, which see no more than a model does


def solve_sum(question: str, answers: list[str]) -> Call:
    """Which story it is, what it asks for, and the tool for the sum."""
    if answers:
        return Call("answer", number=answers[-1])
    for story in (*ONE_STEP, *TWO_STEP):
        parts = re.split(r"\{(\w+)\}", story.text)
        seen: set[str] = set()
        pattern = ""
        for at, part in enumerate(parts):
            pattern += re.escape(part) if at % 2 == 0 else rf"(?P={part})" if part in seen else rf"(?P<{part}>\w+)"
            seen |= {part} if at % 2 else set()
        if match := re.match(pattern, question):
            first, *rest = (match[letter] for letter in "abc" if letter in seen)
            expression = first
            for sign, number in zip(story.operations, rest, strict=True):
                expression = f"({expression}) {sign} {number}"
            return Call("calculate", expression=expression)
    raise AssertionError(question)


def solve_by_program(question: str, answers: list[str]) -> Call:
    """One line for each kind of question."""
    if answers:
        return Call("answer", number=answers[-1])
    high, *_ = re.findall(r"\d+", question.split(" to ")[1])
    base = re.findall(r"\d+", question.split("\n")[0])[-1]
    test = "n % {b} == 0" if "multiples" in question else "sum(map(int, str(n))) == {b}"
    test = "n * n % {b} == 1" if "remainder" in question else test
    what = "n" if "multiples" in question else "1"
    program = f"print(sum({what} for n in range(1, {high} + 1) if {test.format(b=base)}))"
    return Call("run", program=program)


PROGRAMS = {
    "add_up": "def add_up(numbers): return sum(numbers)",
    "longest": "def longest(text): return max(text.split(), key=len)",
    "is_even": "def is_even(n): return n % 2 == 0",
    "turned": "def turned(text): return text[::-1]",
    "largest_gap": "def largest_gap(xs): return max(abs(a - b) for a, b in zip(xs, xs[1:]))",
    "vowels": "def vowels(text): return sum(c in 'aeiou' for c in text)",
    "without_copies": "def without_copies(xs): return list(dict.fromkeys(xs))",
    "power_of_two": "def power_of_two(n): return n & (n - 1) == 0",
}


def solve_by_tests(question: str, answers: list[str]) -> Call:
    """The program of that name, tried on the public test first."""
    (name,) = re.findall(r"assert (\w+)\(", question)
    if answers:
        assert answers == ["the public tests pass"]
        return Call("submit", program=PROGRAMS[name])
    return Call("run_tests", program=PROGRAMS[name])


def solve_by_search(question: str, answers: list[str]) -> Call:
    """The firm first, then its town where the question is about the town."""
    firm = re.search(r"[A-Z]\w+ (?:Brothers|Company|Sons|Works)", question)
    assert firm is not None
    if not answers:
        return Call("search", query=firm[0])
    line = next(line for line in answers[0].split("\n") if line.startswith(firm[0]))
    goods, town = re.findall(r"makes (\w+)\. Its workshop is in (\w+)\.", line)[0]
    if "make?" in question or "In which town" in question:
        return Call("answer", word=goods if "make?" in question else town)
    if len(answers) == 1:
        return Call("search", query=f"{town} lies on the river")
    line = next(line for line in answers[1].split("\n") if line.startswith(town))
    river, tree = re.findall(r"river (\w+)\. Its tree is the (\w+)\.", line)[0]
    return Call("answer", word=tree if "tree" in question else river)


SOLVERS = {
    "Calculator": solve_sum,
    "NumberGuessing": bisect,
    "PythonTool": solve_by_program,
    "CodeTask": solve_by_tests,
    "TextSearch": solve_by_search,
}


@pytest.mark.parametrize("name", [*list(SOLVERS)[:-1], pytest.param("TextSearch", marks=needs_train)])
def test_a_policy_by_hand_earns_everything(name: str) -> None:
    """Reward 1 on every row, with no call that failed."""
    for row in ROWS[name]():
        played = play(factory_of(name), row, SOLVERS[name])
        assert played.reward == 1.0, played
        assert set(played.counts) == {"calls"}


def test_the_optimal_player_needs_every_guess() -> None:
    """Bisection finds each of 15 numbers in at most 4 guesses, 8 of them with the last one; a range of 16 needs 5."""
    games = [{"low": 1, "high": 15, "secret": secret} for secret in range(1, 16)]
    calls = [play(NumberGuessing, game, bisect).counts["calls"] for game in games]

    assert sorted(calls) == [1, 2, 2, *[3] * 4, *[4] * 8]
    assert play(NumberGuessing, {"low": 1, "high": 16, "secret": 16}, bisect).counts["calls"] == 5


def random_policy(name: str, rng: random.Random) -> Callable[[str, list[str]], Move]:
    def guess(question: str, answers: list[str]) -> Move:
        low, high = (int(number) for number in re.findall(r"from (\d+) to (\d+)", question)[0])
        return Call("guess", number=rng.randint(low, high))

    any_answer = {
        "Calculator": lambda *_: Call("answer", number=str(rng.randint(1, 40))),
        "PythonTool": lambda *_: Call("answer", number=str(rng.randint(0, 300))),
        "CodeTask": lambda *_: Call("submit", program="def f(x): return x"),
        "TextSearch": lambda question, _: Call("answer", word=rng.choice(question.split())),
    }
    return {**any_answer, "NumberGuessing": guess}[name]


@pytest.mark.parametrize(
    ("name", "most"),
    [("Calculator", 0.1), ("PythonTool", 0.12), ("CodeTask", 0.0), pytest.param("TextSearch", 0.0, marks=needs_train)],
)
def test_a_random_policy_earns_next_to_nothing(name: str, most: float) -> None:
    """Answers that do not read the question."""
    rng = random.Random(0)
    rewards = [play(factory_of(name), row, random_policy(name, rng)).reward for row in ROWS[name]()]

    assert sum(reward or 0 for reward in rewards) / len(rewards) <= most


def test_random_guesses_earn_what_chance_gives() -> None:
    """Four guesses at one of fifteen numbers: 1 - (14/15)^4 = 0.241, within four standard errors of 400 games."""
    rng = random.Random(0)
    games = rows(number_guessing(size=400))
    rewards = [play(NumberGuessing, row, random_policy("NumberGuessing", rng)).reward or 0.0 for row in games]

    assert sum(rewards) / 400 == pytest.approx(0.241, abs=4 * 0.0214)


SUM = {"question": "What is 3 + 4?", "gold": "7"}
GAME = {"low": 1, "high": 7, "secret": 6}
TASK = {
    "question": "Write a function that doubles.",
    "public": ["assert double(2) == 4"],
    "hidden": ["assert double(2) == 4", "assert double(5) == 10"],
}
FIRM = {"question": "What is the tree?", "gold": "oak"}
RIGHT = "def double(x): return 2 * x"
EQUAL = "class Any:\n    def __eq__(self, other): return True\ndef double(x): return Any()"
PEEK = "import gc, sys\nprint([o for o in gc.get_objects() if 'gold' in repr(type(o))])\nprint(sys.argv, globals())"

ATTACKS: dict[str, tuple[str, dict[str, Any], list[Move]]] = {
    "sum: nothing": ("Calculator", SUM, ["The answer is 7."]),
    "sum: several numbers": ("Calculator", SUM, [Call("answer", number="6 7 8")]),
    "sum: one of several": ("Calculator", SUM, [Call("answer", number="7 or 8")]),
    "sum: wrong, then right": ("Calculator", SUM, [Call("answer", number="8"), Call("answer", number="7")]),
    "sum: an expression": ("Calculator", SUM, [Call("answer", number="3 + 4")]),
    "sum: a list": ("Calculator", SUM, [Call("answer", number=["7"])]),
    "sum: a huge number": ("Calculator", SUM, [Call("answer", number="7e999999999")]),
    "sum: not a number": ("Calculator", SUM, [Call("answer", number="nan")]),
    "sum: another gold": ("Calculator", SUM, [Call("reset", question="", gold="8"), Call("answer", number="8")]),
    "sum: a private name": ("Calculator", SUM, [Call("__init__"), Call("__setattr__", name="gold", value="")]),
    "game: too many guesses": ("NumberGuessing", GAME, [Call("guess", number=n) for n in (1, 2, 3, 6)]),
    "game: all at once": ("NumberGuessing", GAME, [Call("guess", number=[1, 2, 3, 4, 5, 6, 7])]),
    "game: a text": ("NumberGuessing", GAME, [Call("guess", number="6")]),
    "game: a truth": ("NumberGuessing", {"low": 1, "high": 3, "secret": 1}, [Call("guess", number=True)]),
    "game: no tool": ("NumberGuessing", GAME, ["found"]),
    "program: no answer": ("PythonTool", SUM, [Call("run", program="print(7)")]),
    "program: looks for the gold": ("PythonTool", SUM, [Call("run", program=PEEK), Call("answer", number="gold")]),
    "code: fitted to the public test": ("CodeTask", TASK, [Call("submit", program="def double(x): return 4")]),
    "code: equal to everything": ("CodeTask", TASK, [Call("submit", program=EQUAL)]),
    "code: leaves": ("CodeTask", TASK, [Call("submit", program="import os; os._exit(0)")]),
    "code: wrong, then right": ("CodeTask", TASK, [Call("submit", program="x = 1"), Call("submit", program=RIGHT)]),
    "code: only tried": ("CodeTask", TASK, [Call("run_tests", program=RIGHT)]),
    "code: nothing": ("CodeTask", TASK, [Call("submit", program="")]),
    "search: all trees": ("TextSearch", FIRM, [Call("answer", word="alder ash beech birch elm oak pine")]),
    "search: a sentence": ("TextSearch", FIRM, [Call("answer", word="It is the oak")]),
    "search: nothing": ("TextSearch", FIRM, [Call("answer", word="")]),
}


@pytest.mark.parametrize(
    "attack", [pytest.param(name, marks=needs_train if ATTACKS[name][0] == "TextSearch" else ()) for name in ATTACKS]
)
def test_cheating_earns_nothing(attack: str) -> None:
    """Whatever was tried, the reward is 0 and the environment is still there."""
    name, row, moves = ATTACKS[attack]

    assert play(factory_of(name), row, moves, Limits(seconds=20)).reward == 0.0


def test_a_program_that_hangs_is_ended() -> None:
    """The model is told, and can go on."""

    class Quick(PythonTool):
        limits = BoxLimits(seconds=0.3)

    played = play(Quick, SUM, [Call("run", program="while True: pass"), Call("answer", number="7")])

    assert played.turns[1].text == "error: time limit"
    assert played.reward == 1.0


def test_a_program_sees_no_answer() -> None:
    """What the sandbox prints about its own objects does not hold the gold answer."""
    played = play(PythonTool, {"question": "?", "gold": "918273"}, [Call("run", program=PEEK)])

    assert "918273" not in played.turns[1].text


def test_a_part_of_the_hidden_tests_can_earn_a_part() -> None:
    """One of two tests passed is a half where the row says so, else nothing."""
    moves = [Call("submit", program="def double(x): return 4")]

    assert play(CodeTask, {**TASK, "partial": True}, moves).reward == 0.5
    assert play(CodeTask, TASK, moves).reward == 0.0
    assert play(CodeTask, TASK, [Call("submit", program=RIGHT)]).reward == 1.0


def test_mbpp_is_read_by_its_own_splits(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training tasks from 601 on, 90 held out, none of the test split; the first test is public."""
    import json

    lines = [
        {
            "task_id": n,
            "text": f"Write f{n}.",
            "code": "",
            "test_setup_code": "",
            "test_list": [f"assert f{n}(1) == 1"] * 3,
        }
        for n in (1, 11, 510, 511, 600, 601, 974)
    ]
    (tmp_path / "mbpp").mkdir()
    (tmp_path / "mbpp" / "mbpp.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("RLPATH_DATA", str(tmp_path))

    assert sorted(problem.id for problem in code_tasks("train").problems) == ["mbpp-601", "mbpp-974"]
    assert sorted(problem.id for problem in code_tasks("validation").problems) == ["mbpp-511", "mbpp-600"]
    single = {problem.id: problem for problem in code_problems("train").problems}
    assert json.loads(single["mbpp-601"].gold)["test_list"] == ["assert f601(1) == 1"] * 3
    assert single["mbpp-601"].prompt.endswith("assert f601(1) == 1\n\nAnswer with one Python code block.")
    assert "assert f601(1) == 1\n\n" in next(p.prompt for p in code_tasks().problems if p.id == "mbpp-601")


@pytest.mark.parametrize(
    ("expression", "value"),
    [("3 + 4 * 2", "11"), ("(3 + 4) * 2", "14"), ("7 / 2", "3.5"), ("1 / 3", "0.333333"), ("12 − 5 × 2", "2")],
)
def test_the_calculator_is_exact(expression: str, value: str) -> None:
    """Fractions inside, figures outside."""
    assert in_figures(value_of(expression)) == value


@pytest.mark.parametrize(
    "expression", ["", "3 +", "1 / 0", "2 ** 9", "9" * 300, "(" * 50, "abs(3)", "3 4", "__import__('os')"]
)
def test_the_calculator_runs_no_code(expression: str) -> None:
    """Everything that is no sum of whole numbers is refused with a reason."""
    with pytest.raises(Unreadable):
        value_of(expression)


@pytest.mark.parametrize(
    "make", [calculator, number_guessing, python_questions, pytest.param("search", marks=needs_train)]
)
def test_held_out_questions_are_new(make: Any) -> None:
    """No question of one side is asked on the other, and the same seed gives the same rows."""
    if make == "search":
        from rlpath.envs.text_search import text_search as make
    train, held_out = make("train", size=60), make("validation", size=60)

    assert not {p.prompt for p in train.problems} & {p.prompt for p in held_out.problems}
    assert make("train", size=60).problems == train.problems
    assert make("train", size=60, seed=1).problems != train.problems
