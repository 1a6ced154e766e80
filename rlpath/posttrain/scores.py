"""What a model makes of given answers: log-probabilities of rows and pairs, and a reward model's scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from rlpath.posttrain.packing.forward import without_adapter
from rlpath.posttrain.tokens import UNLABELED, TokenPair, TokenRow

Scored = TypeVar("Scored")


@torch.no_grad()
def answer_logprobs(trainer: Any, rows: Sequence[TokenRow], batch: int = 16) -> list[float]:
    """The summed log-probability, in nats, of each row's answer under the trainer's model as it is now."""

    def score(part: Sequence[TokenRow]) -> list[float]:
        ids, mask = _padded([[*row.prompt, *row.answer] for row in part], trainer)
        starts = torch.tensor([len(row.prompt) for row in part], device=ids.device)
        answers = mask.bool() & (torch.arange(ids.shape[1], device=ids.device) >= starts[:, None])
        labels = ids.masked_fill(~answers, UNLABELED)
        model = trainer.accelerator.unwrap_model(trainer.model)
        output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
        return output.log_probs.float().sum(1).tolist()

    with _at_rest(trainer):
        return _by_length(rows, score, batch)


def pair_logprobs(trainer: Any, pairs: Sequence[TokenPair], batch: int = 16) -> list[tuple[float, float]]:
    """The same of both answers of each pair."""
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    found = answer_logprobs(trainer, rows, batch)
    return list(zip(found[::2], found[1::2], strict=True))


@torch.no_grad()
def rewards(trainer: Any, pairs: Sequence[TokenPair], batch: int = 16) -> list[tuple[float, float]]:
    """A reward model's scores of both answers of each pair."""

    def score(part: Sequence[TokenPair]) -> list[tuple[float, float]]:
        rows = [*(pair.chosen for pair in part), *(pair.rejected for pair in part)]
        ids, mask = _padded([[*row.prompt, *row.answer] for row in rows], trainer)
        model = trainer.accelerator.unwrap_model(trainer.model)
        scores = model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
        return list(zip(scores[: len(part)], scores[len(part) :], strict=True))

    with _at_rest(trainer):
        return _by_length(pairs, score, batch)


def _by_length(rows: Sequence[Any], score: Callable[[Sequence[Any]], list[Scored]], batch: int) -> list[Scored]:
    """Scores in the order of `rows`, computed in batches of like length."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    found: dict[int, Scored] = {}
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        found.update(zip(part, score([rows[at] for at in part]), strict=True))
    return [found[at] for at in range(len(rows))]


def _padded(rows: Sequence[Sequence[int]], trainer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, padded on the right."""
    longest = max(map(len, rows))
    pad = trainer.processing_class.pad_token_id
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids.to(trainer.accelerator.device), mask.to(trainer.accelerator.device)


@contextmanager
def _at_rest(trainer: Any) -> Iterator[None]:
    """The model without dropout, in the precision it trains in; as it was afterwards."""
    model = without_adapter(trainer.accelerator.unwrap_model(trainer.model))
    was_training = model.training
    trainer.model.eval()
    try:
        with trainer.accelerator.autocast():
            yield
    finally:
        trainer.model.train(was_training)
