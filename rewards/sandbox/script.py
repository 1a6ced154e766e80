"""On the host: a box for a program that reads its input and writes what it has to say, and how such a program ended."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rlpath.rewards.sandbox.host import Box, BoxError, Isolation, Limits
from rlpath.rewards.sandbox.wire import WireError


@contextmanager
def script_box(stdin: str, limits: Limits, isolation: Isolation | None = None) -> Iterator[tuple[Box, int]]:
    """A box whose program reads `stdin`, and the descriptor that its output comes from. Raises BoxError."""
    given, (reader, writer) = memory_file(stdin.encode(errors="replace")), os.pipe2(os.O_CLOEXEC)
    try:
        box = Box("program", limits, [given, writer], isolation)
    except BoxError:
        os.close(reader)
        raise
    finally:
        os.close(given)
        os.close(writer)
    with box, os.fdopen(reader, "rb", buffering=0) as stream:
        yield box, stream.fileno()


def ending(code: int) -> str:
    """How a process ended, in words."""
    return {-9: "killed at a limit", -24: "CPU limit", -25: "file size limit"}.get(
        code, f"signal {-code}" if code < 0 else f"exit status {code}"
    )


def memory_file(data: bytes) -> int:
    """A descriptor that reads as `data`; it lies in memory, so no path leads to it."""
    descriptor = os.memfd_create("stdin")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def read_until(descriptor: int, deadline: float, limit: int) -> bytes:
    """All that comes until the end of the stream; WireError at the deadline or over `limit` bytes."""
    poll, parts, size = select.poll(), [], 0
    poll.register(descriptor, select.POLLIN)
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > limit:
            raise WireError(f"the output is over the limit of {limit} bytes")
    raise WireError("time limit")
