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
from rlpath.core.seeding import derive
from rlpath.core.types import Decoding, ProblemSet
from rlpath.evals.measure.evaluation import MODES, Evaluation, Mode, Protocol, evaluate, ks
from rlpath.evals.suite.endpoint import EndpointSampler
from rlpath.evals.suite.likelihood import Choosing
from rlpath.evals.suite.subject import LazySampler, Subject, has_chat_template
from rlpath.evals.suite.task import Task, Template, TemplatedSampler
from rlpath.models.packaged import cache_folder
from rlpath.models.rollouts import choose_backend

Backend = Literal["auto", "hf", "vllm"]
LONGEST_PROMPT = 2048
CHUNK = 64
"""Problems asked at once unless told, and written at once: what a crash can cost."""
FP32_UP_TO = 2e9
"""Parameters up to which a model is asked in fp32 unless told: 8 GB of weights."""
AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16", "float16")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How every model of a suite is asked: the same for all, or nothing can be compared.

    samples: sampled completions a problem, 0 for greedy alone; size: problems a task at most, None for all
    seed: of the draws and the choice of problems; max_tokens: overrides the tasks' own limits
    temperature, top_p: of the sampled completions; batch: problems asked at once
    dtype: of weights and arithmetic; auto is float32 for small models under transformers, where an answer does not
        depend on its batch
    shots: solved examples, overriding the template's; system: what the system turn of every chat says
    chat_template: a template (Jinja) instead of each tokenizer's own; chat_options: further values for it, by name
    k: the largest of pass@k and maj@k, by default `samples`; a larger one cannot be estimated
    """

    samples: int = 8
    size: int | None = None
    seed: int = 0
    temperature: float = 1.0
    max_tokens: int | None = None
    backend: Backend = "auto"
    dtype: str = AUTO
    k: int | None = None
    top_p: float = 1.0
    batch: int = CHUNK
    shots: int | None = None
    system: str = ""
    chat_template: str | None = None
    chat_options: tuple[tuple[str, Any], ...] = ()

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
        if not 0 < self.top_p <= 1:
            raise InputError(f"--top-p is {self.top_p}: a share above 0 and of at most 1 is needed")
        if self.batch < 1:
            raise InputError(f"--batch-size is {self.batch}: at least one problem is asked at once")
        if self.dtype not in DTYPES:
            raise InputError(f"--dtype is {self.dtype!r}: choose one of {', '.join(DTYPES)}")
        if self.shots is not None and self.shots < 0:
            raise InputError(f"--shots is {self.shots}: 0 or more solved examples can be shown")

    @property
    def ks(self) -> list[int]:
        """The k of pass@k and maj@k: 1, 2, 4 … and the largest; none where nothing is sampled."""
        return ks(self.k or self.samples)

    def precision(self, parameters: int) -> str:
        """The dtype in which a model of so many parameters is asked; vLLM is not batch-invariant in any."""
        if self.dtype != AUTO:
            return self.dtype
        return "float32" if parameters <= FP32_UP_TO and choose_backend(self.backend) == "hf" else "bfloat16"

    def put(self, task: Task, template: Template) -> Template:
        """The template with the plan's examples, system turn and values for the chat template.

        Raises InputError where the task has not as many examples, or there is no chat to say them in.
        """
        if (self.system or self.chat_options or self.chat_template) and not template.chat:
            raise InputError(
                f"--system-prompt, --chat-template and --chat-options need a chat, and template {template.name} of "
                f"{task.name} is plain text: leave them out, or choose another --template"
            )
        changes: dict[str, Any] = {"system": self.system, "options": self.chat_options}
        if self.shots is not None and self.shots != template.shots:
            known = len(task.exemplars())
            if self.shots > known:
                raise InputError(f"--shots is {self.shots}, and {task.name} has {known} solved examples")
            changes |= {"shots": self.shots, "name": f"{template.name}, {self.shots} shots"}
        return replace(template, **changes)

    def decodings(self, task: Task, *, again: bool = False) -> tuple[Decoding, Decoding | None]:
        """Greedy, and sampled where anything is; `again` draws other samples."""
        seed = derive(self.seed, "again") if again else self.seed
        tokens = self.max_tokens or task.max_tokens
        greedy = Decoding(tokens, temperature=0.0, seed=seed)
        if not self.samples:
            return greedy, None
        return greedy, replace(greedy, temperature=self.temperature, top_p=self.top_p, n=self.samples)

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

    Raises InputError where a template needs a chat and the model has none, or options and a problem has none, or
    another process is asking the same.
    """
    folder = evaluations_folder(cache)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    loaded = [(task, template, plan.problems(task)) for task, template in jobs]
    longest = LONGEST_PROMPT + max((plan.decodings(task)[0].max_tokens for task, _ in jobs), default=0)
    sampler = _sampler(subject, plan, longest)
    if sampler.tokenizer.chat_template is None and any(template.chat for _, template in jobs):
        raise _no_chat(subject)
    asked: list[TaskRun] = []
    for task, template, problems in loaded:
        exemplars = task.exemplars() if template.shots else ()
        prompted = (
            Choosing(sampler, template, exemplars, problems.problems)
            if template.likelihood
            else TemplatedSampler(sampler, template, exemplars)
        )
        facts = _facts(subject, prompted, problems, task, plan)
        path = folder / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]}.jsonl"
        what, samples = f"{subject.label}: {task.name} ({template.name})", plan.samples if "sample" in modes else 0
        say = _timed(what, prompted, len(problems), samples, plan.batch, progress)
        started = _started(path, facts)
        evaluation = _evaluate(prompted, problems, task, plan, path, modes, say, again=subject.again)
        asked.append(TaskRun(subject, task, template, problems, evaluation, path, started))
    return asked


def _sampler(subject: Subject, plan: Plan, longest: int) -> LazySampler | EndpointSampler:
    """What completes: a server over HTTP, or the model here, loaded at the first completion."""
    if subject.is_endpoint:
        return EndpointSampler(subject.spec)
    dtype = plan.precision(subject.parameters)
    return LazySampler(subject, plan.backend, max_length=longest, dtype=dtype, chat_template=plan.chat_template)


def evaluations_folder(cache: Path | None = None) -> Path:
    """Where evaluations are kept."""
    return (cache or cache_folder()) / "evaluations"


def check_chat(subject: Subject, templates: Sequence[Template], chat_template: str | None = None) -> None:
    """Raise InputError where a template is a chat and the model has no chat template, nor is one given."""
    if chat_template is None and any(template.chat for template in templates) and not has_chat_template(subject):
        raise _no_chat(subject)


def _no_chat(subject: Subject) -> InputError:
    remedy = "ask everybody in plain text with --template text, or give a --chat-template"
    return InputError(f"{subject.label} has no chat template in its tokenizer; {remedy}")


def _evaluate(
    prompted: TemplatedSampler,
    problems: ProblemSet,
    task: Task,
    plan: Plan,
    path: Path,
    modes: Sequence[Mode],
    progress: Callable[[int, int], None],
    *,
    again: bool,
) -> Evaluation:
    try:
        held = lock(path.with_suffix(".lock"))
    except Busy as holder:
        raise InputError(f"process {holder} is asking {task.name} of this model just now; wait for it") from None
    with held:
        greedy, sampled = plan.decodings(task, again=again)
        return evaluate(
            prompted, problems, greedy, sampled, path=path, chunk=plan.batch, modes=modes, progress=progress
        )


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
        "protocol": asdict(Protocol.of(problems, *plan.decodings(task, again=subject.again))) | {"source": ""},
        "chunk": plan.batch,
        "chat template": plan.chat_template,
        "verifier": _identity(problems.verifier),
        **({"environment": problems.environment.identity} if problems.environment else {}),
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
    what: str, prompted: TemplatedSampler, problems: int, samples: int, chunk: int, progress: Progress
) -> Callable[[int, int], None]:
    """Say how far it is and how long it will take, by the completions made since this start.

    Greedy completions come first; a chunk of sampled ones is as much work as there are samples.
    """
    started = time.monotonic()
    made = 0
    before = 0

    def completions(chunks: int) -> int:
        each = -(-problems // chunk)
        return min(chunks * chunk, problems) + samples * min(max(0, chunks - each) * chunk, problems)

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
