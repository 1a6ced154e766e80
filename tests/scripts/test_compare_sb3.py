"""The comparison with Stable-Baselines3 builds the same algorithm there, or says what it cannot."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.deep import ddpg, dqn, ppo, sac, td3

pytest.importorskip("stable_baselines3")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "compare_sb3.py"))


def preset(recipe: str, name: str) -> Any:
    return runpy.run_path(str(ROOT / "recipes" / f"{recipe}.py"))["PRESETS"][name]


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("sac", "pendulum"),
        ("td3", "pendulum"),
        ("ddpg", "pendulum"),
        ("dqn", "cartpole-zoo"),
        ("dqn", "acrobot-zoo"),
        ("ppo", "lunarlander"),
    ],
)
def test_the_zoos_presets_have_a_counterpart(script: dict[str, Any], recipe: str, name: str) -> None:
    """With the same number of weights and the fields that both have under one name."""
    args = preset(recipe, name)
    model = script["build"](recipe, args)

    for field in ("gamma", "tau", "buffer_size", "learning_starts", "gradient_steps", "max_grad_norm", "policy_delay"):
        if hasattr(args, field) and hasattr(model, field):
            assert getattr(model, field) == getattr(args, field), field
    if recipe == "ppo":
        assert (model.n_steps, model.batch_size, model.n_epochs, model.vf_coef) == (1024, 64, 4, 0.5)
    else:
        assert (model.batch_size, model.train_freq.frequency) == (args.batch_size, args.train_frequency)


@pytest.mark.parametrize(
    ("recipe", "args", "field"),
    [
        ("dqn", dqn.Args(), "huber=False, only huber=True"),
        ("ddpg", ddpg.Args(policy_delay=2), "policy_delay=2"),
        ("td3", td3.Args(scale_actions=False), "scale_actions=False"),
        ("sac", sac.Args(policy_lr=1e-3), "q_lr=0.0003, only q_lr=0.001"),
        ("ppo", ppo.Args(clip_vloss=True), "vloss_max=True"),
    ],
)
def test_what_it_does_not_know_is_refused(script: dict[str, Any], recipe: str, args: Any, field: str) -> None:
    """Naming the field and the value it would have to have."""
    with pytest.raises(InputError, match=f"Stable-Baselines3 cannot be given .*{field}"):
        script["build"](recipe, args)


def test_the_environment_chooses_a_preset_that_both_can_run(script: dict[str, Any]) -> None:
    """CartPole's first preset is CleanRL's; the comparison takes the Zoo's."""
    presets = {"cartpole": dqn.Args(), "cartpole-zoo": preset("dqn", "cartpole-zoo")}
    words = script["starting_point"](presets, ["--env-id", "CartPole-v1"], lambda args: script["build"]("dqn", args))

    assert words == ["--preset", "cartpole-zoo", "--env-id", "CartPole-v1"]


def test_a_single_seed_is_refused(script: dict[str, Any]) -> None:
    """It is a comparison over seeds."""
    with pytest.raises(InputError, match="give --seeds, as in --seeds 5"):
        script["main"](["--algorithm", "sac", "--seed", "3"])


def test_one_seed_of_the_other_side_is_trained_and_evaluated(script: dict[str, Any]) -> None:
    """A tiny run gives its figures under our names."""
    args = replace(preset("sac", "smoke"), total_timesteps=210, seed=1)
    figures = script["run_seed"]("sac", args, script["CompareOptions"](eval_episodes=2))

    assert (figures["seed"], figures["steps"], len(figures["returns"])) == (1, 210, 2)
    assert figures["mean"] == pytest.approx(sum(figures["returns"]) / 2)
    assert figures["last_100"] < 0 < figures["wall_s"]
