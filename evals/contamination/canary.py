"""Canary strings: a random identifier put beside test items, whose presence in training text proves that it came along.

In text a canary is searched for; in a model it is tested: a model that never saw it finds it no more probable than
other random identifiers (exposure: Carlini et al., arXiv 1802.08232).
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence

from rlpath.core.seeding import derive
from rlpath.evals.contamination.documents import Document

TEMPLATE = "This test item must not be trained on: canary GUID {guid}"
_GUID = re.compile(r"canary\s+guid[:\s]+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.I)


def make_canary(name: str, seed: int = 0) -> str:
    """The canary of `name`, a line of text; the same name and seed give the same one."""
    number = derive(seed, "canary", name) << 64 | derive(seed, "canary", name, "low")
    return TEMPLATE.format(guid=uuid.UUID(int=number, version=4))


def references(name: str, count: int, seed: int = 0) -> list[str]:
    """Canaries of no set, against which the canary of `name` is ranked."""
    return [make_canary(f"{name}/reference-{index}", seed) for index in range(count)]


def canaries(text: str) -> list[str]:
    """The identifiers of all canaries in `text`, ours and those of published test sets ("canary GUID …")."""
    return [found.lower() for found in dict.fromkeys(_GUID.findall(text))]


def search(documents: Iterable[Document]) -> Iterator[tuple[Document, str]]:
    """Every document that holds a canary, with the identifier."""
    for document in documents:
        for found in canaries(document.text):
            yield document, found


def exposure(score: float, reference_scores: Sequence[float]) -> float:
    """log2 of (references + 1) over the canary's rank among them: 0 to log2(n + 1), 1.44 on average if never seen.

    Scores are log-likelihoods: higher is more probable.
    """
    return math.log2(len(reference_scores) + 1) - math.log2(_rank(score, reference_scores))


def canary_p(score: float, reference_scores: Sequence[float]) -> float:
    """The chance that a canary never seen ranks so high: rank / (references + 1)."""
    return _rank(score, reference_scores) / (len(reference_scores) + 1)


def _rank(score: float, reference_scores: Sequence[float]) -> int:
    if not reference_scores:
        raise ValueError("a canary is ranked among references: give at least one")
    return 1 + sum(other >= score for other in reference_scores)
