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
        score = {Status.CORRECT: 1.0, Status.UNDECIDED: None, Status.ERROR: None}.get(status, 0.0)
        return cls(status, score, answer, reason)


@runtime_checkable
class Verifier(Protocol):
    """Anything that can be called on a completion and the gold answer; it never raises on what a model wrote.

    `question` lets a verifier refuse answers copied from the prompt. `truncated` says that the completion reached
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
    """Problems with a name, the split they are from, the verifier of their answers, and where they were read.

    Raises InputError for a problem without a gold answer, unless the verifier says `needs_gold = False`: it would be
    undecided for every completion, in every step of a training run. With an `environment` a completion is an episode.
    """

    name: str
    split: Literal["train", "validation", "test"]
    problems: tuple[Problem, ...]
    verifier: Verifier
    source: str
    environment: Player | None = None

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
class EpisodeTurn:
    """One turn of an episode: what the model wrote (`assistant`), or the answers of its tools (`tool`).

    `logprobs` are there for the model's tokens alone. `token_ids` of a tool's turn are those of the whole passage up to
    where the model goes on, none where the model was shown no more of it.
    """

    role: Literal["assistant", "tool"]
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """A completion in several turns: what was shown to the model, turn by turn, and what the environment made of it.

    `verdict` is the environment's own, None where it leaves that to a verifier. `counts` are of tool calls: `calls` in
    all, and those among them that were `malformed`, `refused`, `raised`, `hung` or `flooded`.
    """

    prompt_ids: tuple[int, ...]
    turns: tuple[EpisodeTurn, ...]
    verdict: Verdict | None
    counts: Mapping[str, int]

    @property
    def last_text(self) -> str:
        """What the model wrote last."""
        return next(turn.text for turn in reversed(self.turns) if turn.role == "assistant")


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote after one prompt.

    `logprobs[t]` is the sampler's log-probability of `token_ids[t]` under the distribution it sampled from.
    `finish_reason` is "stop" where the model ended its turn, "length" where the length limit truncated it. With an
    `episode` the tokens are those of all its turns, and a tool's have NaN for a log-probability: nobody sampled them.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    episode: Episode | None = None

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"

    @property
    def sampled(self) -> tuple[bool, ...]:
        """For each token whether the model wrote it."""
        if self.episode is None:
            return (True,) * len(self.token_ids)
        return tuple(turn.role == "assistant" for turn in self.episode.turns for _ in turn.token_ids)

    @property
    def length(self) -> int:
        """Tokens that the model wrote."""
        return len(self.token_ids) if self.episode is None else sum(self.sampled)


def judge(verifier: Verifier, problem: Problem, completion: Completion) -> Verdict:
    """The verdict on a completion: its environment's, or the verifier's on what was written last."""
    episode = completion.episode
    if episode is not None and episode.verdict is not None:
        return episode.verdict
    text = completion.text if episode is None else episode.last_text
    return verifier(text, problem.gold, question=problem.prompt, truncated=completion.truncated)


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


class Player(Protocol):
    """An environment of several turns: what stands between a sampler and its completions."""

    @property
    def identity(self) -> str:
        """What decides an episode beside the problem and the model: the environment's code and its limits."""
        ...

    def play(
        self, sampler: Any, problems: Sequence[Problem], decoding: Decoding, *, first: int = 0
    ) -> list[list[Completion]]:
        """For each problem `decoding.n` episodes; the problems are numbered from `first`."""
        ...

    def lengths(
        self, tokenizer: Any, problems: Sequence[Problem], system: str | None, options: Mapping[str, Any] | None
    ) -> list[int]:
        """Tokens of the problems' prompts; raises `InputError` where this model cannot play."""
        ...


def complete(
    sampler: Any, problems: Sequence[Problem], decoding: Decoding, environment: Player | None = None, *, first: int = 0
) -> list[list[Completion]]:
    """For each problem `decoding.n` completions, or episodes where there is an environment.

    `first` is the number of the first problem where these are a part of a step's.
    """
    # A sampler that was written for one process need not know of parts.
    part = {"first": first} if first else {}
    if environment is not None:
        return environment.play(sampler, problems, decoding, **part)
    return sampler.generate([sampler.encode(problem.prompt) for problem in problems], decoding, **part)
