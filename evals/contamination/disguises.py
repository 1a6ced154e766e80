"""What the overlap check sees of copies in disguise, measured: each of many test items is planted in every disguise.

`disguises.json` beside this file is written by `rlpath contamination disguises --record`; a check that finds nothing
says by it what it would have missed.
"""

from __future__ import annotations

import base64
import codecs
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from rlpath.core.files import write_atomic
from rlpath.core.stats import Interval, wilson
from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.overlap import check_overlap
from rlpath.evals.contamination.perturb import rephrase, twin

FILE = Path(__file__).with_name("disguises.json")
NEVER_SEEN = "translations"
TABLE = ("<!-- disguises -->", "<!-- /disguises -->")
CYRILLIC = str.maketrans("aceopxyAEOPCTXKM", "асеорхуАЕОРСТХКМ")
GREEK = str.maketrans("oviAEOPTXKM", "ονιΑΕΟΡΤΧΚΜ")
Disguise = Callable[[Item], Sequence[str]]


def _every_eighth(text: str, change: Callable[[str], list[str]]) -> str:
    words = text.split()
    return " ".join(new for at, word in enumerate(words, start=1) for new in (change(word) if at % 8 == 0 else [word]))


def _in_three(text: str) -> list[str]:
    words = text.split()
    third = -(-len(words) // 3)
    return [" ".join(words[start : start + third]) for start in range(0, len(words), third)]


DISGUISES: dict[str, Disguise] = {
    "question and answer verbatim": lambda item: [f"{item.question}\n{item.answer}"],
    "question verbatim": lambda item: [item.question],
    "zero-width spaces in its words": lambda item: [item.question.replace("e", "e\u200b")],
    "soft hyphens in its words": lambda item: [item.question.replace("a", "a\u00ad")],
    "Cyrillic look-alikes": lambda item: [item.question.translate(CYRILLIC)],
    "Greek look-alikes": lambda item: [item.question.translate(GREEK)],
    "every eighth word dropped": lambda item: [_every_eighth(item.question, lambda _: [])],
    "a word added after every eighth": lambda item: [_every_eighth(item.question, lambda word: [word, "really"])],
    "its first 12 words": lambda item: [" ".join(item.question.split()[:12])],
    "dealt out over three rows": lambda item: _in_three(item.question),
    "other numbers and names": lambda item: [twin(item.question, 0)],
    "rephrased by rule": lambda item: [rephrase(item.question, 0)],
    "the final answer alone": lambda item: [item.answer.rpartition("####")[2]],
    "base64": lambda item: [base64.b64encode(item.question.encode()).decode()],
    "base64 over lines": lambda item: [base64.encodebytes(item.question.encode()).decode()],
    "hexadecimal": lambda item: [item.question.encode().hex()],
    "every letter moved by 13": lambda item: [codecs.encode(item.question, "rot13")],
}


def seen_share(benchmark: Benchmark, disguise: Disguise) -> float:
    """Share of the items that the overlap check, at its defaults, finds when each is planted once in this disguise."""
    rows = [text for item in benchmark.items for text in (*disguise(item), *[""] * 3)]
    found = check_overlap((Document("planted", line, text) for line, text in enumerate(rows, 1)), [benchmark])
    return found.copied / len(benchmark)


def measure(benchmark: Benchmark, size: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The record: for each disguise the share of `size` items, drawn by the seed, that is found, with its interval."""
    items = random.Random(seed).sample(benchmark.items, min(size, len(benchmark)))
    planted = Benchmark(benchmark.name, tuple(items), benchmark.source)
    rates = {}
    for name, disguise in DISGUISES.items():
        share = seen_share(planted, disguise)
        limits: Interval = wilson(round(share * len(items)), len(items))
        rates[name] = {"seen": round(share, 4), "low": round(limits.low, 4), "high": round(limits.high, 4)}
    date = datetime.now(UTC).date().isoformat()
    return {"date": date, "test_set": benchmark.name, "items": len(items), "seed": seed, "rates": rates}


def save(record: dict[str, Any]) -> None:
    """Make the record what reports quote, and the table of the README beside it."""
    write_atomic(FILE, json.dumps(record, indent=1) + "\n")
    recorded.cache_clear()
    readme = FILE.with_name("README.md")
    before, begin, rest = readme.read_text(encoding="utf-8").partition(TABLE[0])
    _, end, after = rest.partition(TABLE[1])
    write_atomic(readme, before + "\n".join([begin, *markdown(record), end]) + after)


@lru_cache(maxsize=1)
def recorded() -> dict[str, Any] | None:
    """The recorded rates, None where there are none."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else None


def unseen() -> str:
    """One sentence for a report that found nothing: what the check misses, and how often."""
    record = recorded()
    if record is None:
        return (
            f"where overlap finds nothing, copies may be left; what is missed was not measured, {NEVER_SEEN} certainly"
        )
    missed = {name: rate["seen"] for name, rate in record["rates"].items() if rate["seen"] < 0.95}
    said = ", ".join(f"{name} {seen:.0%}" for name, seen in sorted(missed.items(), key=lambda pair: -pair[1]))
    return (
        f"where overlap finds nothing, copies in disguise may be left: {said}; {NEVER_SEEN} 0% (share of "
        f"{record['items']} planted {record['test_set']} items seen, {record['date']}); --rephrased sees more"
    )


def markdown(record: dict[str, Any]) -> list[str]:
    """The lines of the record's table."""
    rows = [
        f"| {name} | {rate['seen']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}] |"
        for name, rate in record["rates"].items()
    ]
    return ["| planted once, as | seen by overlap |", "|---|---|", *rows]
