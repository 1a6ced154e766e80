"""Verifiers as TRL's reward functions: in parallel, as coroutines, and never the end of a run."""

from __future__ import annotations

import asyncio
import math
import pickle
import time
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Status, Verdict, Verifier
from rlpath.rewards import (
    BatchVerifier,
    CodeVerifier,
    FormatVerifier,
    Gated,
    JSONVerifier,
    NumberVerifier,
    Weighted,
    WithGold,
    as_trl_reward,
    verify_completions,
)


class Slow:
    """Waits, as a verifier that asks another process does."""

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        time.sleep(0.3)
        return Verdict.of(Status.CORRECT if completion == gold else Status.WRONG)


class Fragile:
    """Fails in one way or another, as anyone's verifier may."""

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Any:
        match completion:
            case "raise":
                raise RecursionError("deep")
            case "no verdict":
                return 1.0
            case "mend":
                raise InputError("there is no sandbox here")
        return NumberVerifier()(completion, gold)


def test_a_batch_waits_together() -> None:
    """Three completions of 0.3 s each take less than two of them one after the other, in order."""
    reward = as_trl_reward(Slow())
    start = time.monotonic()
    assert reward(prompts=[""] * 3, completions=["a", "b", "a"], gold=["a"] * 3) == [1.0, 0.0, 1.0]
    assert time.monotonic() - start < 0.6
    serial = as_trl_reward(Slow(), workers=1)
    start = time.monotonic()
    serial(prompts=[""] * 2, completions=["a", "b"], gold=["a"] * 2)
    assert time.monotonic() - start >= 0.6


def test_a_coroutine_lets_the_loop_go_on() -> None:
    """The asynchronous form gives the same rewards, and two of them wait together."""
    rewards = [as_trl_reward(Slow(), run_async=True, name=name) for name in ("one", "two")]

    async def both() -> list[list[float | None]]:
        return await asyncio.gather(
            *(reward(prompts=[""] * 2, completions=["a", "b"], gold=["a"] * 2) for reward in rewards)
        )

    start = time.monotonic()
    assert asyncio.run(both()) == [[1.0, 0.0], [1.0, 0.0]]
    assert time.monotonic() - start < 0.6
    assert [reward.__name__ for reward in rewards] == ["one", "two"]


def test_no_completion_ends_a_run() -> None:
    """A verifier that raises, or returns no verdict, gives None, is counted and reported to TRL; the others stand."""
    reward = as_trl_reward(Fragile())
    logged: dict[str, float] = {}
    found = reward(
        prompts=[""] * 4,
        completions=["18", "raise", "no verdict", "17"],
        gold=["18"] * 4,
        log_metric=logged.__setitem__,
        trainer_state=None,
    )
    assert found == [1.0, None, None, 0.0]
    assert reward.statuses == {Status.CORRECT: 1, Status.ERROR: 2, Status.WRONG: 1}
    assert logged == {"rewards/Fragile/error": 0.5, "rewards/Fragile/undecided": 0.0}
    assert [v.status for v in verify_completions(Fragile(), ["raise"], ["18"])] == [Status.ERROR]


def test_what_the_user_can_mend_is_told() -> None:
    """InputError is passed on: it speaks of the machine or the settings, not of a completion."""
    with pytest.raises(InputError, match="no sandbox"):
        as_trl_reward(Fragile())(prompts=["", ""], completions=["18", "mend"], gold=["18", "18"])
    with pytest.raises(InputError, match="no column 'gold'"):
        as_trl_reward(Fragile())(prompts=[""], completions=["18"], answer=["18"])


@pytest.mark.parametrize("gold", [None, math.nan, math.inf, ["18"], {"value": 18}, True, b"18", ""])
def test_a_gold_that_is_not_text_gives_no_reward(gold: object) -> None:
    """A missing gold is neither right nor wrong, whatever the completion says."""
    reward = as_trl_reward(NumberVerifier())
    said = ["18", "None", "nan", "No solution", "['18']", ""]
    assert reward(prompts=[""] * len(said), completions=said, gold=[gold] * len(said)) == [None] * len(said)
    assert reward.statuses == {Status.UNDECIDED: len(said)}


def test_numbers_and_structures_are_golds_where_they_are_read() -> None:
    """A number is its text; lists and objects are JSON for the verifiers that read JSON, through gates and sums too."""
    assert as_trl_reward(NumberVerifier())(prompts=["", ""], completions=["18", "18"], gold=[18, 18.0]) == [1.0, 1.0]
    schema = {"type": "object", "required": ["age"]}
    always = WithGold(FormatVerifier(), "max_words=9")
    verifiers: list[Verifier] = [JSONVerifier(), Gated(always, JSONVerifier()), Weighted(((JSONVerifier(), 1.0),))]
    for verifier in verifiers:
        assert as_trl_reward(verifier)(prompts=[""], completions=['{"age": 7}'], gold=[schema]) == [1.0]
    assert as_trl_reward(Gated(always, NumberVerifier()))(prompts=[""], completions=["18"], gold=[["18"]]) == [None]
    assert CodeVerifier.structured_gold


def test_batch_verifiers_are_rewards() -> None:
    """A pool of processes serves as a reward, and a pickled copy has a pool of its own."""
    completions = [f"#### {i}" for i in range(6)]
    with BatchVerifier(NumberVerifier(), workers=2, serial_below=1) as batch:
        reward = as_trl_reward(batch)
        assert reward.__name__ == "NumberVerifier"
        found = reward(prompts=[""] * 6, completions=completions, gold=["1"] * 5 + [None])
        assert found == [0.0, 1.0, 0.0, 0.0, 0.0, None]
        again = pickle.loads(pickle.dumps(reward))
    assert again(prompts=[""], completions=["1"], gold=["1"]) == [1.0]
    assert BatchVerifier(Fragile())(["raise", "18"], ["18", "18"])[0].status is Status.ERROR
