"""NumberVerifier: one final number, exactly the gold one."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from rlpath.core.types import Problem, ProblemSet, Status
from rlpath.rewards.audit.validate import validate
from rlpath.rewards.combine.trl import as_trl_reward
from rlpath.rewards.verifiers.number import NumberVerifier

verify = NumberVerifier()
DATA = os.environ.get("RLPATH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="RLPATH_DATA is not set")


@pytest.mark.parametrize(
    "completion",
    [
        "#### 18", r"\boxed{18}", r"$\boxed{\$18.00}$.", "The answer is $18.", "**Answer:** 18", "A: 18",
        "<answer>18</answer>",
        r"#### \boxed{18}", "１８", "9*2 = 18", r"\boxed{x=18}", r"\boxed{\text{18 eggs}}", r"\boxed{\frac{36}{2}}",
        "<think>maybe 17</think>The answer is 18.", "The answer is 18, not 20.", "Final Answer\n\n18", "1.8 × 10^1",
        "The answer is eighteen.", "The answer is 18 dollars for 9 eggs.",
    ],
)  # fmt: skip
def test_equal_numbers_are_accepted(completion: str) -> None:
    """Every usual way to state 18 is correct."""
    assert verify(completion, "18").status is Status.CORRECT


@pytest.mark.parametrize(
    "completion",
    [
        r"\boxed{18} \boxed{20}", "The answer is 18 or 20.", "#### 18\n#### 20", r"The answer is 20. \boxed{18}",
        r"\boxed{18,20}", "The answer is not 18.", "Is the answer 18?", "16, 17, 18",
        "If the answer is 18, we are done.",
        "<think>18</think>", "<think>18", r"\boxed{<18}", "between 17 and 18",
        "#### 9*2", r"\boxed{18!}", r"\boxed{18x}",
        "1,8", "18,000", "−18", "18 million", "0x18", "18:00", "1/18", "18²", "The answer is 18. Wait, that is wrong.",
        r"\boxed{18}. Actually, it is 20.", r"<!-- \boxed{18} -->20", "A student says the answer is 18.", r"\boxed{1}8",
    ],
)  # fmt: skip
def test_everything_else_is_refused(completion: str) -> None:
    """Hedges, lists, bounds, other numbers and unspoken numbers earn nothing."""
    assert verify(completion, "18").score == 0.0


def test_truncation_needs_a_complete_statement() -> None:
    """A cut completion counts only where the final answer is visibly finished."""
    assert verify("#### 1", "1", truncated=True).status is Status.TRUNCATED
    assert verify("so 9 * 2 = 18", "18", truncated=True).status is Status.TRUNCATED
    assert verify("The answer is 18.", "18", truncated=True).status is Status.TRUNCATED
    assert verify("The answer is 18. I will now", "18", truncated=True).status is Status.CORRECT
    assert verify(r"\boxed{18}", "18", truncated=True).status is Status.CORRECT


def test_percent_is_read_as_the_gold_is() -> None:
    """60% equals 60 where a count of percent is meant and 0.6 where a fraction is."""
    assert verify("60%", "60").correct
    assert verify(r"\boxed{60\%}", "0.6").correct
    assert verify("60", "60%").correct
    assert not verify("60", "0.6").correct


def test_echo_of_the_question_is_no_answer() -> None:
    """Numbers in a copied question do not count."""
    question = "A pen costs 3 dollars and a book costs 18. How much is the book?"
    assert verify(question, "18", question=question).status is Status.NO_ANSWER


def test_unreadable_gold_is_undecided() -> None:
    """A gold answer that is no number yields no score."""
    assert verify("18", "many").score is None


def test_trl_reward_on_plain_and_conversational_completions() -> None:
    """Scores come in order, None where undecided, and cut completions are told by their ids."""
    reward = as_trl_reward(verify, gold="answer", max_completion_length=2, eos_token_ids=[0])
    said = [[{"role": "assistant", "content": "#### 4"}], "#### 5", "4"]
    assert reward(["q"] * 3, said, [[5, 0], [5], [5, 6]], answer=["4", "4", "4"]) == [1.0, 0.0, 0.0]
    assert reward.verdicts(["q"], ["4"], [[5, 6]], answer=["4"])[0].status is Status.TRUNCATED
    assert reward(["q"], ["4"], answer=["?"]) == [None]
    assert pickle.loads(pickle.dumps(reward)).__name__ == "NumberVerifier"


@needs_data
def test_gsm8k_golds_verify() -> None:
    """All 8,792 worked solutions of GSM8K verify against their own final number."""
    for split in ("train", "test"):
        rows = [json.loads(line) for line in (Path(DATA or "") / f"gsm8k/{split}.jsonl").read_text().splitlines()]
        problems = tuple(
            Problem(str(i), r["question"], r["answer"].split("####")[1].strip(), {"reference": r["answer"]})
            for i, r in enumerate(rows)
        )
        assert validate(ProblemSet("gsm8k", "train", problems, verify, "gsm8k")) == ()


@needs_data
def test_gsm8k_model_solutions_agree_with_their_labels() -> None:
    """No disagreement on the 5,276 labeled model solutions."""
    path = Path(DATA or "") / "verifier_cases/gsm8k_model_solutions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = [r for r in rows if verify(r["completion"], r["gold"], question=r["question"]).correct != r["expected"]]
    assert len(rows) == 5276
    assert wrong == []
