"""Megabytes a CPU second and recall on planted copies: the n-gram check beside a plain Python set, on the same files.

Run `python scripts/bench_contamination.py` with RLPATH_DATA set. The training text is made of what RLPATH_DATA has that
is no test set (plays, GSM8K's training split, instructions) in rows of web-page size; copies of test questions are
planted in it with other case and punctuation. The plain set does what most decontamination code does: lower-case, split
into words, look up every joined 8-gram and 13-gram. It reads a part of the files, for it is slow; both read one core.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.errors import InputError, run_command
from rlpath.evals.contamination.benchmarks import Benchmark, benchmark
from rlpath.evals.contamination.documents import documents, training_files
from rlpath.evals.contamination.overlap import check_overlap

WORD = re.compile(r"\w+")
ROW = 3000


@dataclass(frozen=True)
class Args:
    """Time the check and count what it finds."""

    megabytes: int = 200
    """Size of the training text."""
    plain_megabytes: int = 10
    """How much of it the plain set reads."""
    planted: int = 300
    """Copies of test questions to plant."""
    against: tuple[str, ...] = ("gsm8k", "svamp", "math500")
    """Test sets."""
    seed: int = 0
    """Fixes the text and the copies."""


def main(args: Args) -> int:
    data = os.environ.get("RLPATH_DATA")
    if not data:
        raise InputError("RLPATH_DATA is not set; point it to the data folder")
    benchmarks = [benchmark(name) for name in args.against]
    with tempfile.TemporaryDirectory() as folder:
        planted = write_text(Path(data), Path(folder), args, benchmarks)
        print(f"{'what':30}{'MB':>8}{'cpu-s':>8}{'MB/cpu-s':>10}{'recall':>8}")
        ours = measure_ours(Path(folder), benchmarks, planted)
        plain = measure_plain(Path(folder), benchmarks, args.plain_megabytes)
        print(f"ratio {ours / plain:.1f}")
    return 0


def write_text(data: Path, folder: Path, args: Args, benchmarks: Sequence[Benchmark]) -> set[tuple[str, str]]:
    """Files of rows of about `ROW` characters, one of them zipped; returns benchmark and id of the planted items.

    Only items of eight words or more are planted: shorter ones are looked for whole or counted as too short.
    """
    generator = random.Random(args.seed)
    source = "\n".join(sentences(data))
    items = [(b.name, i) for b in benchmarks for i in b.items if len(WORD.findall(i.question)) >= 8]
    chosen = generator.sample(items, min(args.planted, len(items)))
    rows = args.megabytes * 10**6 // ROW
    places = dict(zip(generator.sample(range(rows), len(chosen)), chosen, strict=True))
    with (folder / "a.jsonl").open("w") as plain, gzip.open(folder / "b.jsonl.gz", "wt", compresslevel=1) as zipped:
        for row in range(rows):
            start = generator.randrange(len(source) - ROW)
            text = source[start : start + ROW]
            if row in places:
                question = places[row][1].question
                text = f"{text[: ROW // 2]} {question.upper().replace(' ', '  ')!s} {text[ROW // 2 :]}"
            file = zipped if row % 10 == 9 else plain
            file.write(json.dumps({"id": row, "text": text}) + "\n")
    return {(name, item.id) for name, item in chosen}


def sentences(data: Path) -> Iterator[str]:
    """Real text that is no test set."""
    yield (data / "text/tinyshakespeare.txt").read_text(encoding="utf-8")
    for name in ("gsm8k/train.jsonl", "sft/oasstcommitpackftmanual.jsonl"):
        for line in (data / name).read_text(encoding="utf-8").splitlines():
            yield " ".join(str(value) for value in json.loads(line).values())


def measure_ours(folder: Path, benchmarks: Sequence[Benchmark], planted: set[tuple[str, str]]) -> float:
    """Print the line of this project's check and return its speed, the making of the index left out."""
    started = time.process_time()
    check_overlap([], benchmarks)
    index_seconds = time.process_time() - started
    started = time.process_time()
    found = check_overlap(documents(training_files([folder])), benchmarks)
    seconds = time.process_time() - started - index_seconds
    recall = len(planted & {(hit.benchmark, hit.item) for hit in found.hits}) / len(planted)
    print(f"{'rlpath':30}{found.megabytes:>8.1f}{seconds:>8.2f}{found.megabytes / seconds:>10.1f}{recall:>8.4f}")
    print(f"{'  making its index':30}{'':>8}{index_seconds:>8.2f}")
    return found.megabytes / seconds


def measure_plain(folder: Path, benchmarks: Sequence[Benchmark], megabytes: int) -> float:
    """Print the line of the plain set on the first megabytes of the same rows and return its speed."""
    grams = {gram for b in benchmarks for item in b.items for gram in joined(item.question) | joined(item.answer)}
    read, hits, started = 0, 0, time.process_time()
    with (folder / "a.jsonl").open() as file:
        for line in file:
            text = "\n".join(value for value in json.loads(line).values() if isinstance(value, str))
            hits += not grams.isdisjoint(joined(text))
            read += len(text.encode())
            if read > megabytes * 10**6:
                break
    seconds = time.process_time() - started
    print(f"{'plain Python set':30}{read / 1e6:>8.1f}{seconds:>8.2f}{read / 1e6 / seconds:>10.1f}")
    return read / 1e6 / seconds


def joined(text: str) -> set[str]:
    """Every run of 8 and of 13 words, joined."""
    found = WORD.findall(text.lower())
    return {" ".join(found[i : i + n]) for n in (8, 13) for i in range(len(found) - n + 1)}


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Args)))
