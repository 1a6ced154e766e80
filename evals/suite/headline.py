"""The figures of one model on one task, none hidden: what was truncated, what held no answer, other readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlpath.core.seeding import derive
from rlpath.core.stats import Interval, mean_over_problems, mean_pass_at_k
from rlpath.core.types import Status, Verifier
from rlpath.evals.measure.clusters import accuracy, clusters_of, grouped
from rlpath.evals.measure.evaluation import Sample
from rlpath.evals.measure.evaluation import ks as evaluation_ks
from rlpath.evals.suite.baselines import TrivialScore, guess_pass_at, trivial_scores
from rlpath.evals.suite.harness import TaskRun


@dataclass(frozen=True)
class Headline:
    """One model on one task. Accuracies are greedy, with Wilson intervals (cluster-robust ones where
    problems are in clusters); the rest is of the sampled completions, or of the greedy ones where nothing was sampled.

    strict, flexible, ours: three readings of the same completions
    truncated: share that the length limit truncated; no_answer, undecided: shares of verdicts
    pass_at: unbiased, by k; guess_at: what guessing would have; majority: of all samples' answers, by k
    trivial: baselines without a model, best first
    """

    model: str
    task: str
    template: str
    problems: int
    samples: int
    strict: Interval
    flexible: Interval
    ours: Interval
    truncated: float
    no_answer: float
    undecided: float
    pass_at: dict[int, Interval]
    guess_at: dict[int, float]
    majority_at: dict[int, Interval]
    mean_tokens: float
    tokens: int
    trivial: tuple[TrivialScore, ...]

    @property
    def below_trivial(self) -> TrivialScore | None:
        """The best trivial baseline where the model's greedy accuracy does not exceed it."""
        best = self.trivial[0] if self.trivial else None
        return best if best and self.ours.estimate <= best.accuracy else None


def headline(asked: TaskRun, ks: Sequence[int] | None = None) -> Headline:
    """The figures of one evaluation; pass@k and maj@k for `ks`, by default 1, 2, 4 … samples."""
    evaluation, task, problems = asked.evaluation, asked.task, asked.problems
    summary, names = evaluation.summary(clusters_of(problems)), _clusters(asked)
    counts, n = list(evaluation.correct("sample").values()), evaluation.protocol.samples
    pass_at = {k: mean_pass_at_k(n, counts, k, clusters=names) for k in (evaluation_ks(n) if ks is None else ks)}
    greedy, sampled = evaluation.of("greedy"), evaluation.of("sample")
    ours = accuracy(list(evaluation.correct("greedy").values()), names)
    return Headline(
        model=asked.subject.label,
        task=task.name,
        template=asked.template.name,
        problems=len(problems),
        samples=summary.samples,
        # An episode is decided by its environment, once: there is no text to read in another way.
        strict=ours if problems.environment else reread(greedy, task.strict, names),
        flexible=ours if problems.environment else reread(greedy, task.flexible, names),
        ours=ours,
        truncated=summary.truncated,
        no_answer=summary.sampled_status[Status.NO_ANSWER],
        undecided=summary.sampled_status[Status.UNDECIDED],
        pass_at=pass_at,
        guess_at={k: guess_pass_at(task, k) for k in pass_at},
        majority_at={k: majority_at(asked, k) for k in pass_at},
        mean_tokens=summary.mean_tokens,
        tokens=sum(sample.tokens for sample in (*greedy, *sampled)),
        trivial=tuple(trivial_scores(task, problems)),
    )


def _clusters(asked: TaskRun) -> list[str] | None:
    """Clusters in the order of the problems, None where each is its own."""
    return grouped(list(clusters_of(asked.problems).values()))


def reread(samples: Sequence[Sample], verifier: Verifier, clusters: Sequence[str] | None = None) -> Interval:
    """Accuracy of the same completions under another verifier."""
    verdicts = [
        verifier(sample.completion, sample.gold, question=sample.prompt, truncated=sample.finish_reason == "length")
        for sample in samples
    ]
    return accuracy([verdict.correct for verdict in verdicts], clusters)


def majority_at(asked: TaskRun, k: int, draws: int = 100) -> Interval:
    """Expected accuracy of the most frequent answer among k samples, over problems.

    The k are drawn without replacement from the n, `draws` times unless k = n; ties share the point among the tied.
    Completions without an answer do not vote. Answers that the verifier calls equal are one: 1/2, 0.5 and \\frac12.
    Self-consistency, arXiv:2203.11171.
    """
    by_problem: dict[str, list[Sample]] = {}
    for sample in asked.evaluation.of("sample"):
        by_problem.setdefault(sample.problem_id, []).append(sample)
    ballots = [_ballots(samples, asked) for samples in by_problem.values()]
    protocol = asked.evaluation.protocol
    n = protocol.samples
    rng = np.random.default_rng(derive(protocol.greedy.seed, "majority", k))
    subsets = [range(n)] if k == n else [rng.permutation(n)[:k] for _ in range(draws)]
    values = [float(np.mean([_vote([votes[i] for i in subset]) for subset in subsets])) for votes in ballots]
    return mean_over_problems(values, clusters=_clusters(asked))


RIGHT = "the right answer"


def _ballots(samples: Sequence[Sample], asked: TaskRun) -> list[str | None]:
    """What each sample votes for: one name for all right answers, the first of those called equal for the others."""
    kinds: list[str] = []

    def kind(answer: str) -> str:
        found = next((each for each in kinds if each == answer or _equal(answer, each, asked)), answer)
        if found is answer:
            kinds.append(answer)
        return found

    return [
        RIGHT if each.status is Status.CORRECT else None if each.answer is None else kind(each.answer)
        for each in samples
    ]


def _equal(answer: str, other: str, asked: TaskRun) -> bool:
    """Whether the verifier accepts one answer for the other, in any of the forms that it may look for."""
    if not asked.task.guessable:
        return False  # programs and the like: their golds are tests, not answers
    forms = (f"#### {answer}", f"\\boxed{{{answer}}}", answer)
    return any(asked.problems.verifier(form, other).correct for form in forms)


def _vote(votes: Sequence[str | None]) -> float:
    counts = Counter(vote for vote in votes if vote is not None)
    if not counts:
        return 0.0
    most = max(counts.values())
    winners = [answer for answer, count in counts.items() if count == most]
    return sum(answer == RIGHT for answer in winners) / len(winners)
