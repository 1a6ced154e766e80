"""The command `rlpath`: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import rlpath
from rlpath.errors import InputError, run_command


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: `module:function`, whose typed parameters become its flags, and one line of help."""

    target: str
    help: str

    def load(self) -> Callable[..., int | None]:
        """Import the function."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


COMMANDS = {
    "doctor": Command("rlpath.doctor:doctor", "what this machine can run, and with which command"),
}


def usage() -> str:
    """The list of subcommands."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{width}}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: rlpath COMMAND [--help] …", "", *lines, "", "Experiments are files: python recipes/<name>.py --help"]
    )


def run(words: Sequence[str]) -> int | None:
    """Run the subcommand that `words` name. Raises `InputError` for one that does not exist."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(rlpath.__version__)
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        near = get_close_matches(words[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"
        raise InputError(f"rlpath has no command {words[0]!r}; {hint}")
    import tyro

    return tyro.cli(command.load(), prog=f"rlpath {words[0]}", args=list(words[1:]))


def main() -> None:
    """Entry point of the command `rlpath`."""
    run_command(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    main()
