"""Ask models tasks: cached by content, resumable in the middle of a task, nothing asked twice.

An evaluation's file is named by the hash of all that decides its completions and verdicts: weights, prompts, decoding,
backend, precision and verifier. A second suite that asks the same finds it; one that was killed goes on where it
stopped.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import rlpath
from rlpath.core.errors import InputError
from rlpath.core.files import Busy, disk_errors, lock, read_json, write_atomic
from rlpath.core.types import Decoding, ProblemSet
from rlpath.evals.measure.evaluation import MODES, Evaluation, Mode, Protocol, evaluate, ks
from rlpath.evals.suite.subject import LazySampler, Subject, has_chat_template
from rlpath.evals.suite.task import Task, Template, TemplatedSampler
from rlpath.models.packaged import cache_folder

Backend = Literal["auto", "hf", "vllm"]
LONGEST_PROMPT = 2048
CHUNK = 64
"""Problems asked at once, and written at once: what a crash can cost."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How every model of a suite is asked: the same for all, or nothing can be compared.

    samples: sampled completions a problem, 0 for greedy alone; size: problems a task at most, None for all
    seed: of the draws and the choice of problems; max_tokens: overrides the tasks' own limits
    k: the largest of pass@k and maj@k, by default `samples`; a larger one cannot be estimated
    """

    samples: int = 8
    size: int | None = None
    seed: int = 0
    temperature: float = 1.0
    max_tokens: int | None = None
    backend: Backend = "auto"
    dtype: str = "bfloat16"
    k: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise InputError(f"--samples is {self.samples}: 0 (greedy alone) or more completions a problem are sampled")
        if self.size is not None and self.size < 1:
            raise InputError(f"--size is {self.size}: at least one problem is needed")
        if self.k is not None and not 1 <= self.k <= self.samples:
            raise InputError(f"--k is {self.k}, with {self.samples} samples: k must lie within 1 and --samples")
        if self.temperature <= 0:
            raise InputError(f"--temperature is {self.temperature}: sampling needs more than 0, greedy is always asked")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"--max-tokens is {self.max_tokens}: at least one token is needed")

    @property
    def ks(self) -> list[int]:
        """The k of pass@k and maj@k: 1, 2, 4 … and the largest; none where nothing is sampled."""
        return ks(self.k or self.samples)

    def decodings(self, task: Task) -> tuple[Decoding, Decoding | None]:
        """Greedy, and sampled where anything is."""
        tokens = self.max_tokens or task.max_tokens
        greedy = Decoding(tokens, temperature=0.0, seed=self.seed)
        return greedy, replace(greedy, temperature=self.temperature, n=self.samples) if self.samples else None

    def problems(self, task: Task) -> ProblemSet:
        """At most `size` problems drawn by the seed, the shortest first, so that those asked at once are alike.

        The order is by characters, not by a model's tokens: every model is asked in the same order.
        """
        drawn = task.load(None, self.seed)
        chosen = sorted(drawn.problems[: self.size], key=lambda problem: (len(problem.prompt), problem.id))
        return replace(drawn, problems=tuple(chosen))


@dataclass(frozen=True)
class TaskRun:
    """One model's evaluation on one task under one template, and where it is kept.

    `started` is when its first question was asked, in this suite or an earlier one (ISO 8601, UTC).
    """

    subject: Subject
    task: Task
    template: Template
    problems: ProblemSet
    evaluation: Evaluation
    path: Path
    started: str = ""


def run_tasks(
    subject: Subject,
    jobs: Sequence[tuple[Task, Template]],
    plan: Plan,
    *,
    cache: Path | None = None,
    modes: Sequence[Mode] = MODES,
    progress: Progress = lambda _: None,
) -> list[TaskRun]:
    """Ask `subject` every task under its template; the model is loaded once, and only for what is not cached.

    `modes` of ("greedy",) leaves the sampled completions out; a later call with both finds the greedy ones.

    Raises InputError where a template needs a chat and the model has none, or another process is asking the same.
    """
    folder = evaluations_folder(cache)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    check_chat(subject, [template for _, template in jobs])
    loaded = [(task, template, plan.problems(task)) for task, template in jobs]
    longest = LONGEST_PROMPT + max((plan.decodings(task)[0].max_tokens for task, _ in jobs), default=0)
    sampler = LazySampler(subject, plan.backend, max_length=longest, dtype=plan.dtype)
    asked: list[TaskRun] = []
    for task, template, problems in loaded:
        prompted = TemplatedSampler(sampler, template, task.exemplars() if template.shots else ())
        facts = _facts(subject, prompted, problems, task, plan)
        path = folder / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]}.jsonl"
        what, samples = f"{subject.label}: {task.name} ({template.name})", plan.samples if "sample" in modes else 0
        say = _timed(what, prompted, len(problems), samples, progress)
        started = _started(path, facts)
        evaluation = _evaluate(prompted, problems, task, plan, path, modes, say)
        asked.append(TaskRun(subject, task, template, problems, evaluation, path, started))
    return asked


def evaluations_folder(cache: Path | None = None) -> Path:
    """Where evaluations are kept."""
    return (cache or cache_folder()) / "evaluations"


def check_chat(subject: Subject, templates: Sequence[Template]) -> None:
    """Raise InputError where a template is a chat and the model has no chat template."""
    if not has_chat_template(subject) and any(template.chat for template in templates):
        remedy = "ask everybody in plain text with --template text"
        raise InputError(f"{subject.label} has no chat template in its tokenizer; {remedy}")


def _evaluate(
    prompted: TemplatedSampler,
    problems: ProblemSet,
    task: Task,
    plan: Plan,
    path: Path,
    modes: Sequence[Mode],
    progress: Callable[[int, int], None],
) -> Evaluation:
    try:
        held = lock(path.with_suffix(".lock"))
    except Busy as holder:
        raise InputError(f"process {holder} is asking {task.name} of this model just now; wait for it") from None
    with held:
        greedy, sampled = plan.decodings(task)
        return evaluate(prompted, problems, greedy, sampled, path=path, chunk=CHUNK, modes=modes, progress=progress)


def _facts(
    subject: Subject, prompted: TemplatedSampler, problems: ProblemSet, task: Task, plan: Plan
) -> dict[str, Any]:
    """Everything that decides a completion or its verdict."""
    return {
        "rlpath": rlpath.__version__,
        "weights": subject.sha256,
        "sampler": prompted.sampler_facts(),
        "template": asdict(prompted.template),
        "exemplars": [asdict(exemplar) for exemplar in prompted.exemplars],
        "problems": [problems.sha256, len(problems)],
        "protocol": asdict(Protocol.of(problems, *plan.decodings(task))) | {"source": ""},
        "chunk": CHUNK,
        "verifier": _identity(problems.verifier),
    }


def _started(path: Path, facts: Mapping[str, Any]) -> str:
    """When the first of these questions was asked; kept beside the answers, with what the file's name is a hash of."""
    described = path.with_suffix(".json")
    if not described.exists():
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_atomic(described, json.dumps({"begun": now, **facts}, indent=1, ensure_ascii=False) + "\n")
    return str(read_json(described)["begun"])


def _identity(verifier: Any) -> str:
    """What a verifier is: the text of a function, else the class with its fields, never an address."""
    if inspect.isfunction(verifier):
        return inspect.getsource(verifier)
    fields = vars(verifier) if hasattr(verifier, "__dict__") else repr(verifier)
    return f"{type(verifier).__qualname__} {fields}"


def _timed(
    what: str, prompted: TemplatedSampler, problems: int, samples: int, progress: Progress
) -> Callable[[int, int], None]:
    """Say how far it is and how long it will take, by the completions made since this start.

    Greedy completions come first; a chunk of sampled ones is as much work as there are samples.
    """
    started = time.monotonic()
    made = 0
    before = 0

    def completions(chunks: int) -> int:
        each = -(-problems // CHUNK)
        return min(chunks * CHUNK, problems) + samples * min(max(0, chunks - each) * CHUNK, problems)

    def say(done: int, total: int) -> None:
        nonlocal made, before
        now = completions(done)
        made += (now - completions(done - 1)) if prompted.calls > before else 0
        before = prompted.calls
        whole = completions(total)
        left = (time.monotonic() - started) / made * (whole - now) if made else 0.0
        progress(f"{what} {now} of {whole} completions, about {_duration(left)} left")

    return say


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
