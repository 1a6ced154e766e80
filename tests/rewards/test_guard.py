"""The guarded entry of all verifiers: missing golds, failures and deadlines become verdicts."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from rlpath.core.types import Status, Verdict, Verifier
from rlpath.rewards import (
    ChoiceVerifier,
    ExactVerifier,
    FormatVerifier,
    InstructionVerifier,
    JSONVerifier,
    MathVerifier,
    NumberVerifier,
)
from rlpath.rewards.guard import failures, guarded

ROOT = Path(__file__).parents[2]
ALL = [
    MathVerifier(), NumberVerifier(), ChoiceVerifier(), ExactVerifier(), FormatVerifier(), InstructionVerifier(),
    JSONVerifier(),
]  # fmt: skip


@pytest.mark.parametrize("verifier", ALL, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("gold", [None, float("nan"), "None", "", ["18"], {"value": 18}], ids=str)
def test_a_missing_gold_is_undecided(verifier: Verifier, gold: object) -> None:
    """No answer is paid, and none refused, where the gold answer is missing."""
    for completion in ("None", "No solution", "18", "nan"):
        assert verifier(completion, gold).status is Status.UNDECIDED  # type: ignore[arg-type]


def test_a_failure_is_wrong_and_counted_unless_the_gold_fails_too() -> None:
    """A completion that breaks a verifier scores 0; a gold that does decides nothing."""

    class Fragile:
        @guarded
        def __call__(
            self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False
        ) -> Verdict:
            if "boom" in completion:
                raise TypeError("broken")
            return Verdict.of(Status.CORRECT)

    failures.clear()
    assert Fragile()("boom", "18").status is Status.WRONG
    assert Fragile()("boom", "boom").status is Status.UNDECIDED
    assert failures["Fragile", "TypeError"] == 2


@pytest.mark.parametrize(
    ("completion", "gold"),
    [
        (r"\boxed{\sqrt[3]{i^2}}", "2"),
        (r"\boxed{\max(-i^2, 2)}", "3"),
        (r"\boxed{2x=\{\pm 1, 3\}}", "4"),
        ("\\boxed{" + "+".join(f"{n}^{{-999}}" for n in range(3, 400, 4)) + "}", "2"),
    ],
)
def test_odd_expressions_are_wrong_in_time(completion: str, gold: str) -> None:
    """What once raised or took most of a minute is refused within two seconds, with no failure counted."""
    failures.clear()
    started = time.perf_counter()
    assert MathVerifier()(completion, gold).status is Status.WRONG
    assert time.perf_counter() - started < 2
    assert not failures


def test_slow_texts_score_zero() -> None:
    """A text made to be slow stays in its group with a score of 0."""
    assert FormatVerifier(seconds=0.3)("a" * 40, "regex:(a+)+b").status is Status.WRONG
    started = time.perf_counter()
    InstructionVerifier(seconds=0.5)("<<" * 64_000, "ifeval:detectable_format:title")
    JSONVerifier(seconds=0.5)("[" + ",".join(['{"a":1}'] * 80_000) + "]", '{"items": {"required": ["a"]}}')
    assert time.perf_counter() - started < 20


def fuzzer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_verifiers", ROOT / "scripts/fuzz_verifiers.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_short_fuzz_raises_nothing() -> None:
    """Two thousand verdicts on grown expressions: no exception, and every time limit kept."""
    module = fuzzer()
    assert module.main(module.Args(inputs=2000, seed=7)) == 0


def test_equality_is_symmetric() -> None:
    """Whether two answers are equal does not depend on which is the gold answer."""
    module = fuzzer()
    grown = [module.expression(random.Random(n), 1 + n % 3) for n in range(150)]
    roots = [r"\sqrt[3]{x}", "x^{1/3}", "x^{2/3}", r"\sqrt[3]{x^2}", "(x-1)^{1/3}+2", r"\sqrt[3]{x-1}+2"]
    folder = Path(__file__).parent / "verifier_cases"
    cases = [
        json.loads(row) for name in ("hard", "math") for row in (folder / f"{name}.jsonl").read_text().splitlines()
    ]
    boxed = [
        (c["gold"], c["completion"][7:-1])
        for c in cases
        if c["completion"].rfind("\\boxed{") == 0 and c["completion"][-1] == "}" and "question" not in c
    ]
    # In decimals, grouped numbers, equations that name a value and words around one the gold answer decides.
    told = [p for p in boxed if not re.search(r"[=≈]|text|approx|\\in\b|\d[.,]\d|[A-Za-z]{4,} |×|\d \(", "".join(p))]
    verify = MathVerifier()
    plain = [p for p in (*pairwise(grown), *pairwise(roots)) if not any(c in "".join(p) for c in ",=<%[")]
    for a, b in (*plain, *told[::3]):
        forward, back = verify(f"\\boxed{{{a}}}", b), verify(f"\\boxed{{{b}}}", a)
        if forward.score is not None and back.score is not None:
            assert forward.correct == back.correct, (a, b, forward.reason, back.reason)
