"""The program under test as its tests see it: names that stand for what lives in another process.

A call becomes a message and an answer becomes plain data, so every comparison in the tests is between objects their
own process made. A `Remote` stands for anything else. Its length, text, items or sum with another are asked of the
program, which learns no value of the tests by that and could as well have answered with plain data. It refuses what
would have the program decide: to be compared, or to be combined with a value of the tests.

Refusal is a TypeError, so a program that answers with an object in place of a number fails. Where the tests made the
object themselves (`Point(1, 2) == Point(1, 2)`), or compare two of the program's, they are undecided instead.
"""

from __future__ import annotations

import builtins
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any

from rlpath.rewards.sandbox.wire import Wire, WireError, decode, encode, is_array


class Undecided(BaseException):
    """The tests themselves are at fault; no `except Exception` of theirs may hide it."""


class Program:
    """The program under test, at the far end of a wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.lock = threading.Lock()
        self.calls = 0
        self.gone = False
        self.changed = False  # whether a call changed an argument of its own and the tests were not shown it
        self.exceptions: dict[str, type[Exception]] = {}  # the program's own, as the tests know them

    def load(self) -> list[str]:
        """Wait until it is loaded; the names of its functions."""
        reply = self.exchange(None)
        return [str(name) for name in reply.get("functions", [])]

    def ask(self, **request: Any) -> Any:
        """The answer to one request, as plain data or a Remote; raises what the program raised."""
        return decode(self.exchange(request).get("value"), self.remote)

    def remote(self, number: int, kind: str) -> Remote:
        """What stands for the program's object of that number."""
        return (RemoteCoroutine if kind == "coroutine" else Remote)(self, number, kind)

    def exchange(self, request: dict[str, Any] | None) -> dict[str, Any]:
        with self.lock:  # tests may have threads
            if request is not None and not self.gone:
                self.wire.send(request)
            reply = self.wire.receive()
        if not isinstance(reply, dict):
            self.gone = True
            raise WireError("the program ended its process")
        if "error" in reply:
            raise as_exception(reply["error"], self.exceptions)
        return reply

    def consult(self, **request: Any) -> Any:
        """As `ask`, of what the program does or says: a use of the program as a call is."""
        self.calls += 1
        return self.ask(**request)

    def call(self, function: Remote, args: tuple[object, ...], kwargs: dict[str, object], in_place: bool) -> Any:
        """The answer of a call; with `in_place` the arguments take on what the program made of its copies of them."""
        self.calls += 1
        packed = [encode(value, pack_remote) for value in args]
        keywords = {name: encode(value, pack_remote) for name, value in kwargs.items()}
        watched = in_place or any(isinstance(wire, list | dict) for wire in (*packed, *keywords.values()))
        reply = self.exchange(
            {"call": pack_remote(function), "args": packed, "kwargs": keywords, "in_place": watched}
        ).get("value")
        value = decode(reply, self.remote)
        if watched:
            value, changed, named = value
            if in_place:
                pairs = [*zip(args, changed, strict=True), *((kwargs[name], named[name]) for name in kwargs)]
                for before, after in pairs:
                    replace_content(before, after)
            else:
                self.changed |= reply["t"][1:] != [packed, encode(kwargs, pack_remote)]
        if isinstance(value, Remote) and object.__getattribute__(function, "_class"):
            object.__setattr__(value, "_made", True)
        return value


def as_exception(error: Any, own: dict[str, type[Exception]]) -> Exception:
    """The program's exception, rebuilt here so that tests may expect it.

    Its class is the first of its classes' names that is one of the tests' `own` or an ordinary built-in exception.
    """
    name, message, *bases = (str(part) for part in (error if isinstance(error, list) and len(error) > 1 else ["", ""]))
    for base in (name, *bases):
        if base in own:
            return own[base](message)
        kind = getattr(builtins, base, None)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (AssertionError, StopIteration):
            try:
                return kind(message) if base == name else type(name, (kind,), {})(message)
            except TypeError:  # UnicodeDecodeError wants more arguments
                break
        if kind is Exception:
            break
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
    elif isinstance(before, deque):
        before.clear()
        before.extend(after)  # type: ignore[arg-type]
    elif isinstance(before, dict | set):
        before.clear()
        before.update(after)  # type: ignore[call-overload]
    elif is_array(before) and before.shape == after.shape:  # type: ignore[attr-defined]
        before[...] = after  # type: ignore[index]


def for_effect(function: Any) -> Any:
    """`function` as it must be called where its result is not used: for what it does to its arguments."""
    if type(function) is not Remote:
        return function
    program = object.__getattribute__(function, "_program")
    return lambda *args, **kwargs: program.call(function, args, kwargs, in_place=True)


class Remote:
    """Something of the program's that is not plain data: to be called, asked for attributes, iterated, passed back."""

    def __init__(self, program: Program, number: int, kind: str) -> None:
        for name, value in (
            ("_program", program), ("_number", number), ("_kind", kind), ("_class", False), ("_made", False)
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def _ask(self, **request: Any) -> Any:
        return object.__getattribute__(self, "_program").consult(**request)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return object.__getattribute__(self, "_program").call(self, args, kwargs, in_place=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._ask(attribute=name, of=pack_remote(self))

    def __setattr__(self, name: str, value: object) -> None:
        self._ask(set=name, of=pack_remote(self), value=encode(value, pack_remote))

    def __iter__(self) -> Iterator[Any]:
        items = self._ask(iterate=pack_remote(self))
        while item := self._ask(next=pack_remote(items)):
            yield item[0]

    def __next__(self) -> Any:
        for item in apply("next", self):
            return item
        raise StopIteration

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self:
            yield item

    def __enter__(self) -> Any:
        return apply("enter", self)

    def __exit__(self, *error: object) -> None:
        """An exception in the body is the tests' own: were the program told of it, it could swallow their asserts."""
        apply("exit", self)

    async def __aenter__(self) -> Any:
        return apply("aenter", self)

    async def __aexit__(self, *error: object) -> None:
        """As `__exit__`."""
        apply("aexit", self)

    def __contains__(self, value: object) -> bool:
        if object.__getattribute__(self, "_made"):
            return bool(apply("contains", self, value))
        return any(item is value or item == value for item in self)

    def __bool__(self) -> bool:
        if object.__getattribute__(self, "_made"):
            return apply("bool", self)
        return refuse(self, None)

    def __instancecheck__(self, instance: object) -> bool:
        if isinstance(instance, Remote):
            raise Undecided("the tests ask whether an object of the program's is of a class of the program's")
        return False


class RemoteCoroutine(Remote, Coroutine[Any, Any, Any]):
    """A coroutine of the program's: awaited here, it runs to its end there."""

    __hash__ = object.__hash__  # `asyncio.gather` keeps coroutines in a table
    cr_code = gi_code = None  # an event loop's own messages ask for these
    cr_running = gi_running = False

    def send(self, _value: object) -> Any:
        """Run it, as an event loop does."""
        raise StopIteration(self._ask(run=pack_remote(self)))

    def __next__(self) -> Any:
        """As `send`: an event loop may step a coroutine either way."""
        return self.send(None)

    def throw(self, *error: Any) -> Any:
        """End it with an exception of the event loop's."""
        raise error[0]

    def close(self) -> None:
        """Leave it be."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._ask(run=pack_remote(self))
        yield


def apply(name: str, *operands: object) -> Any:
    """The program's answer to an operator of its own object."""
    packed = [encode(operand, pack_remote) for operand in operands]
    first = next(operand for operand in operands if isinstance(operand, Remote))
    found = first._ask(apply=name, args=packed)
    if isinstance(found, Remote) and object.__getattribute__(first, "_made"):
        object.__setattr__(found, "_made", True)
    return found


def refuse(remote: Remote, other: object) -> Any:
    """What would have the program decide over `other`, a value of the tests, or over itself."""
    kind, made = (object.__getattribute__(remote, name) for name in ("_kind", "_made"))
    if made or isinstance(other, Remote) or hasattr(other, "__array__"):
        raise Undecided(f"the tests compare a {kind} of the program's own making")
    raise TypeError(f"the program returned a {kind}, not plain data")


def alone(name: str) -> Callable[..., Any]:
    """The operator `name` of one object, or of an object and a key or format."""
    return lambda self, *others: apply(name, self, *others)


def of_two(name: str) -> Callable[[Remote, object], Any]:
    """The operator `name` of two objects, both the program's: with a value of the tests it is refused."""
    return lambda self, other: apply(name, self, other) if isinstance(other, Remote) else refuse(self, other)


def compared(self: Remote, other: object) -> Any:
    """An order or equality, which only plain data has."""
    return refuse(self, other)


def same_as_none(equal: bool) -> Callable[[Remote, object], bool]:
    """Equality and inequality, which are known where the other is None: a Remote never stands for it."""
    return lambda self, other: not equal if other is None else refuse(self, other)


ALONE = "len str repr int float complex index abs neg pos invert round format getitem reversed setitem delitem"
OF_TWO = "add sub mul matmul truediv floordiv mod pow and or xor lshift rshift"
for _name in ALONE.split():
    setattr(Remote, f"__{_name}__", alone(_name))
for _name in OF_TWO.split():
    setattr(Remote, f"__{_name}__", of_two(_name))
    setattr(Remote, f"__r{_name}__", compared)
for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", compared)
setattr(Remote, "__eq__", same_as_none(equal=True))  # noqa: B010 - as the others
setattr(Remote, "__ne__", same_as_none(equal=False))  # noqa: B010
setattr(Remote, "__hash__", lambda self: refuse(self, None))  # noqa: B010
setattr(Remote, "__doc__", property(lambda self: self._ask(attribute="__doc__", of=pack_remote(self))))  # noqa: B010
