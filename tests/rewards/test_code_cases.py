"""Labeled programs: right ones in unusual wrappings and for rows of contests, and hostile ones."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlpath.core.types import Status
from rlpath.rewards.audit.measure import read_cases, verifier_for
from rlpath.rewards.sandbox import host, missing_protections

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
needs_sandbox = pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}")
CASES = read_cases(Path(__file__).parent / "verifier_cases" / "code.jsonl")


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


@needs_sandbox
@pytest.mark.parametrize(
    "group", ["wrapping", "task-code", "contest-rows", "styles-of-tests", "forms-of-tests", "hostile"]
)
def test_labeled_programs(group: str) -> None:
    """Every right program of the suite is accepted and every wrong one refused, none with an error."""
    cases = [case for case in CASES if case.id.startswith(f"code-{group}-")]
    assert len(cases) >= 17
    verify = verifier_for("code")
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(verify, cases))
    wrong = [
        (case.id, verdict.reason)
        for case, verdict in zip(cases, verdicts, strict=True)
        if verdict.correct is not case.expected or verdict.status is Status.ERROR
    ]
    assert wrong == []
