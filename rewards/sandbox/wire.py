"""Frames of JSON between two processes of a verdict, and the plain data that may cross in them.

Nothing but JSON is ever decoded, so no object of a program, with operators of its own choosing, reaches the side that
compares. Values that JSON lacks are written as an object with one tag:

    {"t": [..]} tuple    {"s": [..]} set    {"f": [..]} frozenset    {"d": [[key, value], ..]} dict
    {"b": hex} bytes     {"c": [re, im]} complex    {"i": hex} an int of more than 64 bits
    {"x": [kind, argument, ..]} a Fraction, Decimal, date, datetime, range, deque, Counter or OrderedDict
    {"n": [type name, [field, ..], [item, ..]]} a named tuple    {"T": name} a built-in type
    {"e": [name, value]} a member of an enum of ints or strings
    {"a": [dtype, shape, items]} a NumPy array of numbers
    {"r": id, "n": type name} anything else: it stays where it is, only its number travels
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import os
import select
import struct
import sys
import time
from collections import Counter, OrderedDict, deque, namedtuple
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import EnumMeta
from fractions import Fraction
from typing import Any

HEADER = struct.Struct("!I")
FRAME_LIMIT = 256 << 20  # bytes, of what comes from a trusted side; answers of a program have a lower one


class WireError(Exception):
    """The other side sent something that is no frame, no plain data or too much, or took too long."""


class Wire:
    """One end of a stream socket. `deadline` is a time of `time.monotonic()`; None waits for ever."""

    def __init__(self, fd: int, deadline: float | None = None, limit: int = FRAME_LIMIT) -> None:
        self.fd, self.deadline, self.limit = fd, deadline, limit
        os.set_blocking(fd, False)

    def send(self, message: Any) -> None:
        """Write one frame; WireError if the deadline passes first or the other side has gone."""
        data = json.dumps(message).encode()
        data = memoryview(HEADER.pack(len(data)) + data)
        while data:
            self._wait(select.POLLOUT)
            try:
                data = data[os.write(self.fd, data) :]
            except OSError as error:
                raise WireError(f"the other side has gone ({error.strerror})") from None

    def receive(self) -> Any:
        """The next frame, or None at the end of the stream; WireError for anything that is not one JSON document."""
        header = self._read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        (size,) = HEADER.unpack(header)
        if size > self.limit:
            raise WireError(f"a message of {size} bytes is over the limit of {self.limit}")
        data = self._read(size)
        if len(data) < size:
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise WireError(f"a message is not JSON ({type(error).__name__})") from None

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer where the stream ends."""
        parts: list[bytes] = []
        while size:
            self._wait(select.POLLIN)
            try:
                part = os.read(self.fd, min(size, 1 << 16))
            except OSError:
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, event: int) -> None:
        """Until the socket is ready for `event`."""
        milliseconds = None if self.deadline is None else max(0.0, self.deadline - time.monotonic()) * 1000
        poll = select.poll()
        poll.register(self.fd, event)
        if not poll.poll(milliseconds):
            raise WireError("time limit")


Register = Callable[[object], dict[str, Any]]

# Name → type, how to make one, and what from. The other side calls the library's own constructor.
EXACT: dict[str, tuple[type, Callable[..., Any], Callable[[Any], tuple[Any, ...]]]] = {
    "fraction": (Fraction, Fraction, lambda value: (value.numerator, value.denominator)),
    "decimal": (Decimal, Decimal, lambda value: (str(value),)),
    "date": (date, date.fromisoformat, lambda value: (value.isoformat(),)),
    "datetime": (datetime, datetime.fromisoformat, lambda value: (value.isoformat(),)),
    "range": (range, range, lambda value: (value.start, value.stop, value.step)),
    "deque": (deque, deque, lambda value: (list(value), value.maxlen)),
    "Counter": (Counter, Counter, lambda value: (dict(value),)),
    "OrderedDict": (OrderedDict, OrderedDict, lambda value: (dict(value),)),
}


ARRAYS = {"bool", "float32", "float64", "complex128"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


class IntMember(int):
    """A member of an IntEnum: its number, with a name."""

    name = ""
    value = property(int)


class StrMember(str):
    """A member of a StrEnum: its text, with a name."""

    name = ""
    value = property(str)


@functools.lru_cache(maxsize=64)
def named_tuple(name: str, fields: tuple[str, ...]) -> Callable[..., Any]:
    """The class of a named tuple; ValueError for names that are no identifiers."""
    return namedtuple(name, fields)


def member(name: str, value: Any) -> Any:
    """A member of an enum as the tests see it."""
    found = (IntMember if type(value) is int else StrMember)(value)
    found.name = name
    return found


def encode(value: object, register: Register) -> Any:
    """`value` as JSON with tags. Subclasses of plain types become plain; the rest is handed to `register`.

    Raises RecursionError for a value that is nested too deeply or contains itself.
    """
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) in (Counter, OrderedDict):
        return _encode_rarer(value, register)
    if isinstance(value, int | str) and isinstance(type(value), EnumMeta):
        return _encode_member(value, register)
    if isinstance(value, int):
        value = int.__int__(value)
        return value if -(1 << 63) <= value < 1 << 63 else {"i": hex(value)}
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(item, register) for item in value]
    if isinstance(value, tuple) and (fields := _fields_of(value)):
        return {"n": [type(value).__name__, fields, [encode(item, register) for item in value]]}
    for tag, kind in (("t", tuple), ("s", set), ("f", frozenset)):
        if isinstance(value, kind):
            return {tag: [encode(item, register) for item in value]}
    if isinstance(value, dict):
        return {"d": [[encode(key, register), encode(item, register)] for key, item in value.items()]}
    return _encode_rarer(value, register)


def _fields_of(value: tuple[object, ...]) -> list[str]:
    """The field names of a named tuple, [] for another tuple."""
    fields = getattr(type(value), "_fields", ())
    if not (isinstance(fields, tuple) and len(fields) == len(value)):
        return []
    return [str(field) for field in fields]


def _encode_member(value: Any, register: Register) -> Any:
    if getattr(value, "name", None) is None:
        return encode(int(value) if isinstance(value, int) else str.__str__(value), register)
    return {"e": [str(value.name), encode(value.value, register)]}


def is_array(value: object) -> bool:
    """Whether `value` is a NumPy array of numbers; its items are looked at, not what the class says of itself."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and value.dtype.name in ARRAYS


def _encode_rarer(value: object, register: Register) -> Any:
    if is_array(value):
        items = [encode(item, register) for item in value.ravel().tolist()]  # type: ignore[attr-defined]
        return {"a": [value.dtype.name, list(value.shape), items]}  # type: ignore[attr-defined]
    if isinstance(value, bytes | bytearray):
        return {"b": value.hex()}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    for name, (kind, _, parts) in EXACT.items():
        if type(value) is kind:
            return {"x": [name, *(encode(part, register) for part in parts(value))]}
    if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
        return {"T": value.__name__}
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return encode(value.item(), register)  # type: ignore[attr-defined]
    return register(value)


def decode(wire: Any, resolve: Callable[[int, str], object]) -> Any:
    """The value `wire` stands for; `resolve(id, type name)` finds what was registered. WireError for malformed data."""
    try:
        return _decode(wire, resolve)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        raise WireError(f"a message is not plain data ({type(error).__name__})") from None


def _decode(wire: Any, resolve: Callable[[int, str], object]) -> Any:
    if isinstance(wire, list):
        return [_decode(item, resolve) for item in wire]
    if not isinstance(wire, dict):
        return wire
    if "r" in wire:
        return resolve(int(wire["r"]), str(wire.get("n", "object")))
    ((tag, body),) = wire.items()
    match tag:
        case "t" | "s" | "f":
            return {"t": tuple, "s": set, "f": frozenset}[tag](_decode(item, resolve) for item in body)
        case "d":
            return {_decode(key, resolve): _decode(item, resolve) for key, item in body}
        case "b":
            return bytes.fromhex(body)
        case "c":
            return complex(*body)
        case "i":
            return int(body, 16)
        case "x":
            return EXACT[body[0]][1](*(_decode(item, resolve) for item in body[1:]))
        case "n":
            return named_tuple(body[0], tuple(body[1]))(*(_decode(item, resolve) for item in body[2]))
        case "a" if body[0] in ARRAYS:
            items = [_decode(item, resolve) for item in body[2]]
            return importlib.import_module("numpy").array(items, dtype=body[0]).reshape(body[1])
        case "e":
            return member(str(body[0]), _decode(body[1], resolve))
        case "T" if isinstance(found := getattr(builtins, body), type):
            return found
    raise ValueError(tag)
