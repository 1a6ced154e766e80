"""Evaluate one model on one problem set: a greedy completion and n sampled ones of every problem, kept one by one.

The file is JSON lines: first the protocol (problems, decoding, verifier), then a line per completion. It is written
chunk by chunk, so an evaluation that was cut short goes on where it stopped and ends with the same completions as one
that was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, read_json_lines, write_atomic
from rlpath.core.seeding import derive
from rlpath.core.stats import Interval, mean_pass_at_k
from rlpath.core.types import Decoding, FinishReason, Problem, ProblemSet, Sampler, Status, complete, judge
from rlpath.evals.measure.clusters import accuracy, cluster_by_question, grouped

Mode = Literal["greedy", "sample"]
MODES: tuple[Mode, ...] = ("greedy", "sample")


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of one problem with its verdict. `index` counts the completions of a problem in one mode.

    `tools` are the counts of tool calls of an episode, as in `Episode`.
    """

    problem_id: str
    prompt: str
    gold: str
    mode: Mode
    index: int
    completion: str
    status: Status
    score: float | None
    answer: str | None
    reason: str
    tokens: int
    finish_reason: FinishReason
    tools: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """What was asked and how: two evaluations are comparable only where all of it is equal.

    `sampled` is None where every problem was completed greedily alone.
    """

    name: str
    split: str
    source: str
    sha256: str
    problems: int
    verifier: str
    greedy: Decoding
    sampled: Decoding | None

    @classmethod
    def of(cls, problems: ProblemSet, greedy: Decoding, sampled: Decoding | None) -> Protocol:
        """The protocol of evaluating `problems`; raises ValueError for decodings that are not greedy and sampled."""
        if greedy.temperature != 0 or greedy.n != 1 or (sampled is not None and sampled.temperature <= 0):
            raise ValueError("an evaluation needs one greedy completion (temperature 0) and n sampled ones (above 0)")
        if len({problem.id for problem in problems.problems}) != len(problems):
            raise ValueError(f"{problems.name} holds two problems of one id")
        verifier = type(problems.verifier).__name__
        where = (problems.name, problems.split, problems.source, problems.sha256, len(problems))
        return cls(*where, verifier, greedy, sampled)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Protocol:
        sampled = None if row["sampled"] is None else Decoding(**row["sampled"])
        return cls(**{**row, "greedy": Decoding(**row["greedy"]), "sampled": sampled})

    @property
    def samples(self) -> int:
        """Sampled completions of a problem."""
        return 0 if self.sampled is None else self.sampled.n

    @property
    def decoding(self) -> str:
        """How completions were made, in words."""
        if self.sampled is None:
            return f"greedy, at most {self.greedy.max_tokens} tokens"
        sampled = self.sampled
        nucleus = f" and top-p {sampled.top_p:g}" if sampled.top_p < 1 else ""
        how = f"at temperature {sampled.temperature:g}{nucleus}"
        return f"{sampled.n} samples each {how}, at most {sampled.max_tokens} tokens"

    def comparable(self, other: Protocol) -> bool:
        """Whether the two differ in nothing but where the problems were read and the seed of the draws."""
        return self._without_seed() == other._without_seed()

    def _without_seed(self) -> Protocol:
        sampled = None if self.sampled is None else replace(self.sampled, seed=0)
        return replace(self, source="", greedy=replace(self.greedy, seed=0), sampled=sampled)


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one evaluation. Shares are of all completions of a mode, so an undecided one is not correct.

    `pass_at` maps k to pass@k of the sampled completions; `truncated` is the share of completions that hit
    the length limit.
    `truncated`, `mean_tokens` and `sampled_status` are of the sampled completions, else of the greedy ones.
    """

    problems: int
    samples: int
    greedy: Interval
    pass_at: dict[int, Interval]
    greedy_status: dict[str, float]
    sampled_status: dict[str, float]
    truncated: float
    mean_tokens: float


@dataclass(frozen=True)
class Evaluation:
    """Every completion of one evaluation, in the order of the problems: greedy first, then sampled."""

    protocol: Protocol
    samples: tuple[Sample, ...]

    def of(self, mode: Mode) -> list[Sample]:
        """The completions of one mode."""
        return [sample for sample in self.samples if sample.mode == mode]

    def correct(self, mode: Mode) -> dict[str, int]:
        """How many completions of each problem are correct, by problem id."""
        counts: dict[str, int] = {}
        for sample in self.of(mode):
            counts[sample.problem_id] = counts.get(sample.problem_id, 0) + (sample.status is Status.CORRECT)
        return counts

    @property
    def complete(self) -> bool:
        """Whether every problem has all its completions."""
        each = 1 + self.protocol.samples
        return len(self.samples) == each * self.protocol.problems

    def summary(self, clusters: Mapping[str, str] | None = None) -> Summary:
        """Greedy accuracy, pass@k for k = 1, 2, 4 … n, status shares and lengths.

        Intervals count `clusters`, by problem id (`clusters_of`); without them copies of one question count once.
        """
        greedy = self.of("greedy")
        clusters = clusters or cluster_by_question({sample.problem_id: sample.prompt for sample in greedy})
        names = grouped([clusters[sample.problem_id] for sample in greedy])
        sampled = self.of("sample") or greedy
        n, counts = self.protocol.samples, list(self.correct("sample").values())
        return Summary(
            problems=self.protocol.problems,
            samples=n,
            greedy=accuracy(list(self.correct("greedy").values()), names),
            pass_at={k: mean_pass_at_k(n, counts, k, clusters=names) for k in ks(n)},
            greedy_status=status_shares(greedy),
            sampled_status=status_shares(sampled),
            truncated=sum(sample.finish_reason == "length" for sample in sampled) / len(sampled),
            mean_tokens=sum(sample.tokens for sample in sampled) / len(sampled),
        )


def ks(n: int) -> list[int]:
    """1, 2, 4 … up to n, and n itself; none where n is 0."""
    return sorted({2**i for i in range(n.bit_length()) if 2**i <= n} | {n}) if n else []


def status_shares(samples: Sequence[Sample]) -> dict[str, float]:
    """The share of each status, every status named."""
    return {str(status): sum(sample.status is status for sample in samples) / len(samples) for status in Status}


def evaluate(
    sampler: Sampler,
    problems: ProblemSet,
    greedy: Decoding,
    sampled: Decoding | None,
    *,
    path: Path | None = None,
    chunk: int = 32,
    modes: Sequence[Mode] = MODES,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Complete every problem once greedily and `sampled.n` times (never, for None), and judge each completion.

    With `path` every chunk is appended there as soon as it is judged, and chunks that the file already holds are not
    asked again. `progress` is called with the chunks done and their number. `modes` leaves one of the two out: such an
    evaluation is not complete, and a later one with both goes on from its file.
    Raises InputError where `path` holds another evaluation or cannot be written.
    """
    protocol = Protocol.of(problems, greedy, sampled)
    done = _begin(path, protocol) if path else {}
    decodings: dict[Mode, Decoding | None] = {"greedy": greedy, "sample": sampled}
    wanted: list[tuple[Mode, Decoding]] = [(mode, one) for mode in modes if (one := decodings[mode]) is not None]
    starts = range(0, len(problems), chunk)
    jobs: list[tuple[Mode, Decoding, int]] = [(*each, start) for each in wanted for start in starts]
    for number, (mode, decoding, start) in enumerate(jobs, start=1):
        asked = problems.problems[start : start + chunk]
        if not all((mode, p.id, i) in done for p in asked for i in range(decoding.n)):
            seeded = replace(decoding, seed=derive(decoding.seed, "evaluate", mode, start))
            rows = list(complete_and_verify(sampler, problems, asked, seeded, mode))
            done.update({(row.mode, row.problem_id, row.index): row for row in rows})
            if path:
                _append(path, rows)
        if progress:
            progress(number, len(jobs))
    return _in_order(protocol, problems, done, modes)


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation from its file, complete or not. Raises InputError where the file is none."""
    lines = read_json_lines(path)
    if not lines:
        raise InputError(f"{path} holds no evaluation: run the evaluation first")
    try:
        protocol = Protocol.from_json(lines[0]["protocol"])
        samples = {_key(row): row for row in (_sample(line) for line in lines[1:])}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not an evaluation of this version: remove it and run the evaluation") from error
    return Evaluation(protocol, tuple(samples.values()))


def _key(row: Sample) -> tuple[Mode, str, int]:
    return row.mode, row.problem_id, row.index


def _begin(path: Path, protocol: Protocol) -> dict[tuple[Mode, str, int], Sample]:
    """What `path` already holds of this evaluation; a half-written last line is cut off, a new file begun."""
    header = {"protocol": asdict(protocol)}
    if not read_json_lines(path):
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(header) + "\n")
        return {}
    found = read_evaluation(path)
    if found.protocol != protocol:
        raise InputError(f"{path} holds an evaluation of other problems or decoding: remove it or choose another path")
    rows = [header, *(asdict(sample) for sample in found.samples)]
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return {_key(sample): sample for sample in found.samples}


def _append(path: Path, rows: Sequence[Sample]) -> None:
    text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
    with disk_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def complete_and_verify(
    sampler: Sampler, problems: ProblemSet, asked: Sequence[Problem], decoding: Decoding, mode: Mode
) -> Iterator[Sample]:
    """Complete the problems `asked`, all in one call of the sampler, and verify each completion."""
    for problem, completions in zip(asked, complete(sampler, asked, decoding, problems.environment), strict=True):
        for index, completion in enumerate(completions):
            verdict = judge(problems.verifier, problem, completion)
            yield Sample(
                problem_id=problem.id,
                prompt=problem.prompt,
                gold=problem.gold,
                mode=mode,
                index=index,
                completion=completion.text,
                status=verdict.status,
                score=verdict.score,
                answer=verdict.answer,
                reason=verdict.reason,
                tokens=completion.length,
                finish_reason=completion.finish_reason,
                tools=None if completion.episode is None else dict(completion.episode.counts),
            )


def _sample(line: dict[str, Any]) -> Sample:
    return Sample(**{**line, "status": Status(line["status"])})


def _in_order(
    protocol: Protocol, problems: ProblemSet, done: dict[tuple[Mode, str, int], Sample], modes: Sequence[Mode]
) -> Evaluation:
    count = {"greedy": 1, "sample": protocol.samples}
    ordered = (done[mode, p.id, i] for mode in modes for p in problems.problems for i in range(count[mode]))
    return Evaluation(protocol, tuple(ordered))
