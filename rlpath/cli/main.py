"""The command `rlpath`: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

import rlpath
from rlpath.core.errors import InputError, run_command


class Runnable(Protocol):
    """A dataclass whose fields are a subcommand's arguments."""

    def run(self) -> int:
        """Do it, and return the exit status."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: where its dataclass lies (`module:Class`), and one line of help."""

    target: str
    help: str

    def load(self) -> type[Runnable]:
        """Import the dataclass."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


COMMANDS = {
    "doctor": Command("rlpath.cli.doctor:Doctor", "what this machine can run, and with which command"),
    "estimate": Command("rlpath.cli.pretraining:Estimate", "time, memory and MFU of pretraining, before it is begun"),
    "path": Command("rlpath.cli.path.command:PathCommand", "the milestones that your runs show, and the next one"),
    "verify": Command("rlpath.rewards.audit.commands:Verify", "verify one completion against a gold answer"),
    "audit": Command("rlpath.rewards.audit.commands:Audit", "measure a verifier on labeled cases"),
    "sweep": Command("rlpath.cli.sweep.command:Sweep", "run a recipe over seeds and a grid, here or on Ray"),
    "diagnose": Command("rlpath.cli.diagnose:Diagnose", "why the reward of a run does not rise"),
    "enjoy": Command("rlpath.cli.enjoy:Enjoy", "watch a trained agent, and measure its return"),
    "export": Command("rlpath.cli.export:Export", "write a trained agent as a folder for the hub, with a card"),
    "compare": Command("rlpath.evals.commands.seeds:Compare", "compare two sets of seeds"),
    "check-curve": Command("rlpath.evals.commands.seeds:CheckCurve", "check a run against a recorded learning curve"),
    "contamination": Command(
        "rlpath.evals.commands.contamination:Contamination", "search text and models for test items"
    ),
    "power": Command("rlpath.evals.compare.power:Power", "items and seeds needed to see an effect"),
    "eval": Command("rlpath.evals.commands.suite:Eval", "evaluate models against a baseline of the same size"),
    "perplexity": Command("rlpath.evals.commands.perplexity:Perplexity", "bits a byte of base models on text"),
    "prereg": Command("rlpath.evals.commands.prereg:Prereg", "write a preregistration, or check a result against it"),
    "report": Command("rlpath.evals.commands.runs:Report", "write the report of a run, or of several seeds"),
    "log": Command("rlpath.evals.commands.runs:Log", "draft a dated log entry for a run"),
}


def usage() -> str:
    """The list of subcommands."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{width}}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: rlpath COMMAND [--help] …", "", *lines, "", "Experiments are files: python recipes/<name>.py --help"]
    )


def run(words: Sequence[str]) -> int:
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

    return tyro.cli(command.load(), prog=f"rlpath {words[0]}", args=list(words[1:])).run()


def main() -> None:
    """Entry point of the command `rlpath`."""
    run_command(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    main()
