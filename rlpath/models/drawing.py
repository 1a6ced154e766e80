"""The next token of each row: greedy, or drawn from the model's distribution with one uniform variate a token.

`generate` of transformers draws one exponential variate per vocabulary entry; inversion of the cumulative distribution
needs one uniform variate a token, so that a row's draws are its own whatever else is in the batch.
"""

from __future__ import annotations

import torch

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding


def choose(logits_B_V: torch.Tensor, uniform_B: torch.Tensor, decoding: Decoding) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row and its log-probability under the distribution it was drawn from.

    Greedy decoding reports the log-probability at temperature 1. Raises `InputError` where a logit is not finite.
    """
    logits = logits_B_V.float()
    if decoding.temperature == 0:
        token_B = logits.argmax(-1)
        best_B = logits.gather(-1, token_B[:, None])[:, 0]
        _check_finite(best_B)
        return token_B, best_B - logits.logsumexp(-1)
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    logits = filter_logits(logits, decoding.top_k, decoding.top_p)
    top_B = logits.amax(-1, keepdim=True)
    _check_finite(top_B)
    weights = (logits - top_B).exp_()
    token_B, total_B = _invert(weights, uniform_B)
    return token_B, (logits.gather(-1, token_B[:, None]) - top_B)[:, 0] - total_B.log()


def _check_finite(largest_logits: torch.Tensor) -> None:
    # The largest of a row is NaN where any of it is.
    if not largest_logits.isfinite().all():
        raise InputError(
            "the model gives logits that are not finite, so its weights have diverged or are broken: start again with "
            "a lower --learning-rate, or from another model"
        )


def _invert(weights_B_V: torch.Tensor, uniform_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw from unnormalized weights by inversion, and the weights' sum; one pass over the vocabulary.

    The cumulative sum runs over blocks first and then inside the one block that holds the draw: it is the sum over
    the whole vocabulary, element by element, that is slow on a CPU.
    """
    block = 128
    padding = -weights_B_V.shape[1] % block
    blocks = torch.nn.functional.pad(weights_B_V, (0, padding)) if padding else weights_B_V
    blocks = blocks.unflatten(1, (-1, block))
    upto_B_K = blocks.sum(-1).cumsum(-1)
    target_B = uniform_B[:, None] * upto_B_K[:, -1:]
    chosen = torch.searchsorted(upto_B_K, target_B, right=True).clamp(max=upto_B_K.shape[1] - 1)
    before = torch.nn.functional.pad(upto_B_K, (1, 0)).gather(1, chosen)
    inside = blocks[torch.arange(len(blocks), device=blocks.device), chosen[:, 0]]
    upto = inside.cumsum(-1)
    # Rounding may put the target on the block's far edge: stay on the last entry that has any weight.
    last = block - 1 - (inside > 0).flip(-1).long().argmax(-1, keepdim=True)
    within = torch.minimum(torch.searchsorted(upto, target_B - before, right=True), last)
    return (chosen * block + within)[:, 0], upto_B_K[:, -1]


def filter_logits(logits_B_V: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Logits, minus infinity outside the `top_k` most probable and the nucleus of mass `top_p`."""
    if top_k:
        least = logits_B_V.topk(min(top_k, logits_B_V.shape[-1]), -1).values[:, -1:]
        logits_B_V = logits_B_V.masked_fill(logits_B_V < least, -torch.inf)
    if top_p < 1:
        ordered, order = logits_B_V.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        outside = torch.zeros_like(logits_B_V, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits_B_V = logits_B_V.masked_fill(outside, -torch.inf)
    return logits_B_V
