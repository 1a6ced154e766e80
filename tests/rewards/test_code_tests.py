"""The forms a gold answer for code may take, and the comparison of what a program returned."""

import json
from typing import Any

import pytest

from rlpath.rewards.verifiers.code_tests import BadTests, parse_tests, same_output, same_value


def test_forms_of_gold() -> None:
    """Every documented form is read; anything else is refused with its reason."""
    row = {"test_list": ["assert f(1) == 1"], "test_setup_code": "x = 1"}
    assert parse_tests(json.dumps(row)) == parse_tests("x = 1\nassert f(1) == 1")
    assert parse_tests(["assert a", "assert b"]) == parse_tests("assert a\nassert b")
    assert parse_tests({"stdin": "1", "stdout": "2"}) == parse_tests([{"input": "1", "output": "2"}])
    assert parse_tests({"inputs": ["1"], "outputs": ["2"]}) == parse_tests([{"stdin": "1", "stdout": "2"}])
    assert parse_tests({"inputs": [[1]], "outputs": [2], "fn_name": "f"}) == parse_tests(
        {"function": "f", "cases": [[[1], 2]]}
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
            assert not same_value(wire, expected, 1e-6) or (wire, expected) == ({"i": "0x1"}, 1)


def test_same_output_ignores_white_space_at_ends_only() -> None:
    """Trailing blanks and lines are forgiven; leading ones, inner ones and case are not."""
    assert same_output("a \nb\n\n", "a\nb")
    assert not same_output(" a", "a")
    assert not same_output("a\n\nb", "a\nb")
    assert not same_output("A", "a")
