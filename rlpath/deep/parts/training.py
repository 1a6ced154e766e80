"""What every algorithm's loop shares: counting steps, writing down episodes and losses, checkpoints, the result.

An algorithm hands over its parts (networks, optimizers, environments, generators, buffers) once; a checkpoint is the
state of all of them between two iterations, so that a run that was killed goes on with the same bits.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from rlpath.core.errors import InputError
from rlpath.deep.parts.networks import weights_digest
from rlpath.deep.parts.vec import Episode, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
STATE = "state.pt"
Space = TypeVar("Space", bound="gymnasium.Space[Any]")


@dataclass(frozen=True)
class Args:
    """What every algorithm is told; each adds its own fields. Every field is a flag of its recipe."""

    env_id: str = "CartPole-v1"
    """A registered Gymnasium environment."""
    seed: int = 0
    """Fixes weights, environments, actions and minibatches."""
    total_timesteps: int = 500_000
    """Environment steps, summed over the environments."""
    checkpoint_every: int | None = None
    """Environment steps between two checkpoints; a tenth of the total unless told, and 0 writes none."""

    @property
    def checkpoint_steps(self) -> int:
        """Environment steps between two checkpoints, 0 for none."""
        return max(1, self.total_timesteps // 10) if self.checkpoint_every is None else self.checkpoint_every

    def check(self) -> None:
        """Raise `InputError` where a field cannot be used; algorithms add checks of their own fields."""
        self.require("not negative", lambda value: value >= 0, "seed")
        if self.checkpoint_every is not None:
            self.require("not negative", lambda value: value >= 0, "checkpoint_every")
        self.require_positive("total_timesteps")

    def require_positive(self, *names: str) -> None:
        """Raise `InputError` where a field is zero, negative or NaN."""
        self.require("positive", lambda value: value > 0, *names)

    def require_share(self, *names: str) -> None:
        """Raise `InputError` where a field is outside 0 … 1."""
        self.require("between 0 and 1", lambda value: 0 <= value <= 1, *names)

    def require(self, what: str, holds: Callable[[float], bool], *names: str) -> None:
        """Raise `InputError` saying that a field must be `what` where it does not hold."""
        for name in names:
            if not holds(value := getattr(self, name)):
                raise InputError(f"{name} must be {what}, got {value}")


@dataclass(frozen=True)
class RolloutArgs(Args):
    """What an algorithm is told that learns from rollouts of a fixed length."""

    num_envs: int = 1
    """Environments stepped together."""
    num_steps: int = 128
    """Steps of each environment in a rollout."""

    @property
    def batch_size(self) -> int:
        """Environment steps in a rollout."""
        return self.num_envs * self.num_steps

    @property
    def num_iterations(self) -> int:
        """Whole rollouts in `total_timesteps`."""
        return self.total_timesteps // self.batch_size

    def check(self) -> None:
        """Raise `InputError` where a field cannot be used or there are not steps enough for one rollout."""
        super().check()
        self.require_positive("num_envs", "num_steps")
        if self.total_timesteps < self.batch_size:
            raise InputError(f"{self.total_timesteps} steps are fewer than one rollout of {self.batch_size}")


class Stateful(Protocol):
    """A part of a run that a checkpoint holds. Its state is plain Python and tensors."""

    def state_dict(self) -> Any:
        """The state."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Go on from it."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """A training episode and the environment step at which it ended, counted over all environments."""

    step: int
    return_: float
    length: int


@dataclass(frozen=True)
class Result:
    """What a training run gave.

    `act(obs, deterministic)` is the trained policy on (N, *observation); `digest` is the SHA-256 of its weights,
    `history` that of every episode's step, return and length: two runs with equal digests took the same steps.
    """

    args: Any
    steps: int
    episodes: list[Finished]
    losses: dict[str, float]
    agent: nn.Module
    act: Callable[[Array, bool], Array]
    wall_s: float
    digest: str = field(init=False)
    history: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the digests."""
        rows = repr([(episode.step, episode.return_, episode.length) for episode in self.episodes])
        object.__setattr__(self, "digest", weights_digest(self.agent))
        object.__setattr__(self, "history", hashlib.sha256(rows.encode()).hexdigest())

    def last(self, count: int = 100) -> float:
        """Mean return of the last `count` training episodes, the figure CleanRL reports; NaN before the first."""
        returns = [episode.return_ for episode in self.episodes[-count:]]
        return float(np.mean(returns)) if returns else float("nan")


class Signals:
    """While entered, SIGINT and SIGTERM are noted instead of ending the process; a second SIGINT ends it.

    Several trainings of one process may have entered it. Outside the main thread it does nothing.
    """

    def __init__(self) -> None:
        self.noted: list[int] = []
        self._depth = 0
        self._saved = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if self._depth == 0 and threading.current_thread() is threading.main_thread():
            self.noted, self._saved = [], 0
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before = {}

    def _note(self, number: int, _: object) -> None:
        if number == signal.SIGINT and number in self.noted:
            raise KeyboardInterrupt
        self.noted.append(number)

    def obey(self) -> None:
        """End as the first noted signal asks: `KeyboardInterrupt`, or `SystemExit` with 128 + the signal's number.

        Called by each training once it is saved; of several in one process the last one ends them all.
        """
        if not self.noted:
            return
        self._saved += 1
        if self._saved < self._depth:
            return
        if self.noted[0] == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.noted[0])


SIGNALS = Signals()


class Training:
    """The course of one run. `parts` is everything whose state decides what happens next.

    With `run` the episodes, losses and checkpoints are written to its folder, and an earlier start is continued.
    """

    def __init__(self, args: Args, run: RunFolder | None = None, **parts: Stateful | np.random.Generator) -> None:
        self.args = args
        self.run = run
        self.parts = parts
        self.step = 0
        """Environment steps so far, over all environments."""
        self.episodes: list[Finished] = []
        self.losses: dict[str, float] = {}
        self._iteration = 0
        self._saved_at = 0
        self._started = time.monotonic()
        envs = parts.get("envs")
        if run is not None and args.checkpoint_steps and isinstance(envs, VectorEnv):
            envs.check_repeatable()
        self._restore()
        self._step_at_start = self.step

    def iterations(self, count: int | None = None) -> Iterator[int]:
        """Count the iterations from where an earlier start stopped; a checkpoint may be written after each.

        They end after `count`, or once `total_timesteps` environment steps have been taken. SIGINT (Ctrl-C) and SIGTERM
        end them after the present iteration, when it has been saved; a second Ctrl-C at once.
        """
        with SIGNALS:
            while self.step < self.args.total_timesteps if count is None else self._iteration < count:
                yield self._iteration
                self._iteration += 1
                every = self.args.checkpoint_steps
                if every and (SIGNALS.noted or self.step - self._saved_at >= every):
                    self._save()
                SIGNALS.obey()

    def advance(self, steps: int, ended: list[Episode]) -> None:
        """Count `steps` environment steps and write down the episodes that ended in them."""
        self.step += steps
        for episode in ended:
            self.episodes.append(Finished(self.step, episode.return_, episode.length))
            if self.run is not None:
                row = {"charts/episodic_return": episode.return_, "charts/episodic_length": episode.length}
                self.run.log_metrics(self.step, row)

    def log(self, losses: Mapping[str, float]) -> None:
        """Write down one update's figures, under CleanRL's names. Raises `FloatingPointError` where one is NaN."""
        bad = [name for name, value in losses.items() if value != value]
        if bad:
            raise FloatingPointError(f"{', '.join(bad)} became NaN at step {self.step}; the last checkpoint is kept")
        self.losses = dict(losses)
        if self.run is not None:
            seconds = max(time.monotonic() - self._started, 1e-9)
            self.run.log_metrics(self.step, {**losses, "charts/SPS": (self.step - self._step_at_start) / seconds})

    def result(self, agent: nn.Module, act: Callable[[Array, bool], Array]) -> Result:
        """The finished run's result; `act` is the trained policy."""
        if self.args.checkpoint_steps:
            self._save()
        wall_s = time.monotonic() - self._started
        return Result(self.args, self.step, self.episodes, self.losses, agent, act, wall_s)

    def _save(self) -> None:
        # A checkpoint that counts is never written again: killed halfway, nothing would be left.
        if self.run is None or self.step == self._saved_at:
            return
        folder = self.run.checkpoints / f"checkpoint-{self.step}"
        folder.mkdir(exist_ok=True)
        counts = {"step": self.step, "iteration": self._iteration, "episodes": len(self.episodes)}
        parts = {name: _state(part) for name, part in self.parts.items()}
        torch.save({"progress": counts, "losses": self.losses, "parts": parts}, folder / STATE)
        self.run.mark_complete(folder, keep=1)
        self._saved_at = self.step

    def _restore(self) -> None:
        if self.run is None:
            return
        checkpoint = self.run.last_checkpoint()
        if checkpoint is None:
            self.run.rewind(-1)
            return
        saved = torch.load(checkpoint / STATE, weights_only=True)
        if set(saved["parts"]) != set(self.parts):
            raise InputError(f"{checkpoint} holds {sorted(saved['parts'])}, this run needs {sorted(self.parts)}")
        for name, part in self.parts.items():
            _load(part, saved["parts"][name])
        progress = saved["progress"]
        self.step = self._saved_at = progress["step"]
        self._iteration, self.losses = progress["iteration"], saved["losses"]
        self.run.rewind(self.step)
        self.episodes = [
            Finished(row["step"], row["charts/episodic_return"], int(row["charts/episodic_length"]))
            for row in self.run.metrics()
            if "charts/episodic_return" in row
        ]
        if len(self.episodes) != progress["episodes"]:
            held = (
                f"{len(self.episodes)} episodes up to step {self.step}, its checkpoint counted {progress['episodes']}"
            )
            raise InputError(f"{self.run.path} holds {held}; remove the folder to start again")


def _state(part: Stateful | np.random.Generator) -> Any:
    return part.bit_generator.state if isinstance(part, np.random.Generator) else part.state_dict()


def _load(part: Stateful | np.random.Generator, state: Any) -> None:
    if isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    else:
        part.load_state_dict(state)


def explained_variance(value: Tensor, return_: Tensor) -> float:
    """1 − Var(G − V) / Var(G): 1 is a perfect critic, 0 one that predicts the mean; 0 where returns do not vary."""
    variance = return_.var(correction=0).item()
    return 1 - (return_ - value).var(correction=0).item() / variance if variance else 0.0


def require_space(space: gymnasium.Space[Any], kind: type[Space], what: str, remedy: str) -> Space:
    """`space` as `kind`; raises `InputError` with `what` it is the space of and the `remedy` where it is another."""
    if not isinstance(space, kind):
        raise InputError(f"{what} is {space}, and this algorithm needs {kind.__name__}; {remedy}")
    return space


def box_size(space: gymnasium.Space[Any], what: str) -> int:
    """Length of the vectors in `space`; raises `InputError` where it does not hold vectors of numbers."""
    remedy = "wrap the environment with gymnasium.wrappers.FlattenObservation"
    box = require_space(space, gymnasium.spaces.Box, what, remedy)
    if len(box.shape) > 1:
        remedy = f"give train(…, make_network=…) a network for it, in ppo, a2c, reinforce or dqn, or {remedy}"
    if len(box.shape) != 1:
        raise InputError(f"{what} has the shape {box.shape}, and this algorithm needs vectors; {remedy}")
    return box.shape[0]
