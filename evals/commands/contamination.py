"""The command `rlpath contamination`: `check` training files against test sets, `lab` to measure the detectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from rlpath.core.errors import InputError
from rlpath.evals.contamination.benchmarks import NAMES, Benchmark, benchmark
from rlpath.evals.contamination.canary import make_canary, search
from rlpath.evals.contamination.check import (
    CLEAN,
    HITS,
    REPORT,
    ContaminationCheck,
    check_files,
    refuse_unless_rows,
    write,
)
from rlpath.evals.contamination.disguises import markdown, measure, save, unseen
from rlpath.evals.contamination.documents import documents, training_files
from rlpath.evals.contamination.error_rates import quote, recorded
from rlpath.evals.contamination.overlap import COVERAGE, LONG, CopyRule
from rlpath.evals.contamination.screen import OnHit


@dataclass(frozen=True)
class CheckFiles:
    """Compare training files with test sets, word for word; exit status 1 where a copy is found."""

    train_files: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders: .jsonl, .json, .csv, .tsv, .txt, .md, each also .gz, and .parquet."""
    against: str = "gsm8k,svamp,math500"
    """Test sets, separated by commas: known names (gsm8k, math500, svamp, arc, humaneval, mbpp, ifeval) or files."""
    on_hit: OnHit = "flag"
    """flag lists the hits, drop also writes .jsonl files without the flagged rows, keep only counts."""
    field: str | None = None
    """Search this field of each row alone; by default every text in it."""
    near_duplicates: bool = False
    """Also search copies with a few words changed (MinHash, about 2 MB/s)."""
    rephrased: bool = False
    """Also search the same question in other words (sentence embeddings, about 50 texts a second on a core)."""
    n: int = LONG
    """A common run of so many words is a copy."""
    coverage: float = COVERAGE
    """So large a share of an item in common 8-grams is a copy."""
    out: Path = Path("contamination")
    """Folder of contamination.json, hits.jsonl and, with drop, clean/."""

    def run(self) -> int:
        """Check, print the table, write the report; the exit status is 1 where anything was found."""
        if self.on_hit == "drop":
            refuse_unless_rows(self.train_files)
        check = check_files(
            self.train_files,
            named_benchmarks(self.against),
            rule=CopyRule(self.n, self.coverage),
            field=self.field,
            near_duplicates=self.near_duplicates,
            rephrased=self.rephrased,
        )
        write(check, self.out, hits=self.on_hit != "keep", drop=self.on_hit == "drop")
        print("\n".join(report_lines(check)))
        written = [REPORT, *([HITS] if self.on_hit != "keep" else []), *([CLEAN] if self.on_hit == "drop" else [])]
        print(", ".join(str(self.out / name) for name in written))
        return int(bool(check.flagged))


@dataclass(frozen=True)
class Canaries:
    """Look for canary strings in training files or a model; with neither print one for a test set of one's own."""

    train_files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files or folders to search; the exit status is 1 where a canary is found."""
    model: str | None = None
    """Ask this model whether it knows the canary of --name and --seed: a folder, a hub id or a packaged model."""
    name: str = "test set"
    """What the canary is for."""
    seed: int = 0
    """Fixes the canary."""

    def run(self) -> int:
        """Search, ask, or print."""
        if self.model is not None:
            if self.train_files:
                raise InputError("--model asks a model and files are searched: give one of the two")
            with train_extra():
                from rlpath.evals.contamination.probe import load_probed, probe_canary
            print(probe_canary(*load_probed(self.model), self.name, self.seed).line())
            return 0
        if not self.train_files:
            print(make_canary(self.name, self.seed))
            return 0
        found = list(search(documents(training_files(self.train_files))))
        for document, guid in found:
            print(f"{document.name}: canary GUID {guid}")
        print(f"{len(found)} canaries found; {quote('canary search')}")
        return 1 if found else 0


@dataclass(frozen=True)
class ProbeModel:
    """Ask a model: is a test set more probable than its twin, completed from half, preferred in its published order?"""

    model: tyro.conf.Positional[str]
    """A local folder, a hub id, or the packaged smollm2-135m-instruct."""
    against: str = "gsm8k"
    """One test set: a known name or a file."""
    references: Path | None = None
    """Items of the same kind that the model cannot have seen, a JSON-lines file; Min-K %++ needs them."""
    size: int = 100
    """Items to ask about, drawn by the seed."""
    seed: int = 0
    """Fixes draws, twins and orders."""

    def run(self) -> int:
        """Print the findings."""
        with train_extra():
            from rlpath.evals.contamination.probe import check_sizes, load_probed, own_items, probe
        chosen = named_benchmarks(self.against)
        if len(chosen) > 1:
            raise InputError(f"--against {self.against} names several test sets: a probe asks about one")
        references = own_items(self.references)
        check_sizes(chosen[0], references, self.size)
        found = probe(*load_probed(self.model), chosen[0], references, size=self.size, seed=self.seed)
        print("\n".join(found.lines()))
        return 0


@dataclass(frozen=True)
class Lab:
    """Train small models with planted test items and measure every detector on them; needs rlpath[train]."""

    preset: str = "cpu"
    """cpu (about three minutes a seed on one core), or smoke for a try."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each seed has its own split, corpus and model."""
    rephrasings: bool = True
    """Also measure the search by sentence embeddings, which fetches a model of 84 MB once."""
    record: bool = False
    """Make the outcome the rates that every report quotes (error_rates.json in the package)."""
    searches_only: bool = False
    """Train nothing: measure the searches of the training text again, on the corpora of the recorded lab."""
    out: Path = Path("contamination-lab")
    """Folder of lab.json, lab.html and what a killed lab goes on from."""

    def run(self) -> int:
        """Run or complete, print the table."""
        with train_extra():
            from rlpath.evals.contamination.embedder import Embedder
            from rlpath.evals.contamination.lab.outcome import table
            from rlpath.evals.contamination.lab.run import lines, rerun_searches, run_lab, save_record
        embed = Embedder() if self.rephrasings else None
        if self.searches_only:
            outcome = rerun_searches(_recorded_lab(), embed)
            print("\n".join(table(outcome.rates)))
            if self.record:
                save_record(outcome)
            return 0
        outcome = run_lab(self.preset, self.seeds, self.out, embed, say=lambda line: print(line, flush=True))
        print("\n".join(lines(outcome)))
        if self.record:
            save_record(outcome)
        print(self.out / "lab.html")
        return 0


def _recorded_lab() -> dict[str, Any]:
    lab = recorded()
    if lab is None:
        raise InputError("no lab is recorded yet: run one with --record first, without --searches-only")
    return lab


@dataclass(frozen=True)
class Disguises:
    """Plant test items in disguise (look-alikes, dropped words, pieces) and measure how many the overlap check sees."""

    against: str = "gsm8k"
    """The test set whose items are planted: a known name or a file."""
    size: int = 1000
    """Items, drawn by the seed."""
    seed: int = 0
    """Fixes the draw."""
    record: bool = False
    """Make the outcome what a check that finds nothing quotes (disguises.json in the package)."""

    def run(self) -> int:
        """Measure and print."""
        chosen = named_benchmarks(self.against)
        if len(chosen) > 1 or self.size < 1:
            raise InputError(f"--against {self.against} --size {self.size}: one test set and at least one item")
        record = measure(chosen[0], self.size, self.seed)
        print("\n".join(markdown(record)))
        if self.record:
            save(record)
        return 0


@dataclass(frozen=True)
class Contamination:
    """Has the model seen the test? Check training files, ask a model, or measure how well the detectors work."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[CheckFiles, tyro.conf.subcommand("check")]
        | Annotated[Canaries, tyro.conf.subcommand("canary")]
        | Annotated[ProbeModel, tyro.conf.subcommand("probe")]
        | Annotated[Lab, tyro.conf.subcommand("lab")]
        | Annotated[Disguises, tyro.conf.subcommand("disguises")]
    ]

    def run(self) -> int:
        """Run the action."""
        return self.action.run()


@contextmanager
def train_extra() -> Iterator[None]:
    """Turn the import of a package that is not installed into one sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install rlpath[train,contamination]") from None


def named_benchmarks(names: str) -> list[Benchmark]:
    """The test sets of a comma-separated list. Raises InputError for an empty list, a repeated or unknown name."""
    words = [word.strip() for word in names.split(",") if word.strip()]
    if not words:
        raise InputError(f"--against names no test set: give some of {', '.join(NAMES)}, or files")
    if len(set(words)) < len(words):
        raise InputError(f"--against {names} names a test set twice: name each once")
    return [benchmark(word) for word in words]


def report_lines(check: ContaminationCheck) -> list[str]:
    """The table of a check, with the measured rates of each method under it."""
    overlap = check.overlap
    lines = [
        f"{overlap.documents} documents, {overlap.megabytes:.1f} MB, {overlap.seconds:.1f} s "
        f"({overlap.megabytes / max(overlap.seconds, 1e-9):.0f} MB/s)",
        f"{'test set':14}{'items':>7}{'too short':>11}{'8-gram':>16}{'13-gram':>16}{'half covered':>16}{'copied':>8}",
    ]
    for found in overlap.found:
        cells = "".join(f"{_two(part):>16}" for part in (found.any_8, found.any_13, found.half))
        lines.append(f"{found.benchmark[:13]:14}{found.items:>7}{found.too_short:>11}{cells}{found.copied:>8}")
    lines.append("items seen in question / answer; copied: " + str(overlap.rule))
    lines.append(f"overlap: {len(overlap.flagged)} documents flagged; {quote('overlap')}")
    for method, hits in check.alike.items():
        flagged = len({hit.document.name for hit in hits})
        lines.append(f"{method}: {flagged} documents flagged; {quote(method)}")
    if not check.flagged:
        lines.append(unseen())
    return lines


def _two(parts: dict[str, int]) -> str:
    return f"{parts['question']} / {parts['answer']}"
