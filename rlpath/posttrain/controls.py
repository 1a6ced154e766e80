"""Rewards that carry no truth, to compare a gain with: what a random, formal, wrong or majority reward gains too.

After Shao et al. 2025, "Spurious Rewards" (arXiv 2506.10947), and, for the majority, Zuo et al. 2025 (arXiv
2504.16084). The verifier still checks every completion, and so does the evaluation; only the reward is
another.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Player, Problem, Status, Verdict, Verifier
from rlpath.posttrain.settings import GRPOSettings, PolicySettings
from rlpath.posttrain.verify import Verified

Kind = Literal["random", "format", "wrong", "majority"]
READABLE = (Status.CORRECT, Status.WRONG)
"""Verdicts on a completion in which an answer was found."""
GOLDS = "wrong_golds.json"
"""In a run folder: the gold answer that each problem was rewarded for, by its id."""
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")


@dataclass(frozen=True)
class ControlReward:
    """The reward of each completion under a control, whole groups of `group_size` side by side.

    - `random`: 1 with `probability`, else 0: a function of seed, problem and the completion's number in its group;
    - `format`: 1 where an answer can be read, whatever it is;
    - `wrong`: 1 where the verifier accepts the completion for another problem's gold answer (`golds`, by problem id);
    - `majority`: 1 where it gives the answer that most of its group give; of k tied answers each is paid 1 / k.
    """

    kind: Kind
    verifier: Verifier
    group_size: int
    seed: int
    probability: float = 0.5
    golds: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, verified: Verified) -> list[float | None]:
        """The rewards; they replace those of `verified`."""
        if self.kind == "format":
            return [float(verdict.status in READABLE) for verdict in verified.verdicts]
        pay: Callable[[Verified], list[float]] = {
            "random": self._coins,
            "wrong": self._accepted_for_wrong_golds,
            "majority": self._agreeing,
        }[self.kind]
        return [reward for group in verified.groups(self.group_size) for reward in pay(verified.rows(group))]

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        told: dict[str, Any] = {"kind": self.kind}
        if self.kind == "random":
            told["probability"] = self.probability
        if self.kind == "wrong":
            text = json.dumps(dict(sorted(self.golds.items())), ensure_ascii=False)
            told |= {"golds": GOLDS, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        return told

    def _coins(self, group: Verified) -> list[float]:
        drawn = [derive(self.seed, "random reward", problem.id, at) for at, problem in enumerate(group.problems)]
        return [float(number / 2**63 < self.probability) for number in drawn]

    def _accepted_for_wrong_golds(self, group: Verified) -> list[float]:
        rows = zip(group.problems, group.completions, strict=True)
        return [float(accepts(self.verifier, one, self.golds[problem.id], problem)) for problem, one in rows]

    def _agreeing(self, group: Verified) -> list[float]:
        rows = list(zip(group.problems, group.completions, group.verdicts, strict=True))
        answers: list[str] = []
        votes: list[str | None] = []
        for problem, completion, verdict in rows:
            same = (answer for answer in answers if accepts(self.verifier, completion, answer, problem))
            vote = next(same, None) or answer_of(self.verifier, problem, completion, verdict)
            votes.append(vote)
            if vote is not None and vote not in answers:
                answers.append(vote)
        counts = [votes.count(answer) for answer in answers]
        winners = [answer for answer, count in zip(answers, counts, strict=True) if count == max(counts)]
        return [1 / len(winners) if vote in winners else 0.0 for vote in votes]


def control_reward(
    settings: PolicySettings, problems: Sequence[Problem], verifier: Verifier, environment: Player | None = None
) -> ControlReward | None:
    """The control that the settings ask for; None for the true reward.

    Raises `InputError` where this verifier, or an environment of several turns, cannot serve it.
    """
    if not isinstance(settings, GRPOSettings) or settings.reward == "true":
        return None
    kind = settings.reward
    if environment is not None and kind != "random":
        raise InputError(f"--reward {kind} reads an answer, and an episode has none: choose true or random")
    if kind in ("wrong", "majority") and not reads_answers(verifier):
        raise InputError(
            f"--reward {kind} verifies one answer against another, and {type(verifier).__name__} verifies against "
            "tests or rules of the problem's own: choose true, random or format"
        )
    golds = wrong_golds(problems, verifier, settings.seed) if kind == "wrong" else {}
    return ControlReward(kind, verifier, settings.group_size, settings.seed, settings.random_probability, golds)


def reads_answers(verifier: Verifier) -> bool:
    """Whether a gold answer is of the kind that a completion gives, so that another can stand in its place."""
    return getattr(verifier, "needs_gold", True) and not getattr(verifier, "structured_gold", False)


def accepts(verifier: Verifier, completion: Completion, gold: str, problem: Problem) -> bool:
    """Whether the verifier would take the completion if `gold` were the gold answer."""
    return verifier(completion.text, gold, question=problem.prompt, truncated=completion.truncated).correct


def answer_of(verifier: Verifier, problem: Problem, completion: Completion, verdict: Verdict) -> str | None:
    """The answer that a completion gives, as a gold for which the verifier accepts it; None where there is none.

    What a verdict calls the answer may be a sentence: then it is one of the numbers in it, looked for from the last.
    """
    if verdict.answer is None:
        return None
    numbers = _NUMBER.findall(verdict.answer)
    tried = dict.fromkeys([verdict.answer, *reversed(numbers)])
    return next((answer for answer in tried if accepts(verifier, completion, answer, problem)), None)


def wrong_golds(problems: Sequence[Problem], verifier: Verifier, seed: int) -> dict[str, str]:
    """For each problem, by its id, the gold answer of another: a derangement drawn by `seed`.

    No problem gets one that the verifier calls equal to its own. Raises `InputError` where that cannot be, or two
    problems have one id.
    """
    if len({problem.id for problem in problems}) < len(problems):
        raise InputError("--reward wrong gives each problem another gold by its id, and two problems have one id")
    generator = random.Random(derive(seed, "wrong golds"))
    taken = generator.sample(range(len(problems)), len(problems))

    def equal(at: int, other: int) -> bool:
        one, gold = problems[at], problems[other].gold
        stated = (one.gold, f"#### {one.gold}", f"\\boxed{{{one.gold}}}")
        return one.gold == gold or any(verifier(text, gold, question=one.prompt).correct for text in stated)

    for at in range(len(problems)):
        if not equal(at, taken[at]):
            continue
        for other in generator.sample(range(len(problems)), len(problems)):
            if not equal(at, taken[other]) and not equal(other, taken[at]):
                taken[at], taken[other] = taken[other], taken[at]
                break
        else:
            raise InputError(
                f"--reward wrong exchanges gold answers, and too many problems have {problems[at].gold!r}: take "
                "problems with more different answers"
            )
    return {problem.id: problems[other].gold for problem, other in zip(problems, taken, strict=True)}
