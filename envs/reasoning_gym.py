"""Any task of reasoning-gym (arXiv 2505.24760) by name, with training and held-out problems disjoint.

The two sides are generated from disjoint ranges of seeds, and a question is kept only on the side to which the hash of
its text assigns it, so no question is on both, whatever the sizes and seeds.

Where a task has one exact number as its answer the number verifier judges it; everywhere else the task's own
`score_answer` does, behind a guard: in 0.1.25 four tasks pass the model's answer to `eval` (binary_matrix, n_queens,
spiral_matrix, string_insertion; here compared as text, without it) and five to sympy's parser, which evaluates too
(countdown, puzzle24, polynomial_multiplication, simple_integration, intermediate_integration; here only plain
expressions get through). Integrals that sympy left undone are not asked: there the question itself, written as
`Integral(...)`, is the gold answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, ClassVar

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet, Status, Verdict, Verifier
from rlpath.envs.splits import Side, check_split, side_of
from rlpath.rewards.verifiers.number import NumberVerifier

GUARDED_VERSION = "0.1.25"
NUMBER_PROMPT = "{question}\n\nThink step by step, then give the final answer as one number after ####."
TEXT_PROMPT = "{question}\n\nGive your final answer between <answer> and </answer>."
ONE_NUMBER = frozenset(
    {
        *("aiw", "basic_arithmetic", "chain_sum", "circuit_logic", "count_bits", "count_primes", "gcd", "gsm_symbolic"),
        *("largest_island", "lcm", "leg_counting", "letter_counting", "maze", "number_sequence", "products"),
        *("rectangle_count", "rotten_oranges", "self_reference", "simple_equations", "simple_geometry"),
    }
)
EVALUATES_ANSWER = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
PARSES_ANSWER = frozenset(
    {"countdown", "puzzle24", "polynomial_multiplication", "simple_integration", "intermediate_integration"}
)
# What the tasks' own parsers were seen to raise on malformed answers: such an answer is wrong.
_UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    SyntaxError,
    NameError,
)
_SEEDS_PER_SIDE = 10**9
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_TOKEN = re.compile(r"\d{1,12}(?:\.\d{1,12})?|[A-Za-z]+|\*\*|[-+*/()]")
_FRACTIONAL_POWER = re.compile(r"\*\*\s*\((\d{1,2})/\d{1,2}\)")
_FUNCTIONS = frozenset(
    {"sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "pi"}
)


def reasoning_gym(
    task: str, split: Side = "train", *, size: int = 500, seed: int = 0, held_out_fraction: float = 0.25, **config: Any
) -> ProblemSet:
    """`size` distinct problems of one side of `task`; `config` goes to the task's own configuration.

    Raises InputError where reasoning-gym is missing or of another version than the guards were written for, the task
    or a configuration field is unknown, or the task has fewer distinct questions than were asked for.
    """
    check_split(split, held_out_fraction)
    if size < 1 or not 0 <= seed < 1000:
        raise InputError(f"size {size} must be at least 1 and seed {seed} within 0 and 999")
    dataset = _dataset(task, split, size, seed, held_out_fraction, config)
    template = NUMBER_PROMPT if task in ONE_NUMBER else TEXT_PROMPT
    entries: dict[str, dict[str, Any]] = {}
    for index in range(len(dataset)):
        entry = dataset[index]
        prompt = template.format(question=entry["question"])
        if task in PARSES_ANSWER and not plain_expression(entry["answer"]):
            continue
        if side_of(f"reasoning_gym/{entry['question']}", held_out_fraction) == split:
            entries.setdefault(prompt, {**entry, "index": index})
        if len(entries) == size:
            break
    else:
        raise InputError(
            f"reasoning-gym's {task} gave {len(entries)} distinct {split} questions: size {size} is too large"
        )
    problems = tuple(_problem(task, split, prompt, entry) for prompt, entry in entries.items())
    verifier = NumberVerifier() if task in ONE_NUMBER else ReasoningGymVerifier(task, dataset, entries)
    return ProblemSet(f"reasoning-gym:{task}", split, problems, verifier, f"reasoning-gym {GUARDED_VERSION}")


@dataclass(frozen=True)
class ReasoningGymVerifier(Verifier):
    """Judges the text between the last <answer> tags by the task's own `score_answer`: 1.0 is correct, less is wrong.

    reasoning-gym gives partial credit, down to 0.01 for any text at all; `partial_credit` passes it on as the score.
    `question` must be the prompt of a problem of this set, since many tasks have several right answers.
    """

    task: str
    dataset: Any = field(repr=False)
    entries: Mapping[str, Mapping[str, Any]] = field(repr=False)
    partial_credit: bool = False
    needs_gold: ClassVar = False  # some tasks have many right answers and name none

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        """Raises ValueError where `question` is no prompt of this set: without it nothing can be judged."""
        entry = self.entries.get(question or "")
        if entry is None:
            raise ValueError(f"the verifier of {self.task} needs the prompt of one of its problems as `question`")
        tagged = _ANSWER.findall(completion)
        if not tagged:
            return Verdict.of(Status.TRUNCATED if truncated else Status.NO_ANSWER, None, "no <answer> tags")
        answer = tagged[-1].strip()
        score = self._score(answer, entry)
        if score >= 1.0:
            return Verdict(Status.CORRECT, 1.0, answer)
        return Verdict(Status.WRONG, score if self.partial_credit else 0.0, answer, f"the task scored it {score:g}")

    def _score(self, answer: str, entry: Mapping[str, Any]) -> float:
        if self.task in EVALUATES_ANSWER:
            golds = entry["metadata"]["valid_answers"] if self.task == "n_queens" else [entry["answer"]]
            return float(answer in [gold.strip() for gold in golds])
        if self.task in PARSES_ANSWER and not plain_expression(answer):
            return 0.0
        try:
            return float(self.dataset.score_answer(answer, entry))
        except _UNREADABLE:
            return 0.0


def plain_expression(text: str) -> bool:
    """Whether `text` is arithmetic on numbers, single letters and known functions, with small exponents only.

    Everything else could run code in a parser that evaluates (attributes, strings, other calls) or hang it (towers of
    powers: an exponent must be a number below 100, and the exponents of bracketed bases multiply to at most 100).
    """
    text = _FRACTIONAL_POWER.sub(r"**\1", text)
    tokens = _TOKEN.findall(text)
    if len(text) > 500 or _TOKEN.sub("", text).strip():
        return False
    nested = 1
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if token.isalpha() and token not in _FUNCTIONS and (len(token) > 1 or after == "("):
            return False
        if token == "**":
            if not after.isdigit() or len(after) > 2:
                return False
            nested *= int(after) if before == ")" else 1
        if before == "**" and after == "**":
            return False
    return nested <= 100


def _dataset(task: str, split: Side, size: int, seed: int, fraction: float, config: Mapping[str, Any]) -> Any:
    """The task's dataset on this side's range of seeds, long enough to keep `size` problems after the hash."""
    try:
        import reasoning_gym as gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise InputError("reasoning-gym is not installed: install rlpath[train]") from error
    version = metadata.version("reasoning-gym")
    if version != GUARDED_VERSION:
        raise InputError(
            f"reasoning-gym {version} is installed, the guards are for {GUARDED_VERSION}: install that one"
        )
    if task not in DATASETS or task == "composite":
        raise InputError(f"{task!r} is not a task of reasoning-gym {version}: one of {', '.join(sorted(DATASETS))}")
    share = fraction if split == "validation" else 1.0 - fraction
    length = int(2 * size / share) + 100
    if length > _SEEDS_PER_SIDE // 1000:
        raise InputError(f"size {size} is larger than a side's range of seeds allows")
    start = (split == "validation") * _SEEDS_PER_SIDE + seed * (_SEEDS_PER_SIDE // 1000)
    try:
        return gym.create_dataset(task, seed=start, size=length, **config)
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(f"reasoning-gym's {task} refuses the configuration {dict(config)}: {error}") from error


def _problem(task: str, split: Side, prompt: str, entry: Mapping[str, Any]) -> Problem:
    gold = "" if entry["answer"] is None else str(entry["answer"])
    return Problem(f"{task}-{split}-{entry['index']}", prompt, gold, {"question": entry["question"]})
