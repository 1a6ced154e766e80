"""The seeds of one configuration, side by side in a folder: which were asked for, which are whole.

A mean over the seeds that happened to finish is not the mean that was planned. So what was asked for is written down
first, and a set with a seed missing is refused rather than averaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import read_json, write_atomic
from rlpath.runs.run_folder import RunRecord, differing_fields, read_run

ASKED = "asked.json"
"""In a configuration's folder: every seed that was ever asked for."""


@dataclass(frozen=True)
class SeedSet:
    """Finished runs of one configuration, in the order of their seeds."""

    recipe: str
    config: dict[str, Any]
    records: dict[int, RunRecord]

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return list(self.records)

    @property
    def name(self) -> str:
        """recipe/hash, as the folder is called."""
        return "/".join(next(iter(self.records.values())).path.resolve().parts[-3:-1])

    @property
    def revisions(self) -> list[str]:
        """The revisions of the code that made the runs, each once; `+` marks one with changes not committed."""
        found = [(record.manifest.get("rlpath") or {}).get("git") for record in self.records.values()]
        return list(dict.fromkeys(f"{git['commit'][:9]}{'+' * git['dirty']}" if git else "unknown" for git in found))


def ask(folder: Path, seeds: Iterable[int]) -> None:
    """Write down, beside the runs in a configuration's folder, that these seeds are wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / ASKED, json.dumps({"seeds": sorted({*asked(folder), *seeds})}) + "\n")


def asked(folder: Path) -> list[int]:
    """The seeds that were asked for in a configuration's folder."""
    return read_json(folder / ASKED)["seeds"] if (folder / ASKED).exists() else []


def read_set(words: Sequence[str | Path]) -> SeedSet:
    """The seeds that `words` name: one configuration's folder, or run folders of one configuration (globs allowed).

    Raises `InputError` where there are none, one is named twice, two differ in their configuration, or the set is
    incomplete: a seed unfinished or, of a whole folder, asked for and never run.
    """
    records = [record for word in words for record in _records(str(word))]
    if not records:
        raise InputError("no run was named: give a configuration's folder, runs/<recipe>/<hash>, or its seeds' folders")
    unfinished = [record.path.name for record in records if not record.finished]
    if unfinished:
        where = records[0].path.parent
        raise InputError(
            f"{where} is incomplete: {', '.join(unfinished)} did not finish; run its command again, "
            f"or name the folders of the seeds you mean"
        )
    first = records[0]
    by_seed: dict[int, RunRecord] = {}
    for record in sorted(records, key=lambda record: record.config["seed"]):
        if record.config["seed"] in by_seed:
            raise InputError(f"seed {record.config['seed']} is named twice: {record.path}")
        if differing := differing_fields(record.config, first.config):
            raise InputError(f"{record.path} and {first.path} differ in {', '.join(differing)}: a set has one of each")
        by_seed[record.config["seed"]] = record
    config = {name: value for name, value in first.config.items() if name not in ("seed", "root")}
    return SeedSet(first.path.resolve().parent.parent.name, config, by_seed)


def _records(word: str) -> list[RunRecord]:
    path = Path(word)
    if path.is_dir() and not (path / "config.json").exists():
        paths = sorted(found for found in path.glob("seed-*") if found.is_dir() and found.name[5:].isdecimal())
        present = {int(found.name.removeprefix("seed-")) for found in paths if (found / "config.json").exists()}
        missing = [seed for seed in asked(path) if seed not in present]
        if missing:
            raise InputError(
                f"{path} is incomplete: seed{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} "
                f"{'were' if len(missing) > 1 else 'was'} asked for and left no run; run the command again, "
                "or name the folders of the seeds you mean"
            )
    elif set(word) & set("*?["):
        base = Path(path.anchor) if path.is_absolute() else Path()
        paths = sorted(base.glob(word.removeprefix(path.anchor)))
    else:
        paths = [path]
    if not paths:
        raise InputError(f"{word} holds no run: give runs/<recipe>/<hash>, or folders seed-<k> in it")
    return [read_run(found) for found in paths]
