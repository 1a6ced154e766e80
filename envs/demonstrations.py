"""Answers to imitate: the worked solutions of a problem set, and instruction data.

Instruction data are JSON lines in the shapes that `conversations` lists. `$RLPATH_DATA/sft` holds the set that
OctoPack (arXiv 2308.07124) chose by hand from OpenAssistant and CommitPackFT.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from rlpath.core.errors import InputError, Unreachable
from rlpath.core.types import Demonstration, ExampleSet, ProblemSet, Turn
from rlpath.envs.conversations import demonstration_of
from rlpath.envs.files import data_file, numbered_rows
from rlpath.envs.preferences import whole_prompt
from rlpath.envs.splits import Side, check_split, side_of

_CALCULATOR = re.compile(r"<<[^<>]*>>")
OCTOPACK = "sft/oasstcommitpackftmanual.jsonl"
HELD_OUT_FRACTION = 0.15


def worked_solutions(problems: ProblemSet) -> ExampleSet[Demonstration]:
    """Every problem with its published solution, or with the bare gold answer where it has none.

    GSM8K's calculator marks (<<48/2=24>>) are taken out: no calculator answers them here.
    """
    examples = tuple(
        Demonstration(p.id, (Turn("user", p.prompt),), _CALCULATOR.sub("", str(p.meta.get("solution", p.gold))).strip())
        for p in problems.problems
    )
    return ExampleSet(problems.name, problems.split, examples, problems.source)


def instructions(
    split: Side = "train", *, path: Path | None = None, size: int | None = None, seed: int = 0
) -> ExampleSet[Demonstration]:
    """One side of an instruction set in an order fixed by `seed`; a prompt is on one side only, by its hash.

    `path` is a JSON-lines file of your own. Raises InputError where the file cannot be read or a row is malformed.
    """
    check_split(split)
    found = path or data_file(OCTOPACK)
    if found is None:
        raise Unreachable(
            f"no instruction data: set RLPATH_DATA to a folder that holds {OCTOPACK}, or name a JSON-lines file with "
            "prompt and completion"
        )
    rows = [
        Demonstration(f"line-{number}", *demonstration_of(row, f"{found}, line {number}"))
        for number, row in numbered_rows(found)
    ]
    side = [row for row in rows if side_of(f"instructions/{whole_prompt(row.prompt)}", HELD_OUT_FRACTION) == split]
    random.Random(f"{seed}/{split}").shuffle(side)
    if not side or (size or 0) > len(side):
        raise InputError(f"{found} has {len(side)} {split} examples, fewer than {size or 1}: ask for fewer")
    return ExampleSet(found.stem, split, tuple(side[:size]), str(found))
