"""What a language model thinks of each token of a text: the raw material of every detector that asks the model.

Works with any causal model: `score_tokens(lambda ids: model(ids).logits, token_ids)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Logits = Callable[[Tensor], Tensor]
"""From token ids, B by T, to logits, B by T by V."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """One text; the first token is given, so that every array has one entry fewer than the text has tokens.

    `logprobs` is the log-probability (nats) of each token after those before it; `means` and `deviations` are mean and
    standard deviation of the log-probability of a token drawn from the model there; `top` says whether the token is the
    model's first choice.
    """

    logprobs: Array
    means: Array
    deviations: Array
    top: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.logprobs)


@torch.inference_mode()
def score_tokens(logits_of: Logits, texts: Sequence[Sequence[int]], *, batch: int = 16) -> list[TokenScores]:
    """The scores of each text (token ids, at least two), in order. Shorter texts of a batch are padded on the right."""
    if any(len(ids) < 2 for ids in texts):
        raise ValueError("a text of fewer than two tokens has nothing to score")
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    scores: dict[int, TokenScores] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        longest = max(len(texts[index]) for index in chosen)
        ids_B_T = torch.tensor([[*texts[index], *[0] * (longest - len(texts[index]))] for index in chosen])
        lengths = [len(texts[index]) - 1 for index in chosen]
        rows = _scores(logits_of(ids_B_T[:, :-1]).float(), ids_B_T[:, 1:], lengths)
        scores.update(zip(chosen, rows, strict=True))
    return [scores[index] for index in range(len(texts))]


def _scores(logits_B_T_V: Tensor, next_B_T: Tensor, lengths: Sequence[int]) -> list[TokenScores]:
    logprobs_B_T_V = logits_B_T_V.log_softmax(-1)
    probabilities = logprobs_B_T_V.exp()
    logprobs = logprobs_B_T_V.gather(-1, next_B_T[:, :, None]).squeeze(-1).double().numpy()
    means = (probabilities * logprobs_B_T_V).sum(-1)
    variances = (probabilities * logprobs_B_T_V.square()).sum(-1) - means.square()
    deviations, means = variances.clamp_min(0).sqrt().double().numpy(), means.double().numpy()
    top = (logprobs_B_T_V.argmax(-1) == next_B_T).numpy()
    return [
        TokenScores(logprobs[row, :length], means[row, :length], deviations[row, :length], top[row, :length])
        for row, length in enumerate(lengths)
    ]
