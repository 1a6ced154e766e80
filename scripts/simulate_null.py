"""Simulate worlds without improvement through the suite's own verdicts, and print their error rates as a table."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import tyro

from rlpath.evals.compare.null_worlds import WORLDS, rates


@dataclass(frozen=True)
class Args:
    draws: int = 1000
    """Draws of each world."""
    problems: tuple[int, ...] = (30, 200)
    """Problems; of clusters and duplicates, so many different ones."""
    seeds: tuple[int, ...] = (1, 3, 5, 10, 20)
    """Training seeds."""
    seed: int = 0
    """Fixes every draw."""


def main(args: Args) -> int:
    """Exit status 1 where a world is called improved in more than 5 %, or covered in less than 93 %."""
    print("| world | problems | training seeds | called improved | 95 % interval covers |\n|---|---|---|---|---|")
    held = True
    for name, world in WORLDS.items():
        for problems in args.problems:
            for seeds in args.seeds:
                found = rates(world, problems, seeds, args.draws, args.seed)
                held &= found.improved <= 0.05 and found.covered >= 0.93
                print(f"| {name} | {problems} | {seeds} | {found.improved:.1%} | {found.covered:.1%} |", flush=True)
    return int(not held)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
