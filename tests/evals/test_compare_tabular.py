"""Comparisons and log entries of runs that are no language models', and intervals inside what can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.core.stats import Interval, interval_over_seeds
from rlpath.evals.compare.run_sets import compare_sets, number
from rlpath.evals.report.run_log import draft_entry
from rlpath.runs.returns import possible
from rlpath.runs.run_folder import RunFolder
from rlpath.runs.seed_sets import SeedSet, read_set


def runs(root: Path, returns: list[float], **config: Any) -> SeedSet:
    """Finished tabular runs with these exact returns; each had another number of training episodes."""
    paths = []
    for seed, value in enumerate(returns):
        with RunFolder.open(root, "tabular", {"env_id": "FrozenLake-v1", "steps": 10, **config}, seed) as run:
            run.log_metrics(10, {"greedy_return": value})
            final = {"greedy_return": value, "behavior_return": value / 2, "episodes": len(returns) * 7 + seed}
            run.write_json("evaluations/final.json", final)
            run.mark_finished()
            paths.append(run.path)
    return read_set(paths)


def test_tables_are_compared_by_their_exact_returns(tmp_path: Path) -> None:
    """Training episodes need not be equally many; means stay below the greatest possible return."""
    a = runs(tmp_path, [0.70, 0.72, 0.69], algorithm="sarsa")
    b = runs(tmp_path, [1.00, 0.99, 0.97], algorithm="q_learning")

    found = compare_sets(a, b)

    assert found.verdict == "B is better" and found.contrasts[0].score == "greedy_return"
    assert interval_over_seeds([1.00, 0.99, 0.97]).high > 1 == found.contrasts[0].mean_b.high


def test_tables_of_other_worlds_are_refused(tmp_path: Path) -> None:
    """A map or an option makes another environment."""
    a = runs(tmp_path, [0.5, 0.6], env_options=["is_slippery=false"])
    b = runs(tmp_path, [0.5, 0.6], env_options=[])

    with pytest.raises(InputError, match="env_options"):
        compare_sets(a, b)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([0.5, 0.5], [0.7, 0.7], "every run of a side gave the same"),
        ([0.5, 0.7], [0.5, 0.7], "A and B are equal run by run"),
        ([0.5, 0.75], [0.25, 0.5], "A and B differ by the same amount in every run"),
    ],
)
def test_why_nothing_can_be_said_is_true(tmp_path: Path, a: list[float], b: list[float], said: str) -> None:
    """Three ways in which differences do not vary, told apart."""
    found = compare_sets(runs(tmp_path, a, algorithm="a"), runs(tmp_path, b, algorithm="b"))

    assert said in found.sentence


def test_a_log_entry_of_a_finished_run_says_what_it_gave(tmp_path: Path) -> None:
    """A table's exact returns, and an agent's final evaluation."""
    table = runs(tmp_path, [0.7], algorithm="sarsa").records[0].path
    with RunFolder.open(tmp_path, "ppo", {"env_id": "CartPole-v1", "total_timesteps": 10}, 0) as run:
        final = {"mean": 480.25, "sd": 3.5, "episodes": 20, "last_100": None}
        run.write_json("evaluations/final.json", final)
        run.mark_finished()

    assert "FrozenLake-v1, sarsa: greedy policy, exact 0.7000" in draft_entry(table)
    assert "CartPole-v1: final evaluation mean 480.25 (sd 3.50 over 20 episodes)" in draft_entry(run.path)
    assert "not complete" not in draft_entry(run.path)


def test_intervals_end_where_returns_do() -> None:
    """At an environment's greatest and least return; elsewhere they are left alone, and zero has no sign."""
    wide = Interval(490, 470, 510, "t", 0.95)

    assert (possible(wide, "CartPole-v1").low, possible(wide, "CartPole-v1").high) == (470, 500)
    assert possible(wide, "LunarLander-v3") == wide and possible(wide, None) == wide
    assert possible(Interval(900, 800, 1000, "t", 0.95), "CartPole-v1").high == 1000
    assert possible(Interval(-15, -30, -1, "t", 0.95), "CliffWalking-v1").high == -13
    assert number(-0.00001) == "-1e-05" and number(-0.0) == "0"
