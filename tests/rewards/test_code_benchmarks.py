"""The reference programs of HumanEval and MBPP pass their own tests, and mutants of them do not."""

import gzip
import json
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlpath.core.types import Verdict
from rlpath.rewards.sandbox import Limits, host, missing_protections
from rlpath.rewards.verifiers.code import CodeVerifier

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
DATA = os.environ.get("RLPATH_DATA")
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}"),
    pytest.mark.skipif(not DATA, reason="RLPATH_DATA is not set"),
]
verify = CodeVerifier(limits=Limits(seconds=30))


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


def human_eval() -> list[dict[str, str]]:
    with gzip.open(Path(str(DATA), "humaneval", "HumanEval.jsonl.gz"), "rt") as file:
        return [json.loads(line) for line in file]


def judge_human_eval(row: dict[str, str], solution: str) -> Verdict:
    gold = f"{row['test']}\ncheck({row['entry_point']})"
    return verify(row["prompt"] + solution, gold, question=row["prompt"])


def test_every_human_eval_solution_passes() -> None:
    """All 164 canonical solutions are correct."""
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(lambda row: judge_human_eval(row, row["canonical_solution"]), human_eval()))
    assert [verdict.reason for verdict in verdicts if not verdict.correct] == []
    assert len(verdicts) == 164


def test_mutated_human_eval_solutions_fail() -> None:
    """Solutions that return nothing, a wrapped value, an equal-to-all object or leave early are all wrong."""
    fooling = "class Any:\n    __eq__ = lambda s, o: True\n    __hash__ = None\n"

    def mutants(row: dict[str, str]) -> list[str]:
        body, name = row["canonical_solution"], row["entry_point"]
        original = f"{row['prompt']}{body}\n_original = {name}\n"
        return [
            f"{original}def {name}(*a): _original(*a)",
            f"{original}def {name}(*a): return [_original(*a), 1]",
            f"{fooling}def {name}(*a): return Any()",
            re.sub(r"^    ", "    import os; os._exit(0)\n    ", row["prompt"] + body, count=1, flags=re.MULTILINE),
        ]

    def judge(row: dict[str, str], program: str) -> Verdict:
        return verify(program, f"{row['test']}\ncheck({row['entry_point']})", question=row["prompt"])

    rows = human_eval()[::8]
    work = [(row, program) for row in rows for program in mutants(row)]
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(lambda item: judge(*item), work))
    fooled = [item[0]["task_id"] for item, verdict in zip(work, verdicts, strict=True) if verdict.correct]
    assert fooled == []


@pytest.mark.slow
def test_every_mbpp_solution_passes() -> None:
    """All 974 reference programs are correct."""
    rows = [json.loads(line) for line in Path(str(DATA), "mbpp", "mbpp.jsonl").read_text().splitlines()]
    golds = [json.dumps({key: row[key] for key in ("test_list", "test_setup_code")}) for row in rows]
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(verify, [row["code"] for row in rows], golds))
    assert [verdict.reason for verdict in verdicts if not verdict.correct] == []
    assert len(verdicts) == 974
