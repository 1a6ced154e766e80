"""Inside a box: load the program under test and answer calls to it, or run it as a script.

Everything here shares a process with the program and may be subverted by it. It does not matter: no expected value is
here, and all that the other side takes from this process is plain data, an exit status and bounded text.
"""

from __future__ import annotations

import atexit
import builtins
import enum
import gc
import importlib
import operator
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from rlpath.rewards.sandbox.source import program_of, supplied_names
from rlpath.rewards.sandbox.wire import Wire, WireError, decode, encode

MESSAGE_LIMIT = 300  # characters of an error message
BUILT_IN = "len str repr int float complex abs round format bool"
OPERATOR = """
    index neg pos invert getitem setitem delitem contains add sub mul matmul truediv floordiv mod pow and or xor
    lshift rshift
"""
OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: getattr(builtins, name) for name in BUILT_IN.split()},
    **{name: getattr(operator, f"__{name}__") for name in OPERATOR.split()},
    "reversed": lambda value: list(reversed(value)),
    "next": lambda iterator: Items(iterator).next(),
    "enter": lambda value: type(value).__enter__(value),
    "exit": lambda value: type(value).__exit__(value, None, None, None),
    "aenter": lambda value: run_coroutine(type(value).__aenter__(value)),
    "aexit": lambda value: run_coroutine(type(value).__aexit__(value, None, None, None)),
}
EVENT_LOOPS: list[Any] = []


class WholeObject:
    """A value of a class with methods of its own, which must not become plain data."""

    def __init__(self, value: object) -> None:
        self.value = value


class Objects:
    """What the program made that is not plain data. It stays here; the tests hold only its number."""

    def __init__(self) -> None:
        self.held: list[object] = []

    def register(self, value: object) -> dict[str, Any]:
        value = value.value if type(value) is WholeObject else value
        self.held.append(value)
        return {"r": len(self.held) - 1, "n": type(value).__name__}

    def resolve(self, number: int, _name: str) -> object:
        return self.held[number]


def serve_functions(wire: Wire, _extras: list[int]) -> None:
    """Role "functions": take a job (`sources`, `prelude`, …), load it, then answer one request after another."""
    job = wire.receive()
    objects = Objects()
    module = types.ModuleType("solution")
    sys.modules["solution"] = module  # dataclasses and pickle look a class's module up
    try:
        load(job, module)
        reply = {"functions": defined_functions(module)}
    except BaseException as error:  # noqa: BLE001 - a program may raise anything, SystemExit included
        reply = {"error": describe(error)}
    wire.send(reply)
    while (request := wire.receive()) is not None:
        try:
            value = answer(request, module, objects)
            by_number = "get" in request and callable(value)  # even a built-in type must run here when called
            reply = {"value": objects.register(value) if by_number else encode(value, objects.register)}
        except BaseException as error:  # noqa: BLE001 - as above
            reply = {"error": describe(error)}
        try:
            wire.send(reply)
        except RecursionError:
            wire.send({"error": ["RecursionError", "the value is nested too deeply"]})


def run_program(wire: Wire, extras: list[int]) -> None:
    """Role "program": take a job (`sources`, `prelude`, …) and run it as `__main__`; never returns.

    `extras` are descriptors to become its stdin and stdout.
    """
    job = wire.receive()
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for number, descriptor in enumerate(extras):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the end
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        load(job, module)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:  # noqa: BLE001 - a program may raise anything
        wire.send({"error": describe(error)})
        code = 1
    leave(code, module)


def leave(code: int, module: types.ModuleType) -> NoReturn:
    """What the interpreter does at its end as far as a script can tell, without the 8 ms of tearing itself down."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    streams: tuple[Any, ...] = (sys.stdout, sys.__stdout__)
    vars(module).clear()
    gc.collect()  # files the program left open are flushed as they go
    try:
        for stream in streams:
            if stream is not None:
                stream.flush()
    except (OSError, ValueError, AttributeError):  # its stdout is closed, or no stream any more
        code = 120
    os._exit(code & 0xFF)


def load(job: dict[str, Any], module: types.ModuleType) -> None:
    """Run the program of a job (source.py) in `module`, after the task's code where it has some."""
    if job.get("supplied"):
        module.__dict__["__builtins__"] = supplied_names(" ".join(job["sources"]))
    code, task = program_of(job)
    if task:
        exec(task, module.__dict__)
        for name in job.get("wanted") or ():  # what the task's code merely imports is no answer to it
            if getattr(vars(module).get(name), "__module__", None) != module.__name__:
                vars(module).pop(name, None)
    exec(code, module.__dict__)


def defined_functions(module: types.ModuleType) -> list[str]:
    """Names of the functions the program defined, in order."""
    return [
        name
        for name, value in vars(module).items()
        if type(value) is types.FunctionType and value.__module__ == module.__name__
    ]


def has_methods(value: object) -> bool:
    """Whether `value` is of a class of the program's that derives from a plain type and adds methods to it."""
    kind = type(value)
    own = [vars(base) for base in kind.__mro__ if base.__module__ in ("solution", "__main__")]
    return (
        isinstance(value, list | dict | set | str | int | float)
        and not isinstance(value, enum.Enum)
        and any(callable(part) and not name.startswith("_") for parts in own for name, part in parts.items())
    )


def answer(request: dict[str, Any], module: types.ModuleType, objects: Objects) -> object:
    """One request of the tests: look up a name, call, read or set an attribute, apply an operator, run, iterate."""

    def read(wire: Any) -> Any:
        return decode(wire, objects.resolve)

    match request:
        case {"get": name}:
            return look_up(name, module)
        case {"call": function, "args": packed, "kwargs": keywords}:
            arguments = read(packed)
            named = {name: read(value) for name, value in keywords.items()}
            called = read(function)
            value = called(*arguments, **named)
            if isinstance(called, type) and has_methods(value):
                value = WholeObject(value)
            return (value, arguments, named) if request.get("in_place") else value
        case {"attribute": name, "of": target}:
            return getattr(read(target), name)
        case {"set": name, "of": target, "value": value}:
            return setattr(read(target), name, read(value))
        case {"apply": name, "args": packed}:
            return OPERATORS[name](*read(packed))
        case {"run": target}:
            return run_coroutine(read(target))
        case {"iterate": target}:
            value = read(target)
            return AsyncItems(value) if hasattr(type(value), "__aiter__") else Items(iter(value))
        case {"next": items}:
            return read(items).next()
    raise WireError("unknown request")


def look_up(name: str, module: types.ModuleType) -> object:
    """What the program calls `name`, at its top or as a method of a class `Solution`."""
    if name in vars(module):
        return vars(module)[name]
    solution = vars(module).get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        return getattr(solution(), name)
    raise NameError(f"the program does not define {name}")


def run_coroutine(coroutine: Any) -> object:
    """The result of a coroutine, in an event loop that is kept for the next."""
    asyncio = importlib.import_module("asyncio")
    if not EVENT_LOOPS:
        EVENT_LOOPS.append(asyncio.new_event_loop())
    return EVENT_LOOPS[0].run_until_complete(coroutine)


class Pipe:
    """One end of a pair of pipes, which is all an event loop needs of a socket: the box has none."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader, self.writer = reader, writer

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self.reader

    def setblocking(self, blocking: bool) -> None:
        """As of a socket."""
        os.set_blocking(self.reader, blocking)
        os.set_blocking(self.writer, blocking)

    def recv(self, size: int) -> bytes:
        """As of a socket."""
        return os.read(self.reader, size)

    def send(self, data: bytes) -> int:
        """As of a socket."""
        return os.write(self.writer, data)

    def close(self) -> None:
        """As of a socket."""
        os.close(self.reader)
        os.close(self.writer)


def pipe_pair(*_: object) -> tuple[Pipe, Pipe]:
    """In place of `socket.socketpair`, whose system call the filter refuses."""
    (first, second), (third, fourth) = os.pipe(), os.pipe()
    return Pipe(first, fourth), Pipe(third, second)


class Items:
    """An iterator on its way to the tests: each item comes in a list of one, the end as an empty list."""

    def __init__(self, iterator: Iterator[object]) -> None:
        self.iterator = iterator

    def next(self) -> list[object]:
        for item in self.iterator:
            return [item]
        return []


class AsyncItems:
    """The same for an asynchronous iterator."""

    def __init__(self, values: Any) -> None:
        self.iterator = aiter(values)

    def next(self) -> list[object]:
        try:
            return [run_coroutine(anext(self.iterator))]
        except StopAsyncIteration:
            return []


def describe(error: BaseException) -> list[str]:
    """Class, message and further classes of an exception; its `__str__` may itself be hostile."""
    try:
        return [type(error).__name__, str(error)[:MESSAGE_LIMIT], *(base.__name__ for base in type(error).__mro__[1:9])]
    except BaseException:  # noqa: BLE001 - the program's own __str__
        return [type(error).__name__, ""]
