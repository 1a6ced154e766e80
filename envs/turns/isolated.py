"""An environment in a process of its own, which can be killed: for tools that may hang where no thread can be stopped.

    Safe = isolated(MyEnvironment, seconds=5)

is a class with the same tools, to be used in the other's place, in our loop and in TRL's. Starting a process takes
about a second, and each instance has one; whatever goes in and out must be picklable.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from rlpath.core.errors import InputError
from rlpath.envs.turns.contract import Factory, finished, make_environment, name_of


class Remote:
    """The near side of an environment that lives in another process."""

    factory: Factory
    seconds: float

    def __init__(self) -> None:
        self.done = False
        self._process: Any = None
        self._pipe: Any = None

    def _ask(self, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """What the method returns there. Raises TimeoutError after `seconds`, RuntimeError for whatever it raised."""
        if self._process is None:
            if name != "reset":
                raise RuntimeError("the environment's process was ended")
            self._start()
        try:
            self._pipe.send((name, arguments, dict(named)))
            if not self._pipe.poll(self.seconds):
                self._end()
                raise TimeoutError(f"{name} gave no answer within {self.seconds:g} seconds")
            raised, value, self.done = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._end()
            raise RuntimeError("the environment's process ended") from None
        if raised:
            raise RuntimeError(value)
        return value

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(type(self).factory, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(max(60.0, self.seconds)) or not self._pipe.recv():
            self._end()
            raise RuntimeError("the environment's process did not start")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None

    def __del__(self) -> None:
        self._end()


def isolated(factory: Factory, seconds: float = 20.0) -> type:
    """A class whose instances are `factory`'s environments, each in its own process.

    A call that takes longer than `seconds` is ended with its process; the next `reset` starts another. Raises
    `InputError` where the factory cannot be pickled, or is no environment's.
    """
    try:
        pickle.loads(pickle.dumps(factory))
    except (pickle.PicklingError, AttributeError, TypeError, ImportError) as error:
        raise InputError(
            f"environment {name_of(factory)} cannot be sent to a process of its own ({error}): define it at the top of "
            "a module, not inside a function or as a lambda"
        ) from None
    if not seconds > 0:
        raise InputError(f"seconds is {seconds}: a call needs some time")
    original = type(make_environment(factory))
    methods = inspect.getmembers(original, predicate=inspect.isfunction)
    told = {name: _forwarding(name, method) for name, method in methods if not name.startswith("_")}
    # With `__wrapped__` the code of the class can still be found.
    parts = {"factory": staticmethod(factory), "seconds": seconds, "__wrapped__": original, "__doc__": original.__doc__}
    return type(original.__name__, (Remote,), {**parts, **told})


def _forwarding(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def forward(self: Remote, *arguments: Any, **named: Any) -> Any:
        return self._ask(name, arguments, named)

    return forward


def serve(factory: Factory, pipe: Any) -> None:
    """The far side: make the environment, then answer one call after another until the near side is gone."""
    environment = factory()
    pipe.send(True)
    while True:
        try:
            name, arguments, named = pipe.recv()
        except EOFError:
            return
        try:
            value = finished(getattr(environment, name)(*arguments, **named))
            pickle.dumps(value)
            raised = False
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is told on the near side
            raised, value = True, str(error) or type(error).__name__
        pipe.send((raised, value, bool(getattr(environment, "done", False))))
