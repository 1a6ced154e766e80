"""Environments so small that the right answer is known: each can only be solved by one more working part.

    ConstantReward      one step, one state, reward 1        the value is learned at all            V = 1
    ObservationReward   one step, the state is the reward    it depends on the observation         V(s) = s
    TwoSteps            reward 1 after the second step       it flows back, discounted             V(0) = γ, V(1) = 1
    ActionReward        one step, the action decides         actions are told apart                see `best_action`
    Matching            one step, state and action decide    both together                         see `best_action`
    Endless             reward 1 for ever, cut by a clock    a truncation is no end                V = 1/(1−γ)

An algorithm that fails here cannot work elsewhere, and the first probe it fails says which part to look at. They are
registered as `probe/Name-v0` with two actions, and as `probe/NameContinuous-v0` with one number in [−1, 1]. Importing
this module registers them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np

Array = np.ndarray[Any, Any]
CLOCK = 5
"""Steps after which `Endless` is cut."""


class ProbeEnv(gymnasium.Env[Array, Any], ABC):
    """One observed number; `pay` is the reward, and an episode terminates after `length` steps."""

    length = 1

    def __init__(self, continuous: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.action_space: gymnasium.Space[Any] = (
            gymnasium.spaces.Box(-1, 1, (1,), np.float32) if continuous else gymnasium.spaces.Discrete(2)
        )
        self.continuous = continuous
        self.state = 0.0
        self.taken = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self.taken = 0
        self.state = self.first_state()
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Pay for the action in the state, then move on."""
        reward = self.pay(float(np.asarray(action).item()))
        self.taken += 1
        self.state = self.next_state()
        return self._observe(), reward, self.taken == self.length, False, {}

    def _observe(self) -> Array:
        return np.array([self.state], np.float32)

    def first_state(self) -> float:
        """What an episode begins with."""
        return 0.0

    def next_state(self) -> float:
        """Where a step leads."""
        return self.state

    @abstractmethod
    def pay(self, action: float) -> float:
        """The reward."""


class ConstantReward(ProbeEnv):
    """Reward 1, and over."""

    def pay(self, action: float) -> float:
        """Always 1."""
        return 1.0


class ObservationReward(ProbeEnv):
    """The state is −1 or 1 by chance, and so is the reward."""

    def first_state(self) -> float:
        """−1 or 1."""
        return float(self.np_random.choice([-1.0, 1.0]))

    def pay(self, action: float) -> float:
        """The state."""
        return self.state


class TwoSteps(ProbeEnv):
    """State 0, then state 1; the second step pays 1."""

    length = 2

    def next_state(self) -> float:
        """State 1."""
        return 1.0

    def pay(self, action: float) -> float:
        """The state."""
        return self.state


class ActionReward(ProbeEnv):
    """Action 1 pays 1 and action 0 pays −1; continuous ones lose the squared distance to ½."""

    def pay(self, action: float) -> float:
        """As the class says."""
        return -((action - self.best_action()) ** 2) if self.continuous else 2 * action - 1

    def best_action(self) -> float:
        """1, or ½ where actions are continuous."""
        return 0.5 if self.continuous else 1.0


class Matching(ObservationReward):
    """Action 1 is right in state 1 and action 0 in state −1; continuous, half the state is."""

    def pay(self, action: float) -> float:
        """1 or −1; continuous, minus the squared distance."""
        if self.continuous:
            return -((action - self.best_action()) ** 2)
        return 1.0 if action == self.best_action() else -1.0

    def best_action(self) -> float:
        """In the present state."""
        return self.state / 2 if self.continuous else (self.state + 1) / 2


class Endless(ProbeEnv):
    """Reward 1 at every step and no end but the clock's, after `CLOCK` steps."""

    length = 0

    def pay(self, action: float) -> float:
        """Always 1."""
        return 1.0


for _probe in (ConstantReward, ObservationReward, TwoSteps, ActionReward, Matching, Endless):
    for _suffix, _continuous in (("", False), ("Continuous", True)):
        gymnasium.register(
            f"probe/{_probe.__name__}{_suffix}-v0",
            entry_point=f"{__name__}:{_probe.__name__}",
            kwargs={"continuous": _continuous},
            max_episode_steps=CLOCK if _probe is Endless else None,
        )
