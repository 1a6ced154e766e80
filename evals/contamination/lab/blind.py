"""The blind baseline: telling planted items from unseen ones by their words alone, without any model.

If it succeeds, the two groups differ in more than having been planted, and no detector's figure means anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlpath.core.seeding import derive
from rlpath.evals.contamination.words import hash_words, ngram_hashes, normal_bytes

COLUMNS = 2048
PENALTY = 10.0


def blind_scores(seen: Sequence[str], unseen: Sequence[str], seed: int, folds: int = 5) -> NDArray[np.float64]:
    """A score in [0, 1] for each text, seen ones first, from a ridge regression on its words and pairs of words.

    Each text is scored by a fit without its fold, and the score is its rank within the fold. Folds hold the two groups
    in equal shares, so that on groups that do not differ the ranks of both are uniform: comparing raw scores across
    folds would give less than 0.5, because each fold's own texts are missing from its fit and present in the others'.
    """
    features = np.stack([_features(text) for text in (*seen, *unseen)])
    labels = np.r_[np.ones(len(seen)), np.zeros(len(unseen))]
    rng = np.random.default_rng(derive(seed, "blind folds"))
    fold = np.empty(len(labels), dtype=np.int64)
    for group in (np.arange(len(seen)), len(seen) + np.arange(len(unseen))):
        fold[rng.permutation(group)] = np.arange(len(group)) % folds
    scores = np.empty(len(labels))
    for held_out in range(folds):
        train = fold != held_out
        mean = features[train].mean(0)
        x, y = features[train] - mean, labels[train] - labels[train].mean()
        # As many equations as texts: the dual form of the ridge.
        dual = np.linalg.solve(x @ x.T + PENALTY * np.eye(len(x)), y)
        fitted = (features[~train] - mean) @ (x.T @ dual)
        scores[~train] = np.argsort(np.argsort(fitted)) / max(1, len(fitted) - 1)
    return scores


def _features(text: str) -> NDArray[np.float64]:
    hashes = hash_words(normal_bytes(text)).hashes
    found = np.concatenate([hashes, ngram_hashes(hashes, 2)]) % np.uint64(COLUMNS)
    return np.minimum(np.bincount(found.astype(np.int64), minlength=COLUMNS), 1).astype(np.float64)
