"""DQN, DDPG, TD3 and SAC on environments whose answer is known: what one step, two steps and a clock are worth."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.deep import ddpg, dqn, sac, td3
from rlpath.deep.parts.probes import CLOCK
from rlpath.deep.parts.replay import ReplayBuffer
from rlpath.deep.parts.training import Result
from rlpath.deep.parts.vec import Step

GAMMA = 0.9
SHORT: Any = {"total_timesteps": 3200, "num_envs": 8, "gamma": GAMMA, "hidden": (16,), "batch_size": 64, "seed": 1}
SHORT |= {"learning_starts": 160, "buffer_size": 4000, "checkpoint_every": 0}
SLOW: Any = {**SHORT, "tau": 0.1}
# An actor that follows a narrow critic with little data saturates on its slope before the critic has seen the top.
PATIENT: Any = {**SLOW, "learning_rate": 0.003, "hidden": (32, 32), "learning_starts": 1600, "total_timesteps": 5600}
DQN = dqn.Args(**SHORT, learning_rate=0.01, train_frequency=1, target_frequency=80, exploration_fraction=0.9)
LEARNERS: dict[str, tuple[Any, Any]] = {
    "dqn": (dqn, DQN),
    "dqn double dueling prioritized": (dqn, replace(DQN, double=True, dueling=True, prioritized=True)),
    "ddpg": (ddpg, ddpg.Args(**PATIENT)),
    "td3": (td3, td3.Args(**PATIENT, policy_noise=0.05)),
    "sac": (sac, sac.Args(**SLOW | {"hidden": (32, 32)}, policy_lr=0.005, q_lr=0.005, autotune=False, alpha=0.01)),
}


def learn(name: str, probe: str, **changes: Any) -> Result:
    module, args = LEARNERS[name]
    kind = "" if module is dqn else "Continuous"
    return module.train(replace(args, env_id=f"probe/{probe}{kind}-v0", **changes))


@torch.no_grad()
def value(result: Result, state: float) -> float:
    """What the critics say the best action in `state` is worth."""
    agent: Any = result.agent
    obs = torch.tensor([[state]])
    if isinstance(agent, dqn.Agent):
        return agent.online(obs).max().item()
    action = torch.from_numpy(result.act(obs.numpy(), True))
    critics = [agent.critic] if isinstance(agent, ddpg.Agent) else agent.critics
    return min(critic(obs, action).item() for critic in critics)


@pytest.mark.parametrize(
    ("probe", "values"),
    [
        ("ConstantReward", {0.0: 1.0}),
        ("ObservationReward", {-1.0: -1.0, 1.0: 1.0}),
        ("TwoSteps", {0.0: GAMMA, 1.0: 1.0}),
    ],
)
@pytest.mark.parametrize("name", LEARNERS)
def test_the_value_is_learned(name: str, probe: str, values: dict[float, float]) -> None:
    """To within 0.05, in every state."""
    result = learn(name, probe)

    for state, expected in values.items():
        assert value(result, state) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("probe", "states"), [("ActionReward", (0.0,)), ("Matching", (-1.0, 1.0))], ids=str)
@pytest.mark.parametrize("name", LEARNERS)
def test_the_best_action_is_learned(name: str, probe: str, states: tuple[float, ...]) -> None:
    """Discrete exactly; continuous to within 0.12 of one half, or of half the state."""
    result = learn(name, probe)

    for state in states:
        action = result.act(np.full((1, 1), state, np.float32), True).item()
        if name.startswith("dqn"):
            assert action == ((state + 1) / 2 if probe == "Matching" else 1)
        else:
            assert action == pytest.approx(state / 2 if probe == "Matching" else 0.5, abs=0.12)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_truncation_is_no_end(name: str) -> None:
    """Reward 1 for ever is worth 1/(1−γ) = 10, though every episode is cut after five steps."""
    result = learn(name, "Endless", total_timesteps=6400)

    assert value(result, 0.0) == pytest.approx(1 / (1 - GAMMA), rel=0.05)


@pytest.mark.parametrize("name", ["dqn", "sac"])
def test_taking_it_for_an_end_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `done` in the place of `terminated` the value falls short of 10: a fifth of the steps are worth 1."""
    add = ReplayBuffer.add

    def mistaken(buffer: ReplayBuffer, obs: Any, action: Any, step: Step) -> Any:
        return add(buffer, obs, action, replace(step, terminated=step.done))

    monkeypatch.setattr(ReplayBuffer, "add", mistaken)
    result = learn(name, "Endless", total_timesteps=4800)

    # V = 1 + γ·(share of steps that are not cut)·V, for a state that does not know its clock.
    assert value(result, 0.0) == pytest.approx(1 / (1 - GAMMA * (CLOCK - 1) / CLOCK), rel=0.1)


def test_the_entropy_of_sac_is_worth_its_temperature() -> None:
    """Where actions change nothing the best policy is uniform over [−1, 1]: each step adds α·log 2."""
    result = learn("sac", "Endless", total_timesteps=6400, alpha=1.0)

    assert value(result, 0.0) == pytest.approx((1 + GAMMA * math.log(2)) / (1 - GAMMA), rel=0.05)
