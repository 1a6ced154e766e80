"""Programming tasks: public tests can be run as often as the turns allow, hidden tests decide once.

The rows are MBPP's training split (arXiv 2108.07732; task ids 601 to 974, held out 511 to 600; ids to 510 are its test
split and open in `rlpath.evals` alone), or a few of our own where that data is not at hand. Of a task's tests the first
is public and stands in the question; all are hidden, so that a program fitted to the public one does not pass.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from rlpath.core.errors import InputError, Unreachable
from rlpath.core.types import Problem, ProblemSet
from rlpath.envs.files import data_file, numbered_rows
from rlpath.envs.programs import check_sandbox
from rlpath.envs.splits import Side, check_split
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.problems import environment_problems
from rlpath.rewards.sandbox import Limits as BoxLimits
from rlpath.rewards.verifiers.code import CodeVerifier

SIDES = {"train": range(601, 975), "validation": range(511, 601)}
INSTRUCTION = "Try your program with the tool run_tests, then call the tool submit with the whole of it."
ONE_TURN = "Answer with one Python code block."
MBPP = "mbpp/mbpp.jsonl"


class CodeTask:
    """Reward: 1 where the submitted program passes all hidden tests; with `partial` in the row, the share it passes."""

    def __init__(self) -> None:
        check_sandbox()
        self.verify = CodeVerifier(limits=BoxLimits(seconds=5.0))
        self.public: list[str] = []
        self.hidden: list[str] = []
        self.setup, self.program, self.done, self.partial = "", "", False, False

    def reset(
        self, question: str, public: list[str], hidden: list[str], setup: str = "", partial: bool = False, **row: object
    ) -> str:
        """A new task."""
        self.public, self.hidden, self.setup, self.partial = list(public), list(hidden), setup, partial
        self.program, self.done = "", False
        return f"{_asked({'question': question, 'public': public})}\n\n{INSTRUCTION}"

    def run_tests(self, program: str) -> str:
        """Run the public tests on a Python program.

        Args:
            program: the whole program
        """
        verdict = self.verify(f"```python\n{program}\n```", self._gold(self.public))
        return "the public tests pass" if verdict.correct else f"failed: {verdict.reason}"

    def submit(self, program: str) -> str:
        """Hand in the program. Only the first one counts.

        Args:
            program: the whole program
        """
        if not self.done:
            self.program, self.done = str(program), True
        return "thank you"

    def get_reward(self) -> float | None:
        """By the hidden tests; None where they cannot be decided."""
        if not self.program.strip():
            return 0.0
        program = f"```python\n{self.program}\n```"
        if self.partial:
            return pass_share(program, self._gold(self.hidden), self.verify)
        return self.verify(program, self._gold(self.hidden)).score

    def _gold(self, tests: Sequence[str]) -> str:
        return json.dumps({"test_list": list(tests), "test_setup_code": self.setup})


OWN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("add_up", "Write a function that adds up a list of numbers.",
     ("add_up([1, 2, 3]) == 6", "add_up([]) == 0", "add_up([-4, 4, 9]) == 9")),
    ("longest", "Write a function that returns the longest word of a sentence, the first of several.",
     ("longest('a bird sings') == 'sings'", "longest('one two') == 'one'", "longest('x') == 'x'")),
    ("is_even", "Write a function that says whether a whole number is even.",
     ("is_even(4) == True", "is_even(7) == False", "is_even(-2) == True")),
    ("turned", "Write a function that reverses a text.",
     ("turned('abc') == 'cba'", "turned('') == ''", "turned('level up') == 'pu level'")),
    ("largest_gap", "Write a function that returns the largest difference of two neighbors in a list.",
     ("largest_gap([1, 4, 2]) == 3", "largest_gap([5, 5]) == 0", "largest_gap([9, 1, 2, 30]) == 28")),
    ("vowels", "Write a function that counts the vowels of a text, small letters only.",
     ("vowels('banana') == 3", "vowels('rhythm') == 0", "vowels('queue') == 4")),
    ("without_copies", "Write a function that removes copies from a list and keeps the order.",
     ("without_copies([1, 2, 1]) == [1, 2]", "without_copies([]) == []", "without_copies([3, 3, 2, 3]) == [3, 2]")),
    ("power_of_two", "Write a function that says whether a positive whole number is a power of two.",
     ("power_of_two(8) == True", "power_of_two(12) == False", "power_of_two(1) == True")),
)  # fmt: skip


def pass_share(completion: str, gold: str, verify: CodeVerifier) -> float | None:
    """The share of a gold's `test_list` that a completion's program passes; None where one of them is undecided."""
    row = json.loads(gold)
    verdicts = [verify(completion, json.dumps({**row, "test_list": [test]})) for test in row["test_list"]]
    scores = [verdict.score for verdict in verdicts]
    return None if None in scores else sum(verdict.correct for verdict in verdicts) / len(verdicts)


def code_tasks(
    split: Side = "train",
    *,
    size: int | None = None,
    seed: int = 0,
    partial: bool = False,
    limits: Limits | None = None,
) -> ProblemSet:
    """MBPP's tasks of one side in an order fixed by `seed`, to be played. Raises InputError as `mbpp_rows` does."""
    rows, source = mbpp_rows(split, size, seed)
    return _played("mbpp", rows, split, partial, limits, source)


def own_code_tasks(split: Side = "train", *, partial: bool = False, limits: Limits | None = None) -> ProblemSet:
    """A few tasks that need no data, half of them on each side, to be played: for a look, and for tests."""
    return _played("own-code", own_rows(split), split, partial, limits, "procedural")


def code_problems(split: Side = "train", *, size: int | None = None, seed: int = 0, own: bool = False) -> ProblemSet:
    """The same tasks in one turn: a program is asked for, and `CodeVerifier` runs all tests on it.

    `own` takes the few that need no data. Raises InputError as `mbpp_rows` does.
    """
    rows, source = (own_rows(split), "procedural") if own else mbpp_rows(split, size, seed)
    problems = tuple(
        Problem(
            row["id"],
            f"{_asked(row)}\n\n{ONE_TURN}",
            json.dumps({"test_list": row["hidden"], "test_setup_code": row["setup"]}),
        )
        for row in rows
    )
    return ProblemSet("own-code" if own else "mbpp", split, problems, CodeVerifier(), source)


def mbpp_rows(split: Side, size: int | None = None, seed: int = 0) -> tuple[list[dict[str, Any]], str]:
    """MBPP's tasks of one side from `$RLPATH_DATA/mbpp/mbpp.jsonl`, in an order fixed by `seed`, and the file.

    Raises `Unreachable` where the file is missing, InputError where a row is malformed or `size` larger than the side.
    """
    check_split(split)
    path = data_file(MBPP)
    if path is None:
        raise Unreachable(f"MBPP was not found: set RLPATH_DATA to a folder that holds {MBPP}")
    numbered = numbered_rows(path, ("text",))
    rows = [_mbpp_row(row, f"{path}, line {n}") for n, row in numbered if row.get("task_id") in SIDES[split]]
    random.Random(f"{seed}/{split}/mbpp").shuffle(rows)
    if size is not None and not 1 <= size <= len(rows):
        raise InputError(f"MBPP has {len(rows)} {split} tasks: {size} were asked for")
    return rows[:size], str(path)


def own_rows(split: Side) -> list[dict[str, Any]]:
    """The tasks of `OWN` on one side."""
    check_split(split)
    chosen = OWN[::2] if split == "train" else OWN[1::2]
    return [_row(name, question, [f"assert {test}" for test in tests]) for name, question, tests in chosen]


def _played(
    name: str, rows: Sequence[dict[str, Any]], split: Side, partial: bool, limits: Limits | None, source: str
) -> ProblemSet:
    given = [{**row, "partial": partial} for row in rows]
    return environment_problems(name, CodeTask, given, split=split, limits=limits, source=source)


def _mbpp_row(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    tests = row.get("test_list")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise InputError(f"{place}: the field 'test_list' is no list of tests")
    return _row(f"mbpp-{row['task_id']}", row["text"].strip(), tests, str(row.get("test_setup_code", "")))


def _row(id: str, question: str, tests: Sequence[str], setup: str = "") -> dict[str, Any]:
    return {"id": id, "question": question, "public": list(tests[:1]), "hidden": list(tests), "setup": setup}


def _asked(row: Mapping[str, Any]) -> str:
    public = "\n".join(row["public"])
    return f"{row['question']} Your program should pass this test:\n\n{public}"
