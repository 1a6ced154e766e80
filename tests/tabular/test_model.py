"""The tables of an environment, and that stepping them is stepping the environment."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.tabular.chains import Chains, draws, first_disagreement, sample
from rlpath.tabular.model import from_env, from_transitions, known, load_model, make

GRIDS = [
    ("FrozenLake-v1", {}),
    ("FrozenLake8x8-v1", {}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("CliffWalking-v1", {}),
    ("CliffWalkingSlippery-v1", {}),
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
    ("WindyGridworld-v0", {}),
    ("WindyGridworldStochastic-v0", {}),
    ("DynaMaze-v0", {"slip": 0.3}),
]


@pytest.mark.parametrize(("env_id", "options"), GRIDS)
def test_the_tables_and_the_environment_give_the_same_trajectory(env_id: str, options: dict[str, object]) -> None:
    """2,000 steps with the environment's own random numbers: states, rewards, ends and cuts are equal, every one."""
    env = make(env_id, **options)

    assert first_disagreement(env, from_env(env), seed=3, steps=2000) is None


def test_a_wrong_table_is_noticed() -> None:
    """One changed reward, one changed limit, another start."""
    env = make("FrozenLake-v1")
    wrong = from_env(env)
    wrong.reward_SAO[:, :, 1] += 1
    assert "the environment gives" in (first_disagreement(env, wrong, 3, 2000) or "")
    assert "the environment gives" in (first_disagreement(env, from_env(env, limit=5), 3, 2000) or "")
    taxi = make("Taxi-v4")
    shifted = from_env(taxi)
    shifted.start_S[:] = np.roll(shifted.start_S, 7)
    assert "starts in state" in (first_disagreement(taxi, shifted, 3, 2000) or "")


def test_shapes_and_limits() -> None:
    """States, actions, outcomes and the time limit that `gymnasium.make` adds; one's own replaces it."""
    assert load_model("FrozenLake-v1").probability_SAO.shape == (16, 4, 3)
    assert load_model("Taxi-v4").probability_SAO.shape == (500, 6, 1)
    assert [load_model(name).limit for name in ("FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4")] == [100, 200, 200]
    assert load_model("CliffWalking-v1").limit is None
    assert load_model("CliffWalking-v1", 77).limit == 77
    assert np.count_nonzero(load_model("Taxi-v4").start_S) == 300


def test_the_hash_is_that_of_the_task() -> None:
    """Equal for equal tables, different for another reward or another limit."""
    assert load_model("FrozenLake-v1").sha256 == load_model("FrozenLake-v1").sha256
    others = [load_model("FrozenLake-v1", 50), load_model("FrozenLake-v1", is_slippery=False)]
    assert len({load_model("FrozenLake-v1").sha256, *(model.sha256 for model in others)}) == 3


def test_unusable_environments_are_refused_with_what_to_do() -> None:
    """Unknown, deprecated, without a table, with a rule outside the table, with unknown options."""
    with pytest.raises(InputError, match="nearest are FrozenLake-v1, FrozenLake8x8-v1"):
        load_model("FrozenLak-v1")
    with pytest.raises(InputError, match="nearest are Taxi-v4"):
        load_model("Taxi-v3")
    with pytest.raises(InputError, match="no environment 'nonsense'"):
        load_model("nonsense")
    with pytest.raises(InputError, match="publishes no table"):
        load_model("CartPole-v1")
    with pytest.raises(InputError, match="fickle_passenger"):
        load_model("Taxi-v4", fickle_passenger=True)
    with pytest.raises(InputError, match="does not take these options"):
        load_model("FrozenLake-v1", slippery=True)
    with pytest.raises(InputError, match=r"add up to 0\.5"):
        from_transitions("half", {0: {0: [(0.5, 0, 0.0, True)]}}, np.ones(1))


def test_known_environments_all_load() -> None:
    """Every id that is suggested has a table; TextGrid needs a map."""
    assert {"FrozenLake-v1", "CliffWalking-v1", "Taxi-v4", "WindyGridworld-v0"} <= set(known())
    for env_id in set(known()) - {"TextGrid-v0"}:
        assert load_model(env_id).states > 0


def test_a_step_says_what_the_update_needs() -> None:
    """Termination sets the discount to 0, truncation does not; both go on from a start state."""
    end = [(1.0, 1, 0.0, True)]
    table = {0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 1, 5.0, True)]}, 1: {0: end, 1: end}}
    room = from_transitions("room", table, np.array([1.0, 0.0]), limit=2)
    chains, u = Chains(room, np.zeros(3), 0.9), np.full(3, 0.5)
    first = chains.step(np.array([0, 1, 0]), u, u)
    second = chains.step(np.array([0, 0, 1]), u, u)

    assert first.discount_t.tolist() == [0.9, 0.0, 0.9] and first.done.tolist() == [False, True, False]
    assert first.s_t.tolist() == [0, 1, 0] and first.r_t.tolist() == [1, 5, 1]
    # Chain 0 is cut off after two steps, chain 1 is one step into its next episode, chain 2 ends in its last step.
    assert second.truncated.tolist() == [True, False, False]
    assert second.discount_t.tolist() == [0.9, 0.9, 0.0] and second.done.tolist() == [True, False, True]
    assert chains.s.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="no time limit"):
        Chains(replace(room, limit=None), np.zeros(1), 0.9)


def test_actions_are_drawn_by_their_probabilities() -> None:
    """A grid of 1,000 uniforms gives each action its share exactly."""
    pi = np.tile([0.2, 0.5, 0.3], (1000, 1))

    assert np.bincount(sample(pi, (np.arange(1000) + 0.5) / 1000)).tolist() == [200, 500, 300]


def test_draws_of_a_seed_do_not_depend_on_its_company() -> None:
    """Across two blocks, alone and third among four; other seeds and purposes differ."""
    alone, among, other = draws([7], "x"), draws([1, 2, 7, 9], "x"), draws([7], "y")
    for _ in range(1500):
        one, four, different = next(alone), next(among), next(other)
        assert (one[:, 0] == four[:, 2]).all()
        assert (one[:, 0] != different[:, 0]).all() and (four[:, 0] != four[:, 1]).all()


def test_neither_torch_nor_the_test_sets_are_needed() -> None:
    """Importing the whole package loads no deep-learning stack."""
    source = (
        "import sys, pkgutil, importlib, rlpath.tabular as t\n"
        "[importlib.import_module('rlpath.tabular.' + m.name) for m in pkgutil.iter_modules(t.__path__)]\n"
        "print(sorted({'torch', 'transformers', 'rlpath.evals'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_registration_happens_once() -> None:
    """Calling it again neither warns nor changes the registry."""
    before = len(gym.registry)
    known()
    assert len(gym.registry) == before
