"""The one guarded entry of all verifiers: whatever happens inside, the caller gets a verdict.

A gold answer that is missing or of the wrong type is `undecided`, never the text "None". A completion on which the
verifier fails is `wrong`: were it left out of its group, a policy could learn to fail instead of to answer. Only where
the gold answer fails too is nothing decided. `failures` counts what was caught, by class of verifier and exception.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Status, Verdict

MAX_COMPLETION = 2_000_000
failures: Counter[tuple[str, str]] = Counter()

_NO_GOLD = frozenset({"", "none", "nan", "null", "n/a", "<na>"})


def missing(gold: object) -> bool:
    """True where `gold` is no answer at all: not a text, empty, or the text of a missing value.

    >>> [missing(gold) for gold in (None, float("nan"), "None", ["18"], "18", "no solution")]
    [True, True, True, True, False, False]
    """
    return not isinstance(gold, str) or gold.strip().lower() in _NO_GOLD


def guarded(call: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """`call`, the `__call__` of a verifier, so that it returns a verdict on any input."""

    @functools.wraps(call)
    def entry(self: Any, completion: str, gold: Any, question: str | None = None, truncated: bool = False) -> Verdict:
        wanted = gold if type(gold) is str else _as_text(gold, getattr(self, "structured_gold", False))
        if missing(wanted) or not isinstance(wanted, str):
            return Verdict.of(Status.UNDECIDED, reason=f"there is no gold answer: {str(gold)[:80]!r}")
        if not isinstance(completion, str):
            return Verdict.of(Status.NO_ANSWER, reason=f"the completion is no text but {type(completion).__name__}")
        if len(completion) > MAX_COMPLETION:
            return Verdict.of(Status.WRONG, reason=f"longer than {MAX_COMPLETION:,} characters")
        if not isinstance(question, str):
            question = None
        try:
            return call(self, completion, wanted, question=question, truncated=truncated)
        except InputError:  # tells the user what to mend
            raise
        except Exception as error:  # noqa: BLE001 - the one place that keeps a training run alive
            return _failed(call, self, wanted, error)

    return entry


def _as_text(gold: object, structured: bool) -> object:
    """A number as text, and a list or object as JSON where the verifier reads such golds; anything else as it is."""
    if structured and isinstance(gold, list | tuple | dict):
        try:
            return json.dumps(gold)
        except (TypeError, ValueError, RecursionError):
            return None
    return str(gold) if isinstance(gold, int | float) and not isinstance(gold, bool) else gold


def _failed(call: Callable[..., Verdict], verifier: Any, gold: Any, error: Exception) -> Verdict:
    failures[type(verifier).__name__, type(error).__name__] += 1
    reason = f"the verifier failed: {type(error).__name__}: {error}"[:300]
    try:
        call(verifier, gold, gold, question=None, truncated=False)
    except Exception:  # noqa: BLE001 - the gold answer itself cannot be read, so nothing is decided
        return Verdict.of(Status.UNDECIDED, reason=reason)
    return Verdict.of(Status.WRONG, reason=reason)
