"""Tasks of one's own, and every task by name: a table of questions and answers, a hub data set, or a Python file.

`--tasks questions.csv` is enough where the columns are called as most are; what is read as what can be said behind a
question mark: `--tasks "exam.parquet?question=ask&answer=key&verifier=math&max_tokens=512"`, and
`--tasks "hub:openai/gsm8k/main@test"`.
"""

from __future__ import annotations

import runpy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet, Verifier
from rlpath.envs.load import ENVIRONMENTS, environment_named
from rlpath.evals.contamination.benchmarks import ANSWER_FIELDS, QUESTION_FIELDS
from rlpath.evals.contamination.documents import ROWS, kind_of, rows
from rlpath.evals.suite.hub import hub_rows
from rlpath.evals.suite.task import Task, Template
from rlpath.evals.suite.tasks import ANY_TRIVIAL, CHOICE_TRIVIAL, LIKELIHOOD, NUMBER_TRIVIAL, TASKS, drawn
from rlpath.rewards.verifiers.choice import ChoiceVerifier
from rlpath.rewards.verifiers.code import CodeVerifier
from rlpath.rewards.verifiers.exact import ExactVerifier
from rlpath.rewards.verifiers.math import MathVerifier
from rlpath.rewards.verifiers.number import NumberVerifier

CHOICE_FIELDS = ("choices", "options")
HUB = "hub:"
OPTIONS = ("question", "answer", "choices", "verifier", "max_tokens")
VERIFIERS: dict[str, Callable[[], Verifier]] = {
    "number": NumberVerifier,
    "math": MathVerifier,
    "choice": ChoiceVerifier,
    "exact": lambda: ExactVerifier(ignore_case=True),
    "code": CodeVerifier,
}
INSTRUCTIONS = {
    "number": "Think step by step, then give the final answer as one number after ####.",
    "math": "Reason step by step and put the final answer in \\boxed{}.",
    "choice": "Answer with the letter of the correct option.",
    "exact": "Answer with the answer alone.",
    "code": "Answer with one Python code block.",
}
_beside: ContextVar[Path | None] = ContextVar("beside", default=None)
"""The folder of the Python file whose task is being read: names of data files are meant from there."""


def find_task(name: str) -> Task:
    """A task of the suite by its name, of a table or hub data set, or the `TASK` of a Python file.

    Raises InputError for an unknown name, with the nearest ones, a file that cannot be read, or one without a `TASK`.
    """
    if name in TASKS:
        return TASKS[name]
    if name.endswith(".py"):
        return _python_task(Path(name))
    if name.partition(":")[0] in ENVIRONMENTS:
        return environment_task(environment_named(name, "validation"))
    source = name.partition("?")[0]
    if source.startswith(HUB) or kind_of(Path(source)) in ROWS:
        return table_task(name)
    near = get_close_matches(name, TASKS, n=2)
    named = ", ".join((*TASKS, *ENVIRONMENTS))
    known = f"one of {named}, a file of questions ({', '.join(ROWS)}), {HUB}owner/data-set, or a Python file"
    hint = f"did you mean {' or '.join(near)}?" if near else known
    raise InputError(f"there is no task {name!r}; {hint}")


def _python_task(path: Path) -> Task:
    if not path.is_file():
        raise InputError(f"task file {path} does not exist")
    with _relative_to(path.resolve().parent):
        found = runpy.run_path(str(path)).get("TASK")
    if not isinstance(found, Task):
        raise InputError(f"{path} defines no TASK = Task(...): see rlpath.evals.suite.tasks for examples")
    return found


@contextmanager
def _relative_to(folder: Path) -> Iterator[None]:
    token = _beside.set(folder)
    try:
        yield
    finally:
        _beside.reset(token)


def table_task(source: str) -> Task:
    """The task of a table: a file of `ROWS`, or `hub:owner/name[/configuration][@split]` (test unless given).

    A row has a question, an answer (text or a number), and optionally `id`, `template`, and `choices`: then the answer
    is an option's letter, number from 0, or text. Without `verifier=` numbers are compared as numbers, options as
    options, and everything else as text. Raises InputError naming file and row for what does not fit.
    """
    place, _, query = source.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise InputError(f"{source}: there is no option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    read = hub_rows(place.removeprefix(HUB)) if place.startswith(HUB) else list(rows(Path(place)))
    problems = _problems(read, place, options)
    kind = options.get("verifier") or _kind(problems)
    if kind not in VERIFIERS:
        raise InputError(f"{source}: there is no verifier {kind!r}; there are {', '.join(VERIFIERS)}")
    limit = options.get("max_tokens", "256")
    if not limit.isdecimal() or int(limit) < 1:
        raise InputError(f"{source}: max_tokens is {limit!r}, not a number of tokens")
    name = place.removeprefix(HUB).partition("@")[0].replace("/", "-") if place.startswith(HUB) else Path(place).stem
    trivial = {"number": NUMBER_TRIVIAL, "choice": CHOICE_TRIVIAL}.get(kind, ANY_TRIVIAL)
    return _task(name, problems, place, VERIFIERS[kind](), _templates(kind), int(limit), trivial)


def _templates(kind: str) -> tuple[Template, ...]:
    text = Template("text", "Question: {question}\nAnswer:", chat=False, stop=("Question:",))
    asked = Template(kind, "{question}\n\n" + INSTRUCTIONS[kind])
    return (asked, Template("plain", "{question}"), text, *((LIKELIHOOD,) if kind == "choice" else ()))


def _kind(problems: Sequence[Problem]) -> str:
    if all("options" in problem.meta for problem in problems):
        return "choice"
    return "number" if all(_is_number(problem.gold) for problem in problems) else "exact"


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").removeprefix("$").removesuffix("%"))
    except ValueError:
        return False
    return True


def jsonl_task(
    name: str,
    path: Path | str,
    verifier: Verifier,
    templates: Sequence[Template] = (Template("plain", "{question}"),),
    *,
    max_tokens: int = 256,
) -> Task:
    """A task from a table of `ROWS` (JSON lines, CSV, Parquet …) with a verifier and templates of one's own.

    A Python file, given to `rlpath eval --tasks my_task.py`, with its data beside it, is:

        from rlpath.evals.suite.own_tasks import jsonl_task
        from rlpath.evals.suite.task import Template
        from rlpath.rewards.verifiers.number import NumberVerifier

        TASK = jsonl_task(
            "capitals", "capitals.jsonl", NumberVerifier(),
            [Template("plain", "{question}"), Template("text", "Q: {question} A:", chat=False, stop=("Q:",))],
            max_tokens=32,
        )

    and a row of its data {"question": "How many …?", "answer": 12}. A relative path is meant from the Python file.
    Where all rows have a `template`, those of one template count as one cluster. Strict and flexible readings are the
    verifier's own. Raises InputError for a malformed file, an empty answer, or two rows of one id.
    """
    beside = _beside.get()
    place = Path(path) if beside is None else beside / path
    return _task(name, _problems(list(rows(place)), str(place), {}), str(place), verifier, templates, max_tokens)


def _task(
    name: str,
    problems: Sequence[Problem],
    place: str,
    verifier: Verifier,
    templates: Sequence[Template],
    max_tokens: int,
    trivial: Any = ANY_TRIVIAL,
) -> Task:
    def load(size: int | None, seed: int) -> ProblemSet:
        return drawn(name, problems, size, seed, verifier, place)

    return Task(name, load, tuple(templates), max_tokens, verifier, verifier, trivial=trivial)


# Rows


def _problems(read: Sequence[tuple[int, Any]], place: str, options: Mapping[str, str]) -> list[Problem]:
    if not read:
        raise InputError(f"{place} is empty: one row a question is expected")
    stem = Path(place).stem
    problems = [_problem(row, f"{place}, row {number}", f"{stem}-{number}", options) for number, row in read]
    repeated = [id for id, count in Counter(problem.id for problem in problems).items() if count > 1]
    if repeated:
        raise InputError(f"{place} holds the id {repeated[0]!r} more than once: give every row its own")
    return problems


def _problem(row: Any, place: str, id: str, options: Mapping[str, str]) -> Problem:
    if not isinstance(row, dict):
        raise InputError(f"{place} is {type(row).__name__}, not an object of question and answer")
    question = _text(_field(row, "question", options, QUESTION_FIELDS, place), "question", place)
    answer = _field(row, "answer", options, (*ANSWER_FIELDS, "answerKey", "label"), place)
    made_from = {"template": row["template"]} if "template" in row else {}
    name = options.get("choices") or next((field for field in CHOICE_FIELDS if row.get(field)), None)
    if name is None:
        return Problem(str(row.get("id", id)), question, _text(answer, "answer", place), made_from)
    texts, labels = _choices(row.get(name), name, place)
    gold = _letter(answer, texts, labels, place)
    lines = [f"{chr(ord('A') + at)}) {text}" for at, text in enumerate(texts)]
    meta = {**made_from, "options": tuple(texts), "stem": question}
    return Problem(str(row.get("id", id)), "\n".join([question, *lines]), gold, meta)


def _field(row: dict[str, Any], what: str, options: Mapping[str, str], names: Sequence[str], place: str) -> Any:
    if what in options:
        names = (options[what],)
    found = next((row[name] for name in names if row.get(name) is not None), None)
    if found is None:
        raise InputError(f"{place}: there is no {what}: none of the fields {', '.join(names)} is there")
    return found


def _text(value: Any, what: str, place: str) -> str:
    """Text as it is, a number in figures: 12.0 is "12"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise InputError(f"{place}: the field {what!r} is missing, empty or neither text nor a number")
    return str(value).strip()


def _choices(value: Any, name: str, place: str) -> tuple[list[str], list[str]]:
    """Texts and labels of the options: a list, or an object of the lists `text` and `label`."""
    texts = value.get("text") if isinstance(value, dict) else value
    if not isinstance(texts, list) or not 2 <= len(texts) <= 26:
        raise InputError(f"{place}: the field {name!r} is no list of 2 to 26 options")
    labels = value.get("label") if isinstance(value, dict) else None
    letters = [chr(ord("A") + at) for at in range(len(texts))]
    return [_text(text, name, place) for text in texts], list(map(str, labels or letters))


def _letter(answer: Any, texts: Sequence[str], labels: Sequence[str], place: str) -> str:
    """The letter of the right option, which the row names by label, by number from 0, or by its text."""
    named = str(answer).strip()
    if isinstance(answer, int) and not isinstance(answer, bool) and named not in labels:
        at = answer
    elif named in labels:
        at = labels.index(named)
    elif named in texts:
        at = texts.index(named)
    else:
        at = int(named) if named.isdecimal() else -1
    if not 0 <= at < len(texts):
        raise InputError(f"{place}: the answer {named!r} is none of the {len(texts)} options")
    return chr(ord("A") + at)


EPISODE = Template("episode", "{question}")
"""An environment words its own question."""


def environment_task(problems: ProblemSet, *, max_tokens: int = 1024) -> Task:
    """A task of episodes, from an environment's problems; `max_tokens` bounds all turns of one with their answers.

    A Python file, given to `rlpath eval --tasks my_environment.py`, is:

        from rlpath.envs.turns.problems import environment_problems
        from rlpath.evals.suite.own_tasks import environment_task

        TASK = environment_task(environment_problems("mine", MyEnvironment, rows, split="validation"))

    Raises InputError for a set without an environment.
    """
    if problems.environment is None:
        raise InputError(f"{problems.name} has no environment: make it with environment_problems")

    def load(size: int | None, seed: int) -> ProblemSet:
        chosen = drawn(problems.name, problems.problems, size, seed, problems.verifier, problems.source)
        return replace(chosen, environment=problems.environment)

    judge = problems.verifier
    return Task(problems.name, load, (EPISODE,), max_tokens, judge, judge, guessable=False)


def loaded_once(task: Task) -> Task:
    """The task, whose problems are read at the first call and kept for the others."""
    kept: dict[tuple[int | None, int], ProblemSet] = {}

    def load(size: int | None, seed: int) -> ProblemSet:
        if (size, seed) not in kept:
            kept[size, seed] = task.load(size, seed)
        return kept[size, seed]

    return replace(task, load=load)
