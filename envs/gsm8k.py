"""GSM8K: grade-school word problems (arXiv 2110.14168), the training split with a fixed validation slice.

Read from `$RLPATH_DATA/gsm8k/train.jsonl`, else from the hub (openai/gsm8k). The test split opens in
`rlpath.evals.measure.held_out` alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlpath.core.errors import InputError, Unreachable
from rlpath.core.types import Problem, ProblemSet
from rlpath.envs.files import data_file, read_jsonl
from rlpath.envs.splits import Side, check_split, hash_fraction
from rlpath.models.hub import hub_state, stop_asking
from rlpath.rewards.verifiers.number import NumberVerifier

FIELDS = ("question", "answer")
PROMPT = "{question}\n\nThink step by step, then give the final answer as one number after ####."
VALIDATION_ROWS = 500
HUB_ID = "openai/gsm8k"
_GOLD = re.compile(r"####\s*(-?\$?[\d,]*\.?\d+)\s*$")


def gsm8k(split: Side = "train", *, size: int | None = None, seed: int = 0) -> ProblemSet:
    """The training split without its validation slice, or that slice: the 500 rows whose questions hash lowest.

    The order is fixed by `seed`; `size` takes the first so many. A question that occurs twice is kept once.
    Raises InputError where the data is neither in RLPATH_DATA nor on the hub, or a row is malformed.
    """
    check_split(split)
    rows, source = _read()
    problems = gsm8k_problems(rows, source, "train")
    ranked = sorted(problems, key=lambda problem: hash_fraction(problem.meta["question"]))
    if len(ranked) <= VALIDATION_ROWS:
        raise InputError(f"{source} has {len(ranked)} questions: more than {VALIDATION_ROWS} are needed")
    side = ranked[:VALIDATION_ROWS] if split == "validation" else ranked[VALIDATION_ROWS:]
    random.Random(f"{seed}/{split}").shuffle(side)
    return ProblemSet("gsm8k", split, tuple(take(side, size, "gsm8k")), NumberVerifier(), source)


def take(problems: Sequence[Problem], size: int | None, name: str) -> Sequence[Problem]:
    """The first `size` problems, or all; InputError where there are not so many."""
    if size is not None and not 1 <= size <= len(problems):
        raise InputError(f"{name} has {len(problems)} problems in this split: size {size} must lie within 1 and that")
    return problems[:size]


def gsm8k_problems(rows: Sequence[Mapping[str, Any]], source: str, prefix: str) -> list[Problem]:
    """Problems from rows of the published format, ids `prefix-<row number from 0>`; gold is the number after ####."""
    problems: dict[str, Problem] = {}
    for index, row in enumerate(rows):
        if not all(isinstance(row.get(field), str) for field in FIELDS):
            raise InputError(f"{source}, line {index + 1}: the question or the answer is missing or not text")
        question = row["question"].strip()
        gold = _GOLD.search(row["answer"])
        if gold is None:
            raise InputError(f"{source}, line {index + 1}: the answer does not end in '#### <number>'")
        meta = {"question": question, "solution": row["answer"]}
        number = gold.group(1).replace(",", "").replace("$", "")
        problems.setdefault(question, Problem(f"{prefix}-{index}", PROMPT.format(question=question), number, meta))
    return list(problems.values())


def from_hub(split: str) -> list[dict[str, Any]]:
    """The rows of a split from the hub through `datasets`; InputError where it cannot be reached."""
    try:
        import datasets
    except ImportError as error:
        raise Unreachable(
            f"GSM8K was not found: set RLPATH_DATA to a folder that holds gsm8k/{split}.jsonl, "
            "or install rlpath[train] to fetch it from the hub"
        ) from error
    if hub_state() != "reachable":
        stop_asking()
    try:
        return [dict(row) for row in datasets.load_dataset(HUB_ID, "main", split=split)]
    except (OSError, ValueError, RuntimeError) as error:
        raise Unreachable(
            f"GSM8K was not found: set RLPATH_DATA to a folder that holds gsm8k/{split}.jsonl "
            f"(the hub could not be read: {type(error).__name__})"
        ) from error


def _read() -> tuple[list[dict[str, Any]], str]:
    path = data_file("gsm8k/train.jsonl")
    if path is not None:
        return read_jsonl(path, FIELDS), str(path)
    return from_hub("train"), f"hub:{HUB_ID}"
