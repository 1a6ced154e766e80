"""Megabytes a CPU second and recall on planted copies: the n-gram check beside a plain set and datatrove's filter.

Run `python scripts/bench_contamination.py` with RLPATH_DATA set, on an idle core. The training text is made of what
RLPATH_DATA has that is no test set (plays, GSM8K's training split, instructions) in rows of web-page size, nine of ten
in a .jsonl file, the others in a .jsonl.gz; copies of test questions are planted in it with other case and spacing. All
methods read the same files, one after another in every round, one core each; the best round counts.

- The plain set does what most decontamination code does: lower-case, split into words, look up every joined 8-gram and
  13-gram of questions and answers. It says of a document that it holds something.
- datatrove's n-gram filter with 8-grams of queries and labels, in a Python of its own (--datatrove PYTHON with
  `pip install datatrove[processing] spacy orjson`), reading with its own reader. It stops at a document's first hit.
- rlpath's check looks up the same 8-grams and says which items, how much of each, and the longest run.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.envs.files import read_jsonl
from rlpath.evals.contamination.benchmarks import Benchmark, benchmark
from rlpath.evals.contamination.documents import documents, training_files
from rlpath.evals.contamination.overlap import check_overlap

WORD = re.compile(r"\w+")
ROW = 3000
DATATROVE = """
import json, sys, time
from pathlib import Path
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.logging import logger

logger.remove()
folder, index = map(Path, sys.argv[1:])
NGramsDecontIndexer._requires_dependencies = []
config = NGramsDecontConfig(n_grams=8, find_query_ngrams=True, find_overlap_ngrams=False)
indexer = NGramsDecontIndexer(str(index), config=config)
items = [json.loads(line) for line in (index / "items.jsonl").open()]
hashes = {h for item in items for h in indexer.compute_hashes(item["answer"], item["question"])}
import numpy as np

np.array(sorted(hashes), dtype=config.hash_config.np_descr).tofile(index / "tests.index.hashes")
keep = NGramsDecontFilter(str(index), config=config)
keep.load_index_hashes()
started = time.process_time()
flagged = [
    document.id
    for document in JsonlReader(str(folder), text_key="text", id_key="row").run()
    if keep.filter(document) is not True
]
print(json.dumps({"seconds": time.process_time() - started, "flagged": flagged}))
"""


@dataclass(frozen=True)
class Args:
    """Time the checks and count what they find."""

    megabytes: int = 20
    """Size of the training text."""
    rounds: int = 3
    """How often each method reads it."""
    planted: int = 300
    """Copies of test questions to plant."""
    against: tuple[str, ...] = ("gsm8k", "svamp", "math500")
    """Test sets."""
    datatrove: Path | None = None
    """A Python that has datatrove; without one it is left out."""
    alone: bool = False
    """Measure rlpath alone, for sizes that the others would take hours for."""
    seed: int = 0
    """Fixes the text and the copies."""


@dataclass(frozen=True)
class ReadTiming:
    """CPU seconds of one reading, the making of the index left out, and the share of the planted copies found."""

    seconds: float
    recall: float


def main(args: Args) -> int:
    data = os.environ.get("RLPATH_DATA")
    if not data:
        raise InputError("RLPATH_DATA is not set; point it to the data folder")
    benchmarks = [benchmark(name) for name in args.against]
    with tempfile.TemporaryDirectory() as name:
        folder, index = Path(name, "train"), Path(name, "index")
        folder.mkdir()
        index.mkdir()
        planted = write_text(Path(data), folder, args, benchmarks)
        write_items(index / "items.jsonl", benchmarks)
        methods: dict[str, Callable[[], ReadTiming]] = {"rlpath": lambda: read_by_rlpath(folder, benchmarks, planted)}
        if not args.alone:
            methods["plain Python set"] = lambda: read_by_set(folder, benchmarks, planted)
        if args.datatrove is not None and not args.alone:
            python = args.datatrove
            methods["datatrove"] = lambda: read_by_datatrove(python, folder, index, planted)
        report(methods, args.rounds, sum(map(len, rows(folder))) / 1e6)
    return 0


def report(methods: dict[str, Callable[[], ReadTiming]], rounds: int, megabytes: float) -> None:
    """Interleave the methods, print every round and the best of each."""
    readings: dict[str, list[ReadTiming]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, read in methods.items():
            readings[name].append(read())
    print(f"{megabytes:.1f} MB of JSON lines, {rounds} rounds")
    print(f"{'what':20}{'MB/cpu-s':>10}{'recall':>8}{'rlpath is':>11}  cpu-s of each round")
    best = {name: min(one.seconds for one in found) for name, found in readings.items()}
    for name, found in readings.items():
        seconds = " ".join(f"{one.seconds:.2f}" for one in found)
        times = f"{best[name] / best['rlpath']:.1f}x"
        print(f"{name:20}{megabytes / best[name]:>10.1f}{found[0].recall:>8.4f}{times:>11}  {seconds}")


def write_text(data: Path, folder: Path, args: Args, benchmarks: Sequence[Benchmark]) -> dict[int, tuple[str, str]]:
    """Rows of about `ROW` characters; returns benchmark and id of the item planted in each row that has one.

    Only items of eight words or more are planted: shorter ones are looked for whole or counted as too short.
    """
    generator = random.Random(args.seed)
    source = "\n".join(sentences(data))
    items = [(b.name, i) for b in benchmarks for i in b.items if len(WORD.findall(i.question)) >= 8]
    chosen = generator.sample(items, min(args.planted, len(items)))
    count = args.megabytes * 10**6 // ROW
    places = dict(zip(generator.sample(range(count), len(chosen)), chosen, strict=True))
    with (folder / "a.jsonl").open("w") as plain, gzip.open(folder / "b.jsonl.gz", "wt", compresslevel=1) as zipped:
        for row in range(count):
            start = generator.randrange(len(source) - ROW)
            text = source[start : start + ROW]
            if row in places:
                question = places[row][1].question
                text = f"{text[: ROW // 2]} {question.upper().replace(' ', '  ')!s} {text[ROW // 2 :]}"
            file = zipped if row % 10 == 9 else plain
            file.write(json.dumps({"row": row, "text": text}) + "\n")
    return {row: (name, item.id) for row, (name, item) in places.items()}


def write_items(path: Path, benchmarks: Sequence[Benchmark]) -> None:
    rows = [{"question": item.question, "answer": item.answer} for b in benchmarks for item in b.items]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sentences(data: Path) -> Iterator[str]:
    """Real text that is no test set."""
    yield (data / "text/tinyshakespeare.txt").read_text(encoding="utf-8")
    for name in ("gsm8k/train.jsonl", "sft/oasstcommitpackftmanual.jsonl"):
        for row in read_jsonl(data / name):
            yield " ".join(str(value) for value in row.values())


def rows(folder: Path) -> Iterator[bytes]:
    """The lines of all files."""
    for path in training_files([folder]):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file


def read_by_rlpath(folder: Path, benchmarks: Sequence[Benchmark], planted: dict[int, tuple[str, str]]) -> ReadTiming:
    """This project's check; recall is of the planted items by name."""
    started = time.process_time()
    check_overlap([], benchmarks)
    index_seconds = time.process_time() - started
    started = time.process_time()
    found = check_overlap(documents(training_files([folder])), benchmarks)
    seconds = time.process_time() - started - index_seconds
    wanted = set(planted.values())
    return ReadTiming(seconds, len(wanted & {(hit.benchmark, hit.item) for hit in found.hits}) / len(wanted))


def read_by_set(folder: Path, benchmarks: Sequence[Benchmark], planted: dict[int, tuple[str, str]]) -> ReadTiming:
    """The plain set; recall is of the rows that hold a copy."""
    grams = {gram for b in benchmarks for item in b.items for gram in joined(item.question) | joined(item.answer)}
    started = time.process_time()
    read = (json.loads(line) for line in rows(folder))
    flagged = {row["row"] for row in read if not grams.isdisjoint(joined(row["text"]))}
    return ReadTiming(time.process_time() - started, len(flagged & planted.keys()) / len(planted))


def joined(text: str) -> set[str]:
    """Every run of 8 and of 13 words, joined."""
    found = WORD.findall(text.lower())
    return {" ".join(found[i : i + n]) for n in (8, 13) for i in range(len(found) - n + 1)}


def read_by_datatrove(python: Path, folder: Path, index: Path, planted: dict[int, tuple[str, str]]) -> ReadTiming:
    """datatrove's filter in its own Python; recall is of the rows that hold a copy."""
    command = [str(python), "-c", DATATROVE, str(folder), str(index)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{python} cannot run datatrove: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return ReadTiming(found["seconds"], len({int(row) for row in found["flagged"]} & planted.keys()) / len(planted))


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Args)))
