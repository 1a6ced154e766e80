"""Run a program that a model wrote, in the sandbox, and see what it printed: what a Python tool answers."""

from __future__ import annotations

from dataclasses import dataclass

from rlpath.core.errors import InputError
from rlpath.rewards.sandbox import Box, Limits, missing_protections
from rlpath.rewards.sandbox.script import ending, read_until, script_box
from rlpath.rewards.sandbox.wire import WireError
from rlpath.rewards.verifiers.code import one_line, printable

LIMITS = Limits(seconds=5.0, memory_mb=512, output_kb=64)


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """What a program printed, and how it failed, "" where it did not."""

    output: str
    error: str

    @property
    def told(self) -> str:
        """Both in one text, as a tool answers."""
        parts = [part for part in (self.output.rstrip(), self.error) if part]
        return "\n".join(parts) or "the program printed nothing"


def check_sandbox() -> None:
    """Raise `InputError` where programs cannot be contained here."""
    if missing := missing_protections():
        words = " and ".join(f"{name} ({why})" for name, why in missing.items())
        raise InputError(
            f"programs of a model cannot be contained here: the kernel refuses {words}; use another machine"
        )


def run_program(source: str, stdin: str = "", limits: Limits = LIMITS) -> ProgramRun:
    """Run `source` as a script in a box of its own. Raises `BoxError` where the box fails, never for the program."""
    with script_box(stdin, limits) as (box, output_of):
        try:
            box.wire.send({"sources": [source], "prelude": ""})
            output = read_until(output_of, box.deadline, limits.output_kb << 10).decode(errors="replace")
        except WireError as error:
            return ProgramRun("", f"error: {error}")
        code = box.wait()
        if code == 0:
            return ProgramRun(output, "")
        return ProgramRun(output, f"error: {_raised(box) or ending(code)}")


def _raised(box: Box) -> str:
    """What the program raised, as its own process tells it."""
    try:
        reply = box.wire.receive()
    except WireError:
        return ""
    return one_line(printable(reply.get("error"))) if isinstance(reply, dict) else ""
