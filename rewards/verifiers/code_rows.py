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
import re
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
    if isinstance(lines := found.get("test_list"), list) and isinstance(found.get("test"), str):
        found["test"] = [*lines, found["test"]]  # of EvalPlus: both
        del found["test_list"]
    return found


def live_code_bench(row: dict[str, Any]) -> dict[str, Any]:
    """The public and private tests of a row of LiveCodeBench."""
    if not set(row) <= {"public_test_cases", "private_test_cases", "metadata"}:
        raise BadTests(f"the row has unknown fields beside its tests: {', '.join(sorted(row))}")
    cases = as_cases(row["public_test_cases"]) + as_cases(row.get("private_test_cases") or "[]")
    return of_one_kind(cases, as_object(row.get("metadata") or "{}").get("func_name"))


def of_one_kind(cases: list[dict[str, Any]], function: Any) -> dict[str, Any]:
    """Cases that say their kind, as inputs and outputs of a program or of `function`."""
    kinds = {case.get("testtype") for case in cases}
    found = {"inputs": [case.get("input") for case in cases], "outputs": [case.get("output") for case in cases]}
    if kinds and kinds <= {"stdin", "stdin_stdout"}:
        return found
    if kinds and kinds <= {"functional", "function_call"} and function:
        return {**found, "fn_name": function}
    raise BadTests("the cases are neither all of stdin nor all of a function that the metadata name")


def rows_of_cases(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """A bare list of cases of LiveCodeBench's kind, each with its kind and perhaps its function; {} for another."""
    cases = [{"testtype" if key == "type" else key: value for key, value in case.items()} for case in cases]
    if not all({"input", "output", "testtype"} <= case.keys() for case in cases):
        return {}
    names = {case.get("fn_name") or as_object(case.get("metadata") or {}).get("func_name") for case in cases}
    return of_one_kind(cases, names.pop() if len(names) == 1 else None)


def contest_case(inputs: Any, output: Any) -> list[Any]:
    """Arguments and expected value of a function, each a value (APPS) or JSON text, one argument a line."""
    try:
        arguments = (
            [json.loads(line) for line in inputs.split("\n") if line.strip()] if isinstance(inputs, str) else inputs
        )
        expected = json.loads(output) if isinstance(inputs, str) and isinstance(output, str) else output
    except (ValueError, RecursionError) as error:
        raise BadTests(f"a functional case is not JSON, one argument a line ({type(error).__name__})") from None
    if isinstance(arguments, list) and len(arguments) == 1:
        arguments = [with_whole_keys(arguments[0])]
    return [arguments, expected]


def with_whole_keys(value: Any) -> Any:
    """A dict whose keys are all written as whole numbers, which JSON made texts of, with numbers for keys."""
    if isinstance(value, dict) and value and all(re.fullmatch(r"-?\d{1,18}", key) for key in value):
        return {int(key): item for key, item in value.items()}
    return value


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
