"""Every algorithm on environments whose answer is known; one line in LEARNERS adds an algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.deep import a2c, ppo, ppo_continuous, reinforce
from rlpath.deep.parts.probes import CLOCK
from rlpath.deep.parts.training import Args, Result

GAMMA = 0.9


@dataclass(frozen=True)
class Learner:
    """An algorithm with settings that solve the probes; `value` is V(s) of its result at one observed number."""

    train: Callable[[Any], Result]
    args: Args
    value: Callable[[Result, float], float]
    kinds: tuple[str, ...] = ("",)
    no_bootstrap: dict[str, bool] | None = None

    def learn(self, probe: str, kind: str, **changes: Any) -> Result:
        return self.train(replace(self.args, env_id=f"probe/{probe}{kind}-v0", seed=1, checkpoint_every=0, **changes))


def critic(result: Result, state: float) -> float:
    agent: Any = result.agent
    return agent.value(torch.tensor([[state]])).item()


BOTH = ("", "Continuous")
OFF = {"bootstrap_truncated": False}


def short(**changes: Any) -> dict[str, Any]:
    """Settings that solve every probe in well under a second."""
    return {"total_timesteps": 2400, "gamma": GAMMA, "learning_rate": 0.02, "hidden": (16,), **changes}


PPO = short(num_envs=4, num_steps=15, num_minibatches=1, ent_coef=0, clip_vloss=False)
A2C = short(num_envs=4, learning_rate=0.01, anneal_lr=True)
REINFORCE = short(episodes_per_update=24, baseline_learning_rate=0.02, log_std=-1)
LEARNERS = {
    "ppo": Learner(ppo.train, ppo.Args(**PPO), critic, no_bootstrap=OFF),
    "ppo_continuous": Learner(
        ppo_continuous.train,
        ppo_continuous.Args(**PPO, normalize="none", update_epochs=4, log_std=-1),
        critic,
        ("Continuous",),
        OFF,
    ),
    "a2c": Learner(a2c.train, a2c.Args(**A2C), critic, BOTH, OFF),
    "reinforce": Learner(reinforce.train, reinforce.Args(**REINFORCE), critic, BOTH, OFF),
}


def cases(names: Iterable[str]) -> list[Any]:
    """Each algorithm with each kind of action."""
    return [pytest.param(LEARNERS[name], kind, id=name + kind) for name in names for kind in LEARNERS[name].kinds]


CASES = cases(LEARNERS)
SWITCHABLE = cases(name for name, learner in LEARNERS.items() if learner.no_bootstrap)


@pytest.mark.parametrize(
    ("probe", "values"),
    [
        ("ConstantReward", {0.0: 1.0}),
        ("ObservationReward", {-1.0: -1.0, 1.0: 1.0}),
        ("TwoSteps", {0.0: GAMMA, 1.0: 1.0}),
    ],
)
@pytest.mark.parametrize(("learner", "kind"), CASES)
def test_the_value_is_learned(learner: Learner, kind: str, probe: str, values: dict[float, float]) -> None:
    """To within 0.05, in every state."""
    result = learner.learn(probe, kind)

    for state, value in values.items():
        assert learner.value(result, state) == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize(
    ("probe", "states"), [("ActionReward", (0.0,)), ("Matching", (-1.0, 1.0))], ids=["ActionReward", "Matching"]
)
@pytest.mark.parametrize(("learner", "kind"), CASES)
def test_the_best_action_is_learned(learner: Learner, kind: str, probe: str, states: tuple[float, ...]) -> None:
    """The most probable action is the best; a discrete one is taken 19 times in 20."""
    result = learner.learn(probe, kind)

    for state in states:
        obs = np.full((1000, 1), state, np.float32)
        best = (0.5 if probe == "ActionReward" else state / 2) if kind else (state + 1) / 2 if state else 1.0
        assert float(result.act(obs[:1], True).item()) == pytest.approx(best, abs=0.15)
        if not kind:
            assert (result.act(obs, False) == best).mean() > 0.95


@pytest.mark.parametrize(("learner", "kind"), CASES)
def test_a_truncation_is_no_end(learner: Learner, kind: str) -> None:
    """Reward 1 for ever is worth 1/(1−γ) = 10, though every episode is cut after five steps."""
    result = learner.learn("Endless", kind, total_timesteps=6000)

    assert learner.value(result, 0.0) == pytest.approx(1 / (1 - GAMMA), rel=0.05)


@pytest.mark.parametrize(("learner", "kind"), SWITCHABLE)
def test_without_bootstrapping_it_is_one(learner: Learner, kind: str) -> None:
    """Then the value is that of what is left of five steps, averaged over them: 2.63."""
    result = learner.learn("Endless", kind, **(learner.no_bootstrap or {}))

    left = [(1 - GAMMA**steps) / (1 - GAMMA) for steps in range(1, CLOCK + 1)]
    assert learner.value(result, 0.0) == pytest.approx(np.mean(left), rel=0.1)
