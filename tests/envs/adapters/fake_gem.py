"""As much of gem_llm 0.1 as the adapter uses, where it is not installed; the same tests run against the real one.

`game:GuessTheNumber-v0-easy` and `rg:products` behave as gem's do: global draws after `seed`, a boxed action.
"""

from __future__ import annotations

import random
import re
from types import ModuleType
from typing import Any

import numpy as np

ENDED = "<｜TERMINAL_STATE｜>"


def boxed(text: str) -> str | None:
    found = re.findall(r"\\boxed{(\d+)}", text)
    return found[-1] if found else None


def seeded(seed: int | None) -> None:
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed)


class Guess:
    def __init__(self, min_number: int = 1, max_number: int = 10, max_turns: int = 4, **_: Any) -> None:
        self.low, self.high, self.turns = min_number, max_number, max_turns

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        seeded(seed)
        self.game_number, self.left = random.randint(self.low, self.high), self.turns
        return f"Guess between {self.low} and {self.high} in a \\boxed{{}}.\n", {"suffix": "Enter your next guess."}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        guess, suffix = boxed(action), {"suffix": "Enter your next guess."}
        if guess is None:
            return "that is no guess", -0.1, True, False, suffix
        if int(guess) == self.game_number:
            return "Congratulations!", 1.0, True, False, suffix
        hint = "lower" if int(guess) > self.game_number else "higher"
        return f"the target number is {hint} than {guess}", 0.0, self.left == 0, self.left == 0, suffix

    def sample_random_action(self) -> str:
        return f"\\boxed{{{random.randint(self.low, self.high)}}}"


class Products:
    def __init__(self, name: str = "products", size: int = 500, seed: int = 42, **_: Any) -> None:
        self.size = size

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        seeded(seed)
        a, b = random.randint(2, 99), random.randint(2, 99)
        self.data = {"question": f"What is {a} times {b}?", "answer": str(a * b)}
        return self.data["question"], {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return ENDED, float(boxed(action) == self.data["answer"]), True, True, {}


class Pictures(Products):
    def reset(self, seed: int | None = None) -> Any:
        return {"image": b""}, {}


REGISTRY = {
    "game:GuessTheNumber-v0-easy": Guess,
    "rg:products": Products,
    "math:Geometry3K": Pictures,
    "eval:MATH500": Products,
}


def modules() -> dict[str, ModuleType]:
    """What to put into `sys.modules`."""
    made = {name: ModuleType(name) for name in ("gem", "gem.envs", "gem.envs.registration")}
    made["gem.envs.registration"].ENV_REGISTRY = REGISTRY  # type: ignore[attr-defined]
    made["gem"].make = lambda env_id, **options: REGISTRY[env_id](**options)  # type: ignore[attr-defined]
    return made
