"""Evaluation: every completion kept, resumed without a difference, and summed up with intervals."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Problem, ProblemSet, Status, Verdict
from rlpath.envs.arithmetic import arithmetic
from rlpath.evals.measure.evaluation import Evaluation, Protocol, evaluate, ks, read_evaluation

GREEDY = Decoding(max_tokens=24, temperature=0.0)
SAMPLED = Decoding(max_tokens=24, temperature=1.0, n=8, seed=3)
PROBLEMS = arithmetic("train", "add-1", size=50)


class FakeSampler:
    """Right with chance `skill`; greedy is right where a hash-free draw of the prompt falls below `skill`."""

    backend = "fake"

    def __init__(self, skill: float, die_after: int | None = None) -> None:
        self.skill = skill
        self.calls = 0
        self.die_after = die_after

    def encode(self, prompt: str) -> list[int]:
        return list(prompt.encode())

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        if self.calls == self.die_after:
            raise KeyboardInterrupt
        self.calls += 1
        rng = random.Random(decoding.seed)
        return [[self._one(bytes(p).decode(), decoding, rng) for _ in range(decoding.n)] for p in prompts]

    def _one(self, prompt: str, decoding: Decoding, rng: random.Random) -> Completion:
        a, b = map(int, re.findall(r"\d+", prompt)[:2])
        draw = rng.random() if decoding.temperature else random.Random(prompt).random()
        if draw < self.skill:
            return completion(str(a + b))
        return completion("I", "length") if rng.random() < 0.1 else completion(f"It is {a + b + 1}")


def completion(text: str, finish_reason: str = "stop") -> Completion:
    ids = tuple(text.encode())
    return Completion(text, ids, (0.0,) * len(ids), finish_reason)  # type: ignore[arg-type]


def run(skill: float = 0.6, path: Path | None = None, **options) -> Evaluation:
    return evaluate(FakeSampler(skill), PROBLEMS, GREEDY, SAMPLED, path=path, chunk=16, **options)


def test_every_problem_has_one_greedy_and_n_sampled_completions() -> None:
    """50 problems give 50 greedy and 400 sampled records in the order of the problems."""
    evaluation = run()
    assert [s.problem_id for s in evaluation.of("greedy")] == [p.id for p in PROBLEMS.problems]
    assert len(evaluation.of("sample")) == 400
    assert [s.index for s in evaluation.of("sample")[:9]] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    assert evaluation.complete
    first = evaluation.samples[0]
    assert (first.prompt, first.gold) == (PROBLEMS.problems[0].prompt, PROBLEMS.problems[0].gold)
    assert first.tokens == len(first.completion)


def test_file_reads_back_equal(tmp_path: Path) -> None:
    """What was written is what is read, and another seed gives other samples."""
    evaluation = run(path=tmp_path / "e.jsonl")
    assert read_evaluation(tmp_path / "e.jsonl") == evaluation
    other = evaluate(FakeSampler(0.6), PROBLEMS, GREEDY, replace(SAMPLED, seed=4), chunk=16)
    assert other.of("sample") != evaluation.of("sample")
    assert other.of("greedy") == evaluation.of("greedy")


@pytest.mark.parametrize("die_after", [0, 1, 4, 6])
@pytest.mark.parametrize("torn", ["", '{"problem_id": "3+'])
def test_resumed_equals_uninterrupted(tmp_path: Path, die_after: int, torn: str) -> None:
    """Killed after some chunks, with or without a torn last line, the same call ends with the same completions."""
    path = tmp_path / "deep" / "e.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluate(FakeSampler(0.6, die_after), PROBLEMS, GREEDY, SAMPLED, path=path, chunk=16)
    with path.open("a") as file:
        file.write(torn)
    again = FakeSampler(0.6)
    resumed = evaluate(again, PROBLEMS, GREEDY, SAMPLED, path=path, chunk=16)
    assert resumed == run()
    assert again.calls == 8 - die_after
    assert read_evaluation(path) == resumed


def test_a_chunk_written_in_part_is_asked_again(tmp_path: Path) -> None:
    """Records of half a chunk do not count twice."""
    path = tmp_path / "e.jsonl"
    whole = run(path=path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:100]))
    assert run(path=path) == whole
    assert len(path.read_text().splitlines()) >= 451
    assert read_evaluation(path).complete


def test_a_finished_evaluation_asks_nothing(tmp_path: Path) -> None:
    """The same call on a complete file only reads, and reports progress all the same."""
    run(path=tmp_path / "e.jsonl")
    sampler, seen = FakeSampler(0.6), []
    evaluate(
        sampler, PROBLEMS, GREEDY, SAMPLED, path=tmp_path / "e.jsonl", chunk=16, progress=lambda *x: seen.append(x)
    )
    assert sampler.calls == 0
    assert seen[-1] == (8, 8)


def test_one_mode_first_equals_both_at_once(tmp_path: Path) -> None:
    """Greedy alone asks nothing else and is not complete; both go on from its file and end the same."""
    path, sampler = tmp_path / "evaluation.jsonl", FakeSampler(0.5)
    first = evaluate(sampler, PROBLEMS, GREEDY, SAMPLED, path=path, modes=("greedy",))
    assert {sample.mode for sample in first.samples} == {"greedy"}
    assert len(first.samples) == 50 and not first.complete and sampler.calls == 2
    both = evaluate(sampler, PROBLEMS, GREEDY, SAMPLED, path=path)
    assert sampler.calls == 4
    assert both == evaluate(FakeSampler(0.5), PROBLEMS, GREEDY, SAMPLED)
    again = evaluate(sampler, PROBLEMS, GREEDY, SAMPLED, path=path, modes=("greedy",))
    assert again == first and sampler.calls == 4


def test_another_protocol_in_the_file_is_refused(tmp_path: Path) -> None:
    """A file of other problems, decoding or seed is never mixed in."""
    path = tmp_path / "e.jsonl"
    run(path=path)
    for problems, sampled in [(PROBLEMS, replace(SAMPLED, n=4)), (arithmetic("train", size=49), SAMPLED)]:
        with pytest.raises(InputError, match="other problems or decoding"):
            evaluate(FakeSampler(0.6), problems, GREEDY, sampled, path=path)


def test_problems_read_elsewhere_go_on_from_the_file(tmp_path: Path) -> None:
    """The same problems from a file that was moved are the same evaluation: nothing is asked again."""
    path = tmp_path / "e.jsonl"
    run(path=path)
    sampler = FakeSampler(0.6)
    found = evaluate(sampler, replace(PROBLEMS, source="/elsewhere"), GREEDY, SAMPLED, path=path)
    assert sampler.calls == 0 and found.protocol.source == "/elsewhere"


@pytest.mark.parametrize("text", ["", "{}\n", '{"protocol": {}}\n', "nonsense\n"])
def test_a_file_that_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    """One sentence naming the file."""
    path = tmp_path / "e.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"e\.jsonl"):
        read_evaluation(path)


class Scripted:
    """A sampler and verifier by script: the completion's text is the status it gets."""

    backend = "scripted"

    def __init__(self, greedy: list[str], sampled: list[list[str]]) -> None:
        self.greedy, self.sampled = greedy, sampled

    def encode(self, prompt: str) -> list[int]:
        return [int(prompt)]

    def generate(self, prompts, decoding):
        if decoding.temperature == 0:
            return [[completion(self.greedy[p[0]])] for p in prompts]
        return [[completion(t, "length" if t == "truncated" else "stop") for t in self.sampled[p[0]]] for p in prompts]


def by_text(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    return Verdict.of(Status(completion))


def test_summary_by_hand() -> None:
    """Three problems of four samples, 4, 1 and 0 correct: pass@1 5/12, pass@2 1/2, pass@4 2/3; shares of 12."""
    sampled = [
        ["correct"] * 4,
        ["correct", "wrong", "truncated", "no_answer"],
        ["undecided", "wrong", "truncated", "truncated"],
    ]
    problems = ProblemSet("three", "validation", tuple(Problem(str(i), str(i), "x") for i in range(3)), by_text, "here")
    sampler = Scripted(["correct", "wrong", "undecided"], sampled)
    summary = evaluate(sampler, problems, GREEDY, replace(SAMPLED, n=4)).summary()
    assert summary.greedy.estimate == pytest.approx(1 / 3)
    assert {k: v.estimate for k, v in summary.pass_at.items()} == pytest.approx({1: 5 / 12, 2: 1 / 2, 4: 2 / 3})
    assert summary.sampled_status == pytest.approx(
        {"correct": 5 / 12, "wrong": 2 / 12, "no_answer": 1 / 12, "truncated": 3 / 12, "undecided": 1 / 12, "error": 0}
    )
    assert summary.greedy_status["undecided"] == pytest.approx(1 / 3)
    assert summary.truncated == pytest.approx(0.25)
    words = [text for row in sampled for text in row]
    assert summary.mean_tokens == pytest.approx(sum(map(len, words)) / 12)
    assert summary.pass_at[1].low <= 5 / 12 <= summary.pass_at[1].high


def test_skill_is_recovered() -> None:
    """A sampler that is right 60 % of the time measures within its interval."""
    summary = run().summary()
    assert summary.pass_at[1].low < 0.6 < summary.pass_at[1].high
    assert summary.pass_at[8].estimate > 0.99


def test_ks_are_powers_of_two_and_n() -> None:
    """pass@k is told for 1, 2, 4 … and n."""
    assert [ks(n) for n in (1, 5, 8)] == [[1], [1, 2, 4, 5], [1, 2, 4, 8]]


def test_decodings_must_be_greedy_and_sampled() -> None:
    """A "greedy" decoding with temperature, or sampling at temperature 0, is a mistake of the caller."""
    for greedy, sampled in [(SAMPLED, SAMPLED), (GREEDY, GREEDY)]:
        with pytest.raises(ValueError, match="temperature"):
            Protocol.of(PROBLEMS, greedy, sampled)


def test_problems_need_distinct_ids() -> None:
    """Records are found by problem id, so two problems of one id are refused."""
    twice = replace(PROBLEMS, problems=PROBLEMS.problems[:1] * 2)
    with pytest.raises(ValueError, match="one id"):
        Protocol.of(twice, GREEDY, SAMPLED)


def test_the_file_is_plain_json_lines(tmp_path: Path) -> None:
    """The first line is the protocol, every other line one completion with the documented fields."""
    run(path=tmp_path / "e.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert lines[0]["protocol"]["name"] == "arithmetic:add-1"
    assert {
        "problem_id",
        "prompt",
        "gold",
        "mode",
        "index",
        "completion",
        "status",
        "score",
        "answer",
        "tokens",
    } <= set(lines[1])
