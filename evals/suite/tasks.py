"""The tasks of the suite, one declaration each. Data is read from RLPATH_DATA, or fetched from the hub.

gsm8k       grade-school word problems, test split (arXiv:2110.14168)
svamp       one-step word problems with distractors (arXiv:2103.07191)
math500     competition mathematics (arXiv:2305.20050, split of arXiv:2103.03874)
arc         ARC-Challenge test, multiple choice (arXiv:1803.05457)
arithmetic  sums of one and two digits, the validation side of our own generator
humaneval   Python functions with tests (arXiv:2107.03374)
mbpp        Python functions from a sentence, three tests each, the test split (arXiv:2108.07732)
ifeval      instructions that can be checked (arXiv:2311.07911)
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlpath.core.errors import Unreachable
from rlpath.core.types import Problem, ProblemSet, Verdict, Verifier
from rlpath.envs.files import data_file, read_jsonl
from rlpath.envs.gsm8k import gsm8k, take
from rlpath.envs.load import problem_set
from rlpath.evals.measure.held_out import gsm8k_test
from rlpath.evals.suite.hub import load_split
from rlpath.evals.suite.task import Exemplar, PatternVerifier, Task, Template
from rlpath.rewards.verifiers.choice import ChoiceVerifier, options_of
from rlpath.rewards.verifiers.code import CodeVerifier
from rlpath.rewards.verifiers.instruction import InstructionVerifier
from rlpath.rewards.verifiers.math import MathVerifier
from rlpath.rewards.verifiers.number import NumberVerifier

NUMBER = r"(-?\$?\d[\d,]*(?:\.\d+)?)"
Trivial = Mapping[str, Callable[[Problem, Sequence[Problem]], str]]

ARC = ("allenai/ai2_arc", "ARC-Challenge")
MBPP = ("google-research-datasets/mbpp", "full")
LIKELIHOOD = Template("likelihood", "Question: {question}\nAnswer:", chat=False, likelihood=True)
"""The option that continues the text with the highest probability a byte: no answer is written, so none can fail to
be read, and a base model is asked as it was trained."""

NUMBER_TEMPLATES = (
    Template("hash", "{question}\n\nThink step by step, then give the final answer as one number after ####."),
    Template("boxed", "{question}\n\nReason step by step and put the final answer in \\boxed{}."),
    Template("plain", "{question}"),
    Template("number-only", "{question}\nAnswer with the number only."),
    Template("few-shot-chat", "{question}", shots=4),
    Template("few-shot-text", "Question: {question}\nAnswer:", chat=False, shots=4, stop=("Question:",)),
)


def _rows(
    relative: str, read: Callable[[Path], list[dict[str, Any]]], hub: tuple[str, str | None, str]
) -> tuple[list[dict[str, Any]], str]:
    """The rows of a file of RLPATH_DATA, else of the hub's data set (id, configuration, split), and their source.

    Raises `Unreachable` where both are missing.
    """
    path = data_file(relative)
    if path is not None:
        return read(path), str(path)
    try:
        return load_split(*hub), f"hub:{hub[0]}"
    except Unreachable as error:
        raise Unreachable(f"{relative} was not found: set RLPATH_DATA to a folder that holds it ({error})") from None


def _read_json(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))


def drawn(
    name: str, problems: Sequence[Problem], size: int | None, seed: int, verifier: Verifier, source: str
) -> ProblemSet:
    """The problems, or `size` of them, in an order drawn by the seed."""
    shuffled = list(problems)
    random.Random(f"{seed}/test").shuffle(shuffled)
    return ProblemSet(name, "test", tuple(take(shuffled, size, name)), verifier, source)


# Trivial baselines: what can be had without reading the question


def _numbers(text: str) -> list[str]:
    return [found.replace(",", "").replace("$", "") for found in re.findall(NUMBER, text)]


def _majority(_: Problem, problems: Sequence[Problem]) -> str:
    return Counter(problem.gold for problem in problems).most_common(1)[0][0]


def _last_number(problem: Problem, _: Sequence[Problem]) -> str:
    return (_numbers(problem.prompt) or ["0"])[-1]


def _random_option(problem: Problem, _: Sequence[Problem]) -> str:
    letters = sorted(options_of(problem.prompt)) or ["A"]
    return random.Random(problem.id).choice(letters)


def _copy(problem: Problem, _: Sequence[Problem]) -> str:
    return problem.prompt


def _empty(_: Problem, __: Sequence[Problem]) -> str:
    return ""


ANY_TRIVIAL: Trivial = {"empty": _empty, "copy of the question": _copy}
NUMBER_TRIVIAL: Trivial = {"most frequent answer": _majority, "last number of the question": _last_number} | ANY_TRIVIAL
CHOICE_TRIVIAL: Trivial = {"most frequent answer": _majority, "random option": _random_option} | ANY_TRIVIAL


# Word problems


def _gsm8k(size: int | None, seed: int) -> ProblemSet:
    found = gsm8k_test(size=size, seed=seed)
    return replace(found, problems=tuple(replace(p, prompt=p.meta["question"]) for p in found.problems))


def _gsm8k_exemplars() -> list[Exemplar]:
    """Eight of the shortest worked solutions of the training split, calculator marks taken out."""
    rows = sorted(gsm8k("train").problems, key=lambda p: (len(p.meta["solution"]), p.id))
    chosen = random.Random("exemplars").sample(rows[200:1200], 8)
    return [Exemplar(p.meta["question"], re.sub(r"<<[^>]*>>", "", p.meta["solution"])) for p in chosen]


def _svamp(size: int | None, seed: int) -> ProblemSet:
    rows, path = _rows("svamp/SVAMP.json", _read_json, ("ChilleD/SVAMP", None, "train+test"))
    problems = [_svamp_problem(row) for row in rows]
    return drawn("svamp", problems, size, seed, NumberVerifier(), path)


def _svamp_problem(row: Mapping[str, Any]) -> Problem:
    body = row["Body"].strip()
    question = f"{body if body.endswith(('.', '?', '!')) else body + '.'} {row['Question'].strip()}"
    answer = float(row["Answer"])
    gold = str(int(answer)) if answer.is_integer() else repr(answer)
    return Problem(f"svamp-{row['ID']}", question, gold, {"type": row["Type"]})


NUMBER_ONLY = " Answer with the number only."


def _arithmetic(size: int | None, seed: int) -> ProblemSet:
    found = problem_set("arithmetic:add-1x2", "validation", size=size, seed=seed)
    bare = tuple(replace(p, prompt=p.prompt.removesuffix(NUMBER_ONLY)) for p in found.problems)
    return replace(found, problems=bare)


def _arithmetic_exemplars() -> list[Exemplar]:
    """Four sums of the training side."""
    shown = problem_set("arithmetic:add-1x2", "train", size=4).problems
    return [Exemplar(problem.prompt.removesuffix(NUMBER_ONLY), problem.gold) for problem in shown]


def _math500(size: int | None, seed: int) -> ProblemSet:
    hub = ("HuggingFaceH4/MATH-500", None, "test")
    rows, path = _rows("math/math500.jsonl", lambda file: read_jsonl(file, ("problem", "answer")), hub)
    problems = [Problem(f"math500-{i}", row["problem"], row["answer"]) for i, row in enumerate(rows)]
    return drawn("math500", problems, size, seed, MathVerifier(), path)


# Choices, programs, instructions


def _arc(size: int | None, seed: int) -> ProblemSet:
    rows, path = _rows("arc/ARC-Challenge_test.json", _read_json, (*ARC, "test"))
    problems = [_arc_problem(i, row) for i, row in enumerate(rows)]
    return drawn("arc", problems, size, seed, ChoiceVerifier(), path)


def _arc_problem(index: int, row: Mapping[str, Any]) -> Problem:
    """The question with lettered options, from the hub's fields or the instruction text the set is distributed in."""
    if "choices" in row:
        question, texts = row["question"], row["choices"]["text"]
        at = row["choices"]["label"].index(row["answerKey"])
    else:
        text = row["instruction"].removeprefix("Please choose the correct answer to the question: ")
        question, options = text.split("\n\nAnswer format:")[0].split("\n\nAnswer1: ", 1)
        parts = re.split(r" ?Answer(\d): ", options)
        texts, at = [parts[0], *parts[2::2]], int(row["answer"].removeprefix("answer")) - 1
    question, texts = question.strip(), tuple(option.strip() for option in texts)
    lines = [f"{chr(ord('A') + i)}) {option}" for i, option in enumerate(texts)]
    meta = {"options": texts, "stem": question}
    return Problem(f"arc-{index}", "\n".join([question, *lines]), chr(ord("A") + at), meta)


def _arc_exemplars() -> list[Exemplar]:
    """Four questions of the training split."""
    rows, _ = _rows("arc/ARC-Challenge_train.json", _read_json, (*ARC, "train"))
    chosen = random.Random("exemplars").sample(range(len(rows)), 4)
    shown = [_arc_problem(index, rows[index]) for index in chosen]
    return [Exemplar(problem.prompt, f"The answer is {problem.gold}.") for problem in shown]


def _humaneval(size: int | None, seed: int) -> ProblemSet:
    hub = ("openai/openai_humaneval", None, "test")
    rows, path = _rows("humaneval/HumanEval.jsonl.gz", read_jsonl, hub)
    problems = [Problem(row["task_id"], row["prompt"], _tests(row)) for row in rows]
    return drawn("humaneval", problems, size, seed, CodeVerifier(), path)


def _mbpp(size: int | None, seed: int) -> ProblemSet:
    rows, path = _rows("mbpp/mbpp.jsonl", read_jsonl, (*MBPP, "test"))
    problems = [_mbpp_problem(row) for row in rows if 11 <= row["task_id"] <= 510]
    return drawn("mbpp", problems, size, seed, CodeVerifier(), path)


def _mbpp_problem(row: Mapping[str, Any]) -> Problem:
    """The sentence, and the tests, which say what the function is called, as its authors put it."""
    tests = "\n".join(row["test_list"])
    gold = json.dumps({"test_list": row["test_list"], "test_setup_code": row.get("test_setup_code", "")})
    return Problem(f"mbpp-{row['task_id']}", f"{row['text']} Your code should satisfy these tests:\n\n{tests}", gold)


def _mbpp_exemplars() -> list[Exemplar]:
    """Three of the ten programs that the authors set aside for prompts."""
    rows, _ = _rows("mbpp/mbpp.jsonl", read_jsonl, (*MBPP, "prompt"))
    shown = [row for row in rows if row["task_id"] in (2, 3, 4)]
    return [Exemplar(_mbpp_problem(row).prompt, f"```python\n{row['code'].strip()}\n```") for row in shown]


def _tests(row: Mapping[str, Any]) -> str:
    return json.dumps({field: row[field] for field in ("test", "entry_point", "prompt")})


@dataclass(frozen=True)
class Continuation:
    """Judges the question with the completion after it as one program, as HumanEval's own harness does."""

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        program = f"```python\n{question or ''}{completion}\n```"
        return CodeVerifier()(program, gold, question=question, truncated=truncated)


def _ifeval(size: int | None, seed: int) -> ProblemSet:
    hub = ("google/IFEval", None, "train")
    rows, path = _rows("ifeval/input_data.jsonl", lambda file: read_jsonl(file, ("prompt",)), hub)
    # The hub's table has a column for every argument that any instruction takes, most of them empty.
    rows = [
        {**row, "kwargs": [{k: v for k, v in one.items() if v is not None} for one in row["kwargs"]]} for row in rows
    ]
    problems = [Problem(f"ifeval-{row['key']}", row["prompt"], json.dumps(row)) for row in rows]
    return drawn("ifeval", problems, size, seed, InstructionVerifier(), path)


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


BOXED = r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"

WORD_PROBLEM: dict[str, Any] = {
    "templates": NUMBER_TEMPLATES,
    "strict": PatternVerifier((r"#### " + NUMBER,)),
    "flexible": PatternVerifier((NUMBER,), last=True),
    "exemplars": _gsm8k_exemplars,
    "trivial": NUMBER_TRIVIAL,
}

TASKS = {
    task.name: task
    for task in (
        Task("gsm8k", _gsm8k, max_tokens=256, **WORD_PROBLEM),
        Task("svamp", _svamp, max_tokens=192, **WORD_PROBLEM),
        Task(
            "math500",
            _math500,
            templates=(
                Template("boxed", "{question}\n\nReason step by step and put the final answer in \\boxed{}."),
                Template(
                    "answer-line", "{question}\n\nReason step by step. End with a line 'Answer: ' and the answer."
                ),
                Template("plain", "{question}"),
                Template("brief", "{question}\n\nGive only the final answer in \\boxed{}."),
                Template("text", "Problem: {question}\nSolution:", chat=False, stop=("Problem:",)),
            ),
            max_tokens=512,
            strict=PatternVerifier((BOXED,), last=True),
            flexible=PatternVerifier((BOXED, NUMBER), last=True),
            trivial={"most frequent answer": _majority} | ANY_TRIVIAL,
        ),
        Task(
            "arc",
            _arc,
            templates=(
                Template("letter", "{question}\n\nAnswer with the letter of the correct option."),
                Template("answer-is", "{question}\n\nEnd with 'The answer is X', X being the letter."),
                Template("reason", "{question}\n\nThink step by step, then give the letter of the correct option."),
                Template("before", "Choose the correct option.\n\n{question}"),
                Template("text", "Question: {question}\nAnswer:", chat=False, stop=("Question:", "\n\n")),
                Template("few-shot-chat", "{question}", shots=4),
                Template("few-shot-text", "Question: {question}\nAnswer:", chat=False, shots=4, stop=("Question:",)),
                LIKELIHOOD,
            ),
            exemplars=_arc_exemplars,
            max_tokens=64,
            strict=PatternVerifier((r"(?i:answer is|answer:)\s*\(?([A-E])\b",)),
            flexible=PatternVerifier((r"\b([A-E])\b",)),
            trivial=CHOICE_TRIVIAL,
        ),
        Task(
            "arithmetic",
            _arithmetic,
            templates=(
                Template("number-only", "{question} Answer with the number only."),
                Template("plain", "{question}"),
                Template("polite", "Please tell me: {question} Reply with one number and nothing else."),
                Template("before", "Answer with the number only. {question}"),
                Template("text", "Q: {question}\nA:", chat=False, stop=("Q:", "\n")),
                Template("few-shot-chat", "{question}", shots=4),
                Template("few-shot-text", "Q: {question}\nA:", chat=False, shots=4, stop=("Q:", "\n")),
            ),
            exemplars=_arithmetic_exemplars,
            max_tokens=24,
            strict=PatternVerifier((r"^\s*(-?\d+)\.?\s*$",)),
            flexible=PatternVerifier((NUMBER,), last=True),
            trivial=NUMBER_TRIVIAL,
        ),
        Task(
            "humaneval",
            _humaneval,
            templates=(
                Template("complete", "Complete this function. Answer with one Python code block.\n\n{question}"),
                Template("fenced", "```python\n{question}```\n\nComplete the function in a Python code block."),
                Template("plain", "{question}"),
                Template("careful", "Write the body of this function; test it in your head first.\n\n{question}"),
                Template("text", "{question}", chat=False, stop=("\ndef ", "\nclass ", "\nif ", "\nprint", "\n#")),
            ),
            max_tokens=384,
            strict=Continuation(),
            flexible=CodeVerifier(),
            guessable=False,
            trivial={"empty": _empty, "pass": lambda problem, _: f"```python\n{problem.prompt}    pass\n```"},
        ),
        Task(
            "mbpp",
            _mbpp,
            templates=(
                Template("block", "{question}\n\nAnswer with one Python code block."),
                Template("plain", "{question}"),
                Template("before", "Write a Python function.\n\n{question}"),
                Template("few-shot-chat", "{question}", shots=3),
                Template("few-shot-text", "Task: {question}\nAnswer:", chat=False, shots=3, stop=("Task:",)),
                Template("text", "Task: {question}\nAnswer:\n```python\n", chat=False, stop=("```", "Task:")),
            ),
            exemplars=_mbpp_exemplars,
            max_tokens=384,
            strict=CodeVerifier(),
            flexible=CodeVerifier(),
            guessable=False,
            trivial=ANY_TRIVIAL,
        ),
        Task(
            "ifeval",
            _ifeval,
            templates=(
                Template("plain", "{question}"),
                Template("follow", "{question}\n\nFollow every instruction exactly."),
                Template("before", "Follow every instruction below exactly.\n\n{question}"),
                Template("labeled", "Request: {question}"),
                Template("text", "{question}\n\n", chat=False),
            ),
            max_tokens=512,
            strict=InstructionVerifier(),
            flexible=InstructionVerifier(loose=True),
            guessable=False,
            trivial=ANY_TRIVIAL,
        ),
    )
}
