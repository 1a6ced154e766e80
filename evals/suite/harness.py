"""Ask models tasks: cached by content, resumable in the middle of a task, nothing asked twice.

An evaluation's file is named by the hash of all that decides its completions: weights, prompts, decoding, backend and
precision. A second suite that asks the same finds it; one that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rlpath.errors import InputError
from rlpath.evals.evaluate import MODES, Evaluation, Mode, Protocol, evaluate
from rlpath.evals.suite.subject import LazySampler, Subject, has_chat_template
from rlpath.evals.suite.task import Prompted, Task, Template
from rlpath.files import Busy, disk_errors, lock
from rlpath.packaged import cache_folder
from rlpath.types import Decoding, ProblemSet

Backend = Literal["auto", "hf", "vllm"]
LONGEST_PROMPT = 2048
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How every model of a suite is asked: the same for all, or nothing can be compared.

    samples: sampled completions a problem; size: problems a task, None for all; seed: of the draws and the choice of
    problems; max_tokens: overrides the tasks' own limits
    """

    samples: int = 8
    size: int | None = None
    seed: int = 0
    temperature: float = 1.0
    max_tokens: int | None = None
    backend: Backend = "auto"
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"--samples is {self.samples}: at least one sampled completion a problem is needed")
        if self.size is not None and self.size < 1:
            raise InputError(f"--size is {self.size}: at least one problem is needed")

    def decodings(self, task: Task) -> tuple[Decoding, Decoding]:
        """Greedy and sampled."""
        tokens = self.max_tokens or task.max_tokens
        sampled = Decoding(tokens, self.temperature, n=self.samples, seed=self.seed)
        return Decoding(tokens, temperature=0.0, seed=self.seed), sampled


@dataclass(frozen=True)
class Asked:
    """One model's evaluation on one task under one template, and where it is kept."""

    subject: Subject
    task: Task
    template: Template
    problems: ProblemSet
    evaluation: Evaluation
    path: Path


def ask(
    subject: Subject,
    jobs: Sequence[tuple[Task, Template]],
    plan: Plan,
    *,
    cache: Path | None = None,
    modes: Sequence[Mode] = MODES,
    progress: Progress = lambda _: None,
) -> list[Asked]:
    """Ask `subject` every task under its template; the model is loaded once, and only for what is not cached.

    `modes` of ("greedy",) leaves the sampled completions out; a later call with both finds the greedy ones.

    Raises InputError where a template needs a chat and the model has none, or another process is asking the same.
    """
    folder = (cache or cache_folder()) / "evaluations"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not has_chat_template(subject) and any(template.chat for _, template in jobs):
        remedy = "choose a template of plain text (--template text), the same for all models"
        raise InputError(f"{subject.label} has no chat template; {remedy}")
    loaded = [(task, template, task.load(plan.size, plan.seed)) for task, template in jobs]
    asked: list[Asked] = []
    longest = LONGEST_PROMPT + max(plan.decodings(task)[0].max_tokens for task, _ in jobs)
    sampler = LazySampler(subject, plan.backend, max_length=longest, dtype=plan.dtype)
    for task, template, problems in loaded:
        prompted = Prompted(sampler, template, task.exemplars() if template.shots else ())
        path = folder / f"{_key(subject, prompted, problems, task, plan)}.jsonl"
        evaluation = _evaluate(prompted, problems, task, plan, path, modes, _timed(subject, task, template, progress))
        asked.append(Asked(subject, task, template, problems, evaluation, path))
    return asked


def _evaluate(
    prompted: Prompted,
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
        return evaluate(prompted, problems, greedy, sampled, path=path, modes=modes, progress=progress)


def _key(subject: Subject, prompted: Prompted, problems: ProblemSet, task: Task, plan: Plan) -> str:
    """Everything that decides a completion or its verdict."""
    facts = {
        "weights": subject.sha256,
        "backend": prompted.backend,
        "dtype": plan.dtype,
        "template": asdict(prompted.template),
        "exemplars": [asdict(exemplar) for exemplar in prompted.exemplars],
        "problems": [problems.sha256, len(problems)],
        "protocol": asdict(Protocol.of(problems, *plan.decodings(task))) | {"source": ""},
        "verifier": repr(problems.verifier),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _timed(subject: Subject, task: Task, template: Template, progress: Progress) -> Callable[[int, int], None]:
    """Say how far it is and how long it will take, from the chunks done since this start."""
    started = time.monotonic()
    first: list[int] = []

    def say(done: int, total: int) -> None:
        first.append(done)
        spent, since = time.monotonic() - started, done - first[0] + 1
        left = spent / since * (total - done)
        progress(f"{subject.label}: {task.name} ({template.name}) {done}/{total}, about {left / 60:.0f} min left")

    return say
