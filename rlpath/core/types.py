"""The words everyone shares: problem, completion, verdict, verifier; demonstration and preference.

A problem asks; a model completes; a verifier reads the completion beside the gold answer and returns a verdict. A
demonstration shows an answer to imitate, a preference two answers of which one was preferred. None of it needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from rlpath.core.errors import InputError


class Outcome(StrEnum):
    """What a comparison with a baseline found."""

    IMPROVED = "improved"
    NO_EVIDENCE = "no evidence of improvement"
    WORSE = "got worse"


class Status(StrEnum):
    """What a verifier found. Only `correct` earns reward by default; `undecided` and `error` carry no score at all."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    UNDECIDED = "undecided"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verifier's finding on one completion.

    `score` is None exactly where nothing was decided (`undecided`, `error`): such a completion is left out of a
    reward rather than counted as wrong. `answer` is what was extracted, `reason` says in a few words why.
    """

    status: Status
    score: float | None
    answer: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.score is None) != (self.status in (Status.UNDECIDED, Status.ERROR)):
            raise ValueError(f"a verdict of status {self.status} cannot have score {self.score}")

    @property
    def correct(self) -> bool:
        return self.status is Status.CORRECT

    @classmethod
    def of(cls, status: Status, answer: str | None = None, reason: str = "") -> Verdict:
        """The verdict whose score follows from its status: 1 for correct, None for undecided or error, else 0."""
        score = 1.0 if status is Status.CORRECT else None if status in (Status.UNDECIDED, Status.ERROR) else 0.0
        return cls(status, score, answer, reason)


@runtime_checkable
class Verifier(Protocol):
    """Anything that can be called on a completion and the gold answer; it never raises on what a model wrote.

    `question` lets a verifier refuse answers copied from the prompt. `truncated` says that the completion was cut by
    the length limit, so that text which merely stops is not taken for an answer.
    """

    def __call__(
        self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False
    ) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its gold answer. `prompt` is what the user turn says, word for word."""

    id: str
    prompt: str
    gold: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """Problems with a name, the split they are from, the verifier that judges them, and where they were read.

    Raises InputError for a problem without a gold answer, unless the verifier says `needs_gold = False`: it would be
    undecided for every completion, in every step of a training run.
    """

    name: str
    split: Literal["train", "validation", "test"]
    problems: tuple[Problem, ...]
    verifier: Verifier
    source: str

    def __post_init__(self) -> None:
        blank_is_missing = getattr(self.verifier, "needs_gold", True)
        for problem in self.problems:
            gold: object = problem.gold
            if not isinstance(gold, str) or (blank_is_missing and not gold.strip()):
                raise InputError(
                    f"problem {problem.id!r} of {self.name} ({self.source}) has no gold answer: it is {gold!r}, "
                    "and must be text that is not blank"
                )

    def __len__(self) -> int:
        return len(self.problems)

    @property
    def sha256(self) -> str:
        """Hash of ids, prompts and gold answers: the identity of the set in a manifest."""
        rows = [(problem.id, problem.prompt, problem.gold) for problem in self.problems]
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


class Turn(NamedTuple):
    """One message of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A conversation that ends with the user's turn, and the answer to imitate."""

    id: str
    prompt: tuple[Turn, ...]
    completion: str


@dataclass(frozen=True, slots=True)
class Preference:
    """A conversation that ends with the user's turn, and two answers: `chosen` was preferred to `rejected`."""

    id: str
    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str


Example = TypeVar("Example", Demonstration, Preference)


@dataclass(frozen=True, slots=True)
class ExampleSet(Generic[Example]):
    """Demonstrations or preferences with a name, the split they are from and where they were read.

    `left_out` says, one sentence each, what was read and not kept.
    """

    name: str
    split: Literal["train", "validation", "test"]
    examples: tuple[Example, ...]
    source: str
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def sha256(self) -> str:
        """Hash of every field of every example, in order: the identity of the set in a manifest."""
        rows = [[getattr(example, name) for name in example.__slots__] for example in self.examples]
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote after one prompt.

    `logprobs[t]` is the sampler's log-probability of `token_ids[t]` under the distribution it sampled from.
    `finish_reason` is "stop" where the model ended its turn, "length" where the limit cut it.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to sample. `temperature` 0 is greedy; `n` completions per prompt; `seed` fixes every draw of one call."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.n < 1:
            raise ValueError(f"n must be at least 1, not {self.n}")
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise ValueError("temperature and top_k must not be negative, and top_p must lie in (0, 1]")


class Sampler(Protocol):
    """A model that completes prompts."""

    backend: str

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a user turn, chat template applied, ready for the assistant to answer."""
        ...

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        """For each prompt (token ids), `decoding.n` completions in a fixed order."""
        ...
