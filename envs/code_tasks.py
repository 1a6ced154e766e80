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

from rlpath.core.errors import InputError
from rlpath.core.types import ProblemSet, Status
from rlpath.envs.files import data_file, numbered_rows
from rlpath.envs.gsm8k import take
from rlpath.envs.programs import check_sandbox
from rlpath.envs.splits import Side, check_split
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.problems import environment_problems
from rlpath.rewards.sandbox import Limits as BoxLimits
from rlpath.rewards.verifiers.code import CodeVerifier

SIDES = {"train": range(601, 975), "validation": range(511, 601)}
INSTRUCTION = "Try your program with the tool run_tests, then call the tool submit with the whole of it."
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
        return f"{question} Your program should pass this test:\n\n" + "\n".join(public) + f"\n\n{INSTRUCTION}"

    def run_tests(self, program: str) -> str:
        """Run the public tests on a Python program.

        Args:
            program: the whole program
        """
        verdict = self._verdict(str(program), self.public)
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
        suites = [[test] for test in self.hidden] if self.partial else [self.hidden]
        verdicts = [self._verdict(self.program, suite) for suite in suites]
        if any(verdict.status in (Status.UNDECIDED, Status.ERROR) for verdict in verdicts):
            return None
        return sum(verdict.correct for verdict in verdicts) / len(verdicts)

    def _verdict(self, program: str, tests: Sequence[str]) -> Any:
        gold = json.dumps({"test_list": list(tests), "test_setup_code": self.setup})
        return self.verify(f"```python\n{program}\n```" if "```" not in program else program, gold)


def code_tasks(
    split: Side = "train",
    *,
    size: int | None = None,
    seed: int = 0,
    partial: bool = False,
    limits: Limits | None = None,
) -> ProblemSet:
    """MBPP's tasks of one side in an order fixed by `seed`, from `$RLPATH_DATA/mbpp/mbpp.jsonl`.

    Raises InputError where the file is missing or a row is malformed, or `size` is larger than the side.
    """
    check_split(split)
    path = data_file(MBPP)
    if path is None:
        raise InputError(f"MBPP was not found: set RLPATH_DATA to a folder that holds {MBPP}, or use own_code_tasks")
    rows = [
        _mbpp_row(row, f"{path}, line {number}", partial)
        for number, row in numbered_rows(path, ("text",))
        if row.get("task_id") in SIDES[split]
    ]
    random.Random(f"{seed}/{split}/mbpp").shuffle(rows)
    chosen = list(take(rows, size, "mbpp"))  # type: ignore[arg-type]
    return environment_problems("mbpp", CodeTask, chosen, split=split, limits=limits, source=str(path))  # type: ignore[arg-type]


def _mbpp_row(row: Mapping[str, Any], place: str, partial: bool) -> dict[str, Any]:
    tests = row.get("test_list")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise InputError(f"{place}: the field 'test_list' is no list of tests")
    return {
        "id": f"mbpp-{row['task_id']}",
        "question": row["text"].strip(),
        "public": tests[:1],
        "hidden": tests,
        "setup": str(row.get("test_setup_code", "")),
        "partial": partial,
    }


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


def own_code_tasks(split: Side = "train", *, partial: bool = False, limits: Limits | None = None) -> ProblemSet:
    """A few tasks that need no data, half of them on each side: for a look, and for tests."""
    check_split(split)
    chosen = OWN[::2] if split == "train" else OWN[1::2]
    rows = [
        {
            "id": name,
            "question": question,
            "public": [f"assert {tests[0]}"],
            "hidden": [f"assert {test}" for test in tests],
            "partial": partial,
        }
        for name, question, tests in chosen
    ]
    return environment_problems("own-code", CodeTask, rows, split=split, limits=limits)
