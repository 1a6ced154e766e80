"""How well a base model predicts text: bits a byte, with an interval over documents, and the difference of two models.

Bits a byte can be compared between tokenizers; perplexity a token, which cannot, stands beside it. A document longer
than the window is read in windows one after another, each from its own beginning, so that figures of one window are
comparable and a little higher than with all the context. A ratio's interval is the linearized one (Cochran, Sampling
Techniques, ch. 6): documents are the sampling units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlpath.core.errors import InputError
from rlpath.core.stats import Interval, t_interval
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.token_scores import score_tokens

WINDOW = 1024
BATCH = 4
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model makes of the documents: nats lost on each, over `tokens` of its own; `bytes` of each document."""

    model: str
    nats_D: Array
    bytes_D: Array
    tokens: int

    @property
    def bits_a_byte(self) -> Interval:
        """Total loss over total bytes."""
        return _ratio(self.nats_D / math.log(2), self.bytes_D)

    @property
    def perplexity(self) -> float:
        """exp of the mean loss a token: for one tokenizer only."""
        return math.exp(float(self.nats_D.sum()) / self.tokens)

    def less(self, other: Predicted) -> Interval:
        """Bits a byte of this model less those of another on the same documents, which are paired."""
        return _ratio((self.nats_D - other.nats_D) / math.log(2), self.bytes_D)


def whole_texts(documents: Iterable[Document]) -> list[str]:
    """The texts that are not empty. Raises InputError where there are fewer than two, over which nothing can vary."""
    texts = [document.text for document in documents if document.text.strip()]
    if len(texts) < 2:
        raise InputError(f"the text has {len(texts)} documents: an interval needs 2, so give rows, or more files")
    return texts


@torch.inference_mode()
def predict(name: str, model: Any, tokenizer: Any, texts: Sequence[str], window: int = WINDOW) -> Predicted:
    """Read every text, from the model's beginning token, and sum the loss of each of its tokens."""
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    windows: list[list[int]] = []
    owner: list[int] = []
    for number, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for at in range(0, len(ids), window - 1):
            windows.append([start, *ids[at : at + window - 1]])
            owner.append(number)
    scores = score_tokens(lambda ids: model(ids.to(model.device)).logits.cpu(), windows, batch=BATCH)
    nats_D = np.zeros(len(texts))
    np.add.at(nats_D, owner, [-float(one.logprobs.sum()) for one in scores])
    bytes_D = np.array([len(text.encode()) for text in texts], dtype=np.float64)
    return Predicted(name, nats_D, bytes_D, sum(map(len, scores)))


def _ratio(numerator_D: Array, bytes_D: Array) -> Interval:
    """Σ numerator / Σ denominator with the interval of its linearization over documents."""
    ratio = float(numerator_D.sum() / bytes_D.sum())
    spread = t_interval((numerator_D - ratio * bytes_D) / bytes_D.mean())
    return Interval(
        ratio, ratio + spread.low, ratio + spread.high, f"linearized ratio over {len(numerator_D)} documents"
    )
