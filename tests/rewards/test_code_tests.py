"""The forms a gold answer for code may take, and the comparison of what a program returned."""

import json
from typing import Any

import pytest

from rlpath.rewards.verifiers.code_tests import (
    BadTests,
    FunctionTests,
    ProgramTests,
    parse_tests,
    same_contest_output,
    same_output,
    same_value,
    within,
)


def test_forms_of_gold() -> None:
    """Every documented form is read; anything else is refused with its reason."""
    row = {"test_list": ["assert f(1) == 1"], "test_setup_code": "x = 1"}
    assert parse_tests(json.dumps(row)) == parse_tests("x = 1\nassert f(1) == 1")
    assert parse_tests(["assert a", "assert b"]) == parse_tests("assert a\nassert b")
    assert parse_tests({"stdin": "1", "stdout": "2"}) == parse_tests([{"input": "1", "output": "2"}])
    assert parse_tests({"inputs": ["1"], "outputs": ["2"]}) == ProgramTests((("1", "2"),), contest=True)
    assert parse_tests({"inputs": [[1]], "outputs": [2], "fn_name": "f"}) == FunctionTests(
        "f", (([1], 2),), contest=True
    )
    assert parse_tests({"cases": [{"input": "1", "expected_output": "2"}]}) == parse_tests(
        {"stdin": "1", "stdout": "2"}
    )
    assert parse_tests({"entry_point": "f", "test_cases": [{"args": [1], "expected": 2}]}) == parse_tests(
        {"function": "f", "cases": [[[1], 2]]}
    )
    assert parse_tests({"asserts": ["assert f()"], "setup": "x = 1"}) == parse_tests("x = 1\nassert f()")
    refused: list[Any] = [
        {"function": "f", "cases": [[1, 2]]}, {"function": "not a name", "cases": [[[1], 2]]}, {"stdin": "1"},
        {"function": "f"}, {"function": "f", "cases": [[[1], 2]], "extra": 1}, {"inputs": [1], "outputs": []},
        {"test": 5}, {"test_list": "x"},
        [{"stdin": 1, "stdout": "2"}], [1], 5, None, {"test": "assert f()", "entry_point": "f()"},
        {"function": "f", "cases": [[[1], 2]], "tolerance": True},
    ]  # fmt: skip
    for gold in refused:
        with pytest.raises(BadTests):
            parse_tests(gold)


def test_same_value_takes_any_message() -> None:
    """No message of a hostile program makes the comparison fail or hold."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    hostile = [
        deep,
        {"t": 5},
        {"d": [[1]]},
        {"d": [[[], 1]]},
        {"d": 5},
        {"i": 5},
        {"i": "0x1"},
        {"r": 0},
        {},
        10**400,
        None,
    ]
    for wire in hostile:
        for expected in (1, 1.5, "a", [1], {"a": 1}, True):
            assert not same_value(wire, expected, within(1e-6)) or (wire, expected) == ({"i": "0x1"}, 1)


def test_same_output_ignores_white_space_at_ends_only() -> None:
    """Trailing blanks and lines are forgiven; leading ones, inner ones and case are not."""
    assert same_output("a \nb\n\n", "a\nb")
    assert not same_output(" a", "a")
    assert not same_output("a\n\nb", "a\nb")
    assert not same_output("A", "a")


CONTEST_OUTPUTS = [
    ("3.0", "3", True), ("1e5", "100000", True), ("0.333333", "0.333333333", True), ("-0.0", "0.0", True),
    ("1  2", "1 2", True), ("\n1\r\n\n2 \n", "1\n2", True), ("  a", "a", True), ("x 0.5", "x 0.500", True),
    ("2.9999999999999996", "3", True), (".5", "0.5", True), ("1e-7", "0.0000001", True),
    ("3.0000001", "3", False), ("1000000000.5", "1000000000", False), ("nan", "3", False), ("1e999", "3", False),
    ("1_0", "10", False), ("\u0661\u0660", "10", False), ("010", "10", False), ("+10", "10", False),
    ("1 2", "1\n2", False), ("2 1", "1 2", False), ("yes", "YES", False), ("a  b", "a b", False),
    ("0.34", "0.333", False), ("", "0", False),
    ("100000000000000001", "100000000000000000", False), ("9" * 6000, "8" * 6000, False), ("1e9999999", "1", False),
]  # fmt: skip


@pytest.mark.parametrize(("output", "expected", "same"), CONTEST_OUTPUTS)
def test_contest_outputs_are_compared_by_value(output: str, expected: str, same: bool) -> None:
    """White space around lines, notation and rounding are forgiven; another number or text is not."""
    assert same_contest_output(output, expected) is same
