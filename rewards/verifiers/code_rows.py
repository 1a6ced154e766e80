"""Rows of data sets of programming tasks, as their authors publish them, down to the fields that hold tests.

APPS (arXiv 2105.09938) keeps its tests as JSON text in `input_output`. LiveCodeBench (arXiv 2403.07974) has public ones
as JSON text and private ones as a pickled text, compressed, in base64. Nothing is ever unpickled: the one string that
such a pickle may hold is read out of its opcodes.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

LARGEST = 256 << 20  # bytes of unpacked tests
DESCRIPTION = """
    task_id text code source_file challenge_test_list canonical_solution base_input plus_input contract atol
    problem_id question solutions difficulty url starter_code
    question_title question_content platform question_id contest_id contest_date
"""
TESTS = ("input_output", "public_test_cases", "private_test_cases", "test", "test_list")
PICKLED_TEXT = {"PROTO", "FRAME", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "MEMOIZE", "BINPUT", "STOP"}


class BadTests(Exception):
    """The gold is in no known form, or holds no test."""


def without_description(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a data set without the fields that describe the task; anything else as it is."""
    if not any(key in row for key in TESTS):
        return row
    kept = {key: value for key, value in row.items() if key not in DESCRIPTION.split()}
    return kept if "public_test_cases" in kept else {key: value for key, value in kept.items() if key != "metadata"}


def tests_of_row(row: dict[str, Any]) -> dict[str, Any]:
    """The tests of a row in a form that parse_tests reads. Raises BadTests."""
    if set(row) == {"input_output"}:
        return as_object(row["input_output"])
    if "public_test_cases" in row:
        return live_code_bench(row)
    found = dict(row)
    if isinstance(imports := found.pop("test_imports", []), list) and imports:
        found["test_setup_code"] = "\n".join([*map(str, imports), str(found.get("test_setup_code", ""))])
    if isinstance(found.get("prompt"), str) and "test_list" in found:
        del found["prompt"]  # of the sanitized MBPP: prose
    return found


def live_code_bench(row: dict[str, Any]) -> dict[str, Any]:
    """The public and private tests of a row of LiveCodeBench."""
    if not set(row) <= {"public_test_cases", "private_test_cases", "metadata"}:
        raise BadTests(f"the row has unknown fields beside its tests: {', '.join(sorted(row))}")
    cases = as_cases(row["public_test_cases"]) + as_cases(row.get("private_test_cases") or "[]")
    kinds = {case.get("testtype") for case in cases}
    if kinds == {"stdin"}:
        return {"inputs": [case.get("input") for case in cases], "outputs": [case.get("output") for case in cases]}
    name = as_object(row.get("metadata") or "{}").get("func_name")
    if kinds != {"functional"} or not name:
        raise BadTests("the cases are neither all of stdin nor all of a function that the metadata name")
    return {"function": name, "cases": [functional_case(case) for case in cases]}


def functional_case(case: dict[str, Any]) -> list[Any]:
    """Arguments, one JSON value a line, and the value expected."""
    try:
        lines = [line for line in case["input"].split("\n") if line.strip()]
        return [[json.loads(line) for line in lines], json.loads(case["output"])]
    except (KeyError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise BadTests(f"a functional case is not JSON, one argument a line ({type(error).__name__})") from None


def as_cases(value: Any) -> list[dict[str, Any]]:
    """Cases given as a list, as JSON, or packed."""
    if isinstance(value, str):
        try:
            value = json.loads(value if value.lstrip().startswith("[") else unpacked(value))
        except (ValueError, RecursionError) as error:
            raise BadTests(f"the test cases are not JSON ({type(error).__name__})") from None
    if not (isinstance(value, list) and all(isinstance(case, dict) for case in value)):
        raise BadTests("the test cases are not a list of objects")
    return value


def as_object(value: Any) -> dict[str, Any]:
    """An object, or the JSON text of one."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise BadTests(f"the tests of the row are not JSON ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise BadTests("the tests of the row are not an object")
    return value


def unpacked(packed: str) -> str:
    """The text in base64, zlib and a pickle of one string, read without unpickling."""
    try:
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(base64.b64decode(packed, validate=True), LARGEST)
        if decompressor.unconsumed_tail:
            raise BadTests("the packed test cases are too large")
        found = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(data)]
    except (binascii.Error, zlib.error, ValueError) as error:
        raise BadTests(f"the packed test cases cannot be read ({type(error).__name__})") from None
    texts = [argument for name, argument in found if name.endswith(("UNICODE", "UNICODE8"))]
    if not {name for name, _ in found} <= PICKLED_TEXT or len(texts) != 1 or not isinstance(texts[0], str):
        raise BadTests("the packed test cases are not one text")
    return texts[0]
