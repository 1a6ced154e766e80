"""The settings of a tabular experiment, what they mean, and which are refused.

A field left at None takes the value tuned for the environment and method, where the recipe has one, or else that of
`DEFAULTS`; the run's config.json holds the values used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym

from rlpath.core.errors import InputError
from rlpath.envs import gridworlds
from rlpath.tabular.exploration import EpsilonGreedy, Exploration, Schedule, Softmax, UpperConfidence
from rlpath.tabular.learner import Control, StepSize
from rlpath.tabular.model import Model, from_env, make
from rlpath.tabular.monte_carlo import MonteCarloControl
from rlpath.tabular.n_step import NStepSarsa
from rlpath.tabular.td import DoubleQLearning, ExpectedSarsa, QLearning, Sarsa

METHODS: dict[str, Callable[..., Control]] = {
    "monte_carlo": MonteCarloControl,
    "monte_carlo_every_visit": lambda *args, **options: MonteCarloControl(*args, first_visit=False, **options),
    "sarsa": Sarsa,
    "expected_sarsa": ExpectedSarsa,
    "n_step_sarsa": NStepSarsa,
    "q_learning": QLearning,
    "double_q_learning": DoubleQLearning,
}


@dataclass(frozen=True, kw_only=True)
class TabularSettings:
    env_id: str = "FrozenLake-v1"
    """a registered environment that publishes its table: toy text, or one of our grid worlds"""
    env_options: tuple[str, ...] = ()
    """arguments of the environment, as is_slippery=false"""
    map: Path | None = None
    """a text file with a map for TextGrid-v0, which it selects: . floor, # wall, S start, G goal, H hole, C cliff"""
    algorithm: str = "q_learning"
    """one of monte_carlo, monte_carlo_every_visit, sarsa, expected_sarsa, n_step_sarsa, q_learning, double_q_learning;
    all compares them"""
    seeds: int = 30
    """how many seeds, trained together"""
    first_seed: int = 0
    """the lowest of them"""
    steps: int | None = None
    """environment steps of each seed"""
    gamma: float | None = None
    """discount while learning; returns are reported undiscounted"""
    alpha: float | None = None
    """step size of the first update of a table entry"""
    alpha_power: float | None = None
    """the n-th update of an entry has step size alpha / n ** alpha_power; 0 is a constant step size"""
    exploration: Literal["epsilon_greedy", "softmax", "ucb"] | None = None
    """how to act while learning"""
    explore_start: float | None = None
    """epsilon, or the temperature of softmax, at the first step; for ucb the constant c"""
    explore_end: float | None = None
    """the same at the end of its linear decay"""
    explore_share: float | None = None
    """share of the steps over which it decays"""
    initial_value: float | None = None
    """every action value before learning; a high one is optimistic"""
    n: int | None = None
    """steps of n_step_sarsa"""
    max_steps: int = 500
    """cuts an episode off where the environment has no time limit of its own"""
    checkpoints: int = 20
    """how often, at even distances, the greedy policy is evaluated exactly"""
    root: Path = Path("runs")
    """folder of all runs"""

    def methods(self) -> list[str]:
        """The methods to train. Raises `InputError` naming the nearest for one that does not exist."""
        if self.algorithm == "all":
            return list(METHODS)
        if self.algorithm not in METHODS:
            choices = [*METHODS, "all"]
            near = get_close_matches(self.algorithm, choices, n=3, cutoff=0.4) or choices
            raise InputError(f"there is no algorithm {self.algorithm!r}; the nearest are {', '.join(near)}")
        return [self.algorithm]

    def resolve(self, method: str, tuned: Mapping[str, Any]) -> TabularSettings:
        """These settings for one method, no field left at None. Raises `InputError` naming a field out of range."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if self.map is not None:
            given["env_id"] = "TextGrid-v0"
        chosen = replace(self, **{**DEFAULTS, **tuned, **given, "algorithm": method})
        chosen.check()
        return chosen

    def check(self) -> None:
        """Refuse what cannot work; raises `InputError` naming the flag."""
        least = {"seeds": 1, "first_seed": 0, "steps": 1, "n": 1, "max_steps": 1, "checkpoints": 1}
        for name, low in least.items():
            if (value := getattr(self, name)) is not None and value < low:
                raise InputError(f"--{name.replace('_', '-')} {value} must be at least {low}")
        limits = {"gamma": (0.0, 1.0), "alpha": (0.0, 1.0), "alpha_power": (0.0, 1.0), "explore_share": (0.0, 1.0)}
        if self.exploration == "epsilon_greedy":
            limits |= {"explore_start": (0.0, 1.0), "explore_end": (0.0, 1.0)}
        for name, (low, high) in limits.items():
            if (value := getattr(self, name)) is not None and not low <= value <= high:
                raise InputError(f"--{name.replace('_', '-')} {value:g} must lie between {low:g} and {high:g}")
        if self.exploration == "softmax" and min(self.explore_start or 0.0, self.explore_end or 0.0) <= 0:
            raise InputError("--explore-start and --explore-end must be above 0 for softmax: they are temperatures")
        if self.steps is not None and self.steps % self.checkpoints:
            raise InputError(f"--checkpoints {self.checkpoints} must divide --steps {self.steps}")

    def environment(self) -> gym.Env[Any, Any]:
        """The environment itself. Raises `InputError` where it does not exist or does not take the options."""
        options = dict(_option(text) for text in self.env_options)
        if self.map is None:
            return make(self.env_id, **options)
        return make("TextGrid-v0", file=str(self.map), **options)

    def model(self) -> Model:
        """The environment's tables, with a time limit. Raises `InputError` as `environment` does."""
        env = self.environment()
        try:
            model = from_env(env)
        finally:
            env.close()
        return model if model.limit is not None else model.within(self.max_steps)

    def learner(self, model: Model, seeds: int) -> Control:
        """The method's tables before learning, for so many seeds; every field must be resolved."""
        options: dict[str, Any] = {"initial": self.initial_value}
        if self.algorithm == "n_step_sarsa":
            options["n"] = self.n
        assert self.alpha is not None and self.alpha_power is not None
        step_size = StepSize(self.alpha, self.alpha_power)
        return METHODS[self.algorithm](model, seeds, self.gamma, step_size, **options)

    def behavior(self) -> Exploration:
        """How to act while learning; every field must be resolved."""
        assert self.explore_start is not None and self.explore_end is not None
        assert self.explore_share is not None and self.steps is not None
        schedule = Schedule(self.explore_start, self.explore_end, round(self.explore_share * self.steps))
        if self.exploration == "ucb":
            return UpperConfidence(self.explore_start)
        return Softmax(schedule) if self.exploration == "softmax" else EpsilonGreedy(schedule)

    def config(self) -> dict[str, Any]:
        """What distinguishes one run from another, seeds apart; a map counts by its rows, not by its file's name."""
        fields = asdict(self)
        if self.map is not None:
            fields["map"] = list(gridworlds.read_map(self.map))
        return {name: fields[name] for name in fields if name not in ("seeds", "first_seed", "root")}


DEFAULTS: dict[str, Any] = {
    "steps": 100_000,
    "gamma": 0.99,
    "alpha": 1.0,
    "alpha_power": 0.6,
    "exploration": "epsilon_greedy",
    "explore_start": 1.0,
    "explore_end": 0.05,
    "explore_share": 1.0,
    "initial_value": 0.0,
    "n": 4,
}


def _option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value read as JSON where it is JSON and as text where it is not."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--env-options {text!r} is not NAME=VALUE, as is_slippery=false")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
