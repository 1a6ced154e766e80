"""What a gold answer for code may look like, and the comparison of what a program returned.

A gold is one string, in one of three flavors. Keys have the synonyms of `ALIASES`; an object with others is refused.

Asserts: Python source, run in a process apart from the program. Plain asserts (MBPP) or a `check(candidate)`
(HumanEval); or JSON that names more, with the data sets' own field names. Imports and helpers of a `prompt` are run
for the tests too. Comparisons are Python's, so there 1 == 1.0 == True:

    assert add(1, 2) == 3
    ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]
    {"test": "def check(candidate): ...", "entry_point": "add", "prompt": "def add(a, b): ..."}
    {"test_list": ["assert ..."], "test_setup_code": "..."}

Functions: a function's name and cases of arguments and expected value. Arguments are a list, or an object of keyword
arguments. Values are compared as JSON and exactly: 1, 1.0 and true are three values, a tuple counts as a list. With
`tolerance` two numbers may differ by that much, absolutely or relatively.

    {"function": "add", "cases": [[[1, 2], 3], [{"a": 0, "b": 0}, 0]], "tolerance": 1e-6}

Programs: texts for stdin with the stdout expected of each, compared without trailing white space of lines and of the
whole.

    [{"stdin": "1 2", "stdout": "3"}]

Whole rows of HumanEval, MBPP, APPS and LiveCodeBench are read as they are published (code_rows.py), and so are their
tests alone: `{"inputs": [...], "outputs": [...]}`, with an `fn_name` for functions. Tests of these two *contest* data
sets are compared as contests do: numbers by value, decimal fractions within the tolerance of NumPy's `allclose`, and
without white space around lines. The names that their graders import are there for the program (sandbox/source.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from rlpath.rewards.verifiers.code_rows import (
    BadTests,
    contest_case,
    rows_of_cases,
    tests_of_row,
    without_description,
)

ALIASES = {
    "entry_point": "function", "fn_name": "function", "test_list": "test", "tests": "test", "asserts": "test",
    "test_setup_code": "setup", "test_cases": "cases", "input": "stdin", "output": "stdout",
    "expected_output": "stdout",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AssertTests:
    source: str
    entry_point: str = ""
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class FunctionTests:
    function: str
    cases: tuple[tuple[list[Any] | dict[str, Any], Any], ...]
    tolerance: float | None = None
    contest: bool = False
    wrapped: bool = False
    """Whether an expected value may stand in a list of one, as APPS writes some of them."""

    def accepts(self, wire: Any, expected: Any) -> bool:
        """Whether what came over the wire is the value expected."""
        numbers = same_contest_number if self.contest else within(self.tolerance)
        if same_value(wire, expected, numbers):
            return True
        return self.wrapped and same_value(wire, expected[0], numbers)


@dataclass(frozen=True, slots=True)
class ProgramTests:
    cases: tuple[tuple[str, str], ...]
    contest: bool = False


Tests = AssertTests | FunctionTests | ProgramTests


def parse_tests(gold: Any) -> Tests:
    """The tests a gold stands for: its text, or the JSON value already read. Raises BadTests."""
    if isinstance(gold, str):
        text = gold.strip()
        try:
            gold = json.loads(text) if text[:1] in ("[", "{") else text
        except (ValueError, RecursionError):
            gold = text
    if isinstance(gold, str):
        return assert_tests([gold])
    if isinstance(gold, list) and gold and all(isinstance(item, str) for item in gold):
        return assert_tests(gold)
    if isinstance(gold, list) and gold and all(isinstance(item, dict) for item in gold):
        if cases := rows_of_cases(gold):
            return from_object(cases)
        return ProgramTests(tuple(program_case(item) for item in gold))
    if isinstance(gold, dict):
        return from_object(gold)
    raise BadTests("the gold holds no test")


def from_object(gold: dict[str, Any]) -> Tests:
    """Tests from a JSON object; the keys say which flavor it is, and an unknown key is refused."""
    row = without_description(gold)
    if row != gold or {"input_output", "public_test_cases"} & row.keys():
        gold = tests_of_row(row)
    found = {ALIASES.get(key, key): value for key, value in gold.items()}
    keys = set(found) if len(found) == len(gold) else set()
    if keys == {"stdin", "stdout"}:
        return ProgramTests((program_case(gold),))
    if keys == {"cases"}:
        return parse_tests(found["cases"])
    if {"function", "cases"} <= keys <= {"function", "cases", "tolerance"}:
        return function_tests(found["function"], found["cases"], found.get("tolerance"))
    if {"inputs", "outputs"} <= keys <= {"inputs", "outputs", "function"}:
        return contest_tests(found["inputs"], found["outputs"], found.get("function"))
    if "test" in keys and keys <= {"test", "function", "prompt", "setup"}:
        lines = found["test"] if isinstance(found["test"], list) else [found["test"]]
        return assert_tests([found.get("setup", ""), *lines], found.get("function", ""), found.get("prompt", ""))
    raise BadTests(f"the gold is an object with the keys {', '.join(sorted(gold)) or 'none'}, which name no tests")


def contest_tests(inputs: Any, outputs: Any, function: Any) -> Tests:
    """Tests of the form of APPS: a list of inputs and a list of outputs, of a program or of a function."""
    if not (isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs) > 0):
        raise BadTests("inputs and outputs are not two lists of the same length")
    pairs = list(zip(inputs, outputs, strict=True))
    if function:
        tests = function_tests(function, [contest_case(*pair) for pair in pairs], None)
        wrapped = all(isinstance(expected, list) and len(expected) == 1 for _, expected in tests.cases)
        return replace(tests, contest=True, wrapped=wrapped)
    texts = [[str(text) if type(text) in (int, float) else text for text in pair] for pair in pairs]
    return ProgramTests(tuple(program_case({"stdin": stdin, "stdout": stdout}) for stdin, stdout in texts), True)


def assert_tests(parts: list[Any], entry_point: Any = "", prompt: Any = "") -> AssertTests:
    if not all(isinstance(text, str) for text in (*parts, entry_point, prompt)):
        raise BadTests("asserts, entry_point and prompt must be text")
    source = "\n".join(part for part in parts if part)
    if "assert" not in source and "raises" not in source:
        raise BadTests("the gold holds no assert")
    entry_point = entry_point.removeprefix("Solution().")
    if entry_point and not entry_point.isidentifier():
        raise BadTests(f"entry_point {entry_point!r} is no name")
    return AssertTests(source, entry_point, prompt)


def function_tests(function: Any, cases: Any, tolerance: Any) -> FunctionTests:
    if not (isinstance(function, str) and function.isidentifier()):
        raise BadTests(f"function {function!r} is no name")
    if not (isinstance(cases, list) and cases):
        raise BadTests("the gold holds no case")
    if not (tolerance is None or (type(tolerance) in (int, float) and tolerance >= 0)):
        raise BadTests(f"tolerance {tolerance!r} is no number")
    return FunctionTests(function, tuple(function_case(case) for case in cases), tolerance)


def function_case(case: Any) -> tuple[list[Any] | dict[str, Any], Any]:
    if isinstance(case, dict) and set(case) in ({"args", "expected"}, {"input", "output"}):
        case = [case[key] for key in ("args", "input", "expected", "output") if key in case]
    if isinstance(case, list | tuple) and len(case) == 2 and isinstance(case[0], list | dict):
        return case[0], case[1]
    raise BadTests("a case is [arguments, expected value], with arguments in a list or an object")


def program_case(case: dict[str, Any]) -> tuple[str, str]:
    found = {ALIASES.get(key, key): text for key, text in case.items()}
    texts = (found.get("stdin"), found.get("stdout"))
    stdin, stdout = ("\n".join(map(str, text)) if isinstance(text, list) else text for text in texts)
    if not (len(case) == 2 and isinstance(stdin, str) and isinstance(stdout, str)):
        raise BadTests("a case of a program is an object of stdin and stdout, both text")
    return stdin, stdout


SameNumber = Callable[[Any, Any], bool]


def same_value(wire: Any, expected: Any, numbers: SameNumber) -> bool:
    """Whether what a program returned, still as it came over the wire, is the JSON value `expected`.

    The walk follows `expected`, so what a hostile program sends sets neither its depth nor its cost, and nothing is
    compared by an operator of the program's own. `numbers` compares an int or float with another.
    """
    wire = without_class(wire)
    if isinstance(expected, list):
        items = wire.get("t") if isinstance(wire, dict) and len(wire) == 1 else wire
        return (
            isinstance(items, list)
            and len(items) == len(expected)
            and all(same_value(item, wanted, numbers) for item, wanted in zip(items, expected, strict=True))
        )
    if isinstance(expected, dict):
        return same_object(wire, expected, numbers)
    if isinstance(wire, dict) and set(wire) == {"i"} and type(expected) is int:
        return wire["i"] == hex(expected)
    if is_number(wire) and is_number(expected):
        return numbers(wire, expected) or both_nan(wire, expected)
    return type(wire) is type(expected) and wire == expected


def exactly(value: float, expected: float) -> bool:
    """The same number of the same type."""
    return type(value) is type(expected) and value == expected


def within(tolerance: float | None) -> SameNumber:
    """The same number up to an absolute or relative difference; `exactly` where there is no tolerance."""
    if tolerance is None:
        return exactly
    return lambda value, expected: float_close(value, expected, tolerance, tolerance)


def same_contest_number(value: float, expected: float) -> bool:
    """The same number whatever its type; the last digits of a float may differ."""
    return value == expected or (type(expected) is float and float_close(value, expected, 1e-6, 1e-9))


def float_close(value: float, expected: float, relative: float, absolute: float) -> bool:
    """As `math.isclose`, and False where an int is too large for a float."""
    try:
        return math.isclose(value, expected, rel_tol=relative, abs_tol=absolute)
    except OverflowError:
        return False


def without_class(wire: Any) -> Any:
    """A named tuple as a tuple, a Counter as a dict, a member of an enum as its value, still in wire form."""
    match wire:
        case {"n": [_, _, list(items)]}:
            return {"t": items}
        case {"x": ["Counter" | "OrderedDict", table]}:
            return table
        case {"e": [_, value]}:
            return value
    return wire


def same_object(wire: Any, expected: dict[str, Any], numbers: SameNumber) -> bool:
    pairs = wire.get("d") if isinstance(wire, dict) and len(wire) == 1 else None
    if not isinstance(pairs, list) or len(pairs) != len(expected):
        return False
    found: dict[str, Any] = {}
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str | int | float | None)):
            return False
        key = pair[0] if isinstance(pair[0], str) else json.dumps(pair[0])  # as JSON writes the keys of an object
        found[key] = pair[1]
    return found.keys() == expected.keys() and all(
        same_value(found[key], wanted, numbers) for key, wanted in expected.items()
    )


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def both_nan(wire: Any, expected: Any) -> bool:
    return type(wire) is type(expected) is float and math.isnan(wire) and math.isnan(expected)


def same_output(output: str, expected: str) -> bool:
    """Whether two outputs agree but for white space at the ends of lines and after the last one."""
    lines = [[line.rstrip() for line in text.rstrip().splitlines()] for text in (output, expected)]
    return lines[0] == lines[1]


NUMERAL = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
LONGEST_NUMERAL = 5000


def same_contest_output(output: str, expected: str) -> bool:
    """Whether two outputs agree line by line, without white space around lines and empty lines.

    In a line of numbers the white space between them does not count. A numeral may be written in another way; where a
    decimal fraction is expected, the last digits may differ, as in NumPy's `allclose`.
    """
    lines = [[line.strip() for line in text.splitlines() if line.strip()] for text in (output, expected)]
    return len(lines[0]) == len(lines[1]) and all(map(same_contest_line, *lines))


def same_contest_line(line: str, expected: str) -> bool:
    if line == expected:
        return True
    found, wanted = line.split(), expected.split()
    if not all(map(NUMERAL.fullmatch, [*found, *wanted])) and re.findall(r"\s+", line) != re.findall(r"\s+", expected):
        return False
    return len(found) == len(wanted) and all(map(same_token, found, wanted))


def same_token(token: str, expected: str) -> bool:
    """The same text, or numerals of the same value; a decimal fraction within rounding."""
    if token == expected:
        return True
    if max(len(token), len(expected)) > LONGEST_NUMERAL or not all(map(NUMERAL.fullmatch, (token, expected))):
        return False
    if Decimal(token) == Decimal(expected):
        return True
    if expected.lstrip("-").isdigit():
        return not token.lstrip("-").isdigit() and float_close(float(token), float(expected), 1e-12, 0)
    return float_close(float(token), float(expected), 1e-5, 1e-8)
