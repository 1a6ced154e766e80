"""Rows of HumanEval, MBPP, APPS and LiveCodeBench as golds, and many programs at once."""

import base64
import json
import pickle
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from rlpath.core.types import Status
from rlpath.rewards import CodeVerifier, as_trl_reward
from rlpath.rewards.sandbox import Limits, host, missing_protections
from rlpath.rewards.verifiers import code_rows
from rlpath.rewards.verifiers.code_rows import BadTests
from rlpath.rewards.verifiers.code_tests import parse_tests

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
needs_sandbox = pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}")
verify = CodeVerifier(limits=Limits(seconds=20))
RIGHT, WRONG, UNDECIDED = Status.CORRECT, Status.WRONG, Status.UNDECIDED
ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = "assert add(1, 2) == 3\nassert add(-5, 5) == 0"
CASES = json.dumps({"function": "add", "cases": [[[1, 2], 3]]})
CHECK = json.dumps({"test": "def check(candidate):\n    assert candidate(1, 2) == 3\n", "entry_point": "add"})


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


def zipped(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def packed(cases: list[dict[str, str]]) -> str:
    return zipped(pickle.dumps(json.dumps(cases)))


FUNCTIONAL = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]
STDIN = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "APPS, script": (
        {"problem_id": 1, "question": "Add.", "solutions": "[]", "difficulty": "interview", "url": "",
         "starter_code": "", "input_output": json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]})},
        "print(sum(map(int, input().split())))",
    ),
    "APPS, lines": (
        {"input_output": {"inputs": [["1", "2"]], "outputs": [["3"]]}}, "print(int(input()) + int(input()))",
    ),
    "APPS, function": (
        {"input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [0, 0]], "outputs": [3, 0]}), "url": ""}, ADD,
    ),
    "APPS, function in a list of one": (
        {"input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [0, 0]], "outputs": [[3], [0]]})}, ADD,
    ),
    "LiveCodeBench, script": (
        {"question_title": "A", "question_content": "Add.", "platform": "atcoder", "question_id": "a",
         "contest_id": "1", "contest_date": "2024-01-01", "starter_code": "", "difficulty": "easy", "metadata": "{}",
         "public_test_cases": json.dumps(STDIN), "private_test_cases": packed(STDIN)},
        "print(sum(map(int, input().split())))",
    ),
    "LiveCodeBench, function": (
        {"public_test_cases": json.dumps(FUNCTIONAL), "private_test_cases": packed(FUNCTIONAL),
         "metadata": '{"func_name": "total"}', "starter_code": "class Solution: ..."},
        "class Solution:\n    def total(self, xs, y): return sum(xs) + y",
    ),
    "HumanEval": (
        {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n    '''Add.'''\n", "entry_point": "add",
         "canonical_solution": "    return a + b\n",
         "test": "METADATA = {}\ndef check(candidate):\n    assert candidate(1, 2) == 3"},
        ADD,
    ),
    "MBPP": (
        {"task_id": 2, "text": "Add.", "code": ADD, "test_list": ["assert add(1, 2) == 3"], "test_setup_code": "",
         "challenge_test_list": []}, ADD,
    ),
    "MBPP, sanitized": (
        {"source_file": "a", "task_id": 2, "prompt": "Add two numbers.", "code": ADD, "test_imports": ["import math"],
         "test_list": ["assert math.isclose(add(1, 2), 3)"]}, ADD,
    ),
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_data_sets(name: str) -> None:
    """A row as it is published holds its tests: a right program passes, and one that ignores its input fails."""
    row, program = ROWS[name]
    verdict = verify(program, json.dumps(row))
    assert verdict.correct, verdict.reason
    assert as_trl_reward(verify)(prompts=[""], completions=[program], gold=[row]) == [1.0]
    for cheat in ("print(0)", "def add(a, b): return 0", "class Solution:\n    def total(self, *a): return 0"):
        assert verify(cheat, json.dumps(row)).status is WRONG


class Run:
    def __reduce__(self) -> Any:
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    "row",
    [
        {"public_test_cases": "[]", "private_test_cases": zipped(pickle.dumps(Run()))},
        {"public_test_cases": "[]", "private_test_cases": zipped(b"no pickle")},
        {"public_test_cases": "[]", "private_test_cases": zipped(b"0" * 3_000_000)},
        {"public_test_cases": "[]", "private_test_cases": "!!"},
        {"public_test_cases": "[]"},
        {"public_test_cases": json.dumps(FUNCTIONAL)},
        {"public_test_cases": json.dumps(FUNCTIONAL + STDIN), "metadata": '{"func_name": "total"}'},
        {"public_test_cases": json.dumps(STDIN), "unknown": 1},
        {"public_test_cases": "[1]"},
        {"input_output": "["},
        {"input_output": "[]"},
        {"input_output": "{}"},
    ],
)  # fmt: skip
def test_broken_rows_are_refused(
    row: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row without readable tests, with a pickle of anything but text, or too large, is refused; none is unpickled."""
    monkeypatch.setattr(code_rows, "LARGEST", 1 << 20)
    with pytest.raises(BadTests):
        parse_tests(row)
    assert capsys.readouterr().out == ""


@needs_sandbox
def test_programs_that_loop_wait_together() -> None:
    """Three programs that loop until their limit of a second are judged in one second and a bit, not in three."""
    reward = as_trl_reward(CodeVerifier(limits=Limits(seconds=1)), gold="tests")
    reward(prompts=[""], completions=[ADD], tests=[CASES])  # starts the zygote
    start = time.monotonic()
    assert reward(prompts=[""] * 3, completions=["while True: pass"] * 3, tests=[CASES] * 3) == [0.0] * 3
    assert time.monotonic() - start < 2.5
