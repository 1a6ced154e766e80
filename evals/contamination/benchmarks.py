"""The test sets that training text is compared with: the published ones under RLPATH_DATA, or a file of one's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Demonstration, ExampleSet, Preference, ProblemSet
from rlpath.envs.files import data_file
from rlpath.evals.contamination.documents import rows, texts_of

QUESTION_FIELDS = ("question", "prompt", "problem", "instruction", "text")
ANSWER_FIELDS = ("answer", "solution", "output", "completion", "gold")


@dataclass(frozen=True, slots=True)
class Item:
    """One test item: what is asked, and the reference solution or answer ("" where there is none)."""

    id: str
    question: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A test set by name, with the file it was read from."""

    name: str
    items: tuple[Item, ...]
    source: str

    def __len__(self) -> int:
        return len(self.items)


Maker = Callable[[int, dict[str, Any]], Item]


def _by_fields(question: str, answer: str, prefix: str) -> Maker:
    return lambda index, row: Item(f"{prefix}-{index}", _text(row[question]), _text(row.get(answer, "")))


def _svamp(index: int, row: dict[str, Any]) -> Item:
    return Item(str(row["ID"]), f"{row['Body']} {row['Question']}", str(row["Equation"]))


def _arc(index: int, row: dict[str, Any]) -> Item:
    """The question and its options, without the instruction that every row repeats."""
    question = row["instruction"].partition(":")[2].rpartition("Answer format")[0] or row["instruction"]
    return Item(f"arc-{index}", question.strip(), row["output"])


def _mbpp(index: int, row: dict[str, Any]) -> Item:
    return Item(f"mbpp-{row['task_id']}", row["text"], row["code"])


def _is_mbpp_test(row: dict[str, Any]) -> bool:
    return 11 <= row["task_id"] <= 510


_KNOWN: dict[str, tuple[tuple[str, ...], Maker]] = {
    "gsm8k": (("gsm8k/test.jsonl",), _by_fields("question", "answer", "gsm8k")),
    "math500": (("math/math500.jsonl",), _by_fields("problem", "solution", "math500")),
    "svamp": (("svamp/SVAMP.json",), _svamp),
    "arc": (("arc/ARC-Easy_test.json", "arc/ARC-Challenge_test.json"), _arc),
    "humaneval": (("humaneval/HumanEval.jsonl.gz",), _by_fields("prompt", "canonical_solution", "humaneval")),
    "mbpp": (("mbpp/mbpp.jsonl",), _mbpp),
    "ifeval": (("ifeval/input_data.jsonl",), _by_fields("prompt", "", "ifeval")),
}
NAMES = tuple(_KNOWN)


def benchmark(name: str) -> Benchmark:
    """A known test set by name, or the items of a file by path (JSON, JSON lines, CSV or Parquet).

    A row of a file of one's own needs one of `QUESTION_FIELDS` and may have one of `ANSWER_FIELDS`. Raises InputError
    for an unknown name, a set that RLPATH_DATA does not have, a row without a question, naming file and line, and an
    id that occurs twice.
    """
    if name in _KNOWN:
        found = _read_known(name)
        if found is None:
            files = " and ".join(_KNOWN[name][0])
            raise InputError(f"the test set {name} was not found: set RLPATH_DATA to a folder that holds {files}")
        return found
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name!r} is neither a file nor a known test set: one of {', '.join(NAMES)}")
    items = tuple(_own_item(path, line, row) for line, row in rows(path))
    if not items:
        raise InputError(f"the test set {path} is empty: one JSON object per line, or a row per item, is expected")
    repeated = next((id for id, count in Counter(item.id for item in items).items() if count > 1), None)
    if repeated is not None:
        raise InputError(f"the test set {path} holds the id {repeated!r} more than once: give every row its own")
    return Benchmark(path.name, items, str(path))


def benchmarks_present() -> list[Benchmark]:
    """Every known test set that RLPATH_DATA has, none where it is not set."""
    return [found for name in _KNOWN if (found := _read_known(name)) is not None]


def set_name(data: ProblemSet | ExampleSet[Any]) -> str:
    """How reports call a set: its name and split."""
    return f"{data.name} ({data.split})"


def as_benchmark(data: ProblemSet | ExampleSet[Any]) -> Benchmark:
    """Problems or held-out examples as a test set.

    Problems give their questions, without the prompt's wording where they are known, and solutions; examples the last
    turn of the prompt, and the answer that was shown or preferred.
    """
    if isinstance(data, ProblemSet):
        items = (Item(p.id, question_of(p.prompt, p.meta), str(p.meta.get("solution", ""))) for p in data.problems)
    else:
        items = (_example_item(example) for example in data.examples)
    return Benchmark(set_name(data), tuple(items), data.source)


def _example_item(example: Demonstration | Preference) -> Item:
    answer = example.completion if isinstance(example, Demonstration) else example.chosen
    return Item(example.id, example.prompt[-1].content, answer)


def question_of(prompt: str, meta: Any) -> str:
    """The question itself where a problem carries it beside its prompt, else the prompt."""
    question = meta.get("question")
    return question if isinstance(question, str) else prompt


def _read_known(name: str) -> Benchmark | None:
    relative, make = _KNOWN[name]
    paths = [data_file(path) for path in relative]
    found = [path for path in paths if path is not None]
    if len(found) < len(paths):
        return None
    read = [(path, line, row) for path in found for line, row in rows(path)]
    if name == "mbpp":
        read = [(path, line, row) for path, line, row in read if _is_mbpp_test(row)]
    items = tuple(_known_item(name, make, index, *place) for index, place in enumerate(read))
    return Benchmark(name, items, ", ".join(map(str, found)))


def _known_item(name: str, make: Maker, index: int, path: Path, line: int, row: Any) -> Item:
    try:
        return make(index, row)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}, row {line} is not a row of {name}: {error!r} (fetch the file again)") from None


def _own_item(path: Path, line: int, row: Any) -> Item:
    if isinstance(row, dict):
        question = next((row[field] for field in QUESTION_FIELDS if row.get(field)), None)
        if question is not None:
            answer = next((row[field] for field in ANSWER_FIELDS if row.get(field)), "")
            return Item(str(row.get("id", f"{path.stem}-{line}")), _text(question), _text(answer))
    raise InputError(f"{path}, row {line} has no question: a field {', '.join(QUESTION_FIELDS[:-1])} or text is needed")


def _text(value: Any) -> str:
    return "\n".join(texts_of(value)) if isinstance(value, str | list | dict) else str(value)
