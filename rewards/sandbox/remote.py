"""The program under test as its tests see it: names that stand for what lives in another process.

A call becomes a message and an answer becomes plain data, so every comparison in the tests is between objects their
own process made. A `Remote`, which stands for anything else, refuses to be compared, counted or taken for true.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

from rlpath.rewards.sandbox.wire import Wire, WireError, decode, encode


class Undecided(Exception):
    """The tests themselves are at fault."""


class Program:
    """The program under test, at the far end of a wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.calls = 0
        self.gone = False

    def load(self) -> list[str]:
        """Wait until it is loaded; the names of its functions."""
        reply = self.exchange(None)
        return [str(name) for name in reply.get("functions", [])]

    def ask(self, **request: Any) -> Any:
        """The answer to one request, as plain data or a Remote; raises what the program raised."""
        return decode(self.exchange(request).get("value"), lambda number, name: Remote(self, number, name))

    def exchange(self, request: dict[str, Any] | None) -> dict[str, Any]:
        if request is not None and not self.gone:
            self.wire.send(request)
        reply = self.wire.receive()
        if not isinstance(reply, dict):
            self.gone = True
            raise WireError("the program ended its process")
        if "error" in reply:
            raise as_exception(reply["error"])
        return reply

    def call(self, function: Remote, args: tuple[object, ...], kwargs: dict[str, object], in_place: bool) -> Any:
        """The answer of a call; with `in_place` the arguments take on what the program made of its copies of them."""
        self.calls += 1
        packed = [encode(value, pack_remote) for value in args]
        keywords = {name: encode(value, pack_remote) for name, value in kwargs.items()}
        found = self.ask(call=pack_remote(function), args=packed, kwargs=keywords, in_place=in_place)
        if not in_place:
            return found
        value, changed = found
        for before, after in zip(args, changed, strict=True):
            replace_content(before, after)
        return value


def as_exception(error: Any) -> Exception:
    """The program's exception, rebuilt here if it is an ordinary built-in one, so that tests may expect it."""
    name, message = (str(part) for part in (*error, "", "")[:2])
    kind = getattr(builtins, name, None)
    ordinary = isinstance(kind, type) and issubclass(kind, Exception) and kind not in (AssertionError, StopIteration)
    try:
        return kind(message) if ordinary else RuntimeError(f"{name}: {message}")  # type: ignore[misc]
    except TypeError:  # UnicodeDecodeError wants more arguments
        return RuntimeError(f"{name}: {message}")


def pack_remote(value: object) -> dict[str, Any]:
    if isinstance(value, Remote):
        return {"r": object.__getattribute__(value, "_number")}
    raise Undecided(f"the tests pass a {type(value).__name__} to the program, and only plain data can cross")


def replace_content(before: object, after: object) -> None:
    """Make a list, dict or set equal to what came back of its copy; anything else cannot change in place."""
    if type(before) is not type(after):
        return
    if isinstance(before, list):
        before[:] = after  # type: ignore[call-overload]
    elif isinstance(before, dict | set):
        before.clear()
        before.update(after)  # type: ignore[call-overload]


def for_effect(function: Any) -> Any:
    """`function` as it must be called where its result is not used: for what it does to its arguments."""
    if type(function) is not Remote:
        return function
    program = object.__getattribute__(function, "_program")
    return lambda *args, **kwargs: program.call(function, args, kwargs, in_place=True)


def refuse(self: Remote, *_: object) -> Any:
    """Any use of a Remote that would need the object itself."""
    raise TypeError(f"the program returned a {object.__getattribute__(self, '_kind')}, not plain data")


class Remote:
    """Something of the program's that is not plain data: to be called, asked for attributes, iterated, passed back."""

    def __init__(self, program: Program, number: int, kind: str) -> None:
        for name, value in (("_program", program), ("_number", number), ("_kind", kind)):
            object.__setattr__(self, name, value)

    def _ask(self, **request: Any) -> Any:
        return object.__getattribute__(self, "_program").ask(**request)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return object.__getattribute__(self, "_program").call(self, args, kwargs, in_place=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask(attribute=name, of=pack_remote(self))

    def __setattr__(self, name: str, value: object) -> None:
        self._ask(set=name, of=pack_remote(self), value=encode(value, pack_remote))

    def __iter__(self) -> Iterator[Any]:
        items = self._ask(iterate=pack_remote(self))
        while item := self._ask(next=pack_remote(items)):
            yield item[0]

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __len__ = __hash__ = __contains__ = refuse
    __int__ = __float__ = __str__ = __repr__ = __format__ = __index__ = refuse
