"""Pairs of answers of which one was preferred: files of your own, pairs that a verifier makes, and how sides are split.

A file has JSON lines with `prompt`, `chosen` and `rejected`, in the shapes that `conversations` lists. Published sets
of human preferences are opened in `rlpath.evals.measure.preferences`: what is at hand of them is their authors' test
files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import ExampleSet, Preference, Turn
from rlpath.envs.conversations import preference_of
from rlpath.envs.files import numbered_rows
from rlpath.envs.splits import Side, check_split, side_of

HELD_OUT_FRACTION = 0.25


def read_preferences(path: Path) -> list[Preference]:
    """The pairs of a JSON-lines file, in any shape of `conversations`. Raises InputError naming a malformed line."""
    return [
        Preference(f"line-{number}", *preference_of(row, f"{path}, line {number}"))
        for number, row in numbered_rows(path)
    ]


def whole_prompt(prompt: Sequence[Turn]) -> str:
    """A prompt as one text that is equal for equal prompts alone; a single user's turn is itself.

    The first turn would not do: a system message is the same everywhere.
    """
    if len(prompt) == 1:
        return prompt[0].content
    return json.dumps([list(turn) for turn in prompt], ensure_ascii=False)


def one_side(
    pairs: Sequence[Preference],
    name: str,
    source: str,
    split: Side,
    *,
    size: int | None = None,
    seed: int = 0,
    left_out: Iterable[str] = (),
    held_out_fraction: float = HELD_OUT_FRACTION,
    together: Callable[[Sequence[Turn]], str] = whole_prompt,
) -> ExampleSet[Preference]:
    """One side of the pairs in an order fixed by `seed`; pairs alike in what `together` makes of a prompt share a side.

    Pairs of two equal answers say nothing; they are left out and counted. Raises InputError where nothing is left on
    this side, or less than `size`.
    """
    check_split(split, held_out_fraction)
    told = [*left_out]
    useful = [pair for pair in pairs if pair.chosen != pair.rejected]
    if len(useful) < len(pairs):
        told.append(f"{len(pairs) - len(useful)} of {len(pairs)} pairs of {name} have two equal answers: left out")
    side = [pair for pair in useful if side_of(f"preferences/{together(pair.prompt)}", held_out_fraction) == split]
    random.Random(f"{seed}/{split}").shuffle(side)
    if not side or (size or 0) > len(side):
        raise InputError(f"{name} has {len(side)} {split} pairs, fewer than {size or 1}: ask for fewer, or give more")
    return ExampleSet(name, split, tuple(side[:size]), source, tuple(told))


def pairs_of_verified(
    rows: Sequence[Mapping[str, Any]], *, per_prompt: int = 4, seed: int = 0, name: str = "the verifier's pairs"
) -> list[Preference]:
    """Pairs of a correct and a wrong answer to the same prompt, at most `per_prompt` of them each.

    `rows` have `problem_id`, `prompt`, `completion` and `status`, as samples are written down. Truncated answers and
    those that were not decided make no pair; an answer is used once. Raises InputError where no prompt has both a
    correct and a wrong answer, saying which of the two is missing.
    """
    answers: dict[str, dict[str, list[str]]] = {}
    prompts: dict[str, str] = {}
    for row in rows:
        status = str(row["status"])
        prompts[row["problem_id"]] = row["prompt"]
        kind = "correct" if status == "correct" else "wrong" if status in ("wrong", "no_answer") else None
        texts = answers.setdefault(row["problem_id"], {"correct": [], "wrong": []})
        if kind and row["completion"].strip() and row["completion"] not in texts[kind]:
            texts[kind].append(row["completion"])
    pairs: list[Preference] = []
    for problem, texts in answers.items():
        asked = (Turn("user", prompts[problem]),)
        rng = random.Random(f"{seed}/{problem}")
        right, wrong = (rng.sample(texts[kind], len(texts[kind])) for kind in ("correct", "wrong"))
        # A model that answers in one way has one correct text: it may stand against several wrong ones.
        count = min(per_prompt, max(len(right), len(wrong))) if right and wrong else 0
        pairs += [
            Preference(f"{problem}/{i}", asked, right[i % len(right)], wrong[i % len(wrong)]) for i in range(count)
        ]
    if not pairs:
        has = [kind for kind in ("correct", "wrong") if any(texts[kind] for texts in answers.values())]
        why = f"every judged answer is {has[0]}" if len(has) == 1 else "no prompt has both"
        raise InputError(
            f"{name} are one-sided: a pair needs a correct and a wrong answer to one prompt, and {why} "
            f"({len(answers)} prompts); take easier or harder problems, or more samples of each"
        )
    return pairs
