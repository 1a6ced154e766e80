"""Character models of names: one counted, the same one learned, and a larger one that overfits, with three cures.

A bigram model holds P(next | current), a table. Its best loss on a set of names is known exactly: with n(a, b) pairs
counted, the cross-entropy is lowest at P(b | a) = n(a, b) / n(a), where it equals the counts' conditional entropy.
Gradient descent on a table of logits must arrive there; with one pseudo-count a pair, the optimum is finite.

    L(W) = -Σ n(a, b) log softmax(W_a)_b / Σ n          dL/dW_ab = (n(a) softmax(W_a)_b - n(a, b)) / Σ n

A network that reads several characters (Bengio et al. 2003, "A Neural Probabilistic Language Model") does better on
names it has not seen, until it learns its few training names by heart: the loss on them goes on falling while the
held-out loss rises. Three cures are measured: weight decay, dropout (arXiv 1207.0580) and more names; and stopping at
the lowest validation loss, which needs no other training.

    python -m rlpath.trunk.char_lm NAMES      # one name a line
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlpath.trunk.autodiff import Array, Tensor, cross_entropy
from rlpath.trunk.mlp import MLP, SGD, AdamW

ALPHABET = ".abcdefghijklmnopqrstuvwxyz"
"""The full stop begins and ends a name."""
V = len(ALPHABET)
Ids = np.ndarray[Any, np.dtype[np.int64]]


def read_names(path: Path) -> list[str]:
    """The names of a file, one a line, in lower case; lines with other characters than letters are left out."""
    lines = (line.strip().lower() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and set(line) <= set(ALPHABET[1:])]


def contexts(names: Sequence[str], length: int) -> tuple[Ids, Ids]:
    """Every character with the `length` characters before it: N by length, and N; full stops before the first."""
    before, after = [], []
    for name in names:
        padded = [0] * length + [ALPHABET.index(letter) for letter in name] + [0]
        for i in range(length, len(padded)):
            before.append(padded[i - length : i])
            after.append(padded[i])
    return np.array(before, dtype=np.int64), np.array(after, dtype=np.int64)


# The bigram model, counted and learned


def count_pairs(names: Sequence[str], pseudo_count: float = 1.0) -> Array:
    """How often each character follows each, V by V, plus a pseudo-count for every pair."""
    counts = np.full((V, V), pseudo_count)
    before, after = contexts(names, 1)
    np.add.at(counts, (before[:, 0], after), 1.0)
    return counts


def table_loss(probabilities: Array, counts: Array) -> float:
    """Mean negative log-likelihood (nats a character) of counted pairs under a table of P(next | current)."""
    return float(-(counts * np.log(probabilities)).sum() / counts.sum())


def counted(counts: Array) -> Array:
    """The table that no other beats on these counts."""
    return counts / counts.sum(axis=1, keepdims=True)


def learned(counts: Array, steps: int = 400, rate: float = 60.0) -> Array:
    """The same table by gradient descent on logits, from zero."""
    logits = Tensor(np.zeros((V, V)))
    optimizer = SGD([logits], rate, momentum=0.9)
    for _ in range(steps):
        odds = logits.exp()
        log_probabilities = logits - odds.sum(axis=1, keepdims=True).log()
        loss = -(log_probabilities * counts).sum() / counts.sum()
        loss.backward()
        optimizer.step()
    odds_V_V = np.exp(logits.data)
    return odds_V_V / odds_V_V.sum(axis=1, keepdims=True)


# A network over several characters


class CharacterMLP:
    """Embeddings of the last characters, side by side, through one hidden layer to logits of the next."""

    def __init__(self, rng: np.random.Generator, context: int = 4, width: int = 8, hidden: int = 64) -> None:
        self.context = context
        self.embedding = Tensor(rng.normal(0.0, 1.0, (V, width)))
        self.layers = MLP((context * width, hidden, V), rng)

    @property
    def parameters(self) -> list[Tensor]:
        """The embedding, then weights and biases."""
        return [self.embedding, *self.layers.parameters]

    def __call__(self, before_N_C: Ids, keep_N_CE: Array | None = None) -> Tensor:
        """Logits, N by V. `keep_N_CE` multiplies the embeddings: zeros and 1 / (1 - dropout)."""
        x = self.embedding[before_N_C].reshape(len(before_N_C), -1)
        return self.layers(x if keep_N_CE is None else x * keep_N_CE)

    def loss(self, names: Sequence[str]) -> float:
        """Mean negative log-likelihood, nats a character."""
        before, after = contexts(names, self.context)
        return float(cross_entropy(self(before), after).data)


@dataclass(frozen=True, slots=True)
class RegularizationArm:
    """How a model is trained: on how many names, with which cure."""

    names: int
    weight_decay: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class LossCurve:
    """Losses (nats a character) at every evaluation."""

    training: list[float]
    validation: list[float]

    @property
    def stopped(self) -> float:
        """Validation loss where it was lowest: early stopping. Optimistic by the choice of the lowest point."""
        return min(self.validation)


def train(
    arm: RegularizationArm,
    training: Sequence[str],
    validation: Sequence[str],
    seed: int,
    steps: int = 600,
    every: int = 50,
) -> LossCurve:
    """Train by AdamW on minibatches of 256 characters; evaluate every `every` steps."""
    rng = np.random.default_rng(seed)
    model = CharacterMLP(rng)
    names = training[: arm.names]
    before, after = contexts(names, model.context)
    optimizer = AdamW(model.parameters, rate=1e-2, decay=arm.weight_decay)
    curve = LossCurve([], [])
    for step in range(1, steps + 1):
        rows = rng.integers(len(after), size=256)
        keep = None
        if arm.dropout:
            shape = (len(rows), model.context * model.embedding.shape[1])
            keep = (rng.random(shape) >= arm.dropout) / (1 - arm.dropout)
        cross_entropy(model(before[rows], keep), after[rows]).backward()
        optimizer.step()
        if step % every == 0:
            curve.training.append(model.loss(names))
            curve.validation.append(model.loss(validation))
    return curve


ARMS = {
    "few names": RegularizationArm(300),
    "few names, weight decay": RegularizationArm(300, weight_decay=1.0),
    "few names, dropout": RegularizationArm(300, dropout=0.3),
    "ten times as many names": RegularizationArm(3000),
}


def split(names: Sequence[str], held_out: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Training and validation names, shuffled; a name that occurs twice is on one side."""
    distinct = sorted(set(names))
    order = np.random.default_rng(seed).permutation(len(distinct))
    shuffled = [distinct[i] for i in order]
    return shuffled[held_out:], shuffled[:held_out]


def main() -> None:
    """Print both bigram losses, and every arm's losses over three seeds."""
    training, validation = split(read_names(Path(sys.argv[1])), held_out=1000)
    counts = count_pairs(training)
    held_out = count_pairs(validation, pseudo_count=0.0)
    for name, table in (("counted", counted(counts)), ("learned", learned(counts))):
        print(f"bigram, {name:8}  training {table_loss(table, counts):.5f}  held out {table_loss(table, held_out):.5f}")
    print(f"\n{'':26}{'training':>9}{'held out':>23}{'at its lowest':>23}   nats a character, mean (range) of 3 seeds")
    for name, arm in ARMS.items():
        curves = [train(arm, training, validation, seed) for seed in range(3)]
        last = [curve.validation[-1] for curve in curves]
        lowest = [curve.stopped for curve in curves]
        train_loss = np.mean([curve.training[-1] for curve in curves])
        print(f"{name:26}{train_loss:9.3f}{_spread(last):>23}{_spread(lowest):>23}")


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
