"""Which of the run folders at hand can stand as evidence: whole, of the configuration they are named after, no trials.

What is found out is an end without the steps before it, a folder copied under another configuration, a manifest of
another run. Who forges every file of a folder alike is not found out: the path is a map for oneself, no examination.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.core.files import read_json
from rlpath.runs.run_folder import RunRecord, differing_fields, read_run, run_path
from rlpath.runs.seed_sets import asked

REACHED = 0.9
"""Share of the environment steps that the last logged line must have reached: an episode may be left over."""


@dataclass(frozen=True)
class RunsAtHand:
    """The runs that count, oldest first, and the others with what is wrong with them; where they were looked for."""

    roots: tuple[Path, ...]
    log: Path
    sound: tuple[RunRecord, ...]
    unsound: tuple[tuple[Path, str], ...]

    def of(self, *recipes: str) -> list[RunRecord]:
        """The sound runs of recipes whose names begin so."""
        return [record for record in self.sound if recipe_of(record).startswith(recipes)]

    def files(self, name: str) -> list[Path]:
        """Files of this name below the folders that were searched."""
        return sorted({file for root in self.roots for file in root.rglob(name)})

    def seed_sets(self, *recipes: str, least: int = 3) -> list[list[RunRecord]]:
        """The seeds of each configuration, where at least `least` are whole and none that was asked for is missing."""
        sets: dict[Path, list[RunRecord]] = {}
        for record in self.of(*recipes):
            sets.setdefault(record.path.parent, []).append(record)
        return [
            records
            for folder, records in sets.items()
            if len(records) >= least and {*asked(folder)} <= {record.config["seed"] for record in records}
        ]


def recipe_of(record: RunRecord) -> str:
    """The recipe's name, as the folder of all its configurations is called."""
    return record.path.parent.parent.name


def collect(roots: Iterable[Path], log: Path) -> RunsAtHand:
    """Every run folder below `roots`, examined; `log` is the research log."""
    roots = tuple(roots)
    folders = sorted({file.parent.resolve() for root in roots for file in root.rglob("seed-*/config.json")})
    sound, unsound = [], []
    for folder in folders:
        try:
            record = read_run(folder)
            wrong = flaw(record)
            if wrong:
                unsound.append((folder, wrong))
            else:
                sound.append(record)
        except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
            unsound.append((folder, f"cannot be read ({error})"))
    sound.sort(key=lambda record: str(record.manifest["started"]))
    return RunsAtHand(roots, log, tuple(sound), tuple(unsound))


def flaw(record: RunRecord) -> str:
    """What keeps a run from being evidence; "" where nothing does."""
    config, manifest = record.config, record.manifest
    if not record.finished:
        return "did not finish"
    if config.get("preset") == "smoke":
        return "is a trial (preset smoke)"
    root, recipe = record.path.parent.parent.parent, recipe_of(record)
    if run_path(root, recipe, config, config["seed"]) != record.path:
        return "its folder is not the one of its config.json"
    if not manifest or differing_fields(manifest["config"], config):
        return "its manifest is missing or tells of another configuration"
    if str(manifest["started"])[:10] > read_json(record.path / "finished.json")["finished"][:10]:
        return "it ended before it began"
    planned = config.get("total_timesteps") or config.get("steps")
    if planned is None:
        return ""
    last = max((row["step"] for row in record.metrics), default=0)
    least = REACHED * planned if "total_timesteps" in config else planned
    return "" if last >= least else f"its metrics end at step {last} of {planned}"


def names(records: Sequence[RunRecord]) -> str:
    """Runs as they are named in a sentence: recipe/hash/seed-0, several seeds together."""
    told: dict[str, list[str]] = {}
    for record in records:
        told.setdefault("/".join(record.path.parts[-3:-1]), []).append(record.path.name)
    return "; ".join(f"{folder}/{seeds[0] if len(seeds) == 1 else 'seed-*'}" for folder, seeds in told.items())
