"""Preferences of annotators who like long answers, and the reward models that learn it from them.

The annotators are simulated, their preferences and the reward models are not hard-coded: a label is drawn from a
Bradley–Terry model in which being right and being longer both count, and a model is fitted to the labels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import torch

from rlpath.core.seeding import derive
from rlpath.core.types import Decoding, ProblemSet, Verifier
from rlpath.exhibits.linear_reward import Features, LinearReward, Pairs, fit_linear_reward, pair_accuracy
from rlpath.models.rollouts import PolicySampler


@dataclass(frozen=True)
class Annotators:
    """What moves a label: log-odds for being right, and for each standard deviation of more length."""

    of_right: float = 1.0
    of_length: float = 2.0


@dataclass(frozen=True)
class Fit:
    """How good a reward model is on pairs it was not fitted to.

    `agreement` is with the annotators; `accuracy` is over pairs of which one alone is right; `with_length` is the
    correlation of its score with the number of tokens.
    """

    pairs: int
    agreement: float
    accuracy: float
    with_length: float

    def row(self) -> dict[str, float]:
        """For a file."""
        return asdict(self)


def biased_pairs(
    sampler: PolicySampler,
    problems: ProblemSet,
    truth: Verifier,
    features: Features,
    *,
    decoding: Decoding,
    annotators: Annotators,
    seed: int,
) -> tuple[Pairs, torch.Tensor]:
    """Labeled pairs of the sampler's completions of each problem, and whether each completion is right [N]."""
    groups = sampler.generate([sampler.encode(problem.prompt) for problem in problems.problems], decoding)
    rows = [
        (problem, completion) for problem, group in zip(problems.problems, groups, strict=True) for completion in group
    ]
    lengths_N = torch.tensor([float(len(completion.token_ids)) for _, completion in rows])
    right_N = torch.tensor(
        [truth(c.text, p.gold, question=p.prompt, truncated=c.truncated).correct for p, c in rows]
    ).float()
    hidden_N_H = features([_conversation(problem.prompt, completion.text) for problem, completion in rows])
    starts = range(0, len(rows), decoding.n)
    first_P, second_P = torch.tensor(
        [pair for start in starts for pair in combinations(range(start, start + decoding.n), 2)]
    ).T
    liking_N = annotators.of_right * right_N + annotators.of_length * lengths_N / lengths_N.std().clamp(min=1e-6)
    generator = torch.Generator().manual_seed(seed)
    draws_P = torch.rand(len(first_P), generator=generator)
    prefers_first_P = draws_P < (liking_N[first_P] - liking_N[second_P]).sigmoid()
    chosen_P = torch.where(prefers_first_P, first_P, second_P)
    rejected_P = torch.where(prefers_first_P, second_P, first_P)
    return Pairs(hidden_N_H, lengths_N, chosen_P, rejected_P), right_N


def reward_model(
    sampler: PolicySampler,
    problems: ProblemSet,
    truth: Verifier,
    features: Features,
    *,
    decoding: Decoding,
    seed: int,
    annotators: Annotators | None = None,
    **how: Any,
) -> tuple[LinearReward, Fit]:
    """A reward model fitted to three quarters of the problems' pairs, and its figures on the last quarter.

    `how` goes to `fit_linear_reward`. The same seed gives the same pairs, whatever is fitted to them.
    """
    decoding = Decoding(decoding.max_tokens, decoding.temperature, n=decoding.n, seed=derive(seed, "pairs"))
    pairs, right_N = biased_pairs(
        sampler,
        problems,
        truth,
        features,
        decoding=decoding,
        annotators=annotators or Annotators(),
        seed=derive(seed, "annotators"),
    )
    held_out_from = len(problems) * 3 // 4 * decoding.n
    fitted = (pairs.chosen_P < held_out_from).nonzero()[:, 0]
    unseen = (pairs.chosen_P >= held_out_from).nonzero()[:, 0]
    model = fit_linear_reward(features, pairs.take(fitted), seed=derive(seed, "heads"), **how)
    return model, _measure(model, pairs.take(unseen), right_N, held_out_from)


def _measure(model: LinearReward, pairs: Pairs, right_N: torch.Tensor, held_out_from: int) -> Fit:
    score_N = model.of_features(pairs.hidden_N_H)
    better = right_N[pairs.chosen_P] - right_N[pairs.rejected_P]
    one_right = better != 0
    # The right one of a pair, whatever the annotators said of it.
    winner = torch.where(better > 0, pairs.chosen_P, pairs.rejected_P)[one_right]
    loser = torch.where(better > 0, pairs.rejected_P, pairs.chosen_P)[one_right]
    told_apart = (score_N[winner] > score_N[loser]).float().mean().item()
    unseen = torch.stack([score_N[held_out_from:], pairs.lengths_N[held_out_from:]])
    return Fit(len(pairs.chosen_P), pair_accuracy(score_N, pairs), told_apart, torch.corrcoef(unseen)[0, 1].item())


def _conversation(prompt: str, completion: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
