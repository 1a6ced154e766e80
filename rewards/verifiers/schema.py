"""`JSONVerifier`: is the completion one JSON document that satisfies a schema, or equals a value?"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import jsonschema
import referencing
from jsonschema.validators import extend, validator_for

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.reading.extract import spoken
from rlpath.rewards.verifiers import worker
from rlpath.rewards.verifiers.code_blocks import fenced_blocks

MAX_LENGTH = 1_000_000
MAX_DEPTH = 100
MAX_IN_PROCESS = 2000

_TAG = re.compile(r"^\s*<answer>(.*)</answer>\s*$", re.S)
_SLOW = re.compile(r'"(?:pattern|patternProperties|uniqueItems|format|contains|\$ref|\$dynamicRef)"\s*:')


class NotJSON(Exception):
    """Why a text is not one strict JSON document."""


class BadGold(Exception):
    """Why a gold answer is neither a JSON Schema nor a value."""


@dataclass(frozen=True)
class JSONVerifier:
    """Accepts a completion that is exactly one JSON document, bare or in one code fence, and fits the gold.

    The gold is a JSON Schema, or `equal:VALUE`. Duplicate keys, NaN, infinities, text behind the document, a second
    document and nesting beyond 100 levels are refused. In `equal:`, 1 and 1.0 are the same number, 1 and true are not.
    References to other documents are never fetched.

    >>> verify = JSONVerifier()
    >>> verify('{"age": 7}', '{"type": "object", "required": ["age"]}').status
    <Status.CORRECT: 'correct'>
    >>> verify('{"age": 7, "age": 8}', '{"type": "object"}').reason
    "the key 'age' occurs twice"
    >>> verify('[1, 2.0]', 'equal:[1.0, 2]').correct
    True
    """

    structured_gold: ClassVar = True
    seconds: float = 1.0

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        try:
            wanted, validator = read_gold(gold)
        except BadGold as problem:
            return Verdict.of(Status.UNDECIDED, reason=str(problem))
        try:
            text = document(completion)
            value = strict_json(text, exact=validator is None)
        except NotJSON as problem:
            status = Status.TRUNCATED if truncated else Status.WRONG
            return Verdict.of(status, completion.strip()[:200], str(problem))
        if validator is None:
            same = same_json(value, wanted)
            return Verdict.of(
                Status.CORRECT if same else Status.WRONG, text[:200], "equal" if same else "a different value"
            )
        return self._against(value, wanted, text)

    def _against(self, value: Any, schema: Any, text: str) -> Verdict:
        try:
            problem = self._problem(schema, value, len(text))
        except worker.OutOfTime:
            # Not undecided: a document made to be slow would leave its group instead of scoring 0.
            return Verdict.of(Status.WRONG, text[:200], f"validation took more than {self.seconds} s")
        except worker.WorkFailed as error:
            return Verdict.of(Status.UNDECIDED, text[:200], str(error))
        if problem:
            return Verdict.of(Status.WRONG, text[:200], problem)
        return Verdict.of(Status.CORRECT, text[:200], "valid")

    def _problem(self, schema: Any, value: Any, size: int) -> str | None:
        if size > MAX_IN_PROCESS or _SLOW.search(json.dumps(schema)):
            return worker.run("schema:first_problem", schema, value, seconds=self.seconds)
        return first_problem(schema, value)


def first_problem(schema: Any, value: Any) -> str | None:
    """Why `value` does not fit `schema`, None where it does. No reference to another document is followed."""
    plain = validator_for(schema, default=jsonschema.Draft202012Validator)
    cls = extend(plain, {"multipleOf": not_a_multiple})
    checker = cls(schema, format_checker=plain.FORMAT_CHECKER, registry=referencing.Registry())
    error = next(iter(checker.iter_errors(value)), None)
    return None if error is None else f"{error.json_path}: {error.message}"[:300]


def not_a_multiple(_validator: Any, factor: Any, value: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """`multipleOf` by the digits that are written: 0.07 is a multiple of 0.01, though the floats' quotient is not 7."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        ratio = Fraction(str(value)) / Fraction(str(factor))
        if ratio.denominator != 1:
            yield jsonschema.ValidationError(f"{value!r} is not a multiple of {factor!r}")


@functools.lru_cache(maxsize=256)
def read_gold(gold: str) -> tuple[Any, Any]:
    """What a gold stands for: a value and None, or a schema and the class that validates by it; raises `BadGold`.

    An object with no keyword of JSON Schema would accept everything, so it is no schema.
    """
    equal = gold.startswith("equal:")
    try:
        wanted = strict_json(gold.removeprefix("equal:"), exact=equal)
    except NotJSON as problem:
        raise BadGold(f"the gold answer is not JSON: {problem}") from None
    if equal:
        return wanted, None
    try:
        validator = validator_for(wanted, default=jsonschema.Draft202012Validator)
        validator.check_schema(wanted)
    except (jsonschema.SchemaError, AttributeError, TypeError) as error:
        raise BadGold(f"the gold is no JSON Schema: {str(error).splitlines()[0][:200]}") from None
    if wanted and isinstance(wanted, dict) and not wanted.keys() & validator.VALIDATORS.keys():
        raise BadGold(f"the gold is no JSON Schema: it has none of its keywords but {', '.join(sorted(wanted))[:100]}")
    return wanted, validator


def document(completion: str) -> str:
    """The one JSON document of a completion: all of it, what its `<answer>` tag holds, or its only code fence."""
    text = spoken(completion).strip()
    if tagged := _TAG.match(text):
        text = tagged.group(1).strip()
    if text[:1] in '{["' or ("```" not in text and "~~~" not in text):
        return text
    blocks = list(fenced_blocks(text[:MAX_LENGTH]))
    if len(blocks) != 1 or not blocks[0].closed or blocks[0].tag not in ("", "json", "jsonc", "json5"):
        raise NotJSON("not exactly one code block with JSON")
    outside = text[: blocks[0].start] + text[blocks[0].end :]
    if re.search(r"^[ \t]*[{\[]", outside, re.M):
        raise NotJSON("a second document outside the code block")
    return blocks[0].text.strip()


def strict_json(text: str, *, exact: bool = False) -> Any:
    """The value of `text` by RFC 8259, without the extensions Python's parser allows; raises `NotJSON`.

    With `exact`, numbers become `Decimal`, so that no digit is lost.
    """
    if len(text) > MAX_LENGTH:
        raise NotJSON("longer than a million characters")
    if _depth(text) > MAX_DEPTH:
        raise NotJSON(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=Decimal if exact else _finite,
            parse_int=_bounded_exact if exact else _bounded_integer,
        )
    except ValueError as error:
        raise NotJSON(f"not JSON: {error}"[:200]) from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for piece in re.findall(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', text, re.S):
        if piece in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif piece in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise NotJSON(f"the key {key!r} occurs twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise NotJSON(f"{name} is no JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotJSON("a number too large")
    return value


def _bounded_integer(digits: str) -> int:
    if len(digits) > 1000:
        raise NotJSON("a number with too many digits")
    return int(digits)


def _bounded_exact(digits: str) -> Decimal:
    return Decimal(_bounded_integer(digits))


def same_json(a: Any, b: Any) -> bool:
    """Equality of JSON values: types count, the order of keys does not, numbers are compared by value."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same_json(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return type(a) is type(b) and a == b
