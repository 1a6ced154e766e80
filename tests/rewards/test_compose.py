"""Gates, sums, penalties, batches and the command that verifies one completion."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlpath.core.types import Status, Verdict, Verifier
from rlpath.rewards import (
    BatchVerifier,
    ChoiceVerifier,
    ExactVerifier,
    FormatVerifier,
    Gated,
    InstructionVerifier,
    JSONVerifier,
    MathVerifier,
    NumberVerifier,
    Weighted,
    WithGold,
    cosine_length_reward,
    group_length_rewards,
    repetition_penalty,
    soft_overlong_penalty,
)
from rlpath.rewards.audit.commands import Verify

ALL = (
    ChoiceVerifier(),
    ExactVerifier(),
    FormatVerifier(),
    InstructionVerifier(),
    JSONVerifier(),
    MathVerifier(),
    NumberVerifier(),
    Gated(WithGold(FormatVerifier(), "think_answer"), NumberVerifier()),
    Weighted(((NumberVerifier(), 1.0),)),
)


@pytest.mark.parametrize("verifier", ALL, ids=lambda v: type(v).__name__)
def test_verifiers_are_picklable_values(verifier: Verifier) -> None:
    """Every verifier is equal to its pickled copy, hashable, and answers the protocol."""
    assert pickle.loads(pickle.dumps(verifier)) == verifier
    assert isinstance(hash(verifier), int)
    assert isinstance(verifier("", "x"), Verdict)


def test_gate_never_adds() -> None:
    """A wrong answer in the right format earns nothing, and so does a right answer in the wrong one."""
    gated = Gated(WithGold(FormatVerifier(), "think_answer"), NumberVerifier())
    said = ["<think>a</think><answer>18</answer>", "<think>a</think><answer>17</answer>", "18"]
    assert [gated(s, "18").score for s in said] == [1.0, 0.0, 0.0]


def test_weighted_sum_is_undecided_where_a_part_is() -> None:
    """One undecided part leaves the whole without a score."""
    both = Weighted(((ExactVerifier(), 0.25), (NumberVerifier(), 1.0)))
    assert both("18", "18").score == 1.25
    assert both("18", "eighteen or so, who knows").score is None
    with pytest.raises(ValueError, match="finite"):
        Weighted(((ExactVerifier(), math.nan),))


def test_penalties_by_hand() -> None:
    """The published formulas at points worked by hand."""
    assert soft_overlong_penalty(16384 + 2048, max_length=20480, buffer=4096) == -0.5
    assert cosine_length_reward(50, correct=False, max_length=100) == -0.75
    assert cosine_length_reward(0, correct=False, max_length=100) == -1.0
    assert repetition_penalty([1, 2, 3, 4], n=2) == 0.0
    assert repetition_penalty([1, 1, 1, 1, 1], n=2, largest=0.5) == pytest.approx(-0.375)
    assert repetition_penalty([1], n=3) == 0.0
    assert group_length_rewards([10, 20, 30, 40], [False, True, True, True]) == pytest.approx([0, 1 / 6, -1 / 6, -0.5])
    assert group_length_rewards([7, 7], [True, False]) == [0.0, 0.0]


def test_batches_keep_order_over_processes() -> None:
    """A batch in two processes gives what one process gives, in order."""
    completions = [f"#### {i}" for i in range(100)]
    golds = [str(i - i % 3 // 2) for i in range(100)]
    with BatchVerifier(NumberVerifier(), workers=2, serial_below=1) as batch:
        assert batch(completions, golds) == [NumberVerifier()(c, g) for c, g in zip(completions, golds, strict=True)]


def test_verifiers_work_in_threads_and_event_loops() -> None:
    """The time limits hold off the main thread, and many threads get the verdicts that one gets."""
    hard = [
        (r"\boxed{9^{9^{9^{9}}}}", "7"),
        (r"\boxed{\frac{1}{2}}", "0.5"),
        (r"\boxed{(x+1)^{3}}", "x^3+3x^2+3x+1"),
    ] * 8
    expected = [MathVerifier()(c, g).correct for c, g in hard]
    with ThreadPoolExecutor(8) as pool:
        assert [v.correct for v in pool.map(lambda case: MathVerifier()(*case), hard)] == expected
    slow = FormatVerifier(seconds=0.2)
    results: list[Status] = []
    thread = threading.Thread(target=lambda: results.append(slow("a" * 60, "regex:(a+)+b").status))
    thread.start()
    thread.join(10)
    assert results == [Status.WRONG]

    async def judge() -> list[Verdict]:
        return await asyncio.gather(*(asyncio.to_thread(MathVerifier(), c, g) for c, g in hard))

    assert [v.correct for v in asyncio.run(judge())] == expected


def test_verify_command_prints_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict comes as one JSON line."""
    assert Verify(kind="math", gold="18", text=r"\boxed{\frac{36}{2}}").run() == 0
    assert json.loads(capsys.readouterr().out)["status"] == "correct"
